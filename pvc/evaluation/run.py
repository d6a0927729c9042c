"""Runs codecs at their operating points over sequences: encode, decode from the bytes, measure, record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvc.codecs import Codec, Point
from pvc.codecs.base import beta_alpha_points
from pvc.console import progress
from pvc.data import Sequence as Clip
from pvc.errors import ConfigError, DataError
from pvc.evaluation import frames
from pvc.evaluation.job import Bench, Job
from pvc.evaluation.map_cache import MapCache
from pvc.evaluation.plan import as_read_back, plan
from pvc.evaluation.records import (
    Failure,
    Record,
    RecordFile,
    has_roi,
    job_key,
    load_failures,
    point_label,
    save_failures,
)
from pvc.evaluation.workers import Failed, Workers, worker_count
from pvc.importance.source import Source
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
    source: Source | None = None,
) -> Outcome:
    """Run every codec at every operating point on every clip, one record a job in ``out/results.jsonl``.

    Jobs that are already in that file and were made in the same way (clip, options, checkpoints, metrics) are not run
    again, so an interrupted run goes on where it was. One that lacks a metric which can be measured by now is. A job
    that fails is a line with its reason in ``out/failures.jsonl``, and the others go on.

    Args:
        settings: ``frames`` (of each clip, None for all), ``gop``, the lists that operating points are made of
            (``crf``, ``qp``, ``quality``, ``beta``, ``u_alpha``, and ``points``), ``jobs`` (at a time: 1 without this
            key; None is one a core, or 1 where ``device`` is a GPU), ``keep_streams`` (False without this key),
            ``crops`` (where there are any, pictures are kept without loss).
        source: Where codecs get their importance maps from; None: the masks of the data set. The judge of ROI and
            background is the data set's mask in any case, but for clips without one, where it is the source's map.

    Raises:
        ConfigError: ``out`` holds results that were made in another way, or a setting is out of range.
        DataError: there is no clip.
    """
    if not clips:
        raise DataError("the data set has no sequence to evaluate; check data and sequences")
    outcome = Outcome()
    asked = _asked(codecs, clips, settings, source, outcome)
    counts = [_frames(clip, settings.get("frames"), outcome) for clip in clips]
    maps = None if source is None else MapCache(source, out)
    keep = bool(settings.get("keep_streams"))
    lossless = settings.get("crops") is not None
    bench = Bench(codecs, clips, counts, metrics, out, settings.get("require") or (), maps, keep, lossless)
    count = worker_count(settings.get("jobs", 1), settings.get("device", "cpu"))
    out.mkdir(parents=True, exist_ok=True)
    file = RecordFile(out / "results.jsonl")
    done = {record.job: record for record in file.load()}
    lost = {job for job, record in done.items() if keep and not frames.stream(out, record).is_file()}
    unusable = set(check_available(metrics, load=True))
    judges = {m.names[0]: None if unusable.issuperset(m.names) else m.identity for m in metrics}
    modules = dict.fromkeys(type(part).__module__ for part in (*codecs, *metrics))
    importance = None if maps is None else as_read_back(maps.identity)
    keys = [job_key(codec.name, point, clips[index].dataset, clips[index].name) for codec, point, index in asked]
    failures = [f for f in load_failures(out) if f.job not in {*keys, *done}]
    at_once = not done  # jobs follow the reading of their clip, which is in memory then; old results are checked first
    grounds: dict[int, dict[str, Any] | Failed] = {}
    with Workers(count, bench, modules) as workers, progress("jobs") as bar:
        task = bar.add_task("reading", total=len(keys))
        waiting: list[int | Job] = list(range(len(clips)))
        for item, result in workers.map(Bench.do, waiting, about=lambda item: getattr(item, "clip", item)):
            if isinstance(item, int):
                grounds[item] = _ground(result, judges, settings)
                if at_once or len(grounds) == len(clips):
                    known = {item: grounds[item]} if at_once else grounds
                    planned = plan(asked, clips, known, done, file.path, unusable, importance, lost).values()
                    waiting += [job for job in planned if isinstance(job, Job)]
                    failures += [failure for failure in planned if isinstance(failure, Failure)]
                    save_failures(out, failures)
                    outcome.reused += sum(isinstance(job, Record) for job in planned)
                    bar.advance(task, sum(not isinstance(job, Job) for job in planned))
                continue
            clip = clips[item.clip]
            if isinstance(result, Failed):
                failures.append(Failure(item.codec, item.point, clip.dataset, clip.name, result.reason))
                save_failures(out, failures)
            else:
                file.append(result)
                done[result.job] = result
                outcome.run += 1
            bar.update(task, advance=1, description=f"{item.codec} {point_label(item.point)} on {clip.name}")
    outcome.failed = sum(failure.job in keys for failure in failures)
    outcome.failures = failures
    outcome.records = [done[key] for key in keys if key in done] + [r for k, r in done.items() if k not in keys]
    return outcome


def _asked(
    codecs: Sequence[Codec],
    clips: Sequence[Clip],
    settings: Mapping[str, Any],
    source: Source | None,
    outcome: Outcome,
) -> list[tuple[Codec, Point, int]]:
    """Every codec at every point on every clip (by its place) that the point makes sense for, clip after clip."""
    points = {codec.name: operating_points(codec, settings) for codec in codecs}
    asked = []
    for index, clip in enumerate(clips):
        if source is not None and not clip.has_mask:
            outcome.note(f"{clip.name} has no mask: ROI and background are those of the maps of {source.name}")
        for codec in codecs:
            for point in points[codec.name]:
                if has_roi(point) and not clip.has_mask and source is None:
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
    identity: dict[str, Any] | Failed, judges: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any] | Failed:
    """What all results on one clip have in common in their ``made_by``."""
    if isinstance(identity, Failed):
        return identity
    return as_read_back({"clip": identity, "gop": int(settings["gop"]), "metrics": judges})
