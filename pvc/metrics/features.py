"""Plain feature distance on any backbone whose weights are at hand. Not LPIPS: nothing is fitted to human judgement."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pvc.errors import ConfigError
from pvc.metrics.backbones import BACKBONES, SMALLEST, Features, load_features, pyramid_values
from pvc.metrics.frame_means import FrameMeans, region_names
from pvc.metrics.weights import WeightsMetric


@dataclass(frozen=True)
class FeatureDistance(WeightsMetric):
    """``feat_<backbone>`` and its ``_roi`` and ``_bg``: how far apart the features of two frames are.

    At each of L layers the features of a position are scaled to unit length over channels; the distance there is the
    squared length of their difference (0 to 4). A frame's value is the mean over layers of the means over positions,
    which is equation 1 of the LPIPS paper (Zhang et al. 2018) with all its weights w = 1, divided by L. A clip's value
    is the mean over frames.

    Args:
        backbone: ``squeezenet11``, ``alexnet`` or ``vgg16``.
        weights: Name or path of its weights file; None is a name that is usual for the backbone.
        threshold: Pixels whose importance is at least this are ROI.
        weights_dir: Folder to look for the file in first.
        device: Where the network runs.
    """

    backbone: str = "squeezenet11"
    weights: str | None = None
    threshold: float = 0.5
    weights_dir: str | None = None
    device: str = "cpu"
    libraries = ("torch", "torchvision")

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ConfigError(f"metric features: no backbone {self.backbone!r}; there are: {', '.join(BACKBONES)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Named after the backbone."""
        return region_names(f"feat_{self.backbone}")

    @property
    def files(self) -> tuple[str | tuple[str, ...], ...]:
        """The backbone's weights."""
        return (self.weights or BACKBONES[self.backbone].files,)

    def _start(self, *paths: Path) -> FrameMeans:
        network = load_features(self.backbone, *paths, self.device)

        def frame(reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
            maps = feature_distances(network, reference, decoded)
            return pyramid_values(self.names[0], maps, reference.shape[-2:], importance, self.threshold)

        return FrameMeans(self.names, frame, smallest=SMALLEST)


@torch.inference_mode()
def feature_distances(network: Features, reference: Tensor, decoded: Tensor) -> list[Tensor]:
    """Distance maps ``[h, w]`` of two frames (uint8 ``[3, H, W]``), one for each layer, each divided by L."""
    pair = torch.stack([reference, decoded]).to(network.mean.device).float()
    units = [x / (x.norm(dim=1, keepdim=True) + 1e-10) for x in network(pair)]
    return [(a - b).square().sum(0) / len(units) for a, b in units]
