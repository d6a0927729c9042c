"""Video saliency by TASED-Net, the source of the CPVC paper (Li 2024, section III.E)."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pvc.errors import ConfigError
from pvc.importance.networks import resized
from pvc.importance.source import WeightsSettings
from pvc.importance.tased_net import WINDOW, TasedNet
from pvc.weights import fill, load_weights, on_device


@dataclass(frozen=True)
class Tased(WeightsSettings):
    """Where people look in a clip, frame by frame, as the authors' own program finds it.

    A frame's saliency comes from the 32 frames that end with it. The first 31 frames have no such past and take the 32
    frames that begin with them, backwards. Where the clip ends before that, it is mirrored at its end (the authors take
    no clip of fewer than 63 frames).

    Attributes:
        name: What it is called in ``configs/importance``.
        weights: Name or path of the weights file; None: the authors' name.
        height, width: Pixels of what the network sees, multiples of 32; 224 x 384 is its training's.
        smooth: Deviation in pixels of that size of the Gaussian that saliency is smoothed with; 0 for none.
        stretch: Divide each frame's saliency by its largest value, as the authors do; a frame where nobody looks
            anywhere in particular then has places of 1 all the same.
        weights_dir: Folder to look in before the usual places.
        device: Where the network runs.
    """

    name: str = "tased"
    weights: str | None = None
    height: int = 224
    width: int = 384
    smooth: float = 7.0
    stretch: bool = True
    weights_dir: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for key in ("height", "width"):
            value = getattr(self, key)
            if not isinstance(value, int) or value < 32 or value % 32:
                raise ConfigError(f"{self.name}.{key} = {value}: must be a multiple of 32, such as 224 and 384")
        if not self.smooth >= 0:
            raise ConfigError(f"{self.name}.smooth = {self.smooth}: must be 0 or more pixels")
        _ = self.path  # missing weights are told at once

    @property
    def files(self) -> str | tuple[str, ...]:
        return self.weights or ("TASED_updated.pt", "TASED_v2.pt")

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :class:`pvc.importance.source.Source`; looks 31 frames ahead for the first 31, later none."""
        seen = _Seen(frames, (self.width, self.height))
        t = 0
        while seen.reach(t if t >= WINDOW - 1 else t + WINDOW - 1) > t:
            past = t >= WINDOW - 1
            window = range(t - WINDOW + 1, t + 1) if past else range(t + WINDOW - 1, t - 1, -1)
            yield self._map(seen.clip(window), seen.sizes[t])
            t += 1
            seen.forget(t - WINDOW + 1)

    def _map(self, clip: NDArray, size: tuple[int, int]) -> Tensor:
        """Importance of the last frame of ``clip`` (uint8 ``[32, h, w, 3]``) as a frame of ``size``."""
        with torch.inference_mode():
            x = torch.from_numpy(clip).to(self.device).permute(3, 0, 1, 2).float()
            saliency = _load(self.path, self.device)(((2 * x - 255) / 255)[None]).cpu()
        found = saliency[0].numpy().astype(np.float32)
        if self.smooth:
            found = cv2.GaussianBlur(found, (0, 0), self.smooth, borderType=cv2.BORDER_REFLECT)
        if self.stretch and found.max() > 0:
            found = found / found.max()
        return resized(torch.from_numpy(found)[None, None], size)[0].clamp(0, 1)


class _Seen:
    """The frames of a clip at the network's size, from the first that is still needed to the last that was read."""

    def __init__(self, frames: Iterable[Tensor], size: tuple[int, int]) -> None:
        self._frames, self._size = iter(frames), size
        self._kept: dict[int, NDArray] = {}
        self.sizes: dict[int, tuple[int, int]] = {}
        self._count = 0

    def reach(self, t: int) -> int:
        """Read up to frame ``t`` or the clip's end; how many frames were read in all."""
        while self._count <= t:
            frame = next(self._frames, None)
            if frame is None:
                break
            self.sizes[self._count] = tuple(frame.shape[-2:])
            picture = frame.cpu().permute(1, 2, 0).contiguous().numpy()
            self._kept[self._count] = cv2.resize(picture, self._size, interpolation=cv2.INTER_LINEAR)
            self._count += 1
        return self._count

    def clip(self, wanted: Iterable[int]) -> NDArray:
        """uint8 ``[T, h, w, 3]``; a frame behind the end is the one as far before it."""
        last = self._count - 1
        return np.stack([self._kept[abs((t + last) % (2 * last or 1) - last)] for t in wanted])

    def forget(self, before: int) -> None:
        """Let go of the frames before ``before``."""
        for kept in (self._kept, self.sizes):
            for t in [t for t in kept if t < before]:
                del kept[t]


@functools.cache
def _load(path: Path, device: str) -> TasedNet:
    state = load_weights(path)
    if isinstance(state, dict):  # as it was trained on several GPUs
        state = {key.removeprefix("module."): value for key, value in state.items()}
    with torch.device("meta"):
        network = TasedNet()
    return on_device(fill(network, state, path), device)
