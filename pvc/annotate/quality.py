"""How good a coded clip is: PSNR of the whole, and of what was painted against the rest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pvc.errors import VideoError
from pvc.video import VideoReader

NEUTRAL = 127
PAINTED = 4  # levels above neutral from which a cell counts as painted


@dataclass(frozen=True)
class Quality:
    """PSNR in dB, mean over frames of the frame's RGB PSNR; and the mean squared error of each cell of the map, float32
    ``[T, h, w]``, 8-bit RGB levels."""

    psnr: float
    cells: NDArray[np.float32]


def measure(
    source: str | Path,
    coded: str | Path,
    grid: tuple[int, int, int],
    step: Callable[[float], None] = lambda share: None,
) -> Quality:
    """The quality of ``coded`` against ``source``, with a map of ``grid`` (frames, rows, columns).

    ``step`` is told before each frame what share is done; what it raises ends the work.

    Raises:
        VideoError: one cannot be read, or they differ in length.
    """
    psnrs, cells = [], np.empty(grid, np.float32)
    with VideoReader(source) as true, VideoReader(coded) as got:
        for t, (a, b) in enumerate(zip(true, got)):
            step(t / grid[0])
            error = np.zeros(a.shape[1:], np.float32)
            for x, y in zip(a.numpy(), b.numpy(), strict=True):
                cv2.accumulateSquare(cv2.absdiff(x, y), error)
            error /= 3
            psnrs.append(psnr(float(error.mean())))
            cells[t] = cv2.resize(error, grid[:0:-1], interpolation=cv2.INTER_AREA)
    if len(psnrs) != grid[0]:
        raise VideoError(f"{coded} has {len(psnrs)} frames, not the {grid[0]} of {source}")
    return Quality(float(np.mean(psnrs)), cells)


def psnr(mse: float) -> float:
    """PSNR in dB of a mean squared error of 8-bit levels; at most 100."""
    return min(100.0, 10 * np.log10(255**2 / max(mse, 1e-10)))


def inside_and_outside(
    quality: Quality, baseline: NDArray[np.float32], values: NDArray[np.uint8]
) -> dict[str, float | None]:
    """PSNR in dB where the map ``values`` (uint8 ``[T, h, w]``) was raised and where it was not, and what it gained.

    Of the error of all those cells together. None where there are none.
    """
    painted = values >= NEUTRAL + PAINTED
    found: dict[str, float | None] = {}
    for name, where in (("painted", painted), ("elsewhere", ~painted)):
        some = bool(where.any())
        value = psnr(float(quality.cells[where].mean(dtype=np.float64))) if some else None
        before = psnr(float(baseline[where].mean(dtype=np.float64))) if some else None
        found[f"psnr_{name}"], found[f"gain_{name}"] = value, value - before if some else None
    return found
