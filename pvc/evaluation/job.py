"""One job of an evaluation: a clip through a codec at one operating point, frame by frame from end to end."""

import hashlib
import math
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import av
import torch
from torch import Tensor

from pvc.codecs import Codec, Point
from pvc.data import Sequence as Clip
from pvc.errors import BitstreamError, ConfigError
from pvc.evaluation import frames
from pvc.evaluation.records import Record, point_label
from pvc.importance import check_map, u_from_alpha, weighted_mask
from pvc.metrics import Metric, Scores, check_available

T = TypeVar("T")

HELD = 256 * 2**20
"""Bytes. A clip up to this size stays in memory from job to job; of a longer one only a few frames do."""


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
    """

    def __init__(
        self,
        codecs: Sequence[Codec],
        clips: Sequence[Clip],
        counts: Sequence[int],
        metrics: Sequence[Metric],
        out: Path,
        require: Sequence[str] = (),
    ):
        self._codecs: dict[str, Callable[[], Codec]] = {codec.name: partial(_same, codec) for codec in codecs}
        self._clips, self._counts, self._metrics, self._out = clips, counts, metrics, out
        self._require = list(require)
        self._missing = sorted(check_available(metrics))
        self._codec: tuple[str, Codec] | None = None
        self._footage: tuple[int, Footage] | None = None

    def __getstate__(self) -> dict[str, Any]:
        packed = {name: partial(pickle.loads, pickle.dumps(load())) for name, load in self._codecs.items()}
        return {**vars(self), "_codecs": packed, "_codec": None, "_footage": None}

    def identify(self, index: int) -> dict[str, Any]:
        """What tells clip ``index`` from any other: number, rate and SHA-256 of its frames, SHA-256 of its mask.

        Keeps the middle frame as a picture, too.

        Raises:
            PvcError: the clip or its mask cannot be read, or they do not belong together.
        """
        footage, clip = self._show(index), self._clips[index]
        pixels, mask, middle = hashlib.sha256(), hashlib.sha256(), frames.middle(footage.count)
        masks = footage.masks()
        for t, frame in enumerate(footage.frames()):
            pixels.update(frame.contiguous().numpy().data)
            m = None if masks is None else next(masks)
            if m is not None:
                check_map(m[None], frame[None], map_name=f"mask of {clip.name}", clip_name=clip.name)
                mask.update(m.contiguous().numpy().data)
            if t == middle:
                frames.save_reference(self._out, clip.dataset, clip.name, frame, m)
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
        maps = None
        if has_roi(job.point):
            u_alpha = u_from_alpha(job.point["alpha"])
            maps = reading.over(lambda: (weighted_mask(m, u_alpha) for m in footage.masks()))
        source = reading.over(footage.frames)
        count, size = footage.count, (clip.height, clip.width)
        data = b"".join(
            encoding.over(lambda: codec.encode_frames(source, job.point, maps, fps=clip.fps, count=count, size=size))
        )
        decoded = decoding.over(lambda: codec.decode_frames(data))
        where = f"{codec.name} at {point_label(job.point)} on {clip.name}"
        scores, middle = _compare(self._metrics, footage, decoded, where)
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
                "missing": self._missing,
                "notes": scores.notes,
                "versions": _versions(),
            },
        )
        frames.save(self._out, record, middle)
        return record

    def _load(self, name: str) -> Codec:
        if self._codec is None or self._codec[0] != name:
            self._codec = None  # not two at a time
            self._codec = name, self._codecs[name]()
        return self._codec[1]

    def _show(self, index: int) -> "Footage":
        if self._footage is None or self._footage[0] != index:
            self._footage = None
            self._footage = index, Footage(self._clips[index], self._counts[index])
        return self._footage[1]


class Footage:
    """The first ``count`` frames of a clip and their masks, as often as they are wanted.

    ``batch`` is how many of them metrics get at once: at most 8, and no more than 2 megapixels.
    """

    def __init__(self, clip: Clip, count: int):
        self._clip, self.count = clip, count
        self.batch = max(1, min(8, 2**21 // (clip.height * clip.width)))
        short = count * clip.height * clip.width * (7 if clip.has_mask else 3) <= HELD
        self._held = list(clip.stream(count)) if short else None
        self._held_masks = list(clip.stream_mask(count)) if short and clip.has_mask else None

    def frames(self) -> Iterator[Tensor]:
        """uint8 ``[3, H, W]`` each."""
        return self._clip.stream(self.count) if self._held is None else iter(self._held)

    def masks(self) -> Iterator[Tensor] | None:
        """float32 ``[1, H, W]`` in [0, 1] each; None where the clip has no mask."""
        return self._clip.stream_mask(self.count) if self._held_masks is None else iter(self._held_masks)


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


def has_roi(point: Mapping[str, float]) -> bool:
    """Whether a codec gets a map at this point; alpha = 1 is coding without one."""
    return point.get("alpha", 1) != 1


def _compare(
    metrics: Sequence[Metric], footage: Footage, decoded: Iterator[Tensor], where: str
) -> tuple[Scores, Tensor]:
    """Scores of ``decoded`` (uint8 ``[3, H, W]`` each) against the source, and its middle frame."""
    source, masks, middle = footage.frames(), footage.masks(), frames.middle(footage.count)
    with ExitStack() as stack:
        accumulators = [metric.start() for metric in metrics]
        for accumulator in accumulators:
            stack.callback(accumulator.close)
        done, size = 0, footage.batch
        while batch := list(islice(source, size)):
            got = list(islice(decoded, len(batch)))
            if len(got) < len(batch):
                raise BitstreamError(f"{where} decoded to {done + len(got)} frames, not {footage.count}")
            if got[0].shape != batch[0].shape:
                (_, h, w), (_, height, width) = got[0].shape, batch[0].shape
                raise BitstreamError(f"{where} decoded to frames of {w}x{h}, not {width}x{height}")
            if done <= middle < done + len(batch):
                kept = got[middle - done]
            reference, result = torch.stack(batch), torch.stack(got)
            importance = None if masks is None else torch.stack(list(islice(masks, len(batch))))
            for accumulator in accumulators:
                accumulator.add(reference, result, importance)
            done += len(batch)
        if next(decoded, None) is not None:
            raise BitstreamError(f"{where} decoded to more frames than the {footage.count} that were coded")
        scores = Scores.merge(accumulator.scores() for accumulator in accumulators)
    for name in [name for name, value in scores.values.items() if not math.isfinite(value)]:
        scores.unavailable[name] = f"it came out as {scores.values.pop(name)}"
    return scores, kept


def _same(codec: Codec) -> Codec:
    return codec


def _versions() -> dict[str, str]:
    names: Iterable[str] = ("av", "torch", "piq", "bjontegaard")
    return {**{name: version(name) for name in names}, "ffmpeg": str(getattr(av, "ffmpeg_version_info", "unknown"))}
