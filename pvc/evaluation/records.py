"""Result records: what one codec did at one operating point on one sequence, one JSON object a line."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pvc.codecs import Point
from pvc.errors import ConfigError
from pvc.importance import u_from_alpha

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None


@dataclass
class Record:
    """One finished job.

    ``bits`` are those of the bytes that were decoded again before anything was measured; ``bpp`` is per pixel,
    ``kbps`` is 1000 bits a second, times are seconds for the whole clip, colour conversion included.
    ``metrics`` holds finite numbers only; a metric without one has its reason in ``meta["unavailable"]``.
    ``meta["made_by"]`` is all that decides the numbers: records are only reused or mixed where it agrees.
    ``meta["missing"]`` names the metrics for which something (weights, a program) was not on the machine.
    """

    codec: str
    point: Point
    dataset: str
    sequence: str
    frames: int
    width: int
    height: int
    fps: float
    gop: int
    bits: int
    bpp: float
    kbps: float
    encode_seconds: float
    decode_seconds: float
    metrics: dict[str, float]
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def u_alpha(self) -> float | None:
        """ROI parameter in [0, 1], ``None`` for a codec without one (equation 5 of the spatial-control paper)."""
        alpha = self.point.get("alpha")
        return None if alpha is None else round(u_from_alpha(alpha), 6)

    @property
    def job(self) -> tuple[str, str, str, str]:
        """What was asked for: codec, point, dataset and sequence."""
        return job_key(self.codec, self.point, self.dataset, self.sequence)


def has_roi(point: Mapping[str, float]) -> bool:
    """Whether a codec gets a map at this point; alpha = 1 is coding without one."""
    return point.get("alpha", 1) != 1


def job_key(codec: str, point: Point, dataset: str, sequence: str) -> tuple[str, str, str, str]:
    """Key of a job; two records with the same key are the same experiment."""
    return codec, json.dumps(point, sort_keys=True), dataset, sequence


def point_label(point: Point) -> str:
    """``crf 29``, or ``beta 0.001, alpha 26.46``."""
    return ", ".join(f"{k} {v:.4g}" for k, v in point.items())


@dataclass(frozen=True)
class Failure:
    """A job without a record: which one, and in one line why."""

    codec: str
    point: Point
    dataset: str
    sequence: str
    reason: str

    @property
    def job(self) -> tuple[str, str, str, str]:
        """What was asked for: codec, point, dataset and sequence."""
        return job_key(self.codec, self.point, self.dataset, self.sequence)


def load_failures(folder: str | Path) -> list[Failure]:
    """Jobs that failed in the last run into ``folder``; none where there is no ``failures.jsonl``.

    Raises:
        ConfigError: the file is damaged.
    """
    path = Path(folder) / "failures.jsonl"
    failures = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            failures.append(Failure(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} line {number} is not a failed job ({error}); delete the file") from None
    return failures


def save_failures(folder: str | Path, failures: Iterable[Failure]) -> None:
    """Write ``failures.jsonl``, whole or not at all; no failures, no file."""
    path = Path(folder) / "failures.jsonl"
    lines = [json.dumps(asdict(failure)) + "\n" for failure in failures]
    if not lines:
        path.unlink(missing_ok=True)
        return
    unfinished = path.with_name(".failures.jsonl")
    unfinished.write_text("".join(lines))
    unfinished.replace(path)


class RecordFile:
    """``results.jsonl``: grows by one line a finished job, and survives being interrupted at any moment.

    A line is written by one ``write`` and flushed to the disk. A last line without its end is what an interrupted
    write left behind: it counts as not finished, and the next record takes its place.
    """

    def __init__(self, path: Path):
        self.path = path

    def load(self) -> list[Record]:
        """All records, oldest first; none where there is no file. Of two of one job the newer one counts.

        Raises:
            ConfigError: a line is damaged.
        """
        return list({record.job: record for record in self._parse()}.values()) if self.path.exists() else []

    def _parse(self) -> Iterator[Record]:
        names = {f.name for f in fields(Record)}
        text = self.path.read_bytes()
        for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), 1):
            try:
                yield Record(**{k: v for k, v in json.loads(line).items() if k in names})
            except (ValueError, TypeError, AttributeError) as error:
                raise ConfigError(
                    f"{self.path} line {number} is not a result record ({error}); mend or delete it"
                ) from None

    def append(self, record: Record) -> None:
        """Add ``record``. Raises ``OSError`` (disk full, no permission); what was in the file before stays in it."""
        for name, value in record.metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"metric {name} is {value}; a record holds finite numbers")
        line = json.dumps(asdict(record), allow_nan=False) + "\n"
        with open(self.path, "ab+") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)  # another run may write to the same folder
            file.truncate(_end_of_lines(file))
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())


def _end_of_lines(file: Any) -> int:
    """Position behind the last line end."""
    size = file.seek(0, os.SEEK_END)
    while size:
        start = max(0, size - 65536)
        file.seek(start)
        at = file.read(size - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        size = start
    return 0


def load_runs(folders: Iterable[str | Path]) -> list[Record]:
    """Records of several runs as one list.

    Raises:
        ConfigError: a folder has no records, or two runs disagree about a sequence or a job.
    """
    records: dict[tuple, Record] = {}
    for folder in folders:
        path = Path(folder) / "results.jsonl"
        found = RecordFile(path).load()
        if not found:
            raise ConfigError(f"{path} holds no results; give a folder that pvc eval wrote")
        for record in found:
            old = records.get(record.job)
            check_same(old, record, path)
            if old is None or len(record.metrics) >= len(old.metrics):  # one may have lacked weights
                records[record.job] = record
    check_comparable(records.values(), "the runs")
    return sorted(records.values(), key=lambda r: r.sequence)  # in a file they stand as they were finished


def check_same(old: Record | None, new: Record, path: Path) -> Record:
    """``new``, if it was made like ``old`` (where there is one). Raises ``ConfigError`` with what differs."""
    if old is not None and (what := difference(old.meta.get("made_by"), new.meta.get("made_by"))):
        raise ConfigError(
            f"{path} has {old.codec} at {point_label(old.point)} on {old.sequence} from other settings ({what}); "
            "keep these runs apart: use another out=DIR, or delete the old results"
        )
    return new


def check_comparable(records: Iterable[Record], where: str | Path) -> None:
    """Make sure that all records of a sequence judge the same frames in the same way, and that a codec is one codec.

    Raises:
        ConfigError: they do not; the message says what differs.
    """
    first: dict[tuple[str, str], Record] = {}
    steered: dict[tuple[str, str], Record] = {}
    codecs: dict[str, Record] = {}
    for record in records:
        made_by, ground = record.meta.get("made_by", {}), (record.dataset, record.sequence)
        other = first.setdefault(ground, record)
        check_ground(other, made_by, f"those of {record.codec}", where)
        if has_roi(record.point):
            check_maps(steered.setdefault(ground, record), made_by.get("importance"), where)
        check_codec(codecs.setdefault(record.codec, record), made_by.get("codec", {}), where)


def check_codec(record: Record, codec: dict[str, Any], where: str | Path) -> None:
    """Make sure that a codec with the options ``codec`` may share a curve with ``record``, which has the same name.

    Single-rate checkpoints are one codec under their common name, so one run may have more of them than another.

    Raises:
        ConfigError: its options or a checkpoint differ; the message says which.
    """
    sides = [record.meta.get("made_by", {}).get("codec", {}), codec]
    both = set.intersection(*(set(side.get("checkpoints", {})) for side in sides))
    old, new = (
        {k: v for k, v in side.items() if k not in ("checkpoints", "fingerprints")}
        | {"checkpoints": {name: side["checkpoints"][name] for name in sorted(both)}}
        for side in sides
    )
    if what := difference(old, new):
        raise ConfigError(
            f"{where}: two codecs are called {record.codec} ({what}); keep their runs apart: "
            "use another out=DIR, or give one another name"
        )


def check_ground(record: Record, made_by: dict[str, Any], whose: str, where: str | Path) -> None:
    """Make sure that results made by ``made_by`` may stand beside ``record``: same frames, GOP and metrics.

    Raises:
        ConfigError: they may not; the message says what differs.
    """
    for key in ("clip", "gop", "metrics"):
        if what := difference(record.meta.get("made_by", {}).get(key), made_by.get(key), key):
            raise ConfigError(
                f"{where}: the results of {record.codec} on {record.sequence} do not compare with {whose} ({what}); "
                "use another out=DIR, or delete the old results"
            )


def check_maps(record: Record, importance: Mapping[str, Any] | None, where: str | Path) -> None:
    """Make sure that the codec of ``record``, if it got maps, got those of ``importance`` (None: the data set's).

    Raises:
        ConfigError: it got others; the message says what differs.
    """
    if has_roi(record.point) and (
        what := difference(record.meta.get("made_by", {}).get("importance"), importance, "importance")
    ):
        raise ConfigError(
            f"{where}: {record.codec} on {record.sequence} was given other importance maps ({what}); "
            "use another out=DIR, or delete the old results"
        )


def difference(old: Any, new: Any, name: str = "") -> str:
    """The first place where two JSON values differ, in words; empty where they agree."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(k for k in old if k not in new)]:
            if name == "metrics" and None in (old.get(key, ""), new.get(key, "")):
                continue  # one side could not measure it and has no value of it
            if what := difference(old.get(key), new.get(key), f"{name}.{key}" if name else str(key)):
                return what
        return ""
    return "" if old == new else f"{name}: {_short(old)} there, {_short(new)} here"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
