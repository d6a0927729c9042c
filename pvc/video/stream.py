"""Video files through FFmpeg's demuxers and decoders."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, dropwhile, islice
from pathlib import Path

import av
import torch
from torch import Tensor

from pvc.errors import VideoError
from pvc.video.color import Converter, check_matrix, frame_to_rgb, planes_of
from pvc.video.info import DEFAULT_FPS, Asked, VideoInfo, frame_rate
from pvc.video.pipe import Pipe, is_pipe, standard_input
from pvc.video.raw import raw_options
from pvc.video.truncation import is_cut

_MATRIX_OF = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}  # AVCOL_SPC_*; 0 is RGB, 2 unspecified
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_REORDER = 16  # frames; the most that H.264 and HEVC allow


class Stream:
    """The first video stream of a file, through FFmpeg, as the source of a :class:`pvc.video.VideoReader`.

    Attributes:
        drift: seconds by which frames that were read stand off their time at the rate of ``info``, at most.
    """

    drift = 0.0

    def __init__(self, path: Path, start: int, grey: bool, asked: Asked) -> None:
        self._pipe = Pipe(standard_input()) if is_pipe(path) else None
        self._raw = path.suffix.lower() == ".yuv" or (self._pipe is not None and asked.width is not None)
        options, frames = raw_options(path, start, asked) if self._raw else ({}, None)
        self._path = path = Path("standard input") if self._pipe else path
        self._container = _open(path, options, self._pipe)
        try:
            self._stream = _video_stream(path, self._container)
            self._stream.codec_context.options = {"err_detect": "crccheck+explode"}  # damage is an error, not a guess
            self._decoded = self._decode(start)
            self._first = first = next(self._decoded, None)
            if first is None:
                raise VideoError(f"{path}: there is no frame {start}" if start else f"{path}: no frames in this file")
            self._turns = round(first.rotation / 90) % 4
            size = (first.height, first.width) if self._turns % 2 else (first.width, first.height)
            pix_fmt = first.format.name
            if not self._raw:
                asked.check(path, *size, pix_fmt)
            matrix = check_matrix(asked.matrix or _tagged_matrix(path, first), first.height)
            full_range = _tagged_range(first) if asked.full_range is None else asked.full_range
            rate = asked.fps or self._stream.average_rate or self._stream.guessed_rate or DEFAULT_FPS
            self.info = VideoInfo(*size, frame_rate(rate, path), frames, pix_fmt, matrix, full_range)
            target = "gray16le" if grey else "gbrp"
            self._convert = Converter(first.width, first.height, pix_fmt, target, matrix, full_range)
        except BaseException:
            self._container.close()
            raise

    def frames(self) -> Iterator[Tensor]:
        """uint8 RGB ``[3, H, W]`` or, if grey, float32 ``[1, H, W]`` in [0, 1]; VideoError at damage or a new size."""
        expected = (self._first.width, self._first.height, self._first.format.name)
        frame, self._first = self._first, None
        begin, number = frame and frame.pts, 0
        while frame is not None:
            if frame.pts is not None and begin is not None:
                time = (frame.pts - begin) * self._stream.time_base
                self.drift = max(self.drift, float(abs(time - number / self.info.fps)))
            number += 1
            found = (frame.width, frame.height, frame.format.name)
            if found != expected:
                raise VideoError(
                    f"{self._path}: frames change from {expected} to {found} within the clip; convert it first"
                )
            out = self._convert(frame)
            if out.format.name == "gbrp":
                tensor = frame_to_rgb(out)
            else:
                tensor = torch.from_numpy(planes_of(out)[0].astype("float32"))[None] / 65535
            yield torch.rot90(tensor, self._turns, (1, 2)).contiguous() if self._turns else tensor
            frame = next(self._decoded, None)

    def close(self) -> None:
        """Closes the file."""
        self._container.close()

    def _decode(self, start: int) -> Iterator[av.VideoFrame]:
        """Frames from ``start`` on; after the last whole one VideoError if the file is cut or damaged."""
        done = start
        try:
            for frame in self._whole_frames() if self._raw or not start else self._seek(start):
                if frame.is_corrupt:
                    raise OSError(0, "damaged")
                done += 1
                yield frame
            if self._pipe:
                self._pipe.check()
        except (av.FFmpegError, OSError) as e:
            reason = _reason(e, self._pipe)
            raise VideoError(f"{self._path}: {reason} after {done} whole frames") from e
        finally:
            if self._pipe:
                self._pipe.check_interrupt()

    def _seek(self, start: int) -> Iterator[av.VideoFrame]:
        if self._pipe:
            return islice(self._whole_frames(), start, None)
        times = timestamps(self._path)
        if start >= len(times):
            raise VideoError(f"{self._path}: there is no frame {start}, the clip has {len(times)}")
        if None in times:  # elementary streams: nothing to seek by
            return islice(self._whole_frames(), start, None)
        # Demuxers seek by decoding time, which may be up to _REORDER frames ahead of the time of display.
        for target in (times[max(0, start - _REORDER)], times[0]):
            self._container.seek(target, stream=self._stream)
            frames = dropwhile(lambda f: f.pts < times[start], self._whole_frames())
            first = next(frames, None)
            if first is not None and first.pts == times[start]:
                return chain([first], frames)
        raise VideoError(f"{self._path}: cannot seek to frame {start}; convert the clip first")

    def _whole_frames(self) -> Iterator[av.VideoFrame]:
        decoder, last = self._stream.codec_context, None
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    raise OSError(0, "the file is cut or damaged")
                for frame in packet.decode() if packet.size else ():  # empty: a repeated frame, or the end
                    yield frame
                    last = frame
            if is_cut(self._pipe or self._path, self._container):
                raise OSError(0, "the file is cut")
            yield from decoder.decode(None)
        except (av.FFmpegError, OSError):
            yield from self._adjacent(decoder, last)
            raise

    def _adjacent(self, decoder: av.VideoCodecContext, last: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """What a decoder still holds when its input broke off, up to the first gap in time (lost B-frames)."""
        try:
            for frame in decoder.decode(None):
                if last is None or frame.pts is None:
                    return
                if (frame.pts - last.pts) * self._stream.time_base * self._stream.average_rate > 1.5:
                    return
                yield frame
                last = frame
        except av.FFmpegError:
            return  # the damage itself, about to be reported


def _open(path: Path, options: dict[str, str], pipe: Pipe | None = None) -> av.container.InputContainer:
    try:
        return av.open(pipe or str(path), format="rawvideo" if options else None, options=options)
    except (av.FFmpegError, OSError, ValueError) as e:
        if pipe:
            pipe.check_interrupt()
        raise VideoError(f"{path}: cannot read this as a video ({_reason(e, pipe)})") from e


def _reason(error: Exception, pipe: Pipe | None) -> str:
    """What ended the pipe, if anything did; else ``error``, with a hint in a pipe."""
    if pipe and pipe.error is not None:
        error = pipe.error
    reason = getattr(error, "strerror", None) or str(error)
    return reason + pipe.hint() if pipe and pipe.error is None else reason


def _video_stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    if not container.streams.video:
        raise VideoError(f"{path}: no video in this file")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise VideoError(f"{path}: no decoder for this video")
    return stream


@lru_cache(maxsize=256)
def _index(path: Path, size: int, mtime: int) -> tuple[int | None, ...]:
    times = tuple(_times(path))
    return times if None in times else tuple(sorted(times))


def _times(path: Path) -> Iterator[int | None]:
    with _open(path, {}) as container:
        try:
            for packet in container.demux(_video_stream(path, container)):
                if packet.is_corrupt:
                    break
                if packet.size and not packet.is_discard:
                    yield packet.pts
        except av.FFmpegError:
            pass  # the index ends where the file is cut; who decodes that far is told


def count_frames(path: Path) -> int:
    """The number of frames, by reading the packets without decoding them, in constant memory."""
    return sum(1 for _ in _times(path))


def timestamps(path: Path) -> tuple[int | None, ...]:
    """Presentation time of every frame in order of display, by reading the packets without decoding them."""
    stat = path.stat()
    return _index(path.resolve(), stat.st_size, stat.st_mtime_ns)


def _tagged_matrix(path: Path, frame: av.VideoFrame) -> str | None:
    if frame.format.is_rgb or frame.colorspace == 2:
        return None
    if frame.colorspace not in _MATRIX_OF:
        raise VideoError(f"{path}: colour matrix number {frame.colorspace} is not supported; give matrix")
    return _MATRIX_OF[frame.colorspace]


def _tagged_range(frame: av.VideoFrame) -> bool:
    if frame.color_range:
        return frame.color_range == _FULL_RANGE
    name = frame.format.name
    return frame.format.is_rgb or name.startswith(("gray", "yuvj"))
