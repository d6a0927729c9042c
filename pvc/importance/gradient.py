"""Saliency as the gradient of a classifier's winning score.

Source: Alizada, "Saliency-guided video codec pre-processing", 2022, section 3, after Simonyan et al., "Deep inside
convolutional networks", 2013.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pvc.errors import ConfigError
from pvc.importance.networks import load_network, normalised, preset, resized
from pvc.importance.source import WeightsSettings

_MODES = ("crop", "resize", "tile")
_BATCH = 8  # tiles at once


@dataclass(frozen=True)
class GradientSaliency(WeightsSettings):
    """The paper's steps: winning class, gradient of its score, absolute value, maximum of R, G and B, 3x3 mean.

    The paper's scale is the network's own and differs from frame to frame; here each frame's map is divided by its
    percentile ``high``. A frame whose gradient is 0 everywhere has a map of zeros.

    Attributes:
        name: What it is called in ``configs/importance``.
        model: A classifier of torchvision.
        weights: Name or path of its weights file; None: torchvision's name.
        mode: How frames of another size than the classifier's (224x224) get in. ``crop``: the paper's, the centre;
            around it the values at its edge fade linearly to 0 at the frame's edge. ``resize``: the whole frame.
            ``tile``: overlapping tiles, each with its own class, blended by triangular weights.
        overlap: Share of a tile that its neighbour covers too, in [0, 1); for ``tile``.
        high: Percentile of a frame's values that becomes 1, in (0, 100].
        weights_dir: Folder to look in before the usual places.
        device: Where the network runs.
    """

    name: str = "gradient"
    model: str = "googlenet"
    weights: str | None = None
    mode: str = "crop"
    overlap: float = 0.5
    high: float = 99.0
    weights_dir: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise ConfigError(f"{self.name}.mode = {self.mode}: must be {', '.join(_MODES)}")
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"{self.name}.overlap = {self.overlap}: must lie in [0, 1)")
        if not 0 < self.high <= 100:
            raise ConfigError(f"{self.name}.high = {self.high}: must be a percentile in (0, 100]")
        _ = self.path  # missing weights are told at once

    @property
    def files(self) -> str:
        return self.weights or preset(self.model, segmentation=False).file

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :class:`pvc.importance.source.Source`."""
        for frame in frames:
            rough = self.rough(frame)
            smooth = F.avg_pool2d(rough[None], 3, stride=1, padding=1)[0]  # 1/9 each, nothing beyond the frame
            top = np.percentile(smooth.numpy(), self.high)
            yield (smooth / top).clamp(0, 1) if top > 0 else torch.zeros_like(smooth)

    def rough(self, frame: Tensor) -> Tensor:
        """The rough saliency map ``[1, H, W]`` of a frame uint8 RGB ``[3, H, W]``, before mean and scaling."""
        how = preset(self.model, segmentation=False)
        x = normalised(frame, how.mean, how.deviation, self.device)
        height, width = x.shape[-2:]
        if self.mode == "resize":
            return resized(self._gradient(resized(x, (how.size, how.size))), (height, width))[0].clamp(min=0)
        short = [max(how.size - n, 0) for n in (width, height)]  # smaller frames are continued by their edges
        x = F.pad(x, (short[0] // 2, -(-short[0] // 2), short[1] // 2, -(-short[1] // 2)), mode="replicate")
        rough = self._cropped(x, how.size) if self.mode == "crop" else self._tiled(x, how.size)
        return rough[:, short[1] // 2 :, short[0] // 2 :][:, :height, :width]

    def _cropped(self, x: Tensor, size: int) -> Tensor:
        before = [(n - size) // 2 for n in x.shape[-2:]]
        after = [n - size - b for n, b in zip(x.shape[-2:], before)]
        top, left = before
        inner = self._gradient(x[..., top : top + size, left : left + size])[0, 0].numpy()
        return torch.from_numpy(np.pad(inner, list(zip(before, after)), mode="linear_ramp"))[None]

    def _tiled(self, x: Tensor, size: int) -> Tensor:
        ramp = 1 - ((torch.arange(size) + 0.5) / size * 2 - 1).abs()
        window = ramp[:, None] * ramp
        places = [(top, left) for top in self._starts(x.shape[-2], size) for left in self._starts(x.shape[-1], size)]
        total, weight = torch.zeros(x.shape[-2:]), torch.zeros(x.shape[-2:])
        for i in range(0, len(places), _BATCH):
            some = places[i : i + _BATCH]
            tiles = torch.cat([x[..., top : top + size, left : left + size] for top, left in some])
            for (top, left), tile in zip(some, self._gradient(tiles)[:, 0]):
                total[top : top + size, left : left + size] += tile * window
                weight[top : top + size, left : left + size] += window
        return (total / weight)[None]

    def _starts(self, length: int, size: int) -> list[int]:
        """Where tiles begin: evenly spread from edge to edge, overlapping by ``overlap`` at least."""
        count = 1 + int(np.ceil((length - size) / (size * (1 - self.overlap))))
        return np.linspace(0, length - size, count).round().astype(int).tolist()

    def _gradient(self, x: Tensor) -> Tensor:
        """``max over channels |d score / d x|`` of each picture's winning class, ``[N, 1, H, W]`` on the CPU."""
        network = load_network(self.model, self.path, self.device)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            winning = network(x).amax(1).sum()  # pictures of a batch do not touch each other
            (gradient,) = torch.autograd.grad(winning, x)
        return gradient.abs().amax(1, keepdim=True).cpu()
