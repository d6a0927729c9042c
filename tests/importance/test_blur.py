"""Blur by importance: the paper's formulas and kernels that grow, against a slow reference pixel by pixel."""

import math

import numpy as np
import pytest
import torch

from pvc.errors import ConfigError, ImportanceError
from pvc.importance.blur import LinearBlur, SigmoidBlur, blurred, load_blur, strengths
from pvc.importance.gaussian_stack import MOST_OFF, GaussianStack, kernel


def _reference(frame: torch.Tensor, sigma: np.ndarray, radius=None) -> np.ndarray:
    """Every pixel by its own normalised Gaussian in float64; beyond the edge the edge's pixels go on."""
    x = frame.numpy().astype(np.float64)
    out = np.empty_like(x)
    for i, j in np.ndindex(*sigma.shape):
        s = float(sigma[i, j])
        r = math.ceil(3 * s) if radius is None else radius
        total, weights = np.zeros(3), 0.0
        for di in range(-r, r + 1):
            for dj in range(-r, r + 1):
                w = math.exp(-(di * di + dj * dj) / (2 * s * s)) if s else 1.0
                at = np.clip(i + di, 0, x.shape[1] - 1), np.clip(j + dj, 0, x.shape[2] - 1)
                total, weights = total + w * x[:, at[0], at[1]], weights + w
        out[:, i, j] = total / weights
    return out


def _frame(height=18, width=23, seed=0) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def _graded(height=18, width=23) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return ((x + y) / 2)[None]


def _left(height=18, width=23) -> torch.Tensor:
    m = torch.zeros(1, height, width)
    m[..., : width // 2] = 1
    return m


@pytest.mark.parametrize(("inside", "outside"), [(1, 1), (1, 0.1), (10, 1)])
def test_the_papers_blur_is_its_formula_pixel_by_pixel(inside, outside):
    frame, s = _frame(), _graded() * 0.8
    sigma = outside / (1 + np.exp(-inside * (float(s.max()) / 2 - s[0].double().numpy())))
    exact = _reference(frame, sigma, radius=1)
    got = SigmoidBlur(inside, outside)(frame, s)
    clear = abs(exact - np.floor(exact) - 0.5) > 1e-3  # elsewhere float32 may round to the other side
    assert clear.mean() > 0.99
    assert np.array_equal(got.numpy()[clear], np.rint(exact)[clear])
    assert abs(got.numpy() - exact).max() <= 0.5 + 1e-3
    assert np.allclose(SigmoidBlur(inside, outside).sigma(s)[0], sigma, rtol=1e-5)


def test_times_a_tenth_changes_no_pixel_whatever_the_map():
    frame = _frame()
    for s in (torch.zeros(1, 18, 23), torch.ones(1, 18, 23), _graded(), _left()):
        assert torch.equal(load_blur("weak")(frame, s), frame)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_map_that_is_equal_everywhere_has_the_papers_sigma_of_minus_half_of_it(value):
    s = torch.full((1, 18, 23), value)
    for inside in (1, 10):
        sigma = SigmoidBlur(inside).sigma(s)
        assert sigma.unique().tolist() == [pytest.approx(1 / (1 + math.exp(inside * value / 2)))]
    assert LinearBlur(4).sigma(s).unique().tolist() == [pytest.approx(4 * (1 - value))]


@pytest.mark.parametrize("largest", [0.5, 1.5, 3.0])
def test_a_mask_is_blurred_as_by_the_slow_reference(largest):
    frame, s = _frame(), _left()
    exact = _reference(frame, largest * (1 - s[0].double().numpy()))
    got = LinearBlur(largest)(frame, s)
    assert torch.equal(got[..., :11], frame[..., :11])  # importance 1: as it was
    assert abs(got.numpy() - exact).max() <= 0.5 + 1e-3


def test_a_graded_map_is_on_average_within_hundredths_of_the_slow_reference():
    frame, s = _frame(), _graded()
    stack = GaussianStack(3.0)
    sigma = 3.0 * (1 - s[0])
    off = abs(stack(frame.numpy(), sigma.numpy()) - _reference(frame, sigma.double().numpy()))
    assert off.max() < 0.2 and off.mean() < 0.02  # on noise, the hardest picture
    smooth = (_graded() * 255).expand(3, -1, -1).to(torch.uint8)
    off = abs(stack(smooth.numpy(), sigma.numpy()) - _reference(smooth, sigma.double().numpy()))
    assert off.max() < 0.05


@pytest.mark.parametrize("largest", [0.5, 1.3, 3.0, 8.0, 20.0])
def test_no_picture_can_be_further_off_than_the_bound(largest):
    # An error is sum_o (K' - K)(o) x(o) with sum_o (K' - K)(o) = 0, so it is at most 127.5 |K' - K|_1.
    stack, radius = GaussianStack(largest), math.ceil(3 * largest)
    levels = np.stack([np.outer(k, k).ravel() for k in (kernel(s, radius) for s in stack.sigmas)])
    for sigma in np.linspace(0, largest, 97):
        k = kernel(sigma, radius)
        assert 127.5 * abs(stack.weights(sigma) @ levels - np.outer(k, k).ravel()).sum() < MOST_OFF


def test_more_importance_is_less_blur_in_every_blur():
    s = torch.linspace(0, 1, 9).view(1, 1, 9)
    for name in strengths():
        sigma = load_blur(name).sigma(s).flatten()
        assert (sigma.diff() < 0).all()
    assert load_blur("strong").sigma(s).flatten()[[0, -1]].tolist() == [8, 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3)])
@pytest.mark.parametrize("name", ["paper", "contrast", "strong"])
def test_frames_smaller_than_the_kernel_are_blurred_and_a_plain_one_stays_as_it_is(size, name):
    plain = torch.full((3, *size), 77, dtype=torch.uint8)
    for s in (torch.zeros(1, *size), torch.linspace(0, 1, size[0] * size[1]).view(1, *size)):
        assert torch.equal(load_blur(name)(plain, s), plain)


def test_maps_that_do_not_fit_are_refused():
    blur, frame = SigmoidBlur(), _frame()
    nan = _graded()
    nan[0, 3, 3] = float("nan")
    for bad, says in (
        (torch.zeros(1, 18, 22), "22x18 .*23x18"),
        (torch.zeros(18, 23), "shape"),
        (_graded() * 2, r"\[0, 1\]"),
        (-_graded(), r"\[0, 1\]"),
        (nan, "nan"),
        (torch.zeros(1, 18, 23, dtype=torch.uint8), "uint8"),
    ):
        for b in (blur, LinearBlur()):
            with pytest.raises(ImportanceError, match=says):
                b(frame, bad)


def test_a_stream_of_maps_must_last_as_long_as_the_frames_and_says_which_frame_is_wrong():
    frames, s = [_frame(seed=t) for t in range(3)], _graded()
    out = list(blurred(frames, iter([s, _left(), s]), LinearBlur(1.0)))
    assert [torch.equal(a, LinearBlur(1.0)(f, m)) for a, f, m in zip(out, frames, [s, _left(), s], strict=True)]
    with pytest.raises(ImportanceError, match="has 2 frames but the clip has more"):
        list(blurred(frames, iter([s, s]), LinearBlur()))
    with pytest.raises(ImportanceError, match=r"frame 1: .*22x18"):
        list(blurred(frames, iter([s, torch.zeros(1, 18, 22), s]), LinearBlur()))


def test_frames_are_read_as_they_are_needed():
    read = []

    def frames():
        for t in range(5):
            read.append(t)
            yield _frame(seed=t)

    stream = blurred(frames(), iter([_graded()] * 5), SigmoidBlur())
    next(stream)
    assert read == [0]


def test_blurs_by_name_and_with_settings():
    assert strengths() == ["contrast", "paper", "strong", "weak"]
    assert load_blur("strong", largest=2).meta == {"kernel": "LinearBlur", "largest": 2}
    for call, says in (
        (lambda: load_blur("mild"), "'mild'.*contrast, paper, strong, weak"),
        (lambda: load_blur("paper", largest=2), "no setting largest; it has inside, outside"),
        (lambda: load_blur("strong", largest=100), r"largest=100 lies outside \[0.5, 64\]"),
        (lambda: load_blur("paper", inside=0), "inside=0"),
        (lambda: SigmoidBlur(outside=float("nan")), "outside=nan"),
    ):
        with pytest.raises(ConfigError, match=says):
            call()
