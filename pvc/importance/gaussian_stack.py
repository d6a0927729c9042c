"""Gaussian blur with another sigma at each pixel, out of a stack of pictures that are blurred evenly.

A picture blurred by a sigma between those of the stack is close to a weighted sum of its nearest levels. The weights
are those of least squares between the kernels themselves, so the error has a bound that holds for every picture.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

CUT = 3.0
"""A kernel ends ``ceil(CUT sigma)`` pixels from its centre; there it has fallen to 1 % of its middle."""
MOST_OFF = 1.5
"""Grey levels of 255. No pixel of any picture is further than this from what its own kernel gives, before rounding."""
_LOWEST, _RATIO, _NEAREST = 0.45, 1.3, 6  # first sigma above 0, the most to the next, levels that make one pixel
_STEPS = 8192  # of sigma from 0 to the largest


def kernel(sigma: float, radius: int | None = None) -> NDArray[np.float64]:
    """Sampled Gaussian of ``sigma`` pixels, cut at ``ceil(3 sigma)``, that sums to 1: ``[2 radius + 1]``.

    Args:
        radius: pads with zeros to this radius. None: no padding.
    """
    own = int(np.ceil(CUT * sigma))
    x = np.arange(-own, own + 1) if radius is None else np.arange(-radius, radius + 1)
    if sigma <= 0:
        return (x == 0).astype(np.float64)
    weights = np.where(abs(x) <= own, np.exp(-(x**2) / (2.0 * sigma**2)), 0)
    return weights / weights.sum()


class GaussianStack:
    """Blurs pictures with a sigma of its own at each pixel, from 0 to ``largest`` pixels (at least 0.5).

    A map of one or two sigmas (a mask) is blurred by exactly these. Any other goes by a stack of levels, at most a
    factor of 1.3 apart, with an error of at most :data:`MOST_OFF`; on noise it is 0.01 grey levels on average.

    The planes of a frame are worked on side by side, on as many threads as PyTorch may use.
    """

    def __init__(self, largest: float):
        self.sigmas, self._weights = _table(largest)
        self._scale = _STEPS / largest

    def __call__(self, frame: NDArray[np.uint8], sigma: NDArray[np.float32]) -> NDArray[np.float32]:
        """The blurred frame before rounding, float32 ``[C, H, W]``.

        Args:
            frame: ``[C, H, W]``; beyond its edges it goes on with the pixels of the edge.
            sigma: pixels, ``[H, W]``, in [0, largest].
        """
        low, high = float(sigma.min()), float(sigma.max())
        if ((sigma == low) | (sigma == high)).all():
            levels = [(kernel(s), (sigma == s).astype(np.float32)) for s in dict.fromkeys((low, high))]
        else:
            steps = np.rint(sigma * self._scale).astype(np.int64)
            there = np.bincount(steps.ravel(), minlength=_STEPS + 1) > 0
            used = np.flatnonzero((self._weights[:, there] != 0).any(1))
            levels = [(kernel(self.sigmas[i]), self._weights[i].take(steps, mode="clip")) for i in used]
        with ThreadPoolExecutor(min(len(frame), torch.get_num_threads())) as pool:
            return np.stack(list(pool.map(partial(_sum, levels), frame)))

    def weights(self, sigma: float) -> NDArray[np.float32]:
        """What each level of :attr:`sigmas` counts at a pixel of ``sigma``; sums to 1."""
        return self._weights[:, round(sigma * self._scale)]


def _sum(levels: Sequence[tuple[NDArray, NDArray[np.float32]]], plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Sum of ``plane`` (``[H, W]``) blurred by each kernel, times its weights (``[H, W]``)."""
    exact, out = plane.astype(np.float32), np.zeros(plane.shape, np.float32)
    even = np.empty_like(out)
    for k, weights in levels:
        cv2.sepFilter2D(exact, -1, k, k, dst=even, borderType=cv2.BORDER_REPLICATE)
        out += np.multiply(even, weights, out=even)
    return out


@lru_cache(maxsize=8)
def _table(largest: float) -> tuple[list[float], NDArray[np.float32]]:
    """The levels' sigmas, and float32 ``[levels, steps + 1]``: what each of them counts for each step of sigma.

    The weights w of a pixel's nearest levels make ``|sum_i w_i K_i - K|`` smallest among those that sum to 1, with K
    the kernel wanted and K_i the levels', all in two dimensions: their products are squares of products in one.
    """
    count = 1 + int(np.ceil(np.log(largest / _LOWEST) / np.log(_RATIO)))
    sigmas = np.append(0, np.geomspace(_LOWEST, largest, count))
    nearest = min(_NEAREST, len(sigmas))
    radius, wanted = int(np.ceil(CUT * largest)), np.linspace(0, largest, _STEPS + 1)
    levels = np.stack([kernel(s, radius) for s in sigmas])
    kernels = np.stack([kernel(s, radius) for s in wanted])
    between, towards = (levels @ levels.T) ** 2, (levels @ kernels.T) ** 2
    first = (np.searchsorted(sigmas, wanted) - nearest // 2).clip(0, len(sigmas) - nearest)
    near = first[:, None] + np.arange(nearest)  # [steps + 1, nearest]
    system = np.ones((len(wanted), nearest + 1, nearest + 1))  # Lagrange: the last row says that they sum to 1
    system[:, :-1, :-1], system[:, -1, -1] = between[near[:, :, None], near[:, None, :]], 0
    right = np.ones((len(wanted), nearest + 1, 1))
    every = np.arange(len(wanted))[:, None]
    right[:, :-1, 0] = towards[near, every]
    weights = np.zeros((len(sigmas), len(wanted)), np.float32)
    weights[near, every] = np.linalg.solve(system, right)[:, :-1, 0]
    return sigmas.tolist(), weights
