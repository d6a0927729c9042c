"""Signals that ask a run to stop: noted, and answered when a step is whole."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C, kill and Slurm's end of a job, the end of a terminal, and what ``sbatch --signal`` is usually given."""
SAME = 2.0
"""Seconds in which a further signal is the same one: a launcher passes on what its children were sent as well."""


class Signals:
    """While installed, notes the first signal of ``STOPPING``; a second one ends the process at once.

    What was to be ignored (``nohup``) stays ignored. A process forked from this one has its own idea of signals.

    Attributes:
        received: the signal, or None.
        at_once: called before a second signal ends the process.
        before: the handlers of the process when this was made.
    """

    def __init__(self):
        self.received: signal.Signals | None = None
        self.at_once: Callable[[], None] = lambda: None
        self.before: dict[signal.Signals, Any] = {s: signal.getsignal(s) for s in STOPPING}
        self._since, self._pid = 0.0, os.getpid()
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def install(self) -> None:
        """Begin to note signals. Outside of the main thread Python knows no handlers, and nothing happens."""
        if threading.current_thread() is threading.main_thread():
            for s, before in self.before.items():
                if before is not signal.SIG_IGN:
                    signal.signal(s, self._note)

    def restore(self) -> None:
        """Put back the handlers that there were."""
        if threading.current_thread() is threading.main_thread():
            for s, before in self.before.items():
                if before is not None:  # None: not Python's, and so never replaced
                    signal.signal(s, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return
        now = time.monotonic()
        if self.received is None:
            self.received, self._since = signal.Signals(number), now
            if number == signal.SIGHUP:  # what is written to a terminal that is gone fails
                for stream in self._terminals:
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            elif 2 in self._terminals:
                os.write(2, b"\npvc: finishing this step and writing a checkpoint; once more to end at once\n")
        elif now - self._since > SAME:
            self.at_once()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
