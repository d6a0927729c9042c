"""``pvc decode``: a ``.pvc`` stream back into a clip."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path

from torch import Tensor

from pvc.codecs.cpvc import CpvcCodec
from pvc.codecs.neural import NeuralCodec
from pvc.commands.files import load_model, reading
from pvc.console import progress
from pvc.entropy.reader import MAX_PIXELS, Concealment, StreamReader
from pvc.errors import BitstreamError, CheckpointError, FramesMissing
from pvc.video import VideoWriter
from pvc.video.pipe import is_pipe


def decode(
    source: str,
    target: str,
    model: str | None = None,
    device: str | None = None,
    *,
    start: int = 0,
    count: int | None = None,
    conceal: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Decode the ``.pvc`` stream ``source`` into the clip ``target``, frame by frame; ``-`` is a pipe (y4m goes out).

    Args:
        target: .mkv, .mp4, .y4m or a folder of PNG.
        start: the first frame to decode. count: how many; None is all.
        conceal: go on after damage; a frame that is missing is the one before it again.
        max_pixels: the largest width x height that is taken.

    Raises:
        BitstreamError: the stream is damaged or cut. The frames before that are in ``target`` all the same.
        CheckpointError: the model that wrote the stream is not here.
        FramesMissing: with ``conceal``, frames had to be made up.
    """
    note = Concealment() if conceal else None
    with reading(source) as file:
        stream = StreamReader(file, max_pixels)
        codec = _model(source, stream, model, device)
        frames = islice(codec.decode_frames(stream, start, note), count)
        left = None if stream.count is None else max(stream.count - start, 0)
        written = _write(target, frames, stream, codec.name, count if left is None else min(left, count or left))
    if note is not None and note.reason is not None:
        made_up = f"{note.frames} of {written} frames were made up, the first is frame {note.first}"
        end = "" if stream.count is not None else "; how many are missing at its end is not known"
        raise FramesMissing(f"{source}: {note.reason}: {made_up if note.frames else 'no frame is missing'}{end}")


def _model(source: str, stream: StreamReader, model: str | None, device: str | None) -> NeuralCodec | CpvcCodec:
    """The model that is asked for, or else the one that the stream names."""
    if model is not None:
        return load_model(model, device=device)
    name = stream.header.model
    if Path(name).name != name:  # a stream may come from anywhere; it is not to choose a file
        raise CheckpointError(f"{source} names its model {name!r}, which is no name; give --model")
    try:
        return load_model(name, device=device)
    except CheckpointError as error:
        raise CheckpointError(f"{source} names its model, but {error} with --model") from None


@contextmanager
def _behind(write: Callable[[Tensor], None], target: str) -> Iterator[Callable[[Tensor], None]]:
    """``write`` in a thread, while the next frame is made; for a pipe, whose reader may be slow to take it, itself."""
    if is_pipe(target):
        yield write
        return
    before = None
    with ThreadPoolExecutor(1) as thread:

        def later(frame: Tensor) -> None:
            nonlocal before
            if before is not None:
                before.result()
            before = thread.submit(write, frame)

        yield later
        if before is not None:
            before.result()


def _write(target: str, frames: Iterator[Tensor], stream: StreamReader, name: str, total: int | None) -> int:
    """The frames into ``target``, those before damage as well; how many they were."""
    header, written, damage = stream.header, 0, None
    about = {"fps": Fraction(header.fps), "matrix": header.matrix, "full_range": header.full_range}
    size = {"width": header.width, "height": header.height}
    with VideoWriter(target, **size, **about) as writer, _behind(writer.write, target) as write, progress() as bars:
        try:
            for frame in bars.track(frames, total=total, description=name):
                write(frame)
                written += 1
        except BitstreamError as error:
            if not written:
                raise
            damage = error
    if damage is not None:
        raise BitstreamError(f"{damage} ({written} are in {target})")
    return written
