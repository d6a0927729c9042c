"""Temporally consistent random masks from three-dimensional Perlin noise.

Source: Fathima et al., WACV 2023, section 4.1 (masks for training "have no semantic connection to the underlying
data"), after Perugachi-Diaz et al., "Region-of-interest based neural video compression", BMVC 2022. Noise: Perlin,
"Improving noise", SIGGRAPH 2002. The papers give no scale, speed or ROI share; the ranges here are ours.

Gradient noise on an axis-aligned pixel grid is separable: with the gradients of one moment on the lattice, a frame is
two products of thin matrices, so that a mask costs less than decoding one frame.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pvc.errors import ConfigError

_SAMPLED = 29
"""Every so many-th value is in the sample that :func:`nth_smallest` takes; no width of a picture is a multiple."""


@dataclass(frozen=True)
class PerlinSettings:
    """Ranges a mask is drawn from, each ``(low, high)``."""

    scale: tuple[float, float] = (32.0, 160.0)
    """Size of a blob (lattice cell) in pixels, log-uniform."""
    speed: tuple[float, float] = (0.0, 4.0)
    """Motion in pixels a frame, uniform: it drifts in a random direction and its outline changes at that rate."""
    share: tuple[float, float] = (0.05, 0.6)
    """Share of all pixels in the region of interest, uniform."""
    continuous: float = 0.0
    """Probability of a map with values between 0 and 1 instead of a binary one."""
    octaves: int = 2
    """Sums of noise, each half as large and half as strong as the one before; more make rougher outlines."""

    def __post_init__(self) -> None:
        for name, least, most in (("scale", 2, None), ("speed", 0, None), ("share", 0, 1)):
            low, high = getattr(self, name)
            if not (least <= low <= high and (most is None or high <= most)):
                limits = f"{least} <= low <= high" + (f" <= {most}" if most is not None else "")
                raise ConfigError(f"perlin.{name} = [{low}, {high}]: must be {limits}")
        if not 0 <= self.continuous <= 1:
            raise ConfigError(f"perlin.continuous = {self.continuous}: must be a probability in [0, 1]")
        if not 1 <= self.octaves <= 6:
            raise ConfigError(f"perlin.octaves = {self.octaves}: must be 1 to 6")


def perlin_mask(
    shape: tuple[int, int, int], generator: np.random.Generator, settings: PerlinSettings | None = None
) -> Tensor:
    """One random importance map, float32 ``[T, 1, H, W]`` in [0, 1].

    Binary: 1 where the noise exceeds the quantile that gives the wanted share, over all frames together. Continuous:
    a ramp of random width around the same level, so the share is that of pixels above 0.5.

    Args:
        shape: ``(T, H, W)``.
        generator: the only source of randomness; the same state gives the same mask.
        settings: ranges to draw from.
    """
    s = settings or PerlinSettings()
    scale = float(np.exp(generator.uniform(*np.log(s.scale))))
    speed, share = generator.uniform(*s.speed), generator.uniform(*s.share)
    angle, softness = generator.uniform(0, 2 * np.pi), generator.uniform(0.2, 5.0)
    continuous = generator.uniform() < s.continuous
    drift = speed * np.array([np.sin(angle), np.cos(angle)])

    noise = np.zeros(shape, np.float32)
    for octave in range(s.octaves):
        noise += 0.5**octave * _noise(shape, generator, max(scale / 2**octave, 2.0), drift, speed)
    # The number of pixels is exact: the level lies between the two neighbouring values.
    outside = min(round((1 - share) * noise.size), noise.size - 1)
    level = nth_smallest(noise, outside)
    if share <= 0:
        return torch.zeros(shape[0], 1, *shape[1:])
    if not continuous:
        return torch.from_numpy((noise >= level).astype(np.float32)).unsqueeze(1)
    ramp = (noise - level) / (softness * max(float(noise.std()), 1e-6)) + 0.5
    return torch.from_numpy(ramp.clip(0, 1)).unsqueeze(1)


def _noise(
    shape: tuple[int, int, int], generator: np.random.Generator, scale: float, drift: NDArray, speed: float
) -> NDArray:
    """Gradient noise ``[T, H, W]``; ``drift`` ``(y, x)`` and ``speed`` in pixels a frame, ``scale`` in pixels."""
    frames, height, width = shape
    time = np.arange(frames) * (speed / scale) + generator.uniform()
    y = _lattice_coordinates(height, scale, drift[0], frames, generator)
    x = _lattice_coordinates(width, scale, drift[1], frames, generator)
    cells = tuple(int(np.floor(c.max())) + 2 for c in (time, y, x))
    gradients = generator.normal(size=(3, *cells)).astype(np.float32)
    gradients /= np.linalg.norm(gradients, axis=0, keepdims=True) + 1e-9

    out = np.empty(shape, np.float32)
    wt, dt = weights(time, cells[0])
    # All frames at once, as what is left to do for each is little more than two products.
    rows, columns = (np.concatenate([w, w * d], axis=2) for w, d in (weights(y, cells[1]), weights(x, cells[2])))
    for t in range(frames):
        np.matmul(rows[t] @ _table(gradients, wt[t], dt[t]), columns[t].T, out=out[t])
    return out


def plane(gradients: NDArray, wt: NDArray, dt: NDArray, y: NDArray, x: NDArray) -> NDArray:
    """Gradient noise of one moment, ``[H, W]``.

    Args:
        gradients: at the lattice points, ``[3, planes, rows, columns]``; the first component is along time.
        wt, dt: fade weight and distance of the moment to each lattice plane, ``[planes]`` (:func:`weights`).
        y, x: position of every row and column of pixels on the lattice, ``[H]`` and ``[W]``.
    """
    (wy, dy), (wx, dx) = weights(y, gradients.shape[2]), weights(x, gradients.shape[3])
    rows, columns = np.concatenate([wy, wy * dy], axis=1), np.concatenate([wx, wx * dx], axis=1)
    return (rows @ _table(gradients, wt, dt)) @ columns.T


def _table(gradients: NDArray, wt: NDArray, dt: NDArray) -> NDArray:
    """What rows and columns of one moment are multiplied with, ``[2 rows, 2 columns]``."""
    _, planes, r, c = gradients.shape
    flat = gradients.reshape(3, planes, r * c)
    table = np.zeros((2 * r, 2 * c), np.float32)
    # Blend the lattice planes around this moment: the two others first, the time component times its distance.
    table[:r, :c] = np.dot((wt * dt)[None], flat[0]).reshape(r, c)
    table[r:, :c] = np.dot(wt[None], flat[1]).reshape(r, c)
    table[:r, c:] = np.dot(wt[None], flat[2]).reshape(r, c)
    return table


def _lattice_coordinates(size: int, scale: float, drift: float, frames: int, rng: np.random.Generator) -> NDArray:
    """Position of every pixel on the lattice, ``[T, size]``, moved so that the smallest lies in cell 0."""
    c = (np.arange(size)[None] + drift * np.arange(frames)[:, None]) / scale
    return c - np.floor(c.min()) + rng.uniform()


def weights(position: NDArray, cells: int) -> tuple[NDArray, NDArray]:
    """Fade weights and distances of positions ``[...]`` to lattice points ``[..., cells]``; far ones weigh nothing."""
    distance = position[..., None] - np.arange(cells)
    a = np.minimum(np.abs(distance), 1.0)
    fade = 1 - a * a * a * (a * (a * 6 - 15) + 10)
    return fade.astype(np.float32), distance.astype(np.float32)


def nth_smallest(values: NDArray, n: int) -> np.generic:
    """Number ``n`` (from 0) of ``values`` in ascending order, as ``np.partition`` finds it, in a seventh of the time.

    A sample of them says between which two values it lies; only those in between are put in order.
    """
    values = values.reshape(-1)
    sample = values[::_SAMPLED]
    place, spread = n / len(values) * len(sample), 1.5 * len(sample) ** 0.5 + 2  # three standard deviations
    low, high = max(int(place - spread), 0), min(int(place + spread), len(sample) - 1)
    sample = np.partition(sample, (low, high))
    inside = values >= sample[low]
    below = len(values) - np.count_nonzero(inside)
    inside &= values <= sample[high]
    between = values[inside]
    if not 0 <= n - below < len(between):  # outside the bracket after all
        return np.partition(values, n)[n]
    return np.partition(between, n - below)[n - below]
