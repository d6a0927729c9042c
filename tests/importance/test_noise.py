"""Perlin noise as a source: random by its seed, of the wanted share, and moving as it is told."""

import torch

from pvc.importance.registry import load_source

FRAMES = torch.zeros(1, 3, 72, 96, dtype=torch.uint8)


def make(frames=24, **settings):
    return torch.stack(list(load_source("perlin", **settings).maps(FRAMES[0] for _ in range(frames))))


def test_the_seed_decides():
    assert torch.equal(make(4, seed=3), make(4, seed=3))
    assert not torch.equal(make(4, seed=3), make(4, seed=4))


def test_the_share_holds_on_average_over_time_and_continuous_maps_are_continuous():
    for share in (0.15, 0.5):
        q = torch.cat([make(12, share=share, seed=s, scale=24, speed=6) for s in range(6)])
        assert set(q.unique().tolist()) == {0.0, 1.0}
        assert abs(float(q.mean()) - share) < 0.08
    q = make(6, continuous=True, share=0.5)
    assert len(q.unique()) > 100 and q.min() >= 0 and q.max() <= 1
    assert not make(2, share=0.0).any() and make(2, share=1.0).all()


def test_maps_change_with_the_speed_and_stand_still_without():
    def change(speed):
        return float(make(speed=speed, scale=40).diff(dim=0).abs().mean())

    assert change(0) == 0 < change(0.5) < change(4)


def test_noise_goes_on_past_where_its_lattice_begins_again():
    """The lattice has 64 planes in time; with cells of 2 pixels at 4 pixels a frame that is 32 frames."""
    q = make(70, scale=16, speed=32, octaves=1, continuous=True)
    step = q.diff(dim=0).abs().mean(dim=(1, 2, 3))
    assert step.min() > 0.5 * step.mean() and step.max() < 2 * step.mean()
