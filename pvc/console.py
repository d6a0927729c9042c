"""How the command speaks: errors as one line on stderr, exit codes, and progress bars.

Exit codes: 0 done, 1 done but for some jobs or frames, 2 what was asked cannot be done (the line says why),
130 interrupted, 141 the reader went away.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from pvc.errors import PvcError

if TYPE_CHECKING:
    from rich.progress import Progress, Task

USER_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
PLAIN_EVERY = 30.0
"""Seconds from one line of progress to the next, where there is no terminal."""


def fail(message: str, code: int = USER_ERROR) -> NoReturn:
    """Print ``pvc: error: message`` as one line on stderr and exit with ``code``."""
    print(f"pvc: error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors that are the user's to mend into one line and an exit code; bugs keep their traceback.

    Hydra would print a traceback for any exception, but lets ``SystemExit`` through: so tasks run inside this too.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # a full disk or a closed pipe shows here and not at interpreter exit
    except PvcError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        print("pvc: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        _abandon_stdout()
        raise SystemExit(BROKEN_PIPE) from None
    except OSError as error:
        _abandon_stdout()
        fail(
            f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error.strerror or str(error)
        )


def _abandon_stdout() -> None:
    """Send what stdout cannot take to nowhere; the interpreter would complain of it once more while it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def progress(plain: str | None = None) -> "Progress":
    """A progress display with the time passed and the time left, estimated from all that was done so far.

    On stderr where that is a terminal. Else nowhere, or, where ``plain`` says what is counted ("jobs"), as lines like
    ``12/90 jobs, 0:03:10 passed, 0:21:05 left``, at most one every ``PLAIN_EVERY`` seconds.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)

    class Lines(Progress):
        """Says how far its tasks are in lines of text, when one of them has moved."""

        last = None

        def update(self, *args, **fields) -> None:
            super().update(*args, **fields)
            now, begun = self.get_time(), min(task.start_time for task in self.tasks)
            if now - (self.last or begun) >= PLAIN_EVERY:
                self.last = now
                for task in self.tasks:
                    print(_line(plain, task), file=sys.stderr, flush=True)

    return (Lines if plain and not console.is_terminal else Progress)(
        *columns,
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=24 * 3600,
        disable=not console.is_terminal,
    )


def _line(what: str, task: "Task") -> str:
    """How far a task is."""
    passed, left = (None if s is None else timedelta(seconds=round(s)) for s in (task.elapsed, task.time_remaining))
    return f"{task.completed:g}/{task.total:g} {what}, {passed} passed, {'unknown' if left is None else left} left"
