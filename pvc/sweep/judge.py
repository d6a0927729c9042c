"""The real evaluation of a run's release on its validation clips, and what a search minimises."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from pvc.codecs.registry import load_codecs, load_release
from pvc.data import sequences
from pvc.errors import ConfigError, JobsFailed, TrainingError
from pvc.evaluation import evaluate
from pvc.evaluation.comparison import MEAN, compare
from pvc.evaluation.records import Record
from pvc.evaluation.run import Outcome
from pvc.metrics import load_metrics
from pvc.metrics.axes import axis

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

FOLDER = "eval"
OBJECTIVE = "objective.json"


def judge(cfg: DictConfig, release: Path, out: Path) -> float | None:
    """Evaluate ``release`` as ``cfg.evaluate`` says into ``out/eval``; what is there already is not done again.

    Returns:
        The objective, also in ``out/eval/objective.json``; None where none is asked for.

    Raises:
        JobsFailed: some did; the others are in the results.
        ConfigError: a setting is out of range, or the results there were made in another way.
        TrainingError: there is no number to minimise; the message says why.
    """
    settings: dict[str, Any] = OmegaConf.to_container(cfg.evaluate, resolve=True)
    device = settings["device"] = settings["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    own = load_release(release, cfg.name, settings["gop"], device)
    clips, metrics = sequences(cfg.data, "val"), load_metrics(settings["metrics"], device=device)
    outcome = evaluate([own], clips, metrics, out / FOLDER, settings)
    _tell(outcome, out / FOLDER)
    records = [record for record in outcome.records if record.codec == own.name]
    if names := settings["anchors"] or []:
        folder = Path(settings["anchors_out"])
        with _one_at_a_time(folder):
            anchors = evaluate(load_codecs(names, settings["gop"], device), clips, metrics, folder, settings)
        _tell(anchors, folder)
        records += [record for record in anchors.records if record.codec in names]
    if not settings["objective"]:
        return None
    value = objective(records, own.name, settings["objective"])
    file = out / FOLDER / OBJECTIVE
    unfinished = file.with_name(f".{file.name}")
    unfinished.write_text(json.dumps({"value": value, "of": settings["objective"]}) + "\n")
    unfinished.replace(file)
    return value


def read_objective(out: Path) -> float | None:
    """What :func:`judge` gave for the run in ``out``."""
    file = out / FOLDER / OBJECTIVE
    return json.loads(file.read_text())["value"] if file.exists() else None


def objective(records: Sequence[Record], codec: str, terms: Sequence[Mapping[str, Any]]) -> float:
    """The weighted sum of means over the clips of BD-rates in percent, or of what is missing of the anchor's quality.

    Args:
        terms: each an ``anchor`` (a codec), a ``metric``, a ``measure`` (``bd_rate``, or ``bd_quality``: the quality at
            equal rate, with its sign turned where more is better), a ``u_alpha`` of ``codec`` and a ``weight``.

    Raises:
        ConfigError: a term has other keys.
        TrainingError: there is no number; the message says why.
    """
    total = 0.0
    for term in terms:
        if set(term) != {"anchor", "metric", "measure", "u_alpha", "weight"} or term["measure"] not in _MEASURES:
            raise ConfigError(
                f"evaluate.objective has {dict(term)}; a term has anchor, metric, measure (bd_rate or bd_quality), "
                "u_alpha and weight"
            )
        total += term["weight"] * _term(records, codec, **{k: v for k, v in term.items() if k != "weight"})
    return total


_MEASURES = ("bd_rate", "bd_quality")


def _term(records: Sequence[Record], codec: str, anchor: str, metric: str, measure: str, u_alpha: float) -> float:
    rows = [
        row
        for row in compare(records, [anchor])
        if (row.sequence, row.metric, row.codec) == (MEAN, metric, codec)
        and (1 if row.u_alpha is None else row.u_alpha) == u_alpha
        and not row.at_same_u_alpha
    ]
    reason, clips = "there are no such results", 0
    if rows and measure == "bd_rate":
        value, reason, clips = rows[0].bd_rate, rows[0].reason, rows[0].sequences_with_number
    elif rows:
        value, reason, clips = rows[0].bd_quality, rows[0].quality_reason, rows[0].sequences_with_quality
        value = -value if value is not None and axis(metric).higher_is_better else value
    if not rows or clips < rows[0].sequences:
        raise TrainingError(f"no {measure} of {codec} at u_alpha={u_alpha:g} against {anchor} in {metric}: {reason}")
    return value


def _tell(outcome: Outcome, folder: Path) -> None:
    """Say what there is to know of an evaluation. Raises ``JobsFailed`` where some jobs did."""
    console = Console(soft_wrap=True, highlight=False)
    for note in outcome.notes:
        console.print(note, markup=False)
    console.print(f"{outcome.run} jobs run, {outcome.reused} reused; {folder / 'results.jsonl'}", markup=False)
    if outcome.failed:
        raise JobsFailed(
            f"{outcome.failed} jobs of the evaluation failed: {outcome.failures[-1].reason}; all reasons are in "
            f"{folder / 'failures.jsonl'}, and the same command with resume=true tries them again"
        )


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """A block that one process of a machine at a time is in, and of a cluster where its file system has locks."""
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
