"""torchvision's networks as parts of sources: their standard weights files, what they take, and how frames get in."""

import functools
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum

from pvc.errors import ConfigError
from pvc.weights import fill, load_weights, on_device

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of R, G, B in [0, 1] that networks trained on ImageNet expect to be taken off."""

# Made without these, two classifiers would lack what their own weights need.
_EXTRA = {name: {"transform_input": True, "init_weights": False} for name in ("googlenet", "inception_v3")}


@dataclass(frozen=True)
class Preset:
    """What belongs to a network's standard weights.

    Attributes:
        file: Name of the weights file.
        size: Side in pixels of what a classifier takes, or shorter side of what a segmentation network takes.
        mean, deviation: Of R, G, B in [0, 1].
        classes: Names of what it tells apart.
    """

    file: str
    size: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    classes: tuple[str, ...]


def network_names(segmentation: bool) -> list[str]:
    """Names of torchvision's classifiers or segmentation networks."""
    return models.list_models(module=models.segmentation if segmentation else models)


def preset(model: str, segmentation: bool) -> Preset:
    """The preset of torchvision's ``model``. Raises ``ConfigError`` if there is none of this kind."""
    if model not in network_names(segmentation):
        names = ", ".join(network_names(segmentation))
        raise ConfigError(f"model = {model}: torchvision has no such network; there are: {names}")
    weights: WeightsEnum = models.get_model_weights(model).DEFAULT
    how = weights.transforms()
    (size,) = how.resize_size if segmentation else how.crop_size
    file = Path(urlparse(weights.url).path).name
    return Preset(file, size, tuple(how.mean), tuple(how.std), tuple(weights.meta["categories"]))


@functools.cache
def load_network(model: str, path: Path, device: str) -> nn.Module:
    """torchvision's ``model`` with the state dict at ``path``, ready for inference.

    Raises:
        MissingWeights: the file cannot be read or belongs to another network.
    """
    state = load_weights(path)
    extra = dict(_EXTRA.get(model, {}))
    if model in network_names(segmentation=True):
        extra["weights_backbone"] = None
        if any(key.startswith("aux_classifier.") for key in state):
            extra["aux_loss"] = True
    with torch.device("meta"):  # costs nothing; the weights come with the state dict
        network = models.get_model(model, weights=None, **extra)
    return on_device(fill(network, state, path), device)


def normalised(frame: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...], device: str) -> Tensor:
    """float32 ``[1, 3, H, W]`` of a network from uint8 RGB ``[3, H, W]``."""
    x = frame[None].to(device).float() / 255
    return (x - x.new_tensor(mean).view(3, 1, 1)) / x.new_tensor(deviation).view(3, 1, 1)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``[N, C, H, W]`` in another ``size`` (H, W): bilinear, antialiased."""
    return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
