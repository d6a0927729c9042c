"""Maps out of maps: what is combined, widened, smoothed or normalised is what the name says, and stays a map."""

import pytest
import torch

from pvc.errors import ConfigError, ImportanceError
from pvc.importance import compose
from pvc.importance.compose import NEUTRAL


def _maps(frames=5, height=12, width=16, seed=0) -> list[torch.Tensor]:
    return list(torch.rand(frames, 1, height, width, generator=torch.Generator().manual_seed(seed)))


def _dot(height=21, width=21, value=1.0) -> torch.Tensor:
    q = torch.zeros(1, height, width)
    q[0, height // 2, width // 2] = value
    return q


def test_maximum_and_weighted_mean_of_sources():
    a, b = _maps(seed=1), _maps(seed=2)
    assert torch.equal(torch.stack(list(compose.maximum(a, b))), torch.maximum(torch.stack(a), torch.stack(b)))
    mixed = torch.stack(list(compose.mean(a, b, weights=[3, 1])))
    assert torch.allclose(mixed, 0.75 * torch.stack(a) + 0.25 * torch.stack(b))
    assert torch.allclose(torch.stack(list(compose.mean(a, b))), (torch.stack(a) + torch.stack(b)) / 2)


def test_mean_of_full_maps_never_exceeds_1():
    ones = [torch.ones(1, 4, 4)]
    for weights in ([0.1] * 7, [1 / 3] * 7):
        (q,) = compose.mean(*[ones] * 7, weights=weights)
        assert float(q.max()) <= 1


def test_sources_of_other_sizes_or_lengths_are_errors_that_name_them():
    with pytest.raises(ImportanceError, match=r"stream 2 .* ends after 3 frames"):
        list(compose.maximum(_maps(5), _maps(3)))
    with pytest.raises(ImportanceError, match=r"16x10 in frame 0.*16x12"):
        list(compose.mean(_maps(), _maps(height=10)))
    with pytest.raises(ConfigError, match="at least one source"):
        compose.maximum()


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")]])
def test_weights_that_do_not_fit_are_errors(weights):
    with pytest.raises(ConfigError, match="weights"):
        compose.mean(_maps(), _maps(), weights=weights)


def test_threshold_counts_its_own_level_as_important():
    (q,) = compose.threshold([torch.tensor([[[0.2, 0.5, 0.8]]])], 0.5)
    assert q.tolist() == [[[0.0, 1.0, 1.0]]]


def test_dilation_grows_a_dot_to_a_disk_and_keeps_its_value():
    (q,) = compose.dilate([_dot(value=0.7)], radius=6)
    y, x = torch.meshgrid(torch.arange(-10, 11), torch.arange(-10, 11), indexing="ij")
    assert torch.allclose(q[0], 0.7 * (x * x + y * y <= 36))


def test_dilation_stops_at_the_border_and_radius_0_changes_nothing():
    corner = torch.zeros(1, 8, 8)
    corner[0, 0, 0] = 1
    (q,) = compose.dilate([corner], radius=2)
    assert q.sum() == 6 and q[0, 7].sum() == 0
    (same,) = compose.dilate([_maps(1)[0]], radius=0)
    assert torch.equal(same, _maps(1)[0])


def test_exponential_smoothing_follows_its_formula():
    values = [1.0, 0.0, 0.0, 1.0]
    got = [float(q) for q in compose.smooth([torch.full((1, 1, 1), v) for v in values], decay=0.75)]
    assert got == pytest.approx([1.0, 0.75, 0.5625, 0.671875])


@pytest.mark.parametrize(("frames", "radius"), [(7, 2), (2, 3), (1, 1), (5, 2), (4, 0)])
def test_the_window_is_the_mean_of_the_frames_around(frames, radius):
    maps = _maps(frames)
    got = list(compose.smooth(maps, radius=radius))
    assert len(got) == frames
    for t, q in enumerate(got):
        around = maps[max(0, t - radius) : t + radius + 1]
        assert torch.allclose(q, torch.stack(around).mean(0))


def test_the_window_looks_no_further_ahead_than_its_radius():
    taken = []
    smoothed = compose.smooth((taken.append(t) or q for t, q in enumerate(_maps(9))), radius=2)
    for t in range(9):
        next(smoothed)
        assert len(taken) == min(t + 3, 9)


@pytest.mark.parametrize("over", ["frame", "clip"])
@pytest.mark.parametrize("target", [NEUTRAL, 0.1, 0.9])
def test_normalised_maps_have_the_mean_and_stay_maps(over, target):
    binary = [(q > 0.9).float() for q in _maps(4)]
    for maps in (_maps(4), binary, [q**6 for q in _maps(4)]):
        out = torch.stack(list(compose.normalise(maps, mean=target, over=over)))
        assert float(out.min()) >= 0 and float(out.max()) <= 1
        means = out.double().mean((1, 2, 3)) if over == "frame" else out.double().mean()[None]
        assert torch.allclose(means, torch.full_like(means, target), atol=2e-5)
        for q, n in zip(maps, out, strict=True):  # what was more important is not less so now
            assert bool((n.flatten()[q.flatten().argsort()].diff() >= 0).all())


@pytest.mark.parametrize("over", ["frame", "clip"])
@pytest.mark.parametrize("value", [0.0, 0.3, NEUTRAL, 1.0])
def test_a_map_that_is_equal_everywhere_becomes_neutral(over, value):
    for q in compose.normalise([torch.full((1, 9, 7), value)] * 2, over=over):
        assert q.shape == (1, 9, 7)
        assert torch.allclose(q, torch.full_like(q, NEUTRAL), atol=2e-5)


def test_normalising_keeps_differences_that_are_not_clipped():
    q = torch.tensor([[[0.5, 0.6, 0.8]]])
    (out,) = compose.normalise([q], mean=0.5)
    assert torch.allclose(out.diff(), q.diff(), atol=1e-5)
    (again,) = compose.normalise([out], mean=0.5)
    assert torch.equal(again, out)


def test_over_the_clip_a_frame_may_stay_more_important_than_another():
    dark, bright = torch.full((1, 8, 8), 0.2), torch.full((1, 8, 8), 0.6)
    low, high = compose.normalise([dark, bright], mean=0.5, over="clip")
    assert float(low.mean()) == pytest.approx(0.3, abs=1e-4) and float(high.mean()) == pytest.approx(0.7, abs=1e-4)


def test_a_clip_without_frames_has_no_maps():
    for over in ("frame", "clip"):
        assert list(compose.normalise([], over=over)) == []
    assert list(compose.smooth([], radius=2)) == []


@pytest.mark.parametrize(
    ("step", "settings"),
    [
        ("threshold", {"level": 0}),
        ("threshold", {"level": 1.1}),
        ("dilate", {"radius": -1}),
        ("dilate", {"radius": 1.5}),
        ("smooth", {"decay": 1.0}),
        ("smooth", {"radius": -1}),
        ("normalise", {"mean": 1.0}),
        ("normalise", {"over": "gop"}),
    ],
)
def test_settings_out_of_range_are_errors_before_any_map_is_made(step, settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        getattr(compose, step)(iter(()), **settings)
