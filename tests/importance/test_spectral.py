"""The classical source: marks what moves against the camera and what stands out, and nothing where there is nothing."""

import pytest
import torch

from pvc.importance.registry import load_source
from pvc.importance.spectral import SpectralSaliency
from pvc.video import open_video, read_map


def inside_and_outside(maps, mask):
    q = torch.cat(list(maps))
    return float(q[mask].mean()), float(q[~mask].mean())


def auc(values, mask):
    """Probability that a random pixel of the mask has a larger value than one outside of it."""
    order = values.flatten().argsort(stable=True)
    rank = torch.empty(order.numel(), dtype=torch.float64)
    rank[order] = torch.arange(1.0, order.numel() + 1, dtype=torch.float64)
    n = int(mask.sum())
    return float((rank[mask.flatten()].sum() - n * (n + 1) / 2) / (n * (mask.numel() - n)))


def test_a_thing_that_moves_against_a_panning_camera_is_marked_from_the_first_frame_on(scene):
    frames, mask = scene(6)
    source = SpectralSaliency(centre=None)
    inside, outside = inside_and_outside(source.maps(iter(frames)), mask)
    assert inside > 0.5 and outside < 0.2
    first = inside_and_outside([next(source.maps(iter(frames)))], mask[:1])
    assert first[0] > 3 * first[1]
    still = inside_and_outside(SpectralSaliency(centre=None, motion=0).maps(iter(frames)), mask)
    assert inside / outside > 2 * still[0] / still[1]


def test_a_patch_that_stands_out_of_a_still_picture_is_marked():
    frame = torch.full((3, 90, 120), 90, dtype=torch.uint8)
    frame[:, 20:40, 15:40] = torch.tensor([200, 60, 40], dtype=torch.uint8).view(3, 1, 1)
    mask = torch.zeros(1, 90, 120, dtype=torch.bool)
    mask[:, 20:40, 15:40] = True
    inside, outside = inside_and_outside(SpectralSaliency(centre=None).maps(iter([frame])), mask)
    assert inside > 5 * outside


@pytest.mark.parametrize("value", [0, 77, 255])
def test_an_even_clip_has_a_map_of_zeros(value):
    even = torch.full((4, 3, 90, 120), value, dtype=torch.uint8)
    assert all(q.max() < 1e-6 for q in SpectralSaliency().maps(iter(even)))


def test_noise_is_no_saliency():
    noise = torch.randint(76, 79, (4, 3, 240, 416), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    assert all(q.max() < 0.3 for q in SpectralSaliency().maps(iter(noise)))


def test_a_new_scene_starts_anew(scene):
    a, b = scene(4, seed=1)[0], 255 - scene(4, seed=7)[0]
    source = SpectralSaliency()
    after_cut = list(source.maps(iter(torch.cat([a, b]))))[4:]
    alone = list(source.maps(iter(b)))
    assert all(torch.equal(x, y) for x, y in zip(after_cut, alone, strict=True))


def test_maps_follow_the_past_as_much_as_decay_says(scene):
    frames, _ = scene(6)

    def flicker(decay):
        q = torch.cat(list(SpectralSaliency(decay=decay, motion=0.0).maps(iter(frames))))
        return float(q.diff(dim=0).abs().mean())

    assert flicker(0.9) < flicker(0.0)


@pytest.mark.parametrize("name", ["davis-flamingo", "davis-drift-turn"])
def test_on_real_clips_it_finds_the_object_better_than_the_centre_prior(shared_clips, name):
    frames = [frame for frame, _ in zip(open_video(shared_clips / "train" / f"{name}.mp4"), range(8))]
    mask = read_map(shared_clips / "train" / f"{name}.mask.mkv", count=8)[:, 0] > 0.5
    y, x = (torch.linspace(-1, 1, n) for n in mask.shape[1:])
    centre = -(y[:, None] ** 2 + x**2).expand(8, -1, -1)
    found = torch.cat(list(load_source("spectral").maps(iter(frames))))
    scores = [[auc(values[t], mask[t]) for t in range(8)] for values in (found, centre)]
    found, centre = (sum(score) / 8 for score in scores)
    assert found > 0.95 and found > centre + 0.05
