"""AV1 by libsvtav1 in process through PyAV; libdav1d decodes it.

The stream is AV1's low-overhead format (section 5 of its specification): temporal delimiters of 2 bytes a frame,
sequence headers and frames, nothing else. AV1 codes odd sizes as they are.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import av
import torch
from torch import Tensor

from pvc.codecs.base import ClipCoding, Point, numbers
from pvc.codecs.command import encoder_arguments
from pvc.codecs.elementary import COLORSPACE, COLORSPACE_NAMES, decode_elementary
from pvc.errors import BitstreamError, ConfigError, ImportanceError, VideoError
from pvc.versions import versions
from pvc.video import default_matrix, rgb_to_yuv
from pvc.video.color import make_frame
from pvc.video.urgency import as_urgent_as_before

SMALLEST = 4  # pixels a side, of the encoder
os.environ.setdefault("SVT_LOG", "0")  # the encoder writes its settings to stderr otherwise


class SvtAv1(ClipCoding):
    """SVT-AV1 at constant rate factor (``point = {"crf": ...}``, 0 to 63: not the scale of x264 and x265).

    Args:
        name: What the codec is called in tables.
        options: ``preset`` and ``svtav1-params`` as FFmpeg's command line takes them; ``{gop}`` in a value stands for
            the GOP. The parameters must say ``keyint`` (frames); ``crf`` comes from the operating point.
        gop: Frames from one key frame to the next, for parameters that name it.
        matrix, full_range: Colour matrix and range of the coded video, tagged in the stream; ``None`` is BT.601 below
            720 lines and BT.709 from there.
        preset: Name of the option set, for the record.
    """

    supports_importance = False

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        gop: int = 12,
        matrix: str | None = None,
        full_range: bool = False,
        preset: str = "custom",
    ):
        if matrix is not None and matrix not in COLORSPACE:
            raise ConfigError(f"codec {name}: matrix {matrix!r} is unknown; use one of {', '.join(COLORSPACE)}")
        if gop < 1:
            raise ConfigError(f"gop={gop} is too small; a group of pictures has at least one frame")
        self.name, self.matrix, self.full_range = name, matrix, full_range
        self._options = {k: str(v).format(gop=gop) for k, v in options.items()}
        self.gop = _keyint(name, self._options.get("svtav1-params", ""))
        frames = {"pix_fmt": "yuv420p", "colorspace": COLORSPACE_NAMES[matrix], "full_range": full_range}
        command = encoder_arguments("libsvtav1", self._at("{CRF}"), "obu", **frames)
        self.meta: dict[str, Any] = {
            "encoder": "libsvtav1",
            "libraries": versions("av"),
            "preset": preset,
            "options": dict(self._options),
            "command": " ".join(["ffmpeg", *command]),
            "matrix": matrix or "bt601 below 720 lines, else bt709",
            "range": "full" if full_range else "limited",
            "pix_fmt": "yuv420p",
            "bits": "low-overhead OBU stream with sequence headers and temporal delimiters",
        }

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """One point for each crf in ``settings["crf"]`` (0 to 63, in quarters)."""
        return [{"crf": crf} for crf in _crfs(settings)]

    def encode_frames(
        self,
        frames: Iterable[Tensor],
        point: Mapping[str, float],
        importance: Iterator[Tensor] | None = None,
        *,
        fps: Fraction,
        count: int,
        size: tuple[int, int],
    ) -> Iterator[bytes]:
        """Stream of ``frames`` (uint8 RGB ``[3, H, W]``, any size from 4x4) at ``point["crf"]``.

        Raises:
            ConfigError: no crf in ``point`` or one outside [0, 63]; an option that the encoder does not know.
            ImportanceError: an importance map is given.
            VideoError: a frame is not uint8 RGB of ``size``, or the encoder refuses it.
        """
        if importance is not None:
            raise ImportanceError(f"codec {self.name} takes no importance map; encode with alpha = 1")
        (crf,) = _crfs(point)
        height, width = size
        if min(size) < SMALLEST:
            raise VideoError(f"libsvtav1 codes frames from {SMALLEST}x{SMALLEST}, not {width}x{height}")
        matrix = self.matrix or default_matrix(height)
        context = self._open(crf, Fraction(fps), size, matrix)
        for t, frame in enumerate(frames):
            if frame.dtype != torch.uint8 or frame.shape != (3, *size):
                got = f"{frame.dtype} {list(frame.shape)}"
                raise VideoError(f"codec {self.name} needs uint8 frames {[3, *size]}, but frame {t} is {got}")
            planes = rgb_to_yuv(frame[None], "yuv420p", matrix, self.full_range)
            picture = make_frame([plane[0].numpy() for plane in planes], width, height, "yuv420p")
            picture.pts, picture.time_base = t, context.time_base
            picture.colorspace, picture.color_range = context.colorspace, context.color_range
            yield b"".join(map(bytes, context.encode(picture)))
        yield b"".join(map(bytes, context.encode(None)))

    def _at(self, crf: str) -> dict[str, str]:
        """The options with this crf: a parameter, as FFmpeg's own option crf takes 0 for the encoder's default, 35."""
        return self._options | {"svtav1-params": f"{self._options['svtav1-params']}:crf={crf}"}

    def _open(self, crf: float, fps: Fraction, size: tuple[int, int], matrix: str) -> av.VideoCodecContext:
        context = av.CodecContext.create("libsvtav1", "w")
        context.height, context.width = size
        context.pix_fmt = "yuv420p"
        context.framerate, context.time_base = fps, 1 / fps
        context.colorspace, context.color_range = COLORSPACE[matrix], 2 if self.full_range else 1
        context.options = self._at(f"{crf:g}")
        level = av.logging.get_level()
        av.logging.set_level(av.logging.WARNING)  # parameters that the encoder refuses are only warned of
        try:
            with av.logging.Capture() as messages, as_urgent_as_before():
                context.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(f"libsvtav1 refuses to code {size[1]}x{size[0]} at crf {crf:g}: {error}") from error
        finally:
            av.logging.set_level(level)
        for _, source, message in messages:
            if source == "libsvtav1" and message.startswith("Error parsing option"):
                params = self._at(f"{crf:g}")["svtav1-params"]
                raise ConfigError(f"codec {self.name}: libsvtav1 does not take {params}: {message.strip()}")
        return context

    def decode_frames(self, data: bytes) -> Iterator[Tensor]:
        """Frames of ``data`` one by one, converted by the matrix and range that the stream itself carries.

        Raises:
            BitstreamError: where the stream is damaged, or at once where it holds no frame.
        """
        yield from decode_elementary(self.name, data, "obu", "yuv420p")
        if not _whole(data):
            raise BitstreamError(f"{self.name}: the stream of {len(data)} bytes is cut short")


def _crfs(settings: Mapping[str, Any]) -> list[float]:
    """``settings["crf"]``: 0 to 63, in quarters, as the encoder rounds others without a word."""
    crfs = numbers(settings, "crf", 0, 63)
    for crf in crfs:
        if crf % 0.25:
            raise ConfigError(f"crf={crf:g} is no multiple of 0.25, which is the step of libsvtav1")
    return crfs


def _keyint(name: str, params: str) -> int:
    """Frames from one key frame to the next that ``svtav1-params`` ask for."""
    said = dict(part.partition("=")[::2] for part in params.split(":")).get("keyint", "")
    if not said.isdecimal() or int(said) < 1:
        raise ConfigError(f"codec {name}: svtav1-params {params!r} do not say keyint in frames; add keyint={{gop}}")
    return int(said)


def _whole(data: bytes) -> bool:
    """Whether the last OBU ends with the data: FFmpeg leaves an incomplete one out without an error."""
    position = 0
    while position < len(data):
        header = data[position]
        position += 2 if header & 4 else 1  # an extension byte
        if not header & 2:
            return False  # no size field: not of this codec
        size = shift = 0
        while position < len(data):  # leb128
            byte = data[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        position += size
    return position == len(data)
