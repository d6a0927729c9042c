"""``pvc encode``: a clip into a ``.pvc`` stream, or into an ordinary video for comparison."""

import argparse
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO

from torch import Tensor

from pvc.codecs.ahead import ahead
from pvc.codecs.cpvc import CpvcCodec
from pvc.codecs.neural import NeuralCodec
from pvc.codecs.rate_control import Control
from pvc.commands import ordinary, rate
from pvc.commands.files import keep_inputs, load_model, parse_fps, say_size, writing
from pvc.console import progress
from pvc.errors import ConfigError, ImportanceError, VideoError
from pvc.importance import check_map, u_from_alpha, weighted_mask
from pvc.video import VideoReader, open_video
from pvc.video.pipe import is_pipe
from pvc.video.stream import count_frames


def encode(args: argparse.Namespace) -> None:
    """Code ``args.input`` into ``args.output`` with ``args.model`` (a ``.pvc`` stream) or ``args.codec`` (an mp4).

    Both have one frame rate. Where that moves frames of the clip by more than one, it is said.
    """
    _check_options(args)
    keep_inputs(args.output, args.input, args.importance)
    with _open(args) as reader:
        if args.codec:
            _encode_ordinary(args, reader)
        else:
            _encode_model(args, reader)
        if args.fps is None and reader.drift * reader.info.fps > 1:
            print(
                f"pvc: warning: the frame rate of {args.input} varies; at {float(reader.info.fps):g} frames a second, "
                f"which is what was written, frames stand up to {reader.drift:.2f} s off their time",
                file=sys.stderr,
            )


def _open(args: argparse.Namespace) -> VideoReader:
    """The clip to code."""
    width, height = args.size or (None, None)
    return open_video(
        args.input,
        width=width,
        height=height,
        fps=parse_fps(args.fps),
        pix_fmt=args.pix_fmt,
        matrix=args.matrix,
        full_range=args.full_range,
    )


def _check_options(args: argparse.Namespace) -> None:
    """Options that belong to the other kind of codec are refused, not ignored."""
    rate.check_options(args)
    if args.codec:
        ordinary.check_options(args)
    else:
        if args.crf is not None:
            raise ConfigError("--crf needs --codec; a model takes --beta, or --qp where it has a base layer")
        if not is_pipe(args.output) and Path(args.output).suffix.lower() != ".pvc":
            raise ConfigError(f"{args.output}: a model writes .pvc streams; name the file OUT.pvc, or - for a pipe")
    if args.alpha not in (None, 1) and args.importance is None:
        raise ConfigError("--alpha weighs the region of interest: it needs --importance MAP")


class _Frames:
    """The reader's first ``count`` frames (uint8 ``[3, H, W]``), or all; ``early``: read by a thread, one ahead.

    Attributes:
        done: how many were taken. ended: whether that was all.

    Raises:
        VideoError: while iterating: the clip has no frame, or fewer than ``count``.
    """

    def __init__(self, reader: VideoReader, name: str, count: int | None, early: bool = False):
        self._reader, self.name, self.count = ahead(reader) if early else iter(reader), name, count
        self.done, self.ended = 0, False

    def __iter__(self) -> Iterator[Tensor]:
        for frame in islice(self._reader, self.count):
            self.done += 1
            yield frame
        if self.done < (self.count or 1):
            raise VideoError(f"{self.name} has {self.done} frames" + (f", not {self.count}" if self.count else ""))
        self.ended = True

    def close(self) -> None:
        """Leave the reader alone, in whatever thread."""
        if isinstance(self._reader, Generator):
            self._reader.close()


def _count(args: argparse.Namespace, reader: VideoReader) -> int | None:
    """How many frames to code, which a stream's header says first; None for all that a pipe gives.

    Raises:
        VideoError: the clip has fewer than are asked for.
    """
    if is_pipe(args.input):
        return args.frames
    found = reader.info.frames or count_frames(Path(args.input))
    if args.frames and args.frames > found:
        raise VideoError(f"{args.input} has {found} frames, not the {args.frames} of --frames")
    return args.frames or found


def _masks(path: str, frames: _Frames, shape: tuple[int, int], whole: bool) -> Iterator[Tensor]:
    """The map of each of ``frames`` of ``shape`` (H, W), float32 ``[1, H, W]``; ``whole``: there may be no more.

    Raises:
        ImportanceError: another size or length than the clip.
    """
    import torch

    like, clip, count, done = torch.empty((1, 3, *shape), device="meta"), frames.name, frames.count, 0
    with VideoReader(path, grey=True) as reader:
        for mask in islice(reader, count):
            done += 1
            check_map(mask[None], like, map_name=path, clip_name=clip)
            if frames.ended or (whole and done == count and next(reader, None) is not None):
                raise ImportanceError(
                    f"{path} has more than the {frames.done or count} frames of {clip}; give one map for each frame"
                )
            yield mask
    if not frames.ended and (count is None or done < count):
        raise ImportanceError(f"{path} has {done} frames but {clip} has {count or 'more'}; give one map for each frame")


def _importance(
    args: argparse.Namespace, shape: tuple[int, int], frames: _Frames
) -> tuple[float, Iterator[Tensor] | None]:
    """alpha, and q (float32 ``[1, H, W]``) of each of ``frames`` of ``shape``; None where all weighs alike.

    Raises:
        ImportanceError: alpha is out of range, or the map does not fit the clip.
    """
    alpha = args.alpha if args.alpha is not None else rate.default_alpha(args) if args.importance is not None else 1.0
    u_alpha = u_from_alpha(alpha)
    if args.importance is None:
        return alpha, None
    masks = _masks(args.importance, frames, shape, whole=args.frames is None)
    if alpha > 1 or frames.count is None:  # how long a pipe's map has to be is known at the end
        return alpha, (weighted_mask(mask, u_alpha) for mask in masks)
    for _ in masks:  # weighs all alike, which is coding without a map; one that does not fit is an error all the same
        pass
    return alpha, None


def _encode_ordinary(args: argparse.Namespace, reader: VideoReader) -> None:
    """An ordinary video, frame by frame."""
    info, frames = reader.info, _Frames(reader, args.input, _count(args, reader))
    alpha, maps = _importance(args, (info.height, info.width), frames)
    ordinary.encode_ordinary(args, info, iter(frames), frames.count, alpha, maps)
    say_size(args.output, frames.done, info.width * info.height)


def _encode_model(args: argparse.Namespace, reader: VideoReader) -> None:
    """A ``.pvc`` stream, frame by frame."""
    codec = load_model(args.model, args.gop, args.device, args.precision or "float32", args.base, args.rdoq)
    if args.importance is not None and not codec.supports_importance:
        raise ConfigError(f"{codec.name} takes no importance map; use a model with ROI, or leave --importance out")
    if args.rdoq is not None and "rdoq" not in codec.meta:
        raise ConfigError(f"--rdoq is for models such as mr-md-ssf-tiny; {codec.name} has no search for symbols")
    if isinstance(codec, CpvcCodec):
        _encode_layered(args, codec, reader)
    else:
        _encode_neural(args, codec, reader)


def _encode_layered(args: argparse.Namespace, codec: CpvcCodec, reader: VideoReader) -> None:
    """A base codec's stream and the neural one over it."""
    info, frames = reader.info, _Frames(reader, args.input, _count(args, reader))
    about = {"fps": info.fps, "count": frames.count, "size": (info.height, info.width)}
    colour = {"matrix": info.matrix, "full_range": info.full_range}
    parts = codec.encode_frames(frames, rate.base_point(args, codec), **about, **colour)
    with writing(args.output) as file:
        size = _write(file, parts, frames, codec.name)
    say_size(args.output, frames.done, info.height * info.width, size)


def _encode_neural(args: argparse.Namespace, codec: NeuralCodec, reader: VideoReader) -> None:
    """A model without base layer, whose rate can be controlled."""
    point = rate.point(args, codec)
    first = None
    if args.passes == 2:
        with _open(args) as again, progress() as bars, closing(_Pass(args, codec, again, point)) as one:
            bar = bars.add_task(f"{codec.name}, first pass", total=one.frames.count)
            for _ in one.parts:
                bars.update(bar, completed=one.frames.done)
        first = one.control
    with closing(_Pass(args, codec, reader, point, first)) as coding, writing(args.output) as file:
        frames = coding.frames
        size = _write(file, coding.parts, frames, codec.name)
        if coding.maps is not None and frames.count is None:
            next(coding.maps, None)  # says so if there are more maps than frames
    say_size(args.output, frames.done, reader.info.height * reader.info.width, size)
    rate.say(args.output, coding.control)


def _write(file: IO[bytes], parts: Iterator[bytes], frames: _Frames, name: str) -> int:
    """``parts`` as they come into ``file``; how many bytes they were."""
    size = 0
    with progress() as bars:
        bar = bars.add_task(name, total=frames.count)
        for part in parts:
            file.write(part)
            file.flush()  # for who reads the other end of a pipe
            size += len(part)
            bars.update(bar, completed=frames.done)
    return size


class _Pass:
    """One pass of a model over a clip: what it takes, what decides its rate, and the parts of the stream."""

    def __init__(self, args, codec: NeuralCodec, reader: VideoReader, point: dict, first: Control | None = None):
        info = reader.info
        early = codec.device.type == "cuda" and not is_pipe(args.input)  # Ctrl-C would wait for a pipe
        self.frames = _Frames(reader, args.input, _count(args, reader), early)
        shape = info.height, info.width
        alpha, self.maps = _importance(args, shape, self.frames)
        point = {**point, "alpha": alpha}
        about = {"fps": info.fps, "count": self.frames.count, "size": shape}
        self.control = codec.control(point, **about, first=first)
        colour = {"matrix": info.matrix, "full_range": info.full_range}
        about |= {"early": not is_pipe(args.input)}  # who fills a pipe may wait for what comes out
        self.parts = codec.encode_frames(self.frames, point, self.maps, **about, **colour, control=self.control)

    def close(self) -> None:
        """End what runs in threads."""
        try:
            self.parts.close()
        finally:
            self.frames.close()
