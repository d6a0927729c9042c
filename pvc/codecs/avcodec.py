"""x264 and x265 in process through PyAV, with every option that decides the bits on record.

The stream is the elementary one (Annex B: parameter sets and slices), without a container, so that container overhead
does not count. Informational SEI units are left out of it: x264 writes about 700 bytes of its own settings into every
stream, which would weigh on short clips and says nothing about compression.
"""

import io
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np
import torch
from av.bitstream import BitStreamFilterContext
from torch import Tensor

from pvc.codecs.base import Point, numbers
from pvc.codecs.odd_size import size_unit, true_size
from pvc.errors import BitstreamError, ConfigError, ImportanceError, VideoError
from pvc.video import default_matrix, from_yuv420p, to_yuv420p

DEFAULT_GOP = 250  # keyint of x264 and x265 when no option names it
_COLORSPACE = {"bt601": 5, "bt709": 1, "bt2020": 9}  # AVColorSpace: BT470BG, BT709, BT2020_NCL
_MATRIX = {5: "bt601", 6: "bt601", 1: "bt709", 9: "bt2020"}


class AvCodec:
    """An encoder of FFmpeg's libraries run at constant rate factor (``point = {"crf": ...}``).

    Args:
        name: What the codec is called in tables.
        options: Encoder options as FFmpeg's command line takes them (``-KEY VALUE``); ``{gop}`` in a value stands for
            the GOP. ``crf`` comes from the operating point.
        gop: Frames from one key frame to the next, for options that name it.
        threads: Encoder threads. One by default: the bits then do not depend on the machine.
        matrix, full_range: Colour matrix and range of the coded video, tagged in the stream; ``None`` is BT.601 below
            720 lines and BT.709 from there.
        preset: Name of the option set, for the record.
    """

    encoder: str
    format: str  # of the elementary stream
    sei_units: str  # SEI types of the filter_units bitstream filter
    sei_header: bytes
    supports_importance = False

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        gop: int = 12,
        threads: int = 1,
        matrix: str | None = None,
        full_range: bool = False,
        preset: str = "custom",
    ):
        if matrix is not None and matrix not in _COLORSPACE:
            raise ConfigError(f"codec {name}: matrix {matrix!r} is unknown; use one of {', '.join(_COLORSPACE)}")
        if gop < 1:
            raise ConfigError(f"gop={gop} is too small; a group of pictures has at least one frame")
        self.name, self.matrix, self.full_range = name, matrix, full_range
        self.gop = gop if any("{gop}" in str(v) for v in options.values()) else DEFAULT_GOP
        self._options = {k: str(v).format(gop=gop) for k, v in options.items()} | {"threads": str(threads)}
        self.meta: dict[str, Any] = {
            "encoder": self.encoder,
            "preset": preset,
            "options": dict(self._options),
            "matrix": matrix or "bt601 below 720 lines, else bt709",
            "range": "full" if full_range else "limited",
            "pix_fmt": "yuv420p",
            "bits": "elementary stream (Annex B) with parameter sets, without SEI",
        }

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """One point for each crf in ``settings["crf"]`` (0 to 51)."""
        return [{"crf": crf} for crf in numbers(settings, "crf", 0, 51)]

    def encode(
        self,
        clip: Tensor,
        point: Mapping[str, float],
        importance: Tensor | None = None,
        *,
        fps: Fraction = Fraction(30),
    ) -> bytes:
        """Elementary stream of ``clip`` (uint8 RGB ``[T, 3, H, W]``) at ``point["crf"]``, any size from 1x1.

        Raises:
            ConfigError: no crf in ``point`` or one outside [0, 51].
            ImportanceError: an importance map is given.
            VideoError: the clip is not uint8 RGB, or the encoder refuses it.
        """
        if importance is not None:
            raise ImportanceError(f"codec {self.name} takes no importance map; encode with alpha = 1")
        if clip.dtype != torch.uint8 or clip.ndim != 4 or clip.shape[1] != 3 or len(clip) == 0:
            raise VideoError(f"codec {self.name} needs a uint8 clip [T, 3, H, W], got {clip.dtype} {list(clip.shape)}")
        (crf,) = numbers(point, "crf", 0, 51)
        height, width = clip.shape[-2:]
        matrix = self.matrix or default_matrix(height)
        planes = to_yuv420p(clip, matrix, self.full_range)
        try:
            stream = self._encode_planes(planes, self._options | {"crf": f"{crf:g}"}, fps, matrix)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(f"{self.encoder} refuses to code {width}x{height} at crf {crf:g}: {error}") from error
        return size_unit(self.sei_header, height, width) + stream

    def _encode_planes(self, planes: tuple[Tensor, Tensor, Tensor], options: dict, fps: Fraction, matrix: str) -> bytes:
        frames, height, width = planes[0].shape
        out = io.BytesIO()
        with av.open(out, "w", format=self.format) as container:
            stream = container.add_stream(self.encoder, rate=Fraction(fps), options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            context = stream.codec_context
            context.time_base = 1 / Fraction(fps)
            context.colorspace, context.color_range = _COLORSPACE[matrix], 2 if self.full_range else 1
            without_sei = BitStreamFilterContext(f"filter_units=remove_types={self.sei_units}", stream)
            for t in range(frames):
                flat = np.concatenate([p[t].reshape(-1).numpy() for p in planes])
                frame = av.VideoFrame.from_ndarray(flat.reshape(height * 3 // 2, width), format="yuv420p")
                frame.pts, frame.time_base = t, context.time_base
                frame.colorspace, frame.color_range = context.colorspace, context.color_range
                for packet in stream.encode(frame):
                    container.mux(without_sei.filter(packet))
            for packet in stream.encode(None):
                container.mux(without_sei.filter(packet))
            container.mux(without_sei.filter(None))
        return out.getvalue()

    def decode(self, data: bytes) -> Tensor:
        """The clip in ``data``, converted by the matrix and range that the stream itself carries."""
        planes: tuple[list, list, list] = ([], [], [])
        matrix, full_range = "bt601", False
        try:
            with av.open(io.BytesIO(data), format=self.format) as container:
                context = container.streams.video[0].codec_context
                context.options = {"err_detect": "explode"}
                for frame in container.decode(video=0):
                    matrix = _MATRIX.get(int(frame.colorspace), default_matrix(frame.height))
                    full_range = int(frame.color_range) == 2
                    for plane, part in zip(planes, _split(frame), strict=True):
                        plane.append(part)
        except (av.error.FFmpegError, IndexError) as error:
            raise BitstreamError(f"{self.name}: the stream of {len(data)} bytes does not decode: {error}") from error
        if not planes[0]:
            raise BitstreamError(f"{self.name}: the stream of {len(data)} bytes holds no frame")
        y, u, v = (torch.from_numpy(np.stack(plane)) for plane in planes)
        return from_yuv420p(y, u, v, matrix, full_range, size=true_size(data, *y.shape[-2:]))


def _split(frame: av.VideoFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y ``[H, W]``, U and V ``[H/2, W/2]`` of a yuv420p frame of even size."""
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        raise BitstreamError(f"the stream is {frame.format.name}, not 8-bit 4:2:0; it was not written by this codec")
    h, w = frame.height, frame.width
    flat = frame.to_ndarray().reshape(-1)
    chroma = h * w // 4
    parts = np.split(flat, [h * w, h * w + chroma])
    return parts[0].reshape(h, w), parts[1].reshape(h // 2, w // 2), parts[2].reshape(h // 2, w // 2)


class X264(AvCodec):
    """H.264 by libx264."""

    encoder, format, sei_units, sei_header = "libx264", "h264", "6", b"\x06"


class X265(AvCodec):
    """H.265 by libx265."""

    encoder, format, sei_units, sei_header = "libx265", "hevc", "39-40", b"\x4e\x01"
