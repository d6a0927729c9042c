"""An importance map as quantiser offsets of 16x16 blocks, for the encoders of FFmpeg's libraries that heed them.

They travel as side data of the frame (``AV_FRAME_DATA_REGIONS_OF_INTEREST``), which FFmpeg hands to x264 and x265 on
top of what their own adaptive quantisation decides; nothing is patched. Without adaptive quantisation both ignore it,
and x265 averages it over its quantisation groups (32x32 unless ``qg-size`` says otherwise).
"""

import ctypes
import math
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
import torch.nn.functional as F
from av.sidedata.sidedata import Type
from torch import Tensor

from pvc.errors import ConfigError, ImportanceError
from pvc.importance import distortion_weight

BLOCK = 16  # pixels a side: the grid of FFmpeg's libx264 and libx265
QP_RANGE = 51  # FFmpeg's offset of 1 is the whole range of 8-bit QPs
_STEPS = 10  # of a QP: offsets are rounded to tenths, so that 127 of 255 by the linear rule is 0
_REGION = np.dtype([(n, "<i4") for n in ("self_size", "top", "bottom", "left", "right", "num", "den")])


@dataclass(frozen=True)
class DeltaQp:
    """How a map becomes an offset to each block's quantisation parameter.

    Source of the range [-10, 10], the block size and the rule ``linear``: Pergament et al., "An interactive annotation
    tool for perceptual video compression", 2022, section III.D.

    Args:
        rule: ``weight``: the offset that suits the map's distortion weights w = 60^(q - 1). An encoder that minimises
            w D + lambda R does best with lambda / w, and lambda grows with the square of the quantiser's step, which
            doubles every 6 QP; so the offset is -3 log2(w), 17.7 (1 - q), against a block of weight 1.
            ``linear``: 2 limit (1/2 - q), where q = 1/2 (and 127 of 255) is neutral, whatever alpha is.
        centre: Where ``weight`` puts the offset 0. ``middle``: half way between the ROI and the background of the
            operating point, so the offsets of alpha are -1.5 log2(alpha) to +1.5 log2(alpha) (26.5: -7.1 to 7.1; 60:
            -8.9 to 8.9). Nothing is clipped up to the largest alpha, the offset is the same in every frame whatever
            the ROI's size, and the qualities of ROI and background stay as near to those without a map as they can
            both be, which is what a BD-rate needs. ``roi``: at q = 1, so the ROI has the QP of the codec without a
            map; backgrounds beyond +10 (alpha above 10) are clipped.
        pool: How a block's pixels make one value. ``mean``: of their weights (of q for ``linear``), which minimises
            the weighted error. ``max``: the most important pixel decides.
        limit: Largest offset either way, in QP.

    Raises:
        ConfigError: an argument is out of range.
    """

    rule: str = "weight"
    centre: str = "middle"
    pool: str = "mean"
    limit: float = 10.0

    def __post_init__(self):
        choices = {"rule": ("weight", "linear"), "centre": ("middle", "roi"), "pool": ("mean", "max")}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise ConfigError(f"delta_qp.{key}={getattr(self, key)!r} is unknown; use {' or '.join(known)}")
        if not 0 < self.limit <= QP_RANGE:
            raise ConfigError(f"delta_qp.limit={self.limit:g} lies outside (0, {QP_RANGE}]")

    def blocks(self, q: Tensor, alpha: float) -> np.ndarray:
        """Offsets of a frame's blocks, float32 ``[ceil(H / 16), ceil(W / 16)]``, in QP; below 0 is better quality.

        Args:
            q: the map of one frame, float32 ``[1, H, W]`` in [0, 1]. alpha: ROI strength of the operating point.
        """
        if self.rule == "linear":
            offset = 2 * self.limit * (0.5 - self._pool(q))
        else:
            shift = 1.5 * math.log2(alpha) if self.centre == "middle" else 0.0
            offset = -3 * self._pool(distortion_weight(q)).log2() - shift
        offset = offset.clamp(-self.limit, self.limit)
        return (offset[0] * _STEPS).round().numpy() / _STEPS + 0.0  # no -0.0

    def _pool(self, value: Tensor) -> Tensor:
        """One value for each block; blocks at the right and lower edge go by the pixels that are there."""
        pool = F.max_pool2d if self.pool == "max" else F.avg_pool2d
        return pool(value, BLOCK, ceil_mode=True)


def attach(frame: av.VideoFrame, dqp: np.ndarray) -> None:
    """Make ``dqp`` (``[ceil(H / 16), ceil(W / 16)]``, QP) side data of ``frame``, which must have none yet.

    Equal neighbours in a row become one region; they do not overlap, so their order does not matter.

    Raises:
        ImportanceError: another number of blocks than the frame has, or a value that is no number in [-51, 51].
        ValueError: the frame has offsets already (PyAV may still point to them, so they cannot be replaced).
    """
    grid = (-(-frame.height // BLOCK), -(-frame.width // BLOCK))
    if dqp.shape != grid:
        size = f"{frame.width}x{frame.height}"
        raise ImportanceError(f"offsets {list(dqp.shape)} do not fit a frame of {size}, which has blocks {list(grid)}")
    if not (np.abs(dqp) <= QP_RANGE).all():  # also catches NaN
        raise ImportanceError(f"quantiser offsets from {dqp.min():g} to {dqp.max():g}; they must lie in [-51, 51]")
    steps = np.rint(dqp * _STEPS).astype(np.int32)
    starts = np.ones(grid, bool)
    starts[:, 1:] = steps[:, 1:] != steps[:, :-1]
    rows, columns = np.nonzero(starts)
    regions = np.empty(len(rows), _REGION)
    regions["self_size"] = _REGION.itemsize
    regions["top"], regions["bottom"] = rows * BLOCK, np.minimum((rows + 1) * BLOCK, frame.height)
    ends = np.append(columns[1:], 0)
    regions["left"], regions["right"] = columns * BLOCK, np.where(ends > columns, ends * BLOCK, frame.width)
    regions["num"], regions["den"] = steps[rows, columns], QP_RANGE * _STEPS
    _add_side_data(frame, regions.tobytes())


def read_back(frame: av.VideoFrame) -> np.ndarray | None:
    """The offsets that ``frame`` carries, as :func:`attach` takes them, read by PyAV; None without such side data.

    Where regions overlap the first counts, and blocks outside of them all have 0, as in FFmpeg's encoders. PyAV looks
    at a frame's side data once, so do not ask before :func:`attach`.
    """
    data = frame.side_data.get(Type.REGIONS_OF_INTEREST)
    if data is None:
        return None
    dqp = np.zeros((-(-frame.height // BLOCK), -(-frame.width // BLOCK)), np.float32)
    for region in np.frombuffer(bytes(data), _REGION)[::-1]:
        top, left = region["top"] // BLOCK, region["left"] // BLOCK
        bottom, right = -(-region["bottom"] // BLOCK), -(-region["right"] // BLOCK)
        dqp[top:bottom, left:right] = QP_RANGE * region["num"] / region["den"]
    return dqp


class _AVFrameSideData(ctypes.Structure):
    """The first fields of FFmpeg's struct."""

    _fields_ = (("type", ctypes.c_int), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


@cache
def _libavutil() -> ctypes.CDLL:
    """The libavutil that PyAV itself runs on, found through the module that is linked to it."""
    library = ctypes.CDLL(av.frame.__file__)
    library.av_frame_new_side_data.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    library.av_frame_new_side_data.restype = ctypes.POINTER(_AVFrameSideData)
    library.av_frame_get_side_data.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.av_frame_get_side_data.restype = ctypes.c_void_p
    return library


def _add_side_data(frame: av.VideoFrame, data: bytes) -> None:
    library, kind, pointer = _libavutil(), Type.REGIONS_OF_INTEREST.value, _av_frame(frame)
    if library.av_frame_get_side_data(pointer, kind):
        raise ValueError("the frame has quantiser offsets already")
    side_data = library.av_frame_new_side_data(pointer, kind, len(data))
    if not side_data:
        raise MemoryError(f"no memory for {len(data)} bytes of side data")
    ctypes.memmove(side_data.contents.data, data, len(data))


def _av_frame(frame: av.VideoFrame) -> int:
    """Address of the AVFrame: PyAV does not tell it, but it is the first field of its Frame object.

    Its own first field, in turn, is the address of the first plane, by which the place is checked.

    Raises:
        RuntimeError: this release of PyAV lays out its frames in another way.
    """
    head = object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)  # then a pointer to the C methods
    pointer = ctypes.c_void_p.from_address(id(frame) + head).value
    if not pointer or ctypes.c_void_p.from_address(pointer).value != frame.planes[0].buffer_ptr:
        raise RuntimeError(f"PyAV {av.__version__} keeps its frames in another way; pvc was written for PyAV 18")
    return pointer
