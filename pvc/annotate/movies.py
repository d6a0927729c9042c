"""Clips of 4:2:0 pictures: as every browser plays them, without loss, and read as they are stored."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
from torch import Tensor

from pvc.errors import VideoError
from pvc.video.color import Converter, rgb_to_frame

CRF, KEY = 10, 15
"""Nearly lossless, and a key frame at least so often, so that a browser is quickly at any frame."""
_SPACE = {"bt601": 6, "bt709": 1, "bt2020": 9}


def write_playable(path: Path, pictures: Iterable[av.VideoFrame], fps: Fraction, crf: int = CRF) -> None:
    """H.264 in mp4 with the index in front; arguments and errors of :func:`write_lossless`."""
    options = {"crf": str(crf), "preset": "veryfast", "g": str(KEY), "threads": "1"}
    _write(path, pictures, fps, "mp4", {"movflags": "+faststart"}, "libx264", options)


def write_lossless(path: Path, pictures: Iterable[av.VideoFrame], fps: Fraction) -> None:
    """FFV1 in Matroska.

    Args:
        path: appears when it is whole. pictures: yuv420p of even size, tagged with their matrix.

    Raises:
        VideoError: there is no picture, or the disk is full.
    """
    _write(path, pictures, fps, "matroska", {}, "ffv1", {"level": "3"})


def _write(
    path: Path,
    pictures: Iterable[av.VideoFrame],
    fps: Fraction,
    muxer: str,
    settings: Mapping[str, str],
    codec: str,
    options: Mapping[str, str],
) -> None:
    partial = path.with_name(f".{path.name}.partial")
    stream = None
    try:
        with av.open(str(partial), "w", format=muxer, options=dict(settings)) as file:
            for t, picture in enumerate(pictures):
                if stream is None:
                    stream = file.add_stream(codec, rate=fps)
                    context = stream.codec_context
                    context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuv420p"
                    context.time_base, context.color_range = 1 / fps, 1
                    context.colorspace = picture.colorspace
                    context.options = dict(options)
                picture.pts, picture.time_base, picture.pict_type = t, 1 / fps, 0
                file.mux(stream.encode(picture))
            if stream is None:
                raise VideoError(f"{path}: no frames were written")
            file.mux(stream.encode(None))
        partial.replace(path)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def pictures_of(path: Path) -> Iterator[av.VideoFrame]:
    """The frames of a yuv420p file as they are stored."""
    try:
        with av.open(str(path)) as container:
            yield from container.decode(video=0)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be read: {error.strerror or error}") from error


def from_rgb(frames: Iterable[Tensor], matrix: str) -> Iterator[av.VideoFrame]:
    """Frames uint8 ``[3, H, W]`` of even size as yuv420p, limited range."""
    convert = None
    for frame in frames:
        if convert is None:
            convert = Converter(frame.shape[2], frame.shape[1], "gbrp", "yuv420p", matrix, False)
        picture = convert(rgb_to_frame(frame))
        picture.colorspace, picture.color_range = _SPACE[matrix], 1
        yield picture
