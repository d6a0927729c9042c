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
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from av.bitstream import BitStreamFilterContext
from torch import Tensor

from pvc.codecs.base import ClipCoding, Point, numbers
from pvc.codecs.command import encoder_arguments
from pvc.codecs.delta_qp import DeltaQp, attach
from pvc.codecs.elementary import COLORSPACE, COLORSPACE_NAMES, decode_elementary
from pvc.codecs.odd_size import size_unit
from pvc.codecs.two_pass import HIGHEST, LOWEST, stream_at_bitrate
from pvc.errors import ConfigError, ImportanceError, VideoError
from pvc.importance import ALPHA_MAX, alpha_from_u, check_map
from pvc.versions import versions
from pvc.video import default_matrix, to_yuv420p
from pvc.video.color import make_frame

DEFAULT_GOP = 250  # keyint of x264 and x265 when no option names it


class AvCodec(ClipCoding):
    """An encoder of FFmpeg's libraries at a constant rate factor (``point = {"crf": ...}``), or in two passes at a
    bitrate (``point = {"bitrate": ...}``, kbit/s).

    With ``delta_qp`` it takes importance maps, and the point has an ``alpha``. Without a map, at alpha = 1, its bits
    are those of the same encoder without ``delta_qp``.

    Args:
        name: What the codec is called in tables.
        options: Encoder options as FFmpeg's command line takes them (``-KEY VALUE``); ``{gop}`` in a value stands for
            the GOP. ``crf`` or bitrate come from the operating point.
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
        frames = {"pix_fmt": "yuv420p", "colorspace": COLORSPACE_NAMES[matrix], "full_range": full_range}
        command = encoder_arguments(
            self.encoder, self._options | {"crf": "{CRF}"}, self.format, **frames, bitstream_filter=self.without_sei
        )
        self.meta: dict[str, Any] = {
            "encoder": self.encoder,
            "libraries": versions("av"),
            "preset": preset,
            "options": dict(self._options),
            "command": " ".join(["ffmpeg", *command]),
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

    @property
    def without_sei(self) -> str:
        """The bitstream filter that takes SEI units away."""
        return f"filter_units=remove_types={self.sei_units}"

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """A point for each ``settings["bitrate"]`` (kbit/s), or else each ``settings["crf"]`` (0 to 51).

        With maps, also for each of ``settings["u_alpha"]``.
        """
        if settings.get("bitrate") is not None:
            rates = [{"bitrate": rate} for rate in numbers(settings, "bitrate", LOWEST, HIGHEST)]
        else:
            rates = [{"crf": crf} for crf in numbers(settings, "crf", 0, 51)]
        if not self.supports_importance:
            return rates
        u_alphas = numbers(settings, "u_alpha", 0, 1)
        return [{**rate, "alpha": float(alpha_from_u(u))} for u, rate in product(u_alphas, rates)]

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
        """Elementary stream of ``frames`` (uint8 RGB ``[3, H, W]``, any size from 1x1) at the point's crf or bitrate.

        With a map, a block's offset goes by ``point["alpha"]`` and :class:`pvc.codecs.delta_qp.DeltaQp`, in both
        passes alike. At a crf, a map that is equal everywhere shifts all blocks alike; rate control then takes about a
        third of the shift back, as it judges a frame's complexity after the offsets. At a bitrate it takes back all.

        At a bitrate nothing comes out before the last frame is in; pictures wait on disk (1.5 bytes a pixel), not in
        memory. How near the stream comes to the bitrate: :func:`pvc.codecs.two_pass.two_pass`.

        Raises:
            ConfigError: neither crf nor bitrate in ``point``, or one out of range; a map but no alpha in [1, 60].
            ImportanceError: a map for a codec that takes none, or one that does not fit its frame.
            VideoError: a frame is not uint8 RGB of ``size``, or the encoder refuses it, or the disk is full.
        """
        (rate,) = AvCodec.points(self, {"crf": None, **point, "u_alpha": 1.0})
        rate.pop("alpha", None)
        alpha = None
        if importance is not None:
            if self.delta_qp is None:
                raise ImportanceError(f"codec {self.name} takes no importance map; encode with alpha = 1")
            (alpha,) = numbers(point, "alpha", 1, ALPHA_MAX)
        pictures = self._pictures(frames, alpha, importance, count, size)
        yield size_unit(self.sei_header, *size)
        if "crf" in rate:
            yield from self._code(pictures, self._options | {"crf": f"{rate['crf']:g}"}, Fraction(fps), size)
        else:
            yield from stream_at_bitrate(
                self.encoder,
                self._options,
                rate["bitrate"],
                Fraction(fps),
                pictures,
                lambda source, options: self._code(source, options, Fraction(fps), size),
            )

    def _pictures(
        self,
        frames: Iterable[Tensor],
        alpha: float | None,
        importance: Iterator[Tensor] | None,
        count: int,
        size: tuple[int, int],
    ) -> "Iterator[_Picture]":
        """What the encoder gets of each frame."""
        matrix = self.matrix or default_matrix(size[0])
        for t, frame in enumerate(frames):
            if frame.dtype != torch.uint8 or frame.shape != (3, *size):
                got = f"{frame.dtype} {list(frame.shape)}"
                raise VideoError(f"codec {self.name} needs uint8 frames {[3, *size]}, but frame {t} is {got}")
            offsets = None
            if alpha is not None:
                q = next(importance, None)
                if q is None:
                    raise ImportanceError(
                        f"the importance map has {t} frames but the clip has {count}; give one for each"
                    )
                check_map(q[None], frame[None], map_name=f"importance map of frame {t}", clip_name="the clip")
                offsets = self.delta_qp.blocks(q, alpha)
            yield _Picture([plane[0].numpy() for plane in to_yuv420p(frame[None], matrix, self.full_range)], offsets)

    def _code(
        self, pictures: "Iterable[_Picture]", options: Mapping[str, str], fps: Fraction, size: tuple[int, int]
    ) -> Iterator[bytes]:
        """The stream of the pictures, without SEI."""
        with self._refusing(options, size):
            context = self._open(options, fps, size)
            without_sei = BitStreamFilterContext(self.without_sei, context.codec)
        for t, picture in enumerate(pictures):
            with self._refusing(options, size):
                coded = _code(self._frame(picture, t, context), context, without_sei)
            yield coded
        with self._refusing(options, size):
            coded = _code(None, context, without_sei)
        yield coded

    @contextmanager
    def _refusing(self, options: Mapping[str, str], size: tuple[int, int]) -> Iterator[None]:
        """Turn what the encoder complains of into one line."""
        try:
            yield
        except (av.error.FFmpegError, ValueError) as error:
            rate = f"crf {options['crf']}" if "crf" in options else f"{int(options['b']) / 1000:g} kbit/s"
            raise VideoError(f"{self.encoder} refuses to code {size[1]}x{size[0]} at {rate}: {error}") from error

    def _open(self, options: Mapping[str, str], fps: Fraction, size: tuple[int, int]) -> av.VideoCodecContext:
        context = av.CodecContext.create(self.encoder, "w")
        self.configure(context, options, fps, size)
        return context

    def configure(
        self, context: av.VideoCodecContext, options: Mapping[str, str], fps: Fraction, size: tuple[int, int]
    ) -> None:
        """Make ``context``, not yet open, code frames of ``size`` (H, W) with these encoder options."""
        height, width = size
        context.width, context.height, context.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        context.framerate, context.time_base = fps, 1 / fps
        context.colorspace = COLORSPACE[self.matrix or default_matrix(height)]
        context.color_range = 2 if self.full_range else 1
        context.options = repeatable(self.encoder, options)

    def _frame(self, picture: "_Picture", t: int, context: av.VideoCodecContext) -> av.VideoFrame:
        """The picture as the encoder takes it: tagged, with its offsets."""
        frame = make_frame(picture.planes, context.width, context.height, "yuv420p")
        frame.pts, frame.time_base = t, context.time_base
        frame.colorspace, frame.color_range = context.colorspace, context.color_range
        if picture.offsets is not None:
            attach(frame, picture.offsets)
        return frame

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


def repeatable(encoder: str, options: Mapping[str, str]) -> dict[str, str]:
    """``options`` with which the same clip gives the same bits again on this machine.

    The AVX-512 code of x264's macroblock tree reads memory that it never wrote (seen with the library of PyAV 18.1:
    with preset medium, sizes differ by 1 % from run to run), so x264 is held to AVX2. It is as fast, and other bits do
    not change.
    """
    params = options.get("x264-params", "")
    if encoder != "libx264" or torch.backends.cpu.get_cpu_capability() != "AVX512" or "asm=" in params:
        return dict(options)
    return {**options, "x264-params": f"{params}:asm=avx2".lstrip(":")}


class _Picture(NamedTuple):
    """What is coded of a frame: planes Y, U, V (4:2:0, of even size), and quantiser offsets of its blocks."""

    planes: list[np.ndarray]
    offsets: np.ndarray | None


def _code(picture: av.VideoFrame | None, context: av.VideoCodecContext, without_sei: BitStreamFilterContext) -> bytes:
    """What comes out when ``picture`` goes in, which may be nothing yet; None ends the stream."""
    return b"".join(bytes(part) for packet in context.encode(picture) for part in without_sei.filter(packet))


class X264(AvCodec):
    """H.264 by libx264."""

    encoder, format, sei_units, sei_header = "libx264", "h264", "6", b"\x06"


class X265(AvCodec):
    """H.265 by libx265."""

    encoder, format, sei_units, sei_header = "libx265", "hevc", "39-40", b"\x4e\x01"
