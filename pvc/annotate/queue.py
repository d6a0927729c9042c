"""Re-encodes of many people on few cores: everybody gets a turn, and what nobody waits for any more stops at once."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pvc.annotate.processes import cores
from pvc.annotate.reencode import EncodeResult
from pvc.annotate.worker import Work, Worker

KEEP = 1000  # finished tickets whose status is remembered


@dataclass(frozen=True)
class Status:
    """Where a ticket stands.

    Attributes:
        state: ``queued``, ``running``, ``done``, ``cancelled`` or ``failed``.
        version: grows with each change of the others, but for ``ahead``.
        ahead: re-encodes that come before it (of other sessions).
        fraction: done, 0 to 1. error: one line, if it failed. result: if it is done.
    """

    state: str
    version: int = 0
    ahead: int = 0
    fraction: float = 0.0
    error: str | None = None
    result: EncodeResult | None = None

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("done", "cancelled", "failed")


class EncodeQueue:
    """Re-encodes in worker processes, which are warm: started once, with everything imported.

    Sessions take turns: one that was served goes to the end. Each has at most one re-encode waiting and one running; a
    newer one takes the place of the one that waits, without losing its place in the row, and stops the one that runs.

    Args:
        workers: re-encodes at once; None: as many as cores / ``threads``. threads: that each takes.
        on_change: is called with a ticket's number and status when its state or fraction changes, in threads of the
            queue; must be quick.
    """

    def __init__(
        self,
        workers: int | None = None,
        threads: int = 2,
        on_change: Callable[[int, Status], None] = lambda ticket, status: None,
    ) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, int] = OrderedDict()  # session -> ticket, the next one first
        self._running: dict[str, int] = {}
        self._work: dict[int, tuple[str, Work]] = {}
        self._status: OrderedDict[int, Status] = OrderedDict()
        self._unwanted: set[int] = set()
        self._next, self._closed, self._on_change = 1, False, on_change
        count = workers or max(1, cores() // threads)
        self._threads = [threading.Thread(target=self._serve, name=f"encode-{i}") for i in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, session: str, work: Work) -> int:
        """Put ``work`` in the row; the ticket's number. Older work of the session is cancelled."""
        with self._changed:
            if self._closed:
                raise RuntimeError("the queue is closed")
            ticket, self._next = self._next, self._next + 1
            if (older := self._waiting.get(session)) is not None:
                self._set(older, state="cancelled")
            if (older := self._running.get(session)) is not None:
                self._unwanted.add(older)
            self._waiting[session], self._work[ticket] = ticket, (session, work)
            self._set(ticket, state="queued")
            return ticket

    def cancel(self, ticket: int) -> None:
        """Nobody waits for this ticket any more; one that is over, or unknown, is left as it is."""
        with self._changed:
            session = self._work.get(ticket, (None,))[0]
            if self._waiting.get(session) == ticket:
                del self._waiting[session]
                self._set(ticket, state="cancelled")
            elif self._running.get(session) == ticket:
                self._unwanted.add(ticket)

    def status(self, ticket: int) -> Status:
        """Where ``ticket`` stands. Raises ``KeyError`` for one that is unknown, or was over long ago."""
        with self._changed:
            return self._look(ticket)

    def wait(self, ticket: int, seen: int, timeout: float) -> Status:
        """The status as soon as its version is not ``seen``, or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._look(ticket).version != seen, timeout)
            return self._look(ticket)

    def close(self) -> None:
        """Cancel everything and end the worker processes."""
        with self._changed:
            self._closed = True
            for ticket in self._waiting.values():
                self._set(ticket, state="cancelled")
            self._waiting.clear()
            self._unwanted.update(self._running.values())
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "EncodeQueue":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _look(self, ticket: int) -> Status:
        status = self._status[ticket]
        if status.state != "queued":
            return status
        before = list(self._waiting.values()).index(ticket)
        return replace(status, ahead=before + sum(t not in self._unwanted for t in self._running.values()))

    def _set(self, ticket: int, **changes: Any) -> None:
        """Change a status; the lock is held."""
        before = self._status.get(ticket, Status("", version=0))
        status = self._status[ticket] = replace(before, version=before.version + 1, **changes)
        if status.final:
            self._work.pop(ticket, None)
            self._unwanted.discard(ticket)
            over = [t for t, s in self._status.items() if s.final]
            for old in over[: max(0, len(over) - KEEP)]:
                del self._status[old]
        self._changed.notify_all()
        self._on_change(ticket, status)

    def _serve(self) -> None:
        """One worker's thread: hands it the next work, and listens to it."""
        worker = Worker()
        try:
            while (taken := self._take()) is not None:
                session, ticket, work = taken
                end = worker.run(work, lambda: ticket in self._unwanted, lambda share: self._tell(ticket, share))  # noqa: B023
                with self._changed:
                    del self._running[session]
                    self._set(ticket, **end)
        finally:
            worker.stop()

    def _take(self) -> tuple[str, int, Work] | None:
        with self._changed:
            while not self._closed:
                # A session whose older work is about to stop waits for that.
                for session, ticket in self._waiting.items():
                    if session not in self._running:
                        del self._waiting[session]
                        self._running[session] = ticket
                        self._set(ticket, state="running")
                        return session, ticket, self._work[ticket][1]
                self._changed.wait()
            return None

    def _tell(self, ticket: int, share: float) -> None:
        with self._changed:
            if share >= self._status[ticket].fraction + 0.02:
                self._set(ticket, fraction=share)
