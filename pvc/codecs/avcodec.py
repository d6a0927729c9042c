"""x264 and x265 in process through PyAV, with every option that decides the bits on record.

The stream is the elementary one (Annex B: parameter sets and slices), without a container, so that container overhead
does not count. Informational SEI units are left out of it: x264 writes about 700 bytes of its own settings into every
stream, which would weigh on short clips and says nothing about compression.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from itertools import product
from typing import Any

import av
import torch
from av.bitstream import BitStreamFilterContext
from torch import Tensor

from pvc.codecs.base import ClipCoding, Point, numbers
from pvc.codecs.delta_qp import DeltaQp, attach
from pvc.codecs.elementary import COLORSPACE, decode_elementary
from pvc.codecs.odd_size import size_unit
from pvc.errors import ConfigError, ImportanceError, VideoError
from pvc.importance import ALPHA_MAX, alpha_from_u, check_map
from pvc.video import default_matrix, to_yuv420p
from pvc.video.color import make_frame

DEFAULT_GOP = 250  # keyint of x264 and x265 when no option names it


class AvCodec(ClipCoding):
    """An encoder of FFmpeg's libraries run at constant rate factor (``point = {"crf": ...}``).

    With ``delta_qp`` it takes importance maps, and ``point = {"crf": ..., "alpha": ...}``. Without a map, at alpha = 1,
    its bits are those of the same encoder without ``delta_qp``.

    Args:
        name: What the codec is called in tables.
        options: Encoder options as FFmpeg's command line takes them (``-KEY VALUE``); ``{gop}`` in a value stands for
            the GOP. ``crf`` comes from the operating point.
        gop: Frames from one key frame to the next, for options that name it.
        threads: Encoder threads. One by default: the bits then do not depend on the machine.
        matrix, full_range: Colour matrix and range of the coded video, tagged in the stream; ``None`` is BT.601 below
            720 lines and BT.709 from there.
        preset: Name of the option set, for the record.
        delta_qp: How maps become quantiser offsets; None takes no maps.
    """

    encoder: str
    format: str  # of the elementary stream
    sei_units: str  # SEI types of the filter_units bitstream filter
    sei_header: bytes

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        gop: int = 12,
        threads: int = 1,
        matrix: str | None = None,
        full_range: bool = False,
        preset: str = "custom",
        delta_qp: DeltaQp | None = None,
    ):
        if matrix is not None and matrix not in COLORSPACE:
            raise ConfigError(f"codec {name}: matrix {matrix!r} is unknown; use one of {', '.join(COLORSPACE)}")
        if gop < 1:
            raise ConfigError(f"gop={gop} is too small; a group of pictures has at least one frame")
        self.name, self.matrix, self.full_range = name, matrix, full_range
        self.delta_qp, self.supports_importance = delta_qp, delta_qp is not None
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
        if delta_qp is not None:
            self.meta["delta_qp"] = asdict(delta_qp)
            if self._ignores_offsets():
                raise ConfigError(
                    f"codec {name}: {self.encoder} heeds importance maps only with adaptive quantisation, which these "
                    f"options switch off: {self._options}; leave out ultrafast, tune psnr or grain, and aq-mode 0"
                )

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """A point for each crf in ``settings["crf"]`` (0 to 51), with maps also for each of ``settings["u_alpha"]``."""
        crfs = numbers(settings, "crf", 0, 51)
        if not self.supports_importance:
            return [{"crf": crf} for crf in crfs]
        u_alphas = numbers(settings, "u_alpha", 0, 1)
        return [{"crf": crf, "alpha": float(alpha_from_u(u))} for u, crf in product(u_alphas, crfs)]

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
        """Elementary stream of ``frames`` (uint8 RGB ``[3, H, W]``, any size from 1x1) at ``point["crf"]``.

        With a map, a block's offset goes by ``point["alpha"]`` and :class:`pvc.codecs.delta_qp.DeltaQp`. A map that
        is equal everywhere shifts all blocks alike; rate control then takes about a third of the shift back, as it
        judges a frame's complexity after the offsets.

        Raises:
            ConfigError: no crf in ``point`` or one outside [0, 51]; a map but no alpha in [1, 60].
            ImportanceError: a map for a codec that takes none, or one that does not fit its frame.
            VideoError: a frame is not uint8 RGB of ``size``, or the encoder refuses it.
        """
        (crf,) = numbers(point, "crf", 0, 51)
        alpha = None
        if importance is not None:
            if self.delta_qp is None:
                raise ImportanceError(f"codec {self.name} takes no importance map; encode with alpha = 1")
            (alpha,) = numbers(point, "alpha", 1, ALPHA_MAX)
        with self._refusing(crf, size):
            context = self._open(crf, Fraction(fps), size)
            without_sei = BitStreamFilterContext(f"filter_units=remove_types={self.sei_units}", context.codec)
        yield size_unit(self.sei_header, *size)
        for t, frame in enumerate(frames):
            if frame.dtype != torch.uint8 or frame.shape != (3, *size):
                got = f"{frame.dtype} {list(frame.shape)}"
                raise VideoError(f"codec {self.name} needs uint8 frames {[3, *size]}, but frame {t} is {got}")
            picture = self._picture(frame, t, context)
            if alpha is not None:
                q = next(importance, None)
                if q is None:
                    raise ImportanceError(
                        f"the importance map has {t} frames but the clip has {count}; give one for each"
                    )
                check_map(q[None], frame[None], map_name=f"importance map of frame {t}", clip_name="the clip")
                attach(picture, self.delta_qp.blocks(q, alpha))
            with self._refusing(crf, size):
                coded = _code(picture, context, without_sei)
            yield coded
        with self._refusing(crf, size):
            coded = _code(None, context, without_sei)
        yield coded

    @contextmanager
    def _refusing(self, crf: float, size: tuple[int, int]) -> Iterator[None]:
        """Turn what the encoder complains of into one line."""
        try:
            yield
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(f"{self.encoder} refuses to code {size[1]}x{size[0]} at crf {crf:g}: {error}") from error

    def _open(self, crf: float, fps: Fraction, size: tuple[int, int]) -> av.VideoCodecContext:
        height, width = size
        context = av.CodecContext.create(self.encoder, "w")
        context.width, context.height, context.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        context.framerate, context.time_base = fps, 1 / fps
        context.colorspace = COLORSPACE[self.matrix or default_matrix(height)]
        context.color_range = 2 if self.full_range else 1
        context.options = self._options | {"crf": f"{crf:g}"}
        return context

    def _picture(self, frame: Tensor, t: int, context: av.VideoCodecContext) -> av.VideoFrame:
        """RGB ``[3, H, W]`` as the encoder takes it: 4:2:0, even size, tagged."""
        matrix = self.matrix or default_matrix(frame.shape[-2])
        planes = [plane[0].numpy() for plane in to_yuv420p(frame[None], matrix, self.full_range)]
        picture = make_frame(planes, context.width, context.height, "yuv420p")
        picture.pts, picture.time_base = t, context.time_base
        picture.colorspace, picture.color_range = context.colorspace, context.color_range
        return picture

    def _ignores_offsets(self) -> bool:
        """Whether a map changes nothing, tried on a small picture: FFmpeg then only writes to its log."""
        picture = (torch.arange(3 * 32 * 32) ** 2 % 251).to(torch.uint8).view(1, 3, 32, 32)
        point = {"crf": 26, "alpha": ALPHA_MAX}
        return self.encode(picture, point) == self.encode(picture, point, torch.zeros(1, 1, 32, 32))

    def decode_frames(self, data: bytes) -> Iterator[Tensor]:
        """Frames of ``data`` one by one, converted by the matrix and range that the stream itself carries.

        Raises:
            BitstreamError: where the decoder meets damage, or the stream holds no frame. Streams of these codecs have
                neither checksums nor a number of frames, so one that is cut between two frames is only shorter.
        """
        return decode_elementary(self.name, data, self.format, "yuv420p")


def _code(picture: av.VideoFrame | None, context: av.VideoCodecContext, without_sei: BitStreamFilterContext) -> bytes:
    """What comes out when ``picture`` goes in, which may be nothing yet; None ends the stream."""
    return b"".join(bytes(part) for packet in context.encode(picture) for part in without_sei.filter(packet))


class X264(AvCodec):
    """H.264 by libx264."""

    encoder, format, sei_units, sei_header = "libx264", "h264", "6", b"\x06"


class X265(AvCodec):
    """H.265 by libx265."""

    encoder, format, sei_units, sei_header = "libx265", "hevc", "39-40", b"\x4e\x01"
