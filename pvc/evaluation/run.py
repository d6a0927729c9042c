"""Runs codecs at their operating points over sequences: encode, decode from the bytes, measure, record."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvc.codecs import Codec, Point
from pvc.codecs.base import beta_alpha_points
from pvc.console import progress
from pvc.data import Sequence as Clip
from pvc.errors import ConfigError, DataError
from pvc.evaluation.job import Bench, Job, has_roi
from pvc.evaluation.records import (
    Failure,
    Record,
    RecordFile,
    check_codec,
    check_ground,
    check_same,
    job_key,
    load_failures,
    point_label,
    save_failures,
)
from pvc.evaluation.workers import Failed, Workers, worker_count
from pvc.metrics import Metric, check_available


@dataclass
class Outcome:
    """What :func:`evaluate` did.

    Attributes:
        records: All records of the folder, those of this run's jobs first and in their order.
        failures: All jobs of the folder that failed.
        run, reused, failed: How many of this run's jobs were run, were there already, or failed.
        notes: What a reader of the numbers should know.
    """

    records: list[Record] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    run: int = 0
    reused: int = 0
    failed: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)


def operating_points(codec: Codec, settings: Mapping[str, Any]) -> list[Point]:
    """The points ``codec`` is to be evaluated at: its own choice from the settings' lists.

    ``settings["points"][codec.name]`` holds lists that stand in for the common ones for this codec alone. A codec
    without ``points`` has rate and ROI parameters (beta, alpha).
    """
    lists = {**settings, **((settings.get("points") or {}).get(codec.name) or {})}
    if hasattr(codec, "points"):
        return codec.points(lists)
    return beta_alpha_points(getattr(codec, "betas", None), codec.supports_importance, lists)


def evaluate(
    codecs: Sequence[Codec],
    clips: Sequence[Clip],
    metrics: Sequence[Metric],
    out: Path,
    settings: Mapping[str, Any],
) -> Outcome:
    """Run every codec at every operating point on every clip, one record a job in ``out/results.jsonl``.

    Jobs that are already in that file and were made in the same way (clip, options, checkpoints, metrics) are not run
    again, so an interrupted run goes on where it was. One that lacks a metric which can be measured by now is. A job
    that fails is a line with its reason in ``out/failures.jsonl``, and the others go on.

    Args:
        settings: ``frames`` (of each clip, None for all), ``gop``, the lists that operating points are made of
            (``crf``, ``qp``, ``quality``, ``beta``, ``u_alpha``, and ``points``), ``jobs`` (at a time: 1 without this
            key; None is one a core, or 1 where ``device`` is a GPU).

    Raises:
        ConfigError: ``out`` holds results that were made in another way, or a setting is out of range.
        DataError: there is no clip.
    """
    if not clips:
        raise DataError("the data set has no sequence to evaluate; check data and sequences")
    outcome = Outcome()
    asked = _asked(codecs, clips, settings, outcome)
    counts = [_frames(clip, settings.get("frames"), outcome) for clip in clips]
    bench = Bench(codecs, clips, counts, metrics, out, settings.get("require") or ())
    count = worker_count(settings.get("jobs", 1), settings.get("device", "cpu"))
    out.mkdir(parents=True, exist_ok=True)
    file = RecordFile(out / "results.jsonl")
    done = {record.job: record for record in file.load()}
    with Workers(count, bench) as workers, progress() as bar:
        task = bar.add_task("reading", total=len(clips))
        grounds: dict[int, dict[str, Any] | Failed] = {}
        for index, identity in workers.map(Bench.identify, range(len(clips))):
            grounds[index] = _ground(identity, metrics, settings)
            bar.advance(task)
        planned = _plan(asked, clips, grounds, done, file.path, missing=set(check_available(metrics)))
        jobs = [job for job in planned.values() if isinstance(job, Job)]
        failures = [f for f in load_failures(out) if f.job not in planned and f.job not in done]
        failures += [failure for failure in planned.values() if isinstance(failure, Failure)]
        save_failures(out, failures)
        bar.reset(task, total=len(jobs), description="coding")
        for job, result in workers.map(Bench.run, jobs):
            clip = clips[job.clip]
            if isinstance(result, Failed):
                failures.append(Failure(job.codec, job.point, clip.dataset, clip.name, result.reason))
                save_failures(out, failures)
            else:
                file.append(result)
                done[result.job] = result
                outcome.run += 1
            bar.update(task, advance=1, description=f"{job.codec} {point_label(job.point)} on {clip.name}")
    outcome.reused = sum(isinstance(job, Record) for job in planned.values())
    outcome.failed = sum(failure.job in planned for failure in failures)
    outcome.failures = failures
    outcome.records = [done[key] for key in planned if key in done] + [r for k, r in done.items() if k not in planned]
    return outcome


def _asked(
    codecs: Sequence[Codec], clips: Sequence[Clip], settings: Mapping[str, Any], outcome: Outcome
) -> list[tuple[Codec, Point, int]]:
    """Every codec at every point on every clip (by its place) that the point makes sense for, clip after clip."""
    points = {codec.name: operating_points(codec, settings) for codec in codecs}
    asked = []
    for index, clip in enumerate(clips):
        for codec in codecs:
            for point in points[codec.name]:
                if has_roi(point) and not clip.has_mask:
                    outcome.note(f"{codec.name} was run at u_alpha = 1 only on {clip.name}, which has no mask")
                else:
                    asked.append((codec, point, index))
    return asked


def _frames(clip: Clip, wanted: int | None, outcome: Outcome) -> int:
    """How many frames of ``clip`` are used."""
    if wanted is not None and (not isinstance(wanted, int) or wanted < 1):
        raise ConfigError(f"frames={wanted} is no number of frames; give 1 or more, or null for all")
    if wanted is not None and wanted > clip.frames:
        outcome.note(f"{clip.name} has {clip.frames} frames; all of them are used instead of {wanted}")
    return clip.frames if wanted is None else min(wanted, clip.frames)


def _ground(
    identity: dict[str, Any] | Failed, metrics: Sequence[Metric], settings: Mapping[str, Any]
) -> dict[str, Any] | Failed:
    """What all results on one clip have in common in their ``made_by``."""
    if isinstance(identity, Failed):
        return identity
    judges = {metric.names[0]: metric.identity for metric in metrics}
    return _as_read_back({"clip": identity, "gop": int(settings["gop"]), "metrics": judges})


def _plan(
    asked: Sequence[tuple[Codec, Point, int]],
    clips: Sequence[Clip],
    grounds: Mapping[int, dict[str, Any] | Failed],
    done: Mapping[tuple, Record],
    path: Path,
    missing: set[str],
) -> dict[tuple, Job | Record | Failure]:
    """Every job by its key: to be run, there already, or failed because its clip cannot be read."""
    here = {(clip.dataset, clip.name): grounds[index] for index, clip in enumerate(clips)}
    codecs = {codec.name: _as_read_back(codec.meta) for codec, _, _ in asked}
    for old in done.values():
        ground = here.get((old.dataset, old.sequence))
        if isinstance(ground, dict):
            check_ground(old, ground, "this run", path)
        if old.codec in codecs:
            check_codec(old, codecs[old.codec], path)
    planned: dict[tuple, Job | Record | Failure] = {}
    for codec, point, index in asked:
        clip, ground = clips[index], grounds[index]
        key = job_key(codec.name, point, clip.dataset, clip.name)
        if isinstance(ground, Failed):
            planned[key] = Failure(codec.name, point, clip.dataset, clip.name, ground.reason)
            continue
        made_by = _as_read_back({"codec": codec.meta, **ground})
        planned[key] = Job(codec.name, point, index, made_by)
        if key in done:
            old = done[key]
            check_same(old, Record(**{**vars(old), "meta": {"made_by": made_by}}), path)
            if set(old.meta.get("missing", [])) <= missing:  # else a metric has become available
                planned[key] = old
    return planned


def _as_read_back(value: dict[str, Any]) -> dict[str, Any]:
    """``value`` as a record will give it: lists for tuples, strings for keys."""
    return json.loads(json.dumps(value))
