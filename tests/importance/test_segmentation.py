"""Semantic segmentation: chosen classes count, as much as they are said to."""

import pytest
import torch

from pvc.importance.networks import preset
from pvc.importance.segmentation import GROUPS, Segmentation


@pytest.fixture
def segmented(stand_in, scene):
    frames, _ = scene(1)

    def run(model="lraspp_mobilenet_v3_large", **settings):
        return next(Segmentation(model=model, weights=str(stand_in(model)), size=96, **settings).maps(iter(frames)))

    return run


def test_the_most_important_class_counts(segmented):
    dog, cat = segmented(classes=["dog"]), segmented(classes=["cat"])
    assert not torch.equal(dog, cat)
    assert torch.allclose(segmented(classes={"dog": 0.5}), 0.5 * dog)
    both = segmented(classes={"dog": 1.0, "cat": 0.5})
    assert bool((both >= dog - 1e-6).all()) and bool((both >= 0.5 * cat - 1e-6).all())


def test_groups_are_their_classes(segmented):
    assert torch.equal(segmented(classes=["animals"]), segmented(classes=list(GROUPS["animals"])))
    known = preset("deeplabv3_resnet50", segmentation=True).classes
    assert all(c in known for group in GROUPS.values() for c in group)


def test_hard_regions_belong_to_one_class_only(segmented):
    every = list(preset("lraspp_mobilenet_v3_large", segmentation=True).classes[1:])
    total = sum(segmented(classes=[c], soft=False) for c in every)
    assert total.max() <= 1 + 1e-5


def test_weights_with_an_auxiliary_classifier_load(segmented):
    assert segmented("deeplabv3_mobilenet_v3_large").shape == (1, 60, 100)
