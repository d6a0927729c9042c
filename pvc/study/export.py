"""The answers as tables."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pvc.study.ballot import Ballot, preference
from pvc.study.plan import Study

ANSWERS = (
    *("participant", "position", "pair", "kind", "video", "left", "right", "choice", "preferred", "correct", "counts"),
    *("plays_left", "plays_right", "restarts", "layout", "scale", "seconds", "answered"),
)
PARTICIPANTS = ("participant", "worker", "code", "joined", "pairs", "answered", "excluded")


def answers_csv(study: Study, ballots: Iterable[Ballot]) -> str:
    """A line for each answer: ``correct`` is of sanity pairs, ``counts`` is 0 for participants who are excluded.

    No worker ids are in it: it may be published.
    """
    rows = []
    for ballot in ballots:
        for trial, pair in ballot.answered:
            preferred, other = preference(trial, pair)
            rows.append(
                {
                    **{name: getattr(trial, name) for name in ANSWERS if hasattr(trial, name)},
                    "kind": "test" if pair.better is None else "sanity",
                    "video": pair.video,
                    "right": other if preferred == trial.left else preferred,
                    "preferred": preferred,
                    "correct": "" if pair.better is None else int(preferred == pair.better),
                    "counts": int(ballot.excluded is None and pair.better is None),
                    "answered": _when(trial.answered),
                }
            )
    return _csv(ANSWERS, rows)


def participants_csv(ballots: Iterable[Ballot]) -> str:
    """A line for each participant, with worker id and completion code, for paying them; not for publication."""
    rows = [
        {
            "participant": ballot.participant,
            "worker": ballot.worker,
            "code": ballot.code if len(ballot.answered) == len(ballot.trials) else "",
            "joined": _when(ballot.joined),
            "pairs": len(ballot.trials),
            "answered": len(ballot.answered),
            "excluded": ballot.excluded or "",
        }
        for ballot in ballots
    ]
    return _csv(PARTICIPANTS, rows)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _csv(names: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(row[name]) for name in names} for row in rows)
    return file.getvalue()


def _plain(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: worker ids come from strangers."""
    text = "" if value is None else value
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@") else text
