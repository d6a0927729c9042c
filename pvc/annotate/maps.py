"""Painted maps: as the page sends them, as files, at the clip's size, and out of a log of strokes.

On the wire and on disk a map is uint8 ``[T, h, w]`` on its grid, 127 neutral; as importance it is that / 255.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pvc.annotate.flow_bin import UNIT, Step
from pvc.errors import ImportanceError
from pvc.importance.propagate import Decay
from pvc.video import VideoReader, VideoWriter

NEUTRAL = 127
CAP = 2  # times its strength: what the dabs of one stroke add to a cell at most
SPACING = 4  # dabs in a radius' length
PARTS = 64  # of a level: strokes add whole numbers of them, so that sums are the same on every machine
FAR = 255  # levels from neutral that values go, so that what was painted over and over can still be erased
Values = NDArray[np.uint8]
Item = Mapping[str, Any]


def from_wire(data: bytes, shape: tuple[int, int, int]) -> Values:
    """The map of ``shape`` (frames, rows, columns) that the page sent.

    Raises:
        ImportanceError: another number of bytes.
    """
    if len(data) != np.prod(shape):
        raise ImportanceError(
            f"a map of {len(data)} bytes; {shape[0]} frames of {shape[2]}x{shape[1]} cells are needed"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def write_values(path: str | Path, values: Values, fps: Fraction) -> None:
    """Write ``values`` as an importance file (lossless grey, one byte a cell); it appears when it is whole."""
    # What MapWriter writes, without the way there and back through floats, which takes twenty times as long.
    about = {"pix_fmt": "gray", "full_range": True}
    with VideoWriter(path, width=values.shape[2], height=values.shape[1], fps=fps, **about) as writer:
        for plane in values:
            writer.write(torch.from_numpy(plane.copy())[None])


def read_values(path: str | Path, shape: tuple[int, int, int]) -> Values:
    """The map in an importance file, which must have ``shape``.

    Raises:
        ImportanceError: another size or length. VideoError: it cannot be read.
    """
    with VideoReader(path, grey=True) as reader:
        planes = [(q[0].numpy() * 255).round().astype(np.uint8) for q in reader]
    got = (len(planes), *planes[0].shape) if planes else (0, 0, 0)
    if got != tuple(shape):
        raise ImportanceError(
            f"{path} has {got[0]} frames of {got[2]}x{got[1]} cells; {shape[0]} of {shape[2]}x{shape[1]} are needed"
        )
    return np.stack(planes)


def at_clip_size(plane: Values, size: tuple[int, int]) -> Values:
    """A frame's map ``[h, w]`` at ``size`` (H, W), bilinear: what is exported is what the encoder got."""
    return cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR)


def strokes_that_stand(log: Iterable[Item]) -> list[Item]:
    """The strokes of a log that were not undone, after the last ``clear`` that was not.

    ``stroke`` and ``clear`` are done, and forget what was undone; ``undo`` takes back the last of them, ``redo`` does
    the last one that was taken back again; where there is none they do nothing.
    """
    done: list[Item] = []
    undone: list[Item] = []
    for item in log:
        if item["kind"] == "undo":
            undone += [done.pop()] if done else []
        elif item["kind"] == "redo":
            done += [undone.pop()] if undone else []
        else:
            done.append(item)
            undone.clear()
    cleared = max((i for i, item in enumerate(done) if item["kind"] == "clear"), default=-1)
    return done[cleared + 1 :]


def paint(log: Iterable[Item], flow: Sequence[Step], shape: tuple[int, int, int], decay: Decay | None = None) -> Values:
    """The map that a log of strokes paints, as the page does (``static/map.js``): uint8 ``[T, h, w]``.

    Each stroke adds to its frame, and less and less to the ones after it along the flow, up to 255 levels from neutral;
    the whole is brought to the mean 127 (:func:`normalised`). Source: Pergament et al., 2022, sections III.B and III.C;
    the shape of the brush, how strokes add up and how they fade is the tool's own.

    Args:
        log: items with ``kind`` (stroke, undo, redo, clear); strokes have ``tool`` (brush or eraser), ``frame``,
            ``radius`` (cells), ``strength`` (levels) and ``points``: ``[x, y, time]`` and, of a pen, its pressure in
            [0, 1], in cells from the corner.
        flow: of the clip (:mod:`pvc.annotate.flow_bin`). shape: frames, rows, columns.

    Raises:
        ImportanceError: a stroke in a frame that the clip does not have.
    """
    decay = decay or Decay()
    values = np.full(shape, NEUTRAL * PARTS, np.int32)
    for stroke in strokes_that_stand(log):
        mark, start = dabs(stroke, shape[1:]), int(stroke["frame"])
        if not 0 <= start < shape[0]:
            raise ImportanceError(f"a stroke in frame {start}, but the clip has {shape[0]} frames")
        for k in range(min(decay.frames, shape[0] - 1 - start) + 1):
            mark = moved(mark, flow[start + k - 1]) if k else mark
            added = np.floor(mark * (decay.weight(k) * PARTS) + 0.5).astype(np.int32)
            plane = values[start + k]
            np.clip(plane + added, (NEUTRAL - 255) * PARTS, (NEUTRAL + 255) * PARTS, out=plane)
    return normalised(values)


def dabs(stroke: Item, shape: tuple[int, int]) -> NDArray[np.float64]:
    """What a stroke adds to its own frame, ``[h, w]`` levels."""
    radius, strength = float(stroke["radius"]), float(stroke["strength"])
    rows, columns = (np.arange(n) + 0.5 for n in shape)
    added = np.zeros(shape)
    for x, y, pressure in _along(stroke["points"], radius / SPACING):
        near = (np.square(rows - y)[:, None] + np.square(columns - x)[None]) / radius**2
        added += strength * pressure * np.square(np.maximum(1 - near, 0))
    added = np.minimum(added, CAP * strength)
    return -added if stroke["tool"] == "eraser" else added


def _along(points: Sequence[Sequence[float]], spacing: float) -> Iterable[tuple[float, float, float]]:
    """x, y and pressure at the first point, and then at each ``spacing`` of the way along the line through all."""
    ends = np.array([[p[0], p[1], p[3] if len(p) > 3 else 1.0] for p in points], np.float64)
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(ends[:, :2], axis=0).T))])
    at = np.arange(int(way[-1] / spacing + 1e-9) + 1) * spacing
    return zip(*(np.interp(at, way, ends[:, axis]) for axis in range(3)), strict=True)


def moved(mark: NDArray[np.float64], step: Step) -> NDArray[np.float64]:
    """``mark`` ``[h, w]`` in the next frame, along the flow of that step."""
    x, y, confidence = step
    height, width = mark.shape
    columns = np.clip(np.arange(width)[None] + x / UNIT, 0, width - 1)
    rows = np.clip(np.arange(height)[:, None] + y / UNIT, 0, height - 1)
    left, top = columns.astype(np.int32), rows.astype(np.int32)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = columns - left, rows - top
    upper = mark[top, left] * (1 - across) + mark[top, right] * across
    lower = mark[bottom, left] * (1 - across) + mark[bottom, right] * across
    return (upper * (1 - down) + lower * down) * (confidence / 255)


def normalised(values: NDArray[np.int32]) -> Values:
    """``values`` (in 1 / PARTS levels) ``+ c``, clipped to [0, 255], with the c that makes the mean 127; whole numbers.

    It is what :func:`pvc.importance.compose.normalise` does over a clip, for values that may lie outside of the range.
    """
    lowest = int(values.min())
    counts = np.bincount((values - lowest).ravel())
    levels = (np.arange(len(counts)) + lowest) / PARTS

    def mean(c: float) -> float:
        return float(np.dot(counts, np.clip(levels + c, 0, 255))) / values.size

    low, high = -510.0, 510.0
    if abs(mean(0.0) - NEUTRAL) < 0.5 / 257:  # half a step of compose.normalise
        low = high = 0.0
    while high - low > 1e-6:
        c = (low + high) / 2
        low, high = (c, high) if mean(c) < NEUTRAL else (low, c)
    table = np.floor(np.clip(levels + (low + high) / 2, 0, 255) + 0.5).astype(np.uint8)
    return table[values - lowest]
