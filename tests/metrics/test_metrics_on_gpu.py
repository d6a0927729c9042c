"""Metrics whose networks run on a GPU give what they give on a CPU."""

from dataclasses import replace

import pytest
import torch

from pvc.metrics.brisque import Brisque
from pvc.metrics.dists import Dists
from pvc.metrics.features import FeatureDistance
from pvc.metrics.fid_kid import FidKid, inception_blocks
from pvc.metrics.lpips import Lpips


@pytest.fixture
def metrics(stand_in, tmp_path):
    """Those with networks, by their class."""
    generator = torch.Generator().manual_seed(5)
    torch.save({k: torch.full((1, 1475, 1, 1), 1 / 2950) for k in ("alpha", "beta")}, tmp_path / "heads.pt")
    torch.save((torch.randn(40, generator=generator), torch.rand(40, 36, generator=generator)), tmp_path / "svm.pt")
    torch.manual_seed(0)
    torch.save(inception_blocks().state_dict(), tmp_path / "inception.pth")
    return [
        Lpips(weights=str(stand_in("alexnet"))),
        FeatureDistance(weights=str(stand_in("squeezenet1_1"))),
        Dists(weights=(str(stand_in("vgg16")), str(tmp_path / "heads.pt"))),
        Brisque(weights=str(tmp_path / "svm.pt")),
        FidKid(weights=str(tmp_path / "inception.pth"), patch=32, stride=32, min_patches=2),
    ]


def test_a_gpu_measures_what_a_cpu_does(gpu, metrics, clip, blurred, mask):
    for metric in metrics:
        one, two = (replace(metric, device=d)(clip[:2], blurred(clip[:2]), mask[:2]) for d in ("cpu", gpu))
        assert not one.unavailable or one.unavailable == two.unavailable
        assert one.values and two.values == pytest.approx(one.values, rel=1e-3, abs=1e-4)
