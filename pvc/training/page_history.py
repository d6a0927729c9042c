"""When a run started, was resumed, stopped and finished: a list that outlives its processes."""

import json
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pvc.page import write_whole

STARTED, RESUMED, STOPPED, FINISHED = "started", "resumed", "stopped", "finished"


class Event(NamedTuple):
    """``what`` happened ``at`` a time (ISO 8601), after so many steps; ``why``, of a stop."""

    what: str
    at: str
    step: int
    why: str = ""


class History:
    """The events of a run, in the file ``path``."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.events = [Event(*event) for event in json.loads(path.read_text())]
        except (OSError, json.JSONDecodeError, TypeError):
            self.events = []

    def note(self, what: str, step: int, why: str = "") -> None:
        """Add an event that happens now."""
        self.events.append(Event(what, datetime.now().astimezone().isoformat(timespec="seconds"), step, why))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(self.events))

    @property
    def told(self) -> list[str]:
        """The events in words; a run that goes on although its last process said nothing at its end was killed."""
        said = []
        for before, event in zip([None, *self.events], self.events, strict=False):
            if before is not None and before.what in (STARTED, RESUMED) and event.what in (STARTED, RESUMED):
                said.append("ended without a word (killed, or the machine went down)")
            when = datetime.fromisoformat(event.at).strftime("%Y-%m-%d %H:%M:%S")
            place = f" at step {event.step}" if event.step or event.what != STARTED else ""
            said.append(f"{event.what} {when}{place}{': ' + event.why if event.why else ''}")
        return said
