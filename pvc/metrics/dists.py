"""DISTS (Ding et al. 2020) by piq, in RGB, mean over frames."""

import functools
from dataclasses import dataclass
from pathlib import Path

import piq
import torch
from torch import Tensor, nn

from pvc.errors import MissingWeights
from pvc.metrics.backbones import BACKBONES, SMALLEST, feature_layers
from pvc.metrics.frame_means import FrameMeans
from pvc.metrics.weights import WeightsMetric
from pvc.weights import load_weights, on_device

HEADS = "dists_weights.pt"
_CHANNELS = [3, 64, 128, 256, 512, 512]  # of the input and of VGG16's five taps


@dataclass(frozen=True)
class Dists(WeightsMetric):
    """``dists``: mean over frames; frames whose shorter side is above 256 are scaled down to it, as its authors do.

    It compares means and variances of whole feature maps and has no value for a region.

    Args:
        weights: Names or paths of VGG16's weights file and of DISTS's own; None is torchvision's and piq's names.
        weights_dir: Folder to look for them in first.
        device: Where the network runs.
    """

    weights: tuple[str, str] | None = None
    weights_dir: str | None = None
    device: str = "cpu"
    libraries = ("piq", "torch", "torchvision")
    names = ("dists",)

    @property
    def files(self) -> tuple[str, ...]:
        """VGG16's weights and DISTS's own."""
        return tuple(self.weights or (BACKBONES["vgg16"].files[0], HEADS))

    def _start(self, *paths: Path) -> FrameMeans:
        network = load_dists(*paths, self.device)

        @torch.inference_mode()
        def frame(reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
            pair = torch.stack([decoded, reference]).to(self.device).float() / 255
            return {"dists": float(network(pair[:1], pair[1:]))}

        return FrameMeans(self.names, frame, smallest=SMALLEST)


class OfflineDists(piq.DISTS):
    """piq's DISTS over given layers of VGG16 and given weights, where piq's own constructor would download both.

    Args:
        layers: VGG16's ``features``.
        heads: DISTS's ``alpha`` and ``beta``, ``[1, 1475, 1, 1]`` each.
    """

    def __init__(self, layers: nn.Sequential, heads: dict[str, Tensor]):
        weights = [part for key in ("alpha", "beta") for part in heads[key].split(_CHANNELS, dim=1)]
        super(piq.DISTS, self).__init__(
            layers,
            [str(tap) for tap in BACKBONES["vgg16"].taps],
            weights,
            replace_pooling=True,
            allow_layers_weights_mismatch=True,
        )


@functools.cache
def load_dists(vgg16: Path, heads: Path, device: str) -> OfflineDists:
    """DISTS on ``device``. Raises ``MissingWeights`` where a file is of something else."""
    state = load_weights(heads)
    shapes = {key: tuple(value.shape) for key, value in state.items()} if isinstance(state, dict) else {}
    if shapes != dict.fromkeys(("alpha", "beta"), (1, sum(_CHANNELS), 1, 1)):
        raise MissingWeights(f"weights file {heads.name} does not hold the weights of DISTS; replace it")
    return on_device(OfflineDists(feature_layers("vgg16", vgg16), state).eval(), device)
