"""Reading clips frame by frame, in constant memory."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from pvc.errors import VideoError
from pvc.video import images
from pvc.video.info import Asked, VideoInfo
from pvc.video.pipe import is_pipe
from pvc.video.stream import Stream, timestamps


class VideoReader:
    """Iterator over the frames of a clip, uint8 RGB ``[3, H, W]`` each; also a context manager.

    Only the frame at hand is in memory. Made by :func:`open_video`, whose arguments and errors it shares. A damaged or
    truncated file gives every frame that is whole, then VideoError.

    Attributes:
        info: the clip's :class:`VideoInfo`.
    """

    info: VideoInfo

    def __init__(self, path: str | Path, start: int = 0, *, grey: bool = False, **asked: object) -> None:
        path = Path(path)
        if start < 0:
            raise VideoError(f"{path}: start must be 0 or more, not {start}")
        if not (is_pipe(path) or path.exists()):
            raise VideoError(f"{path}: no such file or folder")
        pictures = path.is_dir() or path.suffix.lower() in images.SUFFIXES
        self._source = (images.Pictures if pictures else Stream)(path, start, grey, Asked(**asked))
        self.info = self._source.info
        self._frames = self._source.frames()

    @property
    def drift(self) -> float:
        """Seconds by which a frame that was read stands off its time at ``info.fps``, at most; 0 for pictures."""
        return self._source.drift

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        return next(self._frames)

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; reading on ends."""
        self._frames.close()
        self._source.close()


def open_video(
    path: str | Path,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: Fraction | float | None = None,
    pix_fmt: str | None = None,
    matrix: str | None = None,
    full_range: bool | None = None,
) -> VideoReader:
    """Opens a clip for reading from its first frame.

    Args:
        path: a video file, raw ``.yuv``, a folder of PNG or JPEG, one picture, or ``-`` for standard input.
        width, height, pix_fmt: of a raw ``.yuv`` file, or to say that standard input is raw; they override what its
            name says (4:2:0, 8 bits where neither says). Other files state their own, and one that contradicts an
            argument is an error.
        fps: frames a second, overriding the file's; a raw file needs one here or in its name, pictures are at 25.
        matrix: ``bt601``, ``bt709`` or ``bt2020``; None for the stream's, else by lines (below 720: BT.601).
        full_range: None for the stream's, else limited (grey formats: full).

    Raises:
        VideoError: nothing readable is there, a raw file's size or rate is unknown, an argument contradicts the file.
    """
    return VideoReader(path, width=width, height=height, fps=fps, pix_fmt=pix_fmt, matrix=matrix, full_range=full_range)


def read_clip(path: str | Path, start: int = 0, count: int | None = None, **kwargs: object) -> Tensor:
    """Frames ``start`` to ``start + count`` (or the end) as uint8 ``[T, 3, H, W]``.

    Seeks by the index of the file, so it is exact for any key frame distance, B-frames and variable frame rate. As with
    a slice, fewer frames come back where the clip ends earlier; none at all is an error.

    Args:
        kwargs: those of :func:`open_video`.

    Raises:
        VideoError: as :func:`open_video`; the clip has no frame ``start``; a frame that was asked for is damaged.
    """
    return torch.stack(read_frames(path, start, count, **kwargs))


def probe(path: str | Path, **kwargs: object) -> VideoInfo:
    """The clip's :class:`VideoInfo` with the number of frames, counted where it takes counting.

    Args:
        kwargs: those of :func:`open_video`.
    """
    with open_video(path, **kwargs) as reader:
        info = reader.info
    return info if info.frames is not None else replace(info, frames=len(timestamps(Path(path))))


def read_frames(path: str | Path, start: int, count: int | None, **kwargs: object) -> list[Tensor]:
    """As :func:`read_clip`, as a list; with ``grey=True`` float32 ``[1, H, W]`` in [0, 1]."""
    if count is not None and count < 1:
        raise VideoError(f"{path}: count must be 1 or more, not {count}")
    with VideoReader(path, start, **kwargs) as reader:
        frames = list(islice(reader, count))
    if not frames:
        raise VideoError(f"{path}: there is no frame {start}, the clip is shorter")
    return frames
