"""One job of an evaluation: a clip through a codec at one operating point, frame by frame from end to end."""

import hashlib
import math
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from pvc import __version__
from pvc.codecs import Codec, Point
from pvc.data import Sequence as Clip
from pvc.errors import BitstreamError, ConfigError
from pvc.evaluation import frames
from pvc.evaluation.footage import Footage
from pvc.evaluation.map_cache import MapCache
from pvc.evaluation.records import Record, has_roi, point_label
from pvc.float32 import full_float32
from pvc.importance import check_map, u_from_alpha, weighted_mask
from pvc.metrics import Metric, Scores
from pvc.metrics.base import Unavailable
from pvc.versions import versions

T = TypeVar("T")


@dataclass
class Job:
    """One job: ``codec`` by its name, ``clip`` by its place on the bench, ``made_by`` as it is recorded."""

    codec: str
    point: Point
    clip: int
    made_by: dict[str, Any]


class Bench:
    """All that jobs are run with. A copy in another process loads its codecs when a job needs them, one at a time.

    Args:
        codecs: The codecs, told apart by their names.
        clips: The sequences. counts: How many of each one's first frames are used.
        metrics: What is measured.
        out: The folder that pictures go to.
        require: Values without which a job counts as failed.
        maps: Where codecs get their maps from; None: the masks of the data set.
        keep: Whether the stream of each job is kept, too.
        lossless: Whether the pictures are kept without loss.
    """

    def __init__(
        self,
        codecs: Sequence[Codec],
        clips: Sequence[Clip],
        counts: Sequence[int],
        metrics: Sequence[Metric],
        out: Path,
        require: Sequence[str] = (),
        maps: MapCache | None = None,
        keep: bool = False,
        lossless: bool = False,
    ):
        self._codecs: dict[str, Callable[[], Codec]] = {codec.name: partial(_same, codec) for codec in codecs}
        self._clips, self._counts, self._metrics, self._out = clips, counts, metrics, out
        self._require, self._maps, self._keep, self._lossless = list(require), maps, keep, lossless
        self._codec: tuple[str, Codec] | None = None
        self._footage: tuple[int, Footage] | None = None

    def __getstate__(self) -> dict[str, Any]:
        packed = {name: partial(pickle.loads, pickle.dumps(load())) for name, load in self._codecs.items()}
        return {**vars(self), "_codecs": packed, "_codec": None, "_footage": None}

    @full_float32()  # on any device the same values, or nearly so
    def do(self, item: "int | Job") -> dict[str, Any] | Record:
        """:meth:`identify` for the place of a clip, :meth:`run` for a job."""
        return self.identify(item) if isinstance(item, int) else self.run(item)

    def identify(self, index: int) -> dict[str, Any]:
        """What tells clip ``index`` from any other: number, rate and SHA-256 of its frames, SHA-256 of its mask.

        Keeps the middle frame as a picture, too. The mask is what the result is judged by: the data set's, or where it
        has none the maps of the source.

        Raises:
            PvcError: the clip or its mask cannot be read, they do not fit, or the source has no maps for the clip.
        """
        footage, clip = self._show(index), self._clips[index]
        pixels, mask, middle = hashlib.sha256(), hashlib.sha256(), frames.middle(footage.count)
        kept = None
        for t, frame in enumerate(footage.frames()):
            pixels.update(frame.contiguous().numpy().data)
            kept = frame if t == middle else kept
        self._steer(footage, clip, pixels.hexdigest())
        masks, shown = footage.masks(), None
        for t, m in enumerate(masks or ()):
            check_map(m[None], kept[None], map_name=f"mask of {clip.name}", clip_name=clip.name)
            mask.update(m.contiguous().numpy().data)
            shown = m if t == middle else shown
        frames.save_reference(self._out, clip.dataset, clip.name, kept, shown)
        return {
            "frames": footage.count,
            "fps": float(clip.fps),
            "sha256": pixels.hexdigest(),
            "mask_sha256": None if masks is None else mask.hexdigest(),
        }

    def run(self, job: Job) -> Record:
        """The record of one job. Only bytes pass from the encoder to the decoder.

        Raises:
            PvcError: the clip cannot be read, or the codec cannot code or decode it.
        """
        codec, footage, clip = self._load(job.codec), self._show(job.clip), self._clips[job.clip]
        reading, encoding, decoding = Stopwatch(), Stopwatch(), Stopwatch()
        self._steer(footage, clip, job.made_by["clip"]["sha256"])
        maps = None
        if has_roi(job.point):
            u_alpha = u_from_alpha(job.point["alpha"])
            maps = reading.over(lambda: (weighted_mask(m, u_alpha) for m in footage.maps()))
        source = reading.over(footage.frames)
        count, size = footage.count, (clip.height, clip.width)
        data = b"".join(
            encoding.over(lambda: codec.encode_frames(source, job.point, maps, fps=clip.fps, count=count, size=size))
        )
        decoded = decoding.over(lambda: codec.decode_frames(data))
        where = f"{codec.name} at {point_label(job.point)} on {clip.name}"
        scores, middle, missing = _compare(self._metrics, footage, decoded, where)
        for name in self._require:
            if name not in scores.values:
                reason = scores.unavailable.get(name, "no metric gives it")
                raise ConfigError(f"{where}: {name} is required and has no value: {reason}")
        bits = 8 * len(data)
        record = Record(
            codec=codec.name,
            point=dict(job.point),
            dataset=clip.dataset,
            sequence=clip.name,
            frames=count,
            width=clip.width,
            height=clip.height,
            fps=float(clip.fps),
            gop=getattr(codec, "gop", job.made_by["gop"]),
            bits=bits,
            bpp=bits / (count * clip.height * clip.width),
            kbps=bits * float(clip.fps) / count / 1000,
            encode_seconds=encoding.seconds - reading.seconds,
            decode_seconds=decoding.seconds,
            metrics=scores.values,
            meta={
                "made_by": job.made_by,
                "unavailable": scores.unavailable,
                "missing": missing,
                "notes": scores.notes,
                "versions": {"pvc": __version__, **versions("av", "torch")},
            },
        )
        frames.save(self._out, record, middle, self._lossless)
        if self._keep:
            frames.save_stream(self._out, record, data)
        return record

    def _load(self, name: str) -> Codec:
        if self._codec is None or self._codec[0] != name:
            self._codec = None  # not two at a time
            self._codec = name, self._codecs[name]()
        return self._codec[1]

    def _show(self, index: int) -> Footage:
        if self._footage is None or self._footage[0] != index:
            self._footage = None
            self._footage = index, Footage(self._clips[index], self._counts[index])
        return self._footage[1]

    def _steer(self, footage: Footage, clip: Clip, sha256: str) -> None:
        """Give ``footage``, whose frames have this hash, the maps of the source, where there is one."""
        if self._maps is not None and not footage.steered:
            footage.steer(self._maps.maps(clip, sha256, footage.frames))


class Stopwatch:
    """Counts the ``seconds`` that iterators take to give their items."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, make: Callable[[], Iterable[T]]) -> Iterator[T]:
        """The items of ``make()``; what the caller does between them is not counted."""
        items = None
        while True:
            start = time.perf_counter()
            try:
                items = iter(make()) if items is None else items
                item = next(items)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - start
            yield item


def _compare(
    metrics: Sequence[Metric], footage: Footage, decoded: Iterator[Tensor], where: str
) -> tuple[Scores, Tensor, list[str]]:
    """Scores of ``decoded`` (uint8 ``[3, H, W]`` each) against the source, its middle frame, and the values that cannot
    be had on this machine."""
    masks, middle = footage.masks(), frames.middle(footage.count)
    with ExitStack() as stack:
        accumulators = [metric.start() for metric in metrics]
        for accumulator in accumulators:
            stack.callback(accumulator.close)
        for count, reference in enumerate(footage.frames()):
            result = next(decoded, None)
            if result is None:
                raise BitstreamError(f"{where} decoded to {count} frames, not {footage.count}")
            if result.shape != reference.shape:
                (_, h, w), (_, height, width) = result.shape, reference.shape
                raise BitstreamError(f"{where} decoded to frames of {w}x{h}, not {width}x{height}")
            if count == middle:
                kept = result
            importance = None if masks is None else next(masks)[None]
            for accumulator in accumulators:  # one frame at a time: views, where batches would be copies
                accumulator.add(reference[None], result[None], importance)
        if next(decoded, None) is not None:
            raise BitstreamError(f"{where} decoded to more frames than the {footage.count} that were coded")
        scores = Scores.merge(accumulator.scores() for accumulator in accumulators)
    for name in [name for name, value in scores.values.items() if not math.isfinite(value)]:
        scores.unavailable[name] = f"it came out as {scores.values.pop(name)}"
    missing = [
        name for accumulator in accumulators if isinstance(accumulator, Unavailable) for name in accumulator.names
    ]
    return scores, kept, missing


def _same(codec: Codec) -> Codec:
    return codec
