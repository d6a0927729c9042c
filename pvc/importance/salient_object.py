"""Salient objects by U2-Net."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pvc.errors import ConfigError
from pvc.importance.networks import IMAGENET, normalised, resized
from pvc.importance.source import WeightsSettings
from pvc.importance.u2net import U2Net
from pvc.weights import fill, load_weights, on_device

_FILES = {"u2net": "u2net.pth", "u2netp": "u2netp.pth"}


@dataclass(frozen=True)
class SalientObject(WeightsSettings):
    """Saliency of each frame by itself, as its authors take it: the frame squeezed to a square, result in [0, 1].

    Attributes:
        name: What it is called in ``configs/importance``.
        model: ``u2net`` (44.0 M parameters) or ``u2netp`` (1.1 M).
        weights: Name or path of its weights file; None: the authors' name.
        size: Side in pixels of what the network sees.
        stretch: Stretch each frame's saliency to go from 0 to 1, as its authors do; a frame without any salient object
            then has one all the same. Saliency that is equal everywhere stays as it is.
        weights_dir: Folder to look in before the usual places.
        device: Where the network runs.
    """

    name: str = "salient_object"
    model: str = "u2netp"
    weights: str | None = None
    size: int = 320
    stretch: bool = True
    weights_dir: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.model not in _FILES:
            raise ConfigError(f"{self.name}.model = {self.model}: must be {' or '.join(_FILES)}")
        if self.size < 32:
            raise ConfigError(f"{self.name}.size = {self.size}: must be at least 32 pixels")
        _ = self.path  # missing weights are told at once

    @property
    def files(self) -> str:
        return self.weights or _FILES[self.model]

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :class:`pvc.importance.source.Source`."""
        for frame in frames:
            yield self._map(frame).clone()  # an ordinary tensor outside of inference mode

    @torch.inference_mode()
    def _map(self, frame: Tensor) -> Tensor:
        network = _load(self.model, self.path, self.device)
        # The authors divide by the picture's largest value instead of 255.
        frame = frame.float() * (255 / frame.max().clamp(min=1).float())
        saliency = network(resized(normalised(frame, *IMAGENET, self.device), (self.size, self.size)))
        low, high = saliency.aminmax()
        if self.stretch and high > low:
            saliency = (saliency - low) / (high - low)
        return resized(saliency, frame.shape[-2:])[0].clamp(0, 1).cpu()


@functools.cache
def _load(model: str, path: Path, device: str) -> U2Net:
    with torch.device("meta"):
        network = U2Net(model)
    return on_device(fill(network, load_weights(path), path), device)
