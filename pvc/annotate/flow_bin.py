"""Optical flow on the grid of the map, in the file that the page reads (``flow.bin``).

Little-endian: four uint32 (the bytes ``PVCF``, steps, rows h, columns w); then for each step s two planes int16
``[h, w]``, x and y, and one uint8 ``[h, w]``. They lie on the grid of frame s + 1: what cell (i, j) shows there, frame
s showed at ``(i + y / 64, j + x / 64)``, and the third says in 1/255 how much of a mark goes along: nothing between two
scenes, else all (where the flow is not believed, it was mended: :mod:`pvc.importance.flow`).
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pvc.errors import DataError
from pvc.importance.flow import CUT, STEPS, Farneback

MAGIC = int.from_bytes(b"PVCF", "little")
UNIT = 64  # of a cell
_HEADER = struct.Struct("<4I")
Step = tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.uint8]]


def steps(frames: Iterable[Tensor], flow: Farneback, shape: tuple[int, int]) -> Iterator[Step]:
    """The flow of each of ``frames`` (uint8 ``[3, H, W]``) but the first, on a grid of ``shape`` (h, w)."""
    height, width = shape
    for pixels in flow.flows(frames):
        if pixels[0, 0, 0] == CUT:
            nothing = np.zeros(shape, np.int16)
            yield nothing, nothing, np.zeros(shape, np.uint8)
            continue
        own = pixels.shape[1:]
        scale = UNIT / STEPS * np.float32([width / own[1], height / own[0]])
        x, y = (
            cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) * s
            for plane, s in zip(pixels, scale, strict=True)
        )
        whole = [np.rint(v).clip(-32768, 32767).astype(np.int16) for v in (x, y)]
        yield whole[0], whole[1], np.full(shape, 255, np.uint8)


def write_flow(path: Path, count: int, shape: tuple[int, int], flow: Iterable[Step]) -> None:
    """Write ``count`` steps to ``path``, which appears when it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(_HEADER.pack(MAGIC, count, *shape))
        for x, y, confidence in flow:
            file.write(x.astype("<i2").tobytes() + y.astype("<i2").tobytes() + confidence.tobytes())
    partial.replace(path)


def read_flow(path: str | Path) -> list[Step]:
    """All steps of the file.

    Raises:
        DataError: it is not there, or is something else.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; prepare the clip again") from None
    magic, count, height, width = _HEADER.unpack(data[: _HEADER.size].ljust(_HEADER.size, b"\0"))
    cells = height * width
    if magic != MAGIC or len(data) != _HEADER.size + 5 * cells * count:
        raise DataError(f"{path} is no whole flow of a clip; prepare the clip again")
    found = []
    for start in range(_HEADER.size, len(data), 5 * cells):
        x, y = np.frombuffer(data, "<i2", 2 * cells, start).reshape(2, height, width)
        confidence = np.frombuffer(data, np.uint8, cells, start + 4 * cells).reshape(height, width)
        found.append((x, y, confidence))
    return found
