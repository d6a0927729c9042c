"""LPIPS (Zhang et al. 2018) by the authors' package: of whole frames, of the ROI and of the background."""

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path

import lpips
import torch
from torch import Tensor

from pvc.errors import ConfigError
from pvc.metrics.backbones import BACKBONES, SMALLEST, feature_layers, pyramid_values
from pvc.metrics.frame_means import FrameMeans, region_names
from pvc.metrics.weights import WeightsMetric
from pvc.weights import fill, on_device

_NETS = {"alex": ("lpips", "alexnet"), "vgg": ("lpips_vgg", "vgg16"), "squeeze": ("lpips_squeeze", "squeezenet11")}


@dataclass(frozen=True)
class Lpips(WeightsMetric):
    """``lpips`` (AlexNet), ``lpips_vgg`` or ``lpips_squeeze``, each with ``_roi`` and ``_bg``; version 0.1, per frame.

    The linear heads come with the package, the network below them is torchvision's. The value of a frame is the
    authors'; of a region it is the mean of the distance map that they give with ``spatial=True``.

    Args:
        net: ``alex``, ``vgg`` or ``squeeze``.
        weights: Name or path of the network's weights file; None is torchvision's name.
        threshold: Pixels whose importance is at least this are ROI.
        weights_dir: Folder to look for the file in first.
        device: Where the network runs.
    """

    net: str = "alex"
    weights: str | None = None
    threshold: float = 0.5
    weights_dir: str | None = None
    device: str = "cpu"
    libraries = ("lpips", "torch", "torchvision")

    def __post_init__(self) -> None:
        if self.net not in _NETS:
            raise ConfigError(f"metric lpips: no net {self.net!r}; there are: {', '.join(_NETS)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Named after the network, unless it is the usual one."""
        return region_names(_NETS[self.net][0])

    @property
    def files(self) -> tuple[str, ...]:
        """The weights of the network below the heads."""
        return (self.weights or BACKBONES[_NETS[self.net][1]].files[0],)

    def _start(self, *paths: Path) -> FrameMeans:
        network = load_lpips(self.net, *paths, self.device)

        def frame(reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
            maps = lpips_maps(network, reference, decoded)
            return pyramid_values(self.names[0], maps, reference.shape[-2:], importance, self.threshold)

        return FrameMeans(self.names, frame, smallest=SMALLEST)


@functools.cache
def load_lpips(net: str, path: Path, device: str) -> lpips.LPIPS:
    """The authors' network with the weights of ``path`` below its heads; ``MissingWeights`` where they do not fit."""
    layers = feature_layers(_NETS[net][1], path).state_dict()
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore", UserWarning)  # of torchvision, about an argument that the package still uses
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)  # random, so that it downloads nothing
    # The package cuts the layers into slices (slice2.3.weight) but keeps their numbers (features.3.weight).
    fill(network.net, {key: layers[key.split(".", 1)[1]] for key in network.net.state_dict()}, path)
    return on_device(network.requires_grad_(False), device)


@torch.inference_mode()
def lpips_maps(network: lpips.LPIPS, reference: Tensor, decoded: Tensor) -> list[Tensor]:
    """Distance maps ``[h, w]`` of two frames (uint8 ``[3, H, W]``), one for each layer: LPIPS before it is averaged."""
    pair = torch.stack([reference, decoded]).to(network.scaling_layer.scale.device).float() / 127.5 - 1
    units = map(lpips.normalize_tensor, network.net(network.scaling_layer(pair)))
    return [head((a - b).square()[None])[0, 0] for head, (a, b) in zip(network.lins, units, strict=True)]
