"""Writing clips. A file appears under its name only when it is whole."""

import secrets
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from PIL import Image
from torch import Tensor, uint8

from pvc.errors import VideoError
from pvc.video import color
from pvc.video.pipe import Pipe, is_pipe, standard_output
from pvc.video.raw import parse_raw_name
from pvc.video.urgency import as_urgent_as_before

_SPACE = {"bt709": 1, "bt601": 6, "bt2020": 9}  # AVCOL_SPC_*


class _Format(NamedTuple):
    muxer: str
    codec: str
    pix_fmt: str
    options: dict[str, str]


_H264 = {"crf": "12", "preset": "medium"}
_FORMATS = {
    ".mkv": _Format("matroska", "ffv1", "bgr0", {"level": "3"}),  # lossless RGB
    ".mp4": _Format("mp4", "libx264", "yuv420p", _H264),
    ".mov": _Format("mov", "libx264", "yuv420p", _H264),
    ".webm": _Format("webm", "libvpx-vp9", "yuv420p", {"crf": "16", "b": "0", "deadline": "good", "cpu-used": "4"}),
    ".y4m": _Format("yuv4mpegpipe", "rawvideo", "yuv420p", {}),
    ".yuv": _Format("rawvideo", "rawvideo", "yuv420p", {}),
}


class VideoWriter:
    """Writes frames to a file or folder, chosen by the name.

    ``.mkv`` is lossless RGB (FFV1), ``.mp4`` and ``.mov`` H.264 at crf 12, ``.webm`` VP9 at crf 16, ``.y4m`` and
    ``.yuv`` 8-bit 4:2:0 without compression; a name without suffix, one ending in ``.mask``, or an empty folder takes
    numbered PNGs (``codec="jpeg"``: JPEGs of quality 95). All are written under a temporary name beside the target and
    renamed when whole, so a failure leaves what was there before as it was.

    Args:
        path: the target. An existing file is replaced; a folder that is not empty is an error; ``-`` is standard
            output, which takes y4m.
        width, height: frame size. Odd sizes become 4:4:4 where H.264 would need even ones.
        fps: frames a second (pictures do not keep it).
        matrix: ``bt601``, ``bt709``, ``bt2020``, None for BT.601 below 720 lines and BT.709 from there. ``.yuv`` and
            ``.y4m`` cannot say which it was.
        full_range: luma 0..255 instead of 16..235.
        codec, pix_fmt: FFmpeg names that override the defaults above (``pix_fmt="yuv444p10le"``).
        options: codec options that replace the defaults (``{"crf": "18"}``).
        prepare: called with each FFmpeg frame of a file just before it is coded, in order; may attach side data.

    Raises:
        VideoError: unknown suffix, unwritable place, full disk, a codec that refuses size, format or options, a
            frame of another size, no frame at all.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        width: int,
        height: int,
        fps: Fraction | float,
        matrix: str | None = None,
        full_range: bool = False,
        codec: str | None = None,
        pix_fmt: str | None = None,
        options: dict[str, str] | None = None,
        prepare: Callable[[av.VideoFrame], None] | None = None,
    ) -> None:
        self._path = path = Path(path)
        self._size = (height, width)
        self._count = 0
        self._sink: _Pictures | _File | None = None
        if width < 1 or height < 1 or not 0 < fps < 10_000:
            raise VideoError(f"{path}: cannot write frames of {width}x{height} at {fps} frames a second")
        matrix = color.check_matrix(matrix, height)
        suffix = ".y4m" if is_pipe(path) else path.suffix.lower()
        if suffix in _FORMATS:
            base = _FORMATS[suffix]
            if base.codec == "libx264" and (width % 2 or height % 2):
                base = base._replace(pix_fmt="yuv444p")
            merged = _Format(
                base.muxer,
                codec or base.codec,
                pix_fmt or base.pix_fmt,
                ({} if codec or options is not None else base.options) | (options or {}),
            )
            self._sink = _guard(path, _File, path, width, height, Fraction(fps), merged, matrix, full_range, prepare)
        elif path.is_dir() or suffix in {"", ".mask"}:
            self._sink = _guard(path, _Pictures, path, codec or "png")
        else:
            raise VideoError(f"{path}: cannot write {suffix}; use {', '.join(_FORMATS)} or a folder without suffix")

    def write(self, frame: Tensor) -> None:
        """Appends uint8 RGB ``[3, H, W]`` or grey ``[1, H, W]``."""
        if self._sink is None:
            raise VideoError(f"{self._path}: already closed")
        if frame.dtype != uint8 or frame.ndim != 3 or frame.shape[0] not in (1, 3):
            raise ValueError(f"expected a uint8 frame [3, H, W] or [1, H, W], got {frame.dtype} {list(frame.shape)}")
        if tuple(frame.shape[1:]) != self._size:
            got, want = "x".join(map(str, frame.shape[:0:-1])), f"{self._size[1]}x{self._size[0]}"
            raise VideoError(f"{self._path}: frame {self._count} is {got}, the clip is {want}")
        try:
            _guard(self._path, self._sink.write, frame.cpu(), self._count)
        except BaseException:
            self.discard()
            raise
        self._count += 1

    def close(self) -> None:
        """Finishes the file and gives it its name."""
        if self._sink is None:
            return
        if not self._count:
            self.discard()
            raise VideoError(f"{self._path}: no frames were written")
        try:
            _guard(self._path, self._sink.finish)
        except BaseException:
            self.discard()
            raise
        self._sink = None

    def discard(self) -> None:
        """Gives up: removes the temporary file, leaves the target as it was."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.discard()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type | None, *exc: object) -> None:
        self.close() if kind is None else self.discard()


def write_clip(path: str | Path, clip: Tensor, fps: Fraction | float, **kwargs: object) -> None:
    """Writes uint8 ``[T, 3, H, W]`` (or grey ``[T, 1, H, W]``).

    Args:
        kwargs: those of :class:`VideoWriter`, whose errors it shares.
    """
    with VideoWriter(path, width=clip.shape[-1], height=clip.shape[-2], fps=fps, **kwargs) as writer:
        for frame in clip:
            writer.write(frame)


class _File:
    """A container or raw file through FFmpeg."""

    def __init__(self, path, width, height, fps, fmt: _Format, matrix, full_range, prepare) -> None:
        if path.is_dir():
            raise VideoError(f"{path}: is a folder")
        if path.suffix.lower() == ".yuv":
            name = parse_raw_name(path)
            if name.width and (name.width, name.height) != (width, height):
                raise VideoError(f"{path}: the name says {name.width}x{name.height}, the frames are {width}x{height}")
        self._path, self._prepare = path, prepare
        self._container = None
        # Python does the writing: its errors carry the reason (no space left) where FFmpeg's closing would swallow it.
        if is_pipe(path):
            self._temporary, self._file = None, Pipe(standard_output())
        else:
            self._temporary = _temporary(path)
            self._file = self._temporary.open("xb+")
        try:
            self._container = av.open(self._file, "w", format=fmt.muxer, options={"strict": "-1"})  # y4m of 10 bits
            self._stream = stream = self._container.add_stream(fmt.codec, rate=fps.limit_denominator(1001))
            stream.width, stream.height, stream.pix_fmt = width, height, fmt.pix_fmt
            stream.options = dict(fmt.options)
            rgb = stream.codec_context.format.is_rgb
            if not rgb:
                stream.codec_context.colorspace = _SPACE[matrix]
                stream.codec_context.color_range = 2 if full_range else 1
            self._grey = fmt.pix_fmt.startswith("gray")
            source = "gray" if self._grey else "gbrp"
            self._convert = None
            if fmt.pix_fmt != source:
                self._convert = color.Converter(width, height, source, fmt.pix_fmt, matrix, full_range)
            self._tags = (0 if rgb else _SPACE[matrix], 2 if full_range or rgb else 1)
            with as_urgent_as_before():
                stream.codec_context.open()
        except BaseException:
            self.discard()
            raise

    def write(self, frame: Tensor, index: int) -> None:
        if self._grey and frame.shape[0] != 1:
            raise VideoError(f"{self._path}: a grey file cannot take colour frames")
        if self._grey:
            picture = color.make_frame([frame[0].numpy()], frame.shape[2], frame.shape[1], "gray")
        else:
            picture = color.rgb_to_frame(frame.expand(3, -1, -1))
        if self._convert is not None:
            picture = self._convert(picture)
        picture.colorspace, picture.color_range = self._tags
        picture.pts, picture.time_base = index, 1 / self._stream.codec_context.framerate
        if self._prepare is not None:
            self._prepare(picture)
        self._container.mux(self._stream.encode(picture))
        self._check_pipe()

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._check_pipe()
        if self._temporary is not None:
            self._file.close()
            self._temporary.replace(self._path)

    def _check_pipe(self) -> None:
        if isinstance(self._file, Pipe):
            self._file.check()

    def discard(self) -> None:
        for thing in (self._container, self._file if self._temporary else None):
            try:
                if thing is not None:
                    thing.close()
            except (OSError, av.FFmpegError, ValueError):
                pass  # the disk may be full still; what matters is that the temporary file goes
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


class _Pictures:
    """A folder of numbered pictures."""

    def __init__(self, path: Path, codec: str) -> None:
        if codec not in {"png", "jpeg"}:
            raise VideoError(f"{path}: a folder takes png or jpeg, not {codec}")
        if path.is_file():
            raise VideoError(f"{path}: is a file; give a folder, or a name that ends in {', '.join(_FORMATS)}")
        if path.is_dir() and any(path.iterdir()):
            raise VideoError(f"{path}: the folder is not empty; give a new one")
        self._path = path
        self._suffix, self._save = (".png", {"compress_level": 3}) if codec == "png" else (".jpg", {"quality": 95})
        self._temporary = _temporary(path)
        self._temporary.mkdir()

    def write(self, frame: Tensor, index: int) -> None:
        array = frame[0].numpy() if frame.shape[0] == 1 else frame.permute(1, 2, 0).contiguous().numpy()
        Image.fromarray(array).save(self._temporary / f"{index:05d}{self._suffix}", **self._save)

    def finish(self) -> None:
        self._temporary.replace(self._path)

    def discard(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)


def _temporary(path: Path) -> Path:
    if not path.parent.is_dir():
        raise VideoError(f"{path}: there is no folder {path.parent}; make it first")
    return path.parent / f".pvc-{secrets.token_hex(4)}.part"


def _guard(path: Path, call, *args):
    """Calls, turning what FFmpeg and the disk complain of into one line."""
    try:
        return call(*args)
    except BrokenPipeError:
        raise  # the reader went away, which is no error of ours
    except (av.FFmpegError, OSError) as e:
        raise VideoError(f"{path}: cannot write ({e.strerror or e})") from e
    except (ValueError, OverflowError) as e:  # PyAV, of an unknown codec, format or option
        raise VideoError(f"{path}: cannot write ({e})") from e
