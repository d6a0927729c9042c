"""Runs codecs at their operating points over sequences: encode, decode from the bytes, measure, record."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from pvc.codecs import Codec, Point
from pvc.codecs.base import beta_alpha_points
from pvc.console import progress
from pvc.data import Sequence as Clip
from pvc.errors import BitstreamError, ConfigError, DataError
from pvc.evaluation import frames
from pvc.evaluation.records import Record, RecordFile, check_ground, check_same, job_key, point_label
from pvc.importance import check_map, u_from_alpha, weighted_mask
from pvc.metrics import Metric, measure


@dataclass
class Outcome:
    """What :func:`evaluate` did: all ``records`` of the folder, how many jobs were ``run`` or ``reused``, ``notes``."""

    records: list[Record] = field(default_factory=list)
    run: int = 0
    reused: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say something once that a reader of the numbers should know."""
        if text not in self.notes:
            self.notes.append(text)


def operating_points(codec: Codec, settings: Mapping[str, Any]) -> list[Point]:
    """The points ``codec`` is to be evaluated at, by its own choice or as rate and ROI parameters (beta, alpha)."""
    if hasattr(codec, "points"):
        return codec.points(settings)
    return beta_alpha_points(getattr(codec, "betas", None), codec.supports_importance, settings)


def evaluate(
    codecs: Sequence[Codec],
    clips: Sequence[Clip],
    metrics: Sequence[Metric],
    out: Path,
    settings: Mapping[str, Any],
) -> Outcome:
    """Run every codec at every operating point on every clip, one record a job in ``out/results.jsonl``.

    Jobs that are already in that file and were made in the same way (clip, options, checkpoints, metrics) are not run
    again, so an interrupted run goes on where it was.

    Args:
        settings: ``frames`` (of each clip, None for all), ``gop``, and the lists that operating points are made of
            (``crf``, ``beta``, ``u_alpha``).

    Raises:
        ConfigError: ``out`` holds results that were made in another way, or there is nothing to run.
        PvcError: a clip cannot be read or a codec fails; what was finished before is kept.
    """
    if not clips:
        raise DataError("the data set has no sequence to evaluate; check data and sequences")
    points = {codec.name: operating_points(codec, settings) for codec in codecs}
    out.mkdir(parents=True, exist_ok=True)
    file, outcome = RecordFile(out / "results.jsonl"), Outcome()
    outcome.records = file.load()
    done = {record.job: record for record in outcome.records}
    with progress() as bar:
        task = bar.add_task("reading", total=len(clips) * sum(map(len, points.values())))
        for clip in clips:
            loaded = _Loaded(clip, settings, metrics)
            for note in loaded.notes:
                outcome.note(note)
            for record in outcome.records:
                if (record.dataset, record.sequence) == (clip.dataset, clip.name):
                    check_ground(record, loaded.made_by, "this run", file.path)
            for codec in codecs:
                for point in points[codec.name]:
                    bar.update(task, description=f"{codec.name} {point_label(point)} on {clip.name}")
                    if _has_roi(point) and loaded.mask is None:
                        outcome.note(f"{codec.name} was run at u_alpha = 1 only on {clip.name}, which has no mask")
                    else:
                        _job(codec, point, loaded, file, done, outcome)
                    bar.advance(task)
    return outcome


class _Loaded:
    """A clip in memory: its frames (uint8 ``[T, 3, H, W]``), mask (``[T, 1, H, W]`` or None), and their identity."""

    def __init__(self, source: Clip, settings: Mapping[str, Any], metrics: Sequence[Metric]):
        count: int | None = settings.get("frames")
        self.source, self.metrics, self.notes = source, metrics, []
        if count is not None and count < 1:
            raise ConfigError(f"frames={count} is too few; a clip has at least one frame")
        if count is not None and count > source.frames:
            self.notes.append(f"{source.name} has {source.frames} frames; all of them are used instead of {count}")
            count = source.frames
        self.clip: Tensor = source.read(0, count)
        self.mask: Tensor | None = source.read_mask(0, count)
        if self.mask is not None:
            check_map(self.mask, self.clip, map_name=f"mask of {source.name}", clip_name=source.name)
        self.made_by = {
            "clip": {"frames": len(self.clip), "sha256": _sha256(self.clip), "mask_sha256": _sha256(self.mask)},
            "gop": int(settings["gop"]),
            "metrics": {type(m).__name__: dict(vars(m)) for m in metrics},
        }


def _has_roi(point: Point) -> bool:
    return point.get("alpha", 1) != 1


def _sha256(tensor: Tensor | None) -> str | None:
    return None if tensor is None else hashlib.sha256(tensor.contiguous().numpy().data).hexdigest()


def _job(
    codec: Codec, point: Point, loaded: _Loaded, file: RecordFile, done: dict[tuple, Record], outcome: Outcome
) -> None:
    """Run one job and append its record, unless a record made in the same way is there."""
    source = loaded.source
    made_by = json.loads(json.dumps({"codec": codec.meta, **loaded.made_by}))  # as it will be read back
    key = job_key(codec.name, point, source.dataset, source.name)
    if key in done:
        old = done[key]
        new = Record(**{**vars(old), "meta": {"made_by": made_by}})
        check_same(old, new, file.path)
        outcome.reused += 1
        return
    record, decoded = _measure(codec, point, loaded, made_by)
    frames.save(file.path.parent, record, loaded.clip, decoded, loaded.mask)
    file.append(record)
    done[key] = record
    outcome.records.append(record)
    outcome.run += 1


def _measure(codec: Codec, point: Point, loaded: _Loaded, made_by: dict[str, Any]) -> tuple[Record, Tensor]:
    """The record of one job, and the decoded clip. Only bytes pass from the encoder to the decoder."""
    source, clip = loaded.source, loaded.clip
    q = weighted_mask(loaded.mask, u_from_alpha(point["alpha"])) if _has_roi(point) else None
    data, encode_seconds = _timed(lambda: codec.encode(clip, point, q, fps=source.fps))
    decoded, decode_seconds = _timed(lambda: codec.decode(data))
    if decoded.shape != clip.shape:
        raise BitstreamError(
            f"{codec.name} at {point_label(point)} on {source.name} decoded to {list(decoded.shape)}, "
            f"not {list(clip.shape)}"
        )
    scores = measure(loaded.metrics, clip, decoded, loaded.mask)
    count, _, height, width = clip.shape
    bits = 8 * len(data)
    record = Record(
        codec=codec.name,
        point=dict(point),
        dataset=source.dataset,
        sequence=source.name,
        frames=count,
        width=width,
        height=height,
        fps=float(source.fps),
        gop=getattr(codec, "gop", made_by["gop"]),
        bits=bits,
        bpp=bits / (count * height * width),
        kbps=bits * float(source.fps) / count / 1000,
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        metrics=scores.values,
        meta={"made_by": made_by, "unavailable": scores.unavailable, "notes": scores.notes, "versions": _versions()},
    )
    return record, decoded


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def _versions() -> dict[str, str]:
    names: Iterable[str] = ("av", "torch", "piq", "bjontegaard")
    return {**{name: version(name) for name in names}, "ffmpeg": str(getattr(av, "ffmpeg_version_info", "unknown"))}
