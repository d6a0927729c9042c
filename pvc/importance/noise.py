"""Perlin noise as an importance source: random maps of any length in constant memory.

As :func:`pvc.importance.perlin.perlin_mask`, whose papers and arithmetic these are, but with one value for each of its
ranges, and frame by frame: the lattice repeats after so many planes in time that nobody will notice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pvc.importance.perlin import PerlinSettings, plane, weights
from pvc.importance.source import Settings

_PLANES = 64  # of the lattice in time, then it begins again
_MOMENTS = 24  # of that time, at which noise is looked at to find the level that gives the share
_RAMP = 2.0  # deviations of the noise from 0 to 1 in a continuous map


@dataclass(frozen=True)
class PerlinNoise(Settings):
    """Random maps that drift and change; what the frames show does not matter.

    Attributes:
        name: What it is called in ``configs/importance``.
        seed: Decides all that is random.
        scale, speed, share, octaves: as in :class:`pvc.importance.PerlinSettings`; the share is that of the pixels
            above 0.5, on average over time.
        continuous: Values between 0 and 1 instead of a binary map.
    """

    name: str = "perlin"
    seed: int = 0
    scale: float = 96.0
    speed: float = 1.0
    share: float = 0.3
    continuous: bool = False
    octaves: int = 2

    def __post_init__(self) -> None:
        one = {key: (getattr(self, key),) * 2 for key in ("scale", "speed", "share")}
        PerlinSettings(**one, octaves=self.octaves)  # its checks are ours

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :class:`pvc.importance.source.Source`."""
        noise = None
        for t, frame in enumerate(frames):
            if noise is None or noise.size != frame.shape[-2:]:
                noise = _Noise(self, frame.shape[-2:])
                period = _PLANES * self.scale / max(self.speed, 1e-3)
                sample = np.stack([noise.at(m * period / _MOMENTS)[::4, ::4] for m in range(_MOMENTS)])
                level, deviation = np.quantile(sample, 1 - self.share), max(float(sample.std()), 1e-6)
            value = noise.at(t)
            if self.continuous:
                q = ((value - level) / (_RAMP * deviation) + 0.5).clip(0, 1)
            else:
                q = value >= level if self.share else np.zeros_like(value)
            yield torch.from_numpy(q.astype(np.float32))[None]


class _Noise:
    """The sum of the octaves' noise in frames of ``size`` (H, W)."""

    def __init__(self, settings: PerlinNoise, size: tuple[int, int]) -> None:
        random = np.random.default_rng(settings.seed)
        angle = random.uniform(0, 2 * np.pi)
        self.size, self._speed = size, settings.speed
        self._drift = settings.speed * np.array([np.sin(angle), np.cos(angle)])
        self._octaves = []
        for octave in range(settings.octaves):
            scale = max(settings.scale / 2**octave, 2.0)
            # Rows and columns repeat as well: after more than what a frame sees at a time.
            cells = (_PLANES, *(int(n / scale) + 3 for n in size))
            gradients = random.normal(size=(3, *cells)).astype(np.float32)
            gradients /= np.linalg.norm(gradients, axis=0, keepdims=True) + 1e-9
            self._octaves.append((0.5**octave, scale, gradients, random.uniform(size=3)))

    def at(self, t: float) -> NDArray:
        """The noise of moment ``t``, ``[H, W]``."""
        return sum(share * self._octave(t, scale, *lattice) for share, scale, *lattice in self._octaves)

    def _octave(self, t: float, scale: float, gradients: NDArray, start: NDArray) -> NDArray:
        time = t * self._speed / scale + start[0]
        axes = [(np.arange(n) + d * t) / scale + s for n, d, s in zip(self.size, self._drift, start[1:])]
        first = [int(np.floor(c)) for c in (time, axes[0][0], axes[1][0])]
        for axis, (begin, count) in enumerate(zip(first, (2, *gradients.shape[2:])), 1):
            gradients = gradients.take(range(begin, begin + count), axis, mode="wrap")
        (wt,), (dt,) = weights(np.array([time - first[0]]), 2)
        return plane(gradients, wt, dt, *(axis - begin for axis, begin in zip(axes, first[1:])))
