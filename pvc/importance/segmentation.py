"""Regions of chosen classes from a semantic segmentation network of torchvision (people, vehicles, animals, ...)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pvc.errors import ConfigError
from pvc.importance.networks import Preset, load_network, normalised, preset, resized
from pvc.importance.source import WeightsSettings

# Of the classes of Pascal VOC, which all of torchvision's segmentation weights know.
GROUPS = {
    "people": ("person",),
    "vehicles": ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
    "animals": ("bird", "cat", "cow", "dog", "horse", "sheep"),
}


@dataclass(frozen=True)
class Segmentation(WeightsSettings):
    """The probability that a pixel belongs to one of the chosen classes, each times its importance; the largest counts.

    Attributes:
        name: What it is called in ``configs/importance``.
        model: A segmentation network of torchvision.
        weights: Name or path of its weights file; None: torchvision's name.
        classes: Names of classes or groups (:data:`GROUPS`), or their importance by name (``{people: 1, car: 0.5}``).
        soft: Probabilities; False: 1 where a class is the most likely of all, and 0 elsewhere.
        size: Shorter side in pixels that frames are resized to for the network; None: that of its training.
        weights_dir: Folder to look in before the usual places.
        device: Where the network runs.
    """

    name: str = "segmentation"
    model: str = "lraspp_mobilenet_v3_large"
    weights: str | None = None
    classes: tuple[str, ...] | Mapping[str, float] = ("people", "vehicles", "animals")
    soft: bool = True
    size: int | None = None
    weights_dir: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        self._importance(preset(self.model, segmentation=True))
        if self.size is not None and self.size < 32:
            raise ConfigError(f"{self.name}.size = {self.size}: must be at least 32 pixels")
        _ = self.path  # missing weights are told at once

    @property
    def files(self) -> str:
        return self.weights or preset(self.model, segmentation=True).file

    @torch.inference_mode()
    def _map(self, frame: Tensor, how: Preset, importance: Tensor) -> Tensor:
        network = load_network(self.model, self.path, self.device)
        height, width = frame.shape[-2:]
        scale = (self.size or how.size) / min(height, width)
        x = normalised(frame, how.mean, how.deviation, self.device)
        x = resized(x, (round(height * scale), round(width * scale)))
        scores = network(x)["out"]
        share = scores.softmax(1) if self.soft else torch.zeros_like(scores).scatter_(1, scores.argmax(1, True), 1)
        q = (share * importance.to(share.device)).amax(1, keepdim=True)
        return resized(q, (height, width))[0].clamp(0, 1).cpu()

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :class:`pvc.importance.source.Source`."""
        how = preset(self.model, segmentation=True)
        importance = self._importance(how)
        for frame in frames:
            yield self._map(frame, how, importance).clone()  # an ordinary tensor outside of inference mode

    def _importance(self, how: Preset) -> Tensor:
        """Importance of each of the network's classes, ``[C, 1, 1]``."""
        chosen = self.classes if isinstance(self.classes, Mapping) else dict.fromkeys(self.classes, 1.0)
        out = torch.zeros(len(how.classes), 1, 1)
        for name, q in chosen.items():
            if unknown := [c for c in GROUPS.get(name, (name,)) if c not in how.classes[1:]]:
                known = ", ".join([*GROUPS, *how.classes[1:]])
                raise ConfigError(f"{self.name}.classes: {self.model} knows no {', '.join(unknown)}; it knows {known}")
            if not 0 <= q <= 1:
                raise ConfigError(f"{self.name}.classes: the importance of {name} is {q}; it must lie in [0, 1]")
            for c in GROUPS.get(name, (name,)):
                out[how.classes.index(c)] = max(float(out[how.classes.index(c)]), q)
        if not out.any():
            raise ConfigError(f"{self.name}.classes is empty; name classes or groups: {', '.join(GROUPS)}")
        return out
