"""Classification networks whose features metrics compare: torchvision's architectures, with weights from a file."""

import functools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from pvc.errors import MissingWeights
from pvc.metrics.frame_means import regions
from pvc.weights import fill, load_weights, on_device

SMALLEST = 32
"""Pixels: frames with a shorter side are too small for the networks' pooling."""


@dataclass(frozen=True)
class Backbone:
    """One architecture.

    Attributes:
        model: Its name in torchvision.
        files: Names of weights files that fit it; the first is torchvision's own.
        taps: Layers of its ``features`` whose outputs are compared, as in LPIPS: the last ReLU before each pooling,
            and all later blocks of SqueezeNet.
    """

    model: str
    files: tuple[str, ...]
    taps: tuple[int, ...]


BACKBONES = {
    "alexnet": Backbone("alexnet", ("alexnet-owt-7be5be79.pth",), (1, 4, 7, 9, 11)),
    "squeezenet11": Backbone(
        "squeezenet1_1",
        ("squeezenet1_1-b8a52dc0.pth", "squeezenet11_notop_torch_layout.npz"),
        (1, 4, 7, 9, 10, 11, 12),
    ),
    "vgg16": Backbone("vgg16", ("vgg16-397923af.pth",), (3, 8, 15, 22, 29)),
}

# SqueezeNet 1.1 as arrays (conv1.w, fire2/squeeze1x1.w, ...): its layers' places in torchvision's features.
_SQUEEZENET_ARRAYS = {"conv1": 0, "fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9} | {
    "fire7": 10,
    "fire8": 11,
    "fire9": 12,
}
_IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # torchvision's mean and deviation of R, G, B, times 255
_CAFFE = (122.679, 116.669, 104.006), (1.0, 1.0, 1.0)


class Features(nn.Module):
    """Features of frames: ``[N, 3, H, W]`` RGB in [0, 255] to a list of ``[N, C, h, w]``, one for each tap.

    Args:
        layers: The network.
        taps: Indices of the layers whose outputs are wanted.
        mean, deviation: Of R, G, B; taken off the input and divided by.
    """

    def __init__(self, layers: nn.Sequential, taps: Collection[int], mean: Iterable[float], deviation: Iterable[float]):
        super().__init__()
        self.taps = frozenset(taps)
        self.layers = layers[: max(self.taps) + 1]
        self.register_buffer("mean", torch.tensor([*mean]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor([*deviation]).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """See the class."""
        x, out = (rgb - self.mean) / self.deviation, []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.taps:
                out.append(x)
        return out


def feature_layers(name: str, path: Path) -> nn.Sequential:
    """The ``features`` of the backbone called ``name`` with the weights of a torchvision state dict.

    Raises:
        MissingWeights: the file cannot be read or belongs to another network.
    """
    return _fill_features(name, _prefixed(load_weights(path), "features."), path)


@functools.cache
def load_features(name: str, path: Path, device: str) -> Features:
    """The backbone called ``name`` on ``device``, with the input normalisation that belongs to its weights.

    Args:
        path: A state dict of torchvision, or (SqueezeNet 1.1) an ``.npz`` of arrays in torch's layout.

    Raises:
        MissingWeights: the file cannot be read or belongs to another network.
    """
    if path.suffix == ".npz":
        layers, scale = _fill_features(name, _from_arrays(load_weights(path), path), path), _CAFFE
    else:
        layers, scale = feature_layers(name, path), _IMAGENET
    return on_device(Features(layers, BACKBONES[name].taps, *scale), device)


def pyramid_values(
    name: str, maps: list[Tensor], size: tuple[int, int], importance: Tensor | None, threshold: float
) -> dict[str, float]:
    """A frame's distance from its distance maps at several resolutions, which are added.

    Args:
        maps: ``[h, w]`` each.
        size: H, W of the frame.
        importance: ``[1, H, W]`` or None.

    Returns:
        ``X``: the sum of the maps' means. ``X_roi``, ``X_bg``: means over the region's pixels of the sum of the maps
        enlarged (bilinear) to the frame. A map's value looks at pixels around it, so a region sees a rim of the other.
    """
    values = {name: float(sum(m.double().mean() for m in maps))}
    if importance is not None:
        full = sum(F.interpolate(m[None, None], size, mode="bilinear", align_corners=False)[0, 0] for m in maps)
        found = regions(name, full.cpu().double(), importance, threshold)
        values = {n: float(v.mean()) for n, v in found} | values
    return values


def _fill_features(name: str, state: Mapping[str, Tensor], path: Path) -> nn.Sequential:
    with torch.device("meta"):  # costs nothing; the weights come with the state dict
        layers = getattr(torchvision.models, BACKBONES[name].model)(weights=None).features
    return fill(layers, state, path)


def _prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _from_arrays(arrays: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Names of torchvision's SqueezeNet 1.1 for ``conv1.w`` or ``fire2/squeeze1x1.w`` (and ``.b``)."""
    state = {}
    for key, value in arrays.items():
        found = re.fullmatch(r"(conv1|fire[2-9])(?:/(squeeze|expand)(1x1|3x3))?\.([wb])", key)
        if found is None:
            raise MissingWeights(f"weights file {path.name} holds {key}, which is no array of SqueezeNet 1.1")
        layer, part, side, kind = found.groups()
        part = "" if part is None else ".squeeze" if part == "squeeze" else f".expand{side}"
        state[f"{_SQUEEZENET_ARRAYS[layer]}{part}.{'weight' if kind == 'w' else 'bias'}"] = value
    return state
