import pytest
import torch

from pvc.data.scenes import SCENES, Actor, Scene
from pvc.data.synthetic import Synthetic
from pvc.errors import ConfigError


@pytest.fixture
def small():
    return lambda **kw: Synthetic(**{"size": (64, 96), "frames": 6, "train_scenes": 3, **kw})


def test_named_scenes(small):
    scenes = small().val()
    assert [s.name for s in scenes] == list(SCENES)
    for s in scenes:
        frames, mask = s.read(), s.read_mask()
        assert frames.shape == (6, 3, 64, 96) and frames.dtype == torch.uint8 and mask.shape == (6, 1, 64, 96)
        assert 0.02 < mask.mean() < 0.5 and set(mask.unique().tolist()) == {0.0, 1.0}
        assert (frames[0] != frames[1]).any() and (mask[0] != mask[5]).any()


def test_any_part_is_the_same_whenever_it_is_rendered(small):
    (first, *_), (second, *_) = small().train(), small().train()
    assert torch.equal(first.read()[3:5], second.read(3, 2))
    assert torch.equal(first.read_mask()[3:5], second.read_mask(3, 2))
    assert not torch.equal(first.read(0, 1), small(seed=5).train()[0].read(0, 1))


def test_the_mask_is_where_the_actor_is(small):
    """Without its actor a scene differs from itself inside the mask and, but for the shadow, nowhere else."""
    actor = Actor("cup", (0.1, 0.0), size=0.5)
    quiet = dict(background="gravel", noise=0.0, light=0.0, shake=0.0)
    full, empty = (small().make("s", Scene(actors=a, **quiet)) for a in ((actor,), ()))
    change = (full.read().float() - empty.read().float()).abs().mean(1, keepdim=True)
    mask = full.read_mask() == 1
    assert not empty.has_mask
    assert change[mask].mean() > 20 and change[~mask].mean() < 3


def test_what_is_in_the_way_hides_the_roi(small):
    behind = Actor("cup", (0.0, 0.0), size=0.5)
    before = Actor("planet", (0.0, 0.0), size=0.9, roi=False)
    scene = small().make("s", Scene("gravel", (behind, before)))
    assert scene.read_mask().sum() == 0


def test_unknown_scenes_and_sizes(small):
    with pytest.raises(ConfigError, match="no synthetic scene is called moon"):
        small(names=["moon"])
    with pytest.raises(ConfigError, match="0 frames"):
        small(frames=0)
