"""The project's only colour conversion: FFmpeg's swscale, with every choice it would make by itself pinned.

Luma and chroma follow ITU-R BT.601, BT.709 or BT.2020 (non-constant luminance). 4:2:0 and 4:2:2 chroma is
sited left (the default of MPEG-2, H.264 and HEVC) and resampled with swscale's bicubic kernel; rounding is
``accurate_rnd`` and ``bitexact``, so the result is the same on every machine. RGB is always full range, 8 bits.

Against the standards' formulas: 8-bit limited range is within 0.6 steps either way; swscale rounds full-range chroma
down, so it is 0.5 steps low on average. Colours far outside RGB (luma above 235 with chroma above 240) may wrap.
"""

import threading
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
import torch
from torch import Tensor

from pvc.errors import VideoError

MATRICES = {"bt601": "smpte170m", "bt709": "bt709", "bt2020": "bt2020nc"}
_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
_RGB_PLANES = (2, 0, 1)  # position of R, G, B in FFmpeg's planar gbrp


def default_matrix(height: int) -> str:
    """The matrix of a source that does not name one: ``bt601`` below 720 lines, ``bt709`` from there."""
    return "bt601" if height < 720 else "bt709"


def check_matrix(matrix: str | None, height: int) -> str:
    """``matrix`` itself, or the default for ``height`` where it is None; VideoError for an unknown name."""
    if matrix is None:
        return default_matrix(height)
    if matrix not in MATRICES:
        raise VideoError(f"unknown colour matrix {matrix!r}; give one of {', '.join(MATRICES)}")
    return matrix


class Converter:
    """Converts frames of one size and format to another pixel format of the same size.

    ``matrix`` and ``full_range`` describe the YUV (or grey) side; RGB is full range. One-sided conversions only:
    YUV to RGB, RGB to YUV, and to or from grey.
    """

    def __init__(self, width: int, height: int, source: str, target: str, matrix: str, full_range: bool) -> None:
        self._lock = threading.Lock()  # a graph is a queue: two callers at once would get each other's frames
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        # FFmpeg takes its old yuvj formats as full range whatever is said; as plain yuv the argument decides.
        self._plain = source.replace("yuvj", "yuv") if source.startswith("yuvj") else None
        source = self._plain or source
        rgb = av.VideoFormat(source).is_rgb
        side = "out" if rgb else "in"
        yuv = f"{side}_range={'pc' if full_range else 'tv'}"
        if not _is_grey(source if side == "in" else target):
            yuv += f":{side}_color_matrix={MATRICES[matrix]}:{side}_chroma_loc=left"
        other = f"{'in' if rgb else 'out'}_range=pc"
        chain = (
            self._graph.add_buffer(
                width=width, height=height, format=av.VideoFormat(source), time_base=Fraction(1, 1000)
            ),
            self._graph.add("scale", f"{yuv}:{other}:flags={_FLAGS}"),
            self._graph.add("format", f"pix_fmts={target}"),
            self._graph.add("buffersink"),
        )
        self._graph.link_nodes(*chain).configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in the target format. Colour tags of ``frame`` are cleared: what counts was said at the start."""
        if self._plain:
            frame = make_frame(planes_of(frame), frame.width, frame.height, self._plain)
        frame.colorspace, frame.color_range = 2, 0
        with self._lock:
            self._graph.vpush(frame)
            return self._graph.vpull()


@lru_cache(maxsize=16)
def _converter(width: int, height: int, source: str, target: str, matrix: str, full_range: bool) -> Converter:
    return Converter(width, height, source, target, matrix, full_range)


def _is_grey(pix_fmt: str) -> bool:
    return len(av.VideoFormat(pix_fmt).components) <= 2 and pix_fmt != "pal8"


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    """Views of a planar frame's planes, ``[h, w]`` uint8 or uint16 (little endian) each, in FFmpeg's order."""
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.dtype("<u2")
    views = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // np.dtype(dtype).itemsize)
        views.append(rows[:, : plane.width])
    return views


def make_frame(planes: Sequence[np.ndarray], width: int, height: int, pix_fmt: str) -> av.VideoFrame:
    """A planar frame with these planes copied in; ValueError if a plane's shape does not fit the format."""
    frame = av.VideoFrame(width, height, pix_fmt)
    for view, plane in zip(planes_of(frame), planes, strict=True):
        if view.shape != plane.shape:
            raise ValueError(f"plane is {plane.shape}, {pix_fmt} of {width}x{height} needs {view.shape}")
        view[:] = plane
    return frame


def frame_to_rgb(frame: av.VideoFrame) -> Tensor:
    """uint8 ``[3, H, W]`` from a ``gbrp`` frame."""
    planes = planes_of(frame)
    return torch.from_numpy(np.stack([planes[i] for i in _RGB_PLANES]))


def rgb_to_frame(rgb: Tensor) -> av.VideoFrame:
    """``gbrp`` frame from uint8 ``[3, H, W]``."""
    r, g, b = rgb.numpy()
    return make_frame((g, b, r), rgb.shape[-1], rgb.shape[-2], "gbrp")


def rgb_to_yuv(
    clip: Tensor, pix_fmt: str = "yuv444p", matrix: str | None = None, full_range: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """RGB to planar YUV.

    Args:
        clip: uint8 ``[T, 3, H, W]``.
        pix_fmt: ``yuv420p``, ``yuv422p``, ``yuv444p`` or one of them with ``10le`` (10 bits).
        matrix: ``bt601``, ``bt709``, ``bt2020``; None for BT.601 below 720 lines and BT.709 from there.
        full_range: luma 0..255 instead of 16..235 (times 4 for 10 bits).

    Returns:
        Y ``[T, H, W]``, U and V ``[T, h, w]`` (halves round up), uint8, or uint16 for more than 8 bits.
    """
    _check_clip(clip)
    height, width = clip.shape[-2:]
    convert = _converter(width, height, "gbrp", pix_fmt, check_matrix(matrix, height), full_range)
    frames = [convert(rgb_to_frame(rgb)) for rgb in clip]
    y, u, v = (torch.from_numpy(np.stack(p)) for p in zip(*map(planes_of, frames), strict=True))
    return y, u, v


def yuv_to_rgb(
    y: Tensor, u: Tensor, v: Tensor, pix_fmt: str = "yuv444p", matrix: str | None = None, full_range: bool = False
) -> Tensor:
    """Inverse of :func:`rgb_to_yuv`, same arguments: planes to uint8 ``[T, 3, H, W]``."""
    height, width = y.shape[-2:]
    convert = _converter(width, height, pix_fmt, "gbrp", check_matrix(matrix, height), full_range)
    frames = (make_frame([p.numpy() for p in yuv], width, height, pix_fmt) for yuv in zip(y, u, v, strict=True))
    return torch.stack([frame_to_rgb(convert(f)) for f in frames])


def to_yuv420p(clip: Tensor, matrix: str | None = None, full_range: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """8-bit 4:2:0 planes for a codec, always of even size.

    Odd sizes are padded by repeating the last row or column; :func:`from_yuv420p` crops it away again.

    Args:
        clip: uint8 ``[T, 3, H, W]``.
        matrix: as in :func:`rgb_to_yuv`; the default goes by the clip's own height.
        full_range: luma 0..255 instead of 16..235.

    Returns:
        uint8 Y ``[T, H', W']``, U and V ``[T, H'/2, W'/2]`` with H', W' the next even numbers.
    """
    _check_clip(clip)
    height, width = clip.shape[-2:]
    matrix = check_matrix(matrix, height)
    if height % 2:
        clip = torch.cat([clip, clip[..., -1:, :]], dim=-2)
    if width % 2:
        clip = torch.cat([clip, clip[..., -1:]], dim=-1)
    return rgb_to_yuv(clip, "yuv420p", matrix, full_range)


def from_yuv420p(
    y: Tensor,
    u: Tensor,
    v: Tensor,
    matrix: str | None = None,
    full_range: bool = False,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Inverse of :func:`to_yuv420p`: uint8 ``[T, 3, H, W]``, cropped to ``size`` = (H, W) where it is given."""
    height, width = size or y.shape[-2:]
    rgb = yuv_to_rgb(y, u, v, "yuv420p", check_matrix(matrix, height), full_range)
    return rgb[..., :height, :width].contiguous()


def _check_clip(clip: Tensor) -> None:
    if clip.dtype != torch.uint8 or clip.ndim != 4 or clip.shape[1] != 3:
        raise ValueError(f"expected a uint8 clip [T, 3, H, W], got {clip.dtype} {list(clip.shape)}")
