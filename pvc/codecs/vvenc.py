"""H.266 by VVenC: the libvvenc inside imageio-ffmpeg's FFmpeg encodes, PyAV's VVC decoder decodes.

FFmpeg gets the frames through a pipe and writes the stream to a temporary file. Its standard output will not do:
libvvenc prints warnings there, in between the bits.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pvc.codecs.base import ClipCoding, Point, numbers
from pvc.codecs.command import encoder_arguments
from pvc.codecs.elementary import decode_elementary
from pvc.codecs.odd_size import size_unit
from pvc.errors import ConfigError, ImportanceError, VideoError
from pvc.versions import versions
from pvc.video import default_matrix, rgb_to_yuv
from pvc.video.color import MATRICES
from pvc.video.ffmpeg_binary import ffmpeg_binary

PIX_FMT = "yuv420p10le"  # the only one that FFmpeg's libvvenc takes
_SEI_HEADER = b"\x00\xb9"  # NAL unit header of a prefix SEI
_PICTURE = re.compile(
    rb"\x00\x00\x01\x00[\x00-\x5f]"
)  # start code and NAL unit header of a slice; VVenC codes one a picture


class VVenC(ClipCoding):
    """VVenC at a constant quantisation parameter (``point = {"qp": ...}``, 0 to 63).

    Frames go from RGB to 10-bit 4:2:0 and back in one step, as VVenC codes 10 bits.

    Args:
        name: What the codec is called in tables.
        options: Encoder options as FFmpeg's command line takes them (``-KEY VALUE``); ``{gop}`` in a value stands for
            the GOP. ``vvenc-params`` must say ``IntraPeriod`` (frames), and should say ``Threads=0``: with threads of
            its own the encoder at times loses pictures in this FFmpeg. ``qp`` comes from the operating point.
        gop: Frames from one key frame to the next, for options that name it.
        matrix: Colour matrix of the coded video (limited range), tagged in the stream; ``None`` is BT.601 below 720
            lines and BT.709 from there.
        preset: Name of the option set, for the record.

    Raises:
        ConfigError: there is no FFmpeg with libvvenc, or an argument is out of range.
    """

    supports_importance = False

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        gop: int = 12,
        matrix: str | None = None,
        preset: str = "custom",
    ):
        if matrix is not None and matrix not in MATRICES:
            raise ConfigError(f"codec {name}: matrix {matrix!r} is unknown; use one of {', '.join(MATRICES)}")
        if gop < 1:
            raise ConfigError(f"gop={gop} is too small; a group of pictures has at least one frame")
        self.name, self.matrix = name, matrix
        self._options = {k: str(v).format(gop=gop) for k, v in options.items()}
        self.gop = _intra_period(name, self._options.get("vvenc-params", ""))
        try:
            self._binary, version = ffmpeg_binary("encoders", "libvvenc")
        except ConfigError as error:
            raise ConfigError(f"codec {name}: {error}") from error
        command = self._arguments("{QP}", "{WIDTH}x{HEIGHT}", "{FPS}", matrix)
        self.meta: dict[str, Any] = {
            "encoder": "libvvenc",
            "preset": preset,
            "command": " ".join(["ffmpeg", *command]),
            "libraries": {"imageio-ffmpeg's ffmpeg": version, **versions("av")},
            "matrix": matrix or "bt601 below 720 lines, else bt709",
            "range": "limited",
            "pix_fmt": PIX_FMT,
            "bits": "elementary stream (Annex B) with parameter sets, without SEI and access unit delimiters",
        }

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """One point for each qp in ``settings["qp"]`` (0 to 63, whole)."""
        return [{"qp": qp} for qp in _qps(settings)]

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
        """Elementary stream of ``frames`` (uint8 RGB ``[3, H, W]``) at ``point["qp"]``; comes after the last frame.

        Raises:
            ConfigError: no qp in ``point`` or one that is not whole or outside [0, 63].
            ImportanceError: an importance map is given.
            VideoError: a frame is not uint8 RGB of ``size``, or the encoder refuses it or dies.
        """
        if importance is not None:
            raise ImportanceError(f"codec {self.name} takes no importance map; encode with alpha = 1")
        (qp,) = _qps(point)
        height, width = size
        what = f"{width}x{height} at qp {qp:g}"
        taken = 0
        matrix = self.matrix or default_matrix(height)
        even = f"{width + width % 2}x{height + height % 2}"
        with tempfile.TemporaryDirectory(prefix="pvc-vvenc-") as folder:
            arguments = self._arguments(f"{qp:g}", even, str(Fraction(fps)), matrix)
            with _running([self._binary, *arguments], Path(folder)) as (process, messages):
                for frame in frames:
                    if frame.dtype != torch.uint8 or frame.shape != (3, *size):
                        got = f"frame {taken} is {frame.dtype} {list(frame.shape)}"
                        raise VideoError(f"codec {self.name} needs uint8 frames {[3, *size]}, but {got}")
                    taken += 1
                    planes = rgb_to_yuv(_even(frame)[None], PIX_FMT, matrix)
                    try:
                        process.stdin.writelines(plane.numpy() for plane in planes)
                    except BrokenPipeError:
                        break  # it has ended, and its messages say why
                failed = _finish(process)
            if failed:
                raise VideoError(f"{self.name}: FFmpeg's libvvenc fails to code {what}: {_complaint(messages, failed)}")
            stream = (Path(folder) / "stream.266").read_bytes()
        if (coded := len(_PICTURE.findall(stream))) != taken:
            raise VideoError(f"{self.name}: FFmpeg's libvvenc coded {coded} of {taken} frames of {what}")
        yield size_unit(_SEI_HEADER, height, width) + stream

    def _arguments(self, qp: str, size: str, fps: str, matrix: str | None) -> list[str]:
        """FFmpeg's command line for raw frames of ``size`` (``WxH``) in and an elementary stream out."""
        frames = {"size": size, "fps": fps, "colorspace": MATRICES.get(matrix, "{MATRIX}")}
        options = self._options | {"qp": qp}
        return encoder_arguments("libvvenc", options, "vvc", pix_fmt=PIX_FMT, **frames, file="stream.266")

    def decode_frames(self, data: bytes) -> Iterator[Tensor]:
        """Frames of ``data`` one by one, converted by the matrix and range that the stream itself carries.

        Raises:
            BitstreamError: where the stream is damaged, or at once where it holds no frame.
        """
        return decode_elementary(self.name, data, "vvc", PIX_FMT)


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen, Path]]:
    """The process, which works in ``folder`` and never outlives the block, and the file of what it says."""
    messages = folder / "messages"
    with messages.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder)
        try:
            yield process, messages
        finally:
            process.kill()
            process.wait()
            _close(process)


def _finish(process: subprocess.Popen) -> int:
    """Exit code of the process after its last frame."""
    _close(process)
    return process.wait()


def _close(process: subprocess.Popen) -> None:
    with suppress(BrokenPipeError):  # what was still buffered has no reader any more
        process.stdin.close()


def _complaint(messages: Path, code: int) -> str:
    """What the process said went wrong, in one line: the first error, as those after it follow from it."""
    lines = [line.strip() for line in messages.read_text(errors="replace").splitlines()]
    lines = [re.sub(r"\[\S+ @ 0x[0-9a-f]+\] *", "", line) for line in lines if line and "warning" not in line.lower()]
    return lines[0][:200] if lines else f"exit code {code}"


def _even(frame: Tensor) -> Tensor:
    """``[3, H, W]`` padded to even sizes by its last row and column."""
    height, width = frame.shape[-2:]
    frame = torch.cat([frame, frame[:, height - height % 2 :]], dim=1)
    return torch.cat([frame, frame[..., width - width % 2 :]], dim=2)


def _qps(settings: Mapping[str, Any]) -> list[float]:
    """``settings["qp"]``: whole numbers from 0 to 63."""
    qps = numbers(settings, "qp", 0, 63)
    for qp in qps:
        if qp % 1:
            raise ConfigError(f"qp={qp:g} is not a whole number, as libvvenc needs it")
    return qps


def _intra_period(name: str, params: str) -> int:
    """Frames from one key frame to the next that ``vvenc-params`` ask for."""
    said = dict(part.partition("=")[::2] for part in params.split(":")).get("IntraPeriod", "")
    if not said.isdecimal() or int(said) < 1:
        raise ConfigError(f"codec {name}: vvenc-params {params!r} do not say IntraPeriod; add IntraPeriod={{gop}}")
    return int(said)
