"""Saliency without weights: what stands out in a frame's spectrum, and what moves otherwise than the camera.

Spectral residual: Hou and Zhang, "Saliency detection: a spectral residual approach", CVPR 2007, here on the channels
of CIELAB. Motion contrast, the centre prior and their fusion are ours, as are all parameters; they were chosen on
twelve scenes of DAVIS' training part (``docs/importance.md``).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pvc.errors import ConfigError
from pvc.importance.flow import grid
from pvc.importance.motion import fast_flow, own_motion
from pvc.importance.source import Settings

_FLOW, _MAP, _SPECTRUM = 192, 64, 32  # shorter side in pixels: of the picture whose flow is taken, of maps, of spectra
_EDGE = cv2.BORDER_REPLICATE
_STILL = 0.3  # pixels of the flow's picture a frame: less own motion than this everywhere is noise
_PLAIN = 0.3  # deviation in steps of CIELAB: noise like that is no contrast
_FAINT = 1.0  # spectral residual of noise: what stands out no more than this is not salient
_WEAK = 0.1  # of saliency from its low to its high percentile: maps of less than this do not reach 1


@dataclass(frozen=True)
class SpectralSaliency(Settings):
    """``q ~ c ((1 - w) s + w m + s m)``: spectral residual s, motion contrast m (each at most 1) and centre prior c.

    The sum is averaged with its past along the flow, and stretched so that each frame's map goes from 0 to 1. The map
    of a frame of noise stays weak, and that of an even, still frame is 0.

    Attributes:
        name: What it is called in ``configs/importance``.
        motion: Share w of the motion contrast, in [0, 1]; 0: none, and without decay no other frame is looked at.
        centre: Deviation of the Gaussian centre prior in frame widths and heights; None for no prior.
        decay: Share of the past in each map, in [0, 1).
        low, high: Percentiles of the frame's values that become 0 and 1.
    """

    name: str = "spectral"
    motion: float = 0.6
    centre: float | None = 0.35
    decay: float = 0.7
    low: float = 30.0
    high: float = 99.0

    def __post_init__(self) -> None:
        if not 0 <= self.motion <= 1:
            raise ConfigError(f"{self.name}.motion = {self.motion}: must lie in [0, 1]")
        if self.centre is not None and not self.centre > 0:
            raise ConfigError(f"{self.name}.centre = {self.centre}: must be above 0, or null for no centre prior")
        if not 0 <= self.decay < 1:
            raise ConfigError(f"{self.name}.decay = {self.decay}: must lie in [0, 1)")
        if not 0 <= self.low < self.high <= 100:
            raise ConfigError(f"{self.name}.low, high = {self.low}, {self.high}: must be percentiles, low < high")

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :class:`pvc.importance.source.Source`; looks one frame ahead."""
        frames, past, before, now = iter(frames), None, None, None
        for following in chain(frames, [None]):
            after = None if following is None else _Small(following)
            if now is not None:
                own, moved = self._motion(now, before, after)
                saliency = self._fuse(spectral_residual(now.lab), own)
                if past is not None and moved is not None:
                    along = cv2.remap(past, grid(*past.shape) + moved, None, cv2.INTER_LINEAR, borderMode=_EDGE)
                    saliency = (1 - self.decay) * saliency + self.decay * along
                yield self._map(saliency, now.size)
                past = saliency
            before, now = now, after

    def _motion(self, now: "_Small", before: "_Small | None", after: "_Small | None") -> tuple[NDArray, NDArray | None]:
        """Motion contrast, and the flow to the frame before (None where there is none, or it is of another scene)."""
        still, moved = np.zeros(now.lab.shape[:2], np.float32), None
        if not (self.motion or self.decay):
            return still, None
        other, flow = before, None if before is None else now.flow_to(before)
        if flow is not None:
            moved = flow * np.float32(still.shape[::-1]) / np.float32(now.luma.shape[::-1])
        elif after is not None:  # the first frame of a scene
            other, flow = after, now.flow_to(after)
        if flow is None:
            return still, moved
        own = cv2.GaussianBlur(own_motion(now.luma, other.luma, flow), (0, 0), 2)
        return np.minimum(own / max(np.percentile(own, self.high), _STILL), 1), moved

    def _fuse(self, residual: NDArray, own: NDArray) -> NDArray:
        s = np.minimum(residual / max(np.percentile(residual, self.high), _FAINT), 1)
        fused = (1 - self.motion) * s + self.motion * own + (s * own if self.motion else 0)
        return fused if self.centre is None else fused * _centre(fused.shape, self.centre)

    def _map(self, saliency: NDArray, size: tuple[int, int]) -> Tensor:
        low, high = np.percentile(saliency, (self.low, self.high))
        q = cv2.resize((saliency - low) / max(high - low, _WEAK), size[::-1], interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy(q.clip(0, 1).astype(np.float32))[None]


def spectral_residual(picture: NDArray) -> NDArray:
    """Equations 1 to 5 of Hou and Zhang on each channel, and their mean.

    Amplitudes up to those of noise (``_PLAIN``) are damped, so that a plain picture has no residual.

    Args:
        picture: CIELAB, float32 ``[H, W, C]``.

    Returns:
        float32 ``[H, W]``; its mean is about 1 for an ordinary picture, 0 for one without contrast.
    """
    shape = picture.shape[:2]
    height, width = _size(shape, _SPECTRUM)
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    spectrum = np.fft.fft2(small, axes=(0, 1))
    spectrum[0, 0] = 0  # a frame without contrast has none
    amplitude = np.abs(spectrum) + _PLAIN * np.sqrt(height * width)
    log = np.log(amplitude)
    residual = log - cv2.blur(log, (3, 3))
    back = np.fft.ifft2(spectrum / amplitude * np.exp(residual), axes=(0, 1), norm="ortho")
    smooth = cv2.GaussianBlur((np.abs(back) ** 2).mean(-1).astype(np.float32), (0, 0), 3)
    return cv2.resize(smooth, shape[::-1], interpolation=cv2.INTER_LINEAR)


class _Small:
    """What is kept of a frame uint8 RGB ``[3, H, W]``: its size, its luma and its colours, both small."""

    def __init__(self, frame: Tensor) -> None:
        picture = frame.cpu().permute(1, 2, 0).contiguous().numpy()
        self.size = picture.shape[:2]
        height, width = _size(self.size, _FLOW)
        shrunk = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        self.luma = cv2.cvtColor(shrunk, cv2.COLOR_RGB2GRAY)
        height, width = _size(self.size, _MAP)
        shrunk = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_AREA)
        self.lab = cv2.cvtColor(shrunk.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)

    def flow_to(self, other: "_Small") -> NDArray | None:
        """Flow on the grid of maps, ``[h, w, 2]`` in pixels of the luma; None to another scene, or another size."""
        if self.size != other.size:
            return None
        flow = fast_flow(self.luma, other.luma)
        return None if flow is None else cv2.resize(flow, self.lab.shape[1::-1], interpolation=cv2.INTER_AREA)


def _size(shape: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Height and width of about the same proportions, the shorter side ``shorter`` and the other at most 4 times it."""
    scale = shorter / min(shape)
    return tuple(min(round(n * scale), 4 * shorter) for n in shape)


def _centre(shape: tuple[int, int], deviation: float) -> NDArray:
    y, x = (np.exp(-0.5 * (((np.arange(n) + 0.5) / n - 0.5) / deviation) ** 2) for n in shape)
    return (y[:, None] * x).astype(np.float32)
