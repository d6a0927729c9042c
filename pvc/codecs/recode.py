"""A clip coded again and again at one bitrate, each time by another map: what the annotation tool waits for.

The pictures lie in a Matroska file of raw 4:2:0, so that nothing is decoded, converted or kept in memory between two
codings; its pages stay in the system's cache. Both passes run with the map (Pergament et al., 2022, section III.D). A
first pass without map cannot be used again: with macroblock trees, x264 takes the offsets of all frames that others
refer to from what the first pass wrote, so the second pass would heed the map in the remaining B-frames only.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from pvc.codecs.avcodec import AvCodec
from pvc.codecs.delta_qp import attach
from pvc.codecs.two_pass import two_pass
from pvc.errors import VideoError

_FIRST = 0.35  # share of the time of both passes that the first one takes, for the progress that is shown


@dataclass(frozen=True)
class Recoded:
    """What came of a coding: kbit/s of the stream without container and SEI, kbit/s that the encoder was asked for to
    give them, and how many second passes it took."""

    kbps: float
    asked: float
    second_passes: int


class Recoder:
    """Codes the clip in ``source`` to mp4 files, in two passes at a bitrate.

    Args:
        codec: x264 or x265.
        source: yuv420p pictures of even size, best as raw video in Matroska.
        fps, count: frames a second, and how many.
        threads: of the encoder. The bits depend on it, not on the machine.

    Raises:
        VideoError: the source cannot be read, or is something else.
    """

    def __init__(self, codec: AvCodec, source: str | Path, fps: Fraction, count: int, threads: int = 1) -> None:
        self.codec, self.source, self.fps, self.count = codec, Path(source), fps, count
        self._options = _threaded(codec, threads)
        try:
            with av.open(str(source)) as container:
                context = container.streams.video[0].codec_context
                self.size, kind = (context.height, context.width), context.pix_fmt
        except (av.FFmpegError, OSError, IndexError) as error:
            raise VideoError(f"{source}: cannot read this as a video ({error})") from None
        if kind != "yuv420p" or self.size[0] % 2 or self.size[1] % 2:
            raise VideoError(f"{source}: frames of {self.size[1]}x{self.size[0]} {kind}; give yuv420p of even size")

    def code(
        self,
        out: str | Path,
        kbps: float,
        offsets: Sequence[np.ndarray] | None = None,
        *,
        ask: float | None = None,
        close: float = 0.02,
        step: Callable[[float], None] = lambda share: None,
    ) -> Recoded:
        """Write ``out`` (mp4, all of it or nothing) at ``kbps`` kbit/s.

        Args:
            offsets: of each frame's blocks in QP, as :meth:`pvc.codecs.delta_qp.DeltaQp.blocks` gives them; None for
                none.
            ask: kbit/s that the encoder is asked for at first, where an earlier coding showed what gives ``kbps``.
            close: share that the bitrate may miss; further passes follow until it does not (at most four).
            step: is told before each frame what share is done; what it raises ends the coding.

        Raises:
            VideoError: the source is damaged, the encoder refuses the bitrate, or the disk is full.
        """
        out, found = Path(out), {}

        def file(number: int) -> Path:
            return out.with_name(f".{out.name}.{number}.partial")

        def attempt(options: Mapping[str, str], number: int) -> float:
            found[number] = math.inf, int(options["b"]) / 1000
            found[number] = self._pass(file(number), options, number, offsets, step), int(options["b"]) / 1000
            return found[number][0]

        try:
            best = two_pass(self.codec.encoder, self._options, kbps, attempt, ask=ask, close=close)
            os.replace(file(best), out)
        finally:
            for number in found:
                file(number).unlink(missing_ok=True)
        return Recoded(*found[best], second_passes=max(found))

    def _pass(
        self,
        path: Path,
        options: Mapping[str, str],
        number: int,
        offsets: Sequence[np.ndarray] | None,
        step: Callable[[float], None],
    ) -> float:
        """One pass, numbered 0 for the first, into ``path``; kbit/s."""
        size = 0
        try:
            with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
                stream = file.add_stream(self.codec.encoder, rate=self.fps)
                context = stream.codec_context
                self.codec.configure(context, options, self.fps, self.size)
                context.open()
                without_sei = BitStreamFilterContext(self.codec.without_sei, stream)
                size += len(context.extradata or b"")  # the parameter sets
                for t, picture in enumerate(chain(self._pictures(context, offsets), [None])):
                    step(_FIRST * t / self.count if number == 0 else _FIRST + (1 - _FIRST) * t / self.count)
                    for packet in context.encode(picture):
                        for part in without_sei.filter(packet):
                            size += part.size
                            part.stream = stream
                            file.mux(part)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                f"{self.source} cannot be coded at {int(options['b']) / 1000:g} kbit/s: {error}"
            ) from error
        return 8 * size * float(self.fps) / 1000 / self.count

    def _pictures(self, context: av.VideoCodecContext, offsets: Sequence[np.ndarray] | None) -> Iterator[av.VideoFrame]:
        """The source's pictures as the encoder takes them, with their offsets."""
        done = 0
        with av.open(str(self.source)) as container:
            for t, picture in enumerate(islice(container.decode(video=0), self.count)):
                picture.pts, picture.time_base, picture.pict_type = t, context.time_base, 0
                picture.colorspace, picture.color_range = context.colorspace, context.color_range
                if offsets is not None:
                    attach(picture, offsets[t])
                done += 1
                yield picture
        if done < self.count:
            raise VideoError(f"{self.source} has {done} frames, not {self.count}; prepare the clip again")


def _threaded(codec: AvCodec, threads: int) -> dict[str, str]:
    """The codec's options with so many threads."""
    # Each thread its frame: PyAV asks for slices by default, whose border one sees in the middle of a picture.
    options = {**codec.meta["options"], "threads": str(threads), "thread_type": "frame"}
    if "x265-params" in options:  # where its threads are said too, and repeated names go by the last
        options["x265-params"] += f":pools={threads}"
    return options
