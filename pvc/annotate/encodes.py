"""Encodes on their way: from the queue to those who wait for them, and into the database when they end.

Everything here runs in the event loop's thread, except what says otherwise.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from pvc.annotate.clip import Clip
from pvc.annotate.queue import EncodeQueue, Status
from pvc.annotate.queue import Work as Job
from pvc.annotate.saving import Order
from pvc.annotate.store import STATISTICS, Encode, Map, Session
from pvc.annotate.work import Work, settle
from pvc.web.database import Sessions

FINAL = 2**31 - 1
"""Version of what will not change any more."""
_log = logging.getLogger(__name__)


@dataclass
class _Live:
    encode: str
    session: str
    ticket: int
    version: int = 1
    shown: tuple = ()
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()


class Encodes:
    """The encodes of all sessions; made and closed in the event loop.

    Args:
        clips: by name. workers, threads: of the queue.
    """

    def __init__(
        self, sessions: Sessions, work: Work, clips: Mapping[str, Clip], workers: int | None, threads: int
    ) -> None:
        self._sessions, self._work, self._clips = sessions, work, clips
        self._loop, self._closing = asyncio.get_running_loop(), False
        self._live: dict[str, _Live] = {}
        self._tickets: dict[int, _Live] = {}
        self._ends: set[asyncio.Task] = set()
        self._queue = EncodeQueue(workers, threads, self._from_the_queue)

    def start(self, order: Order) -> None:
        """Put an encode that is stored into the queue; an older one of its session makes way for it."""
        job = Job(
            self._clips[order.clip].folder,
            self._work.map(order.session, order.number),
            self._work.video(order.session, order.encode),
            order.ask,
        )
        live = _Live(order.encode, order.session, self._queue.submit(order.session, job))
        self._live[order.encode] = self._tickets[live.ticket] = live

    def resume(self) -> None:
        """Take up what a killed server left: each session's newest encode; older ones are not wanted any more."""
        with self._sessions.begin() as db:
            rows = db.execute(
                select(Encode, Session.clip)
                .join(Session, Session.id == Encode.session)
                .where(Encode.state == "queued")
                .order_by(Encode.map.desc())
            ).all()
            newest: dict[str, Order] = {}
            for encode, clip in rows:
                if encode.session in newest:
                    encode.state, encode.ended = "cancelled", time.time()
                elif clip not in self._clips:
                    encode.state, encode.ended = "failed", time.time()
                    encode.error = f"clip {clip} is not in the folder any more"
                else:
                    newest[encode.session] = Order(encode.id, encode.session, clip, encode.map, None)
        for order in newest.values():
            self.start(order)

    async def look(self, session: str, encode: str, seen: int, wait: float) -> dict[str, Any] | None:
        """What is known of an encode of this session, once its version is not ``seen``, or after ``wait`` seconds.

        None if there is no such encode.
        """
        live = self._live.get(encode)
        if live is not None and live.session == session and live.version == seen and not self._closing:
            with suppress(TimeoutError):
                await asyncio.wait_for(live.changed.wait(), wait)
        live = self._live.get(encode)  # before the row is read: once it is gone, the row says how it ended
        row = await asyncio.to_thread(self._row, session, encode)
        if row is None:
            return None
        facts = {"id": encode, **row, "version": FINAL, "ahead": 0, "fraction": 1.0 if row["state"] == "done" else 0.0}
        if live is None:
            lost = {"state": "failed", "error": "the server could not store it; paint on"}
            return facts | (lost if row["state"] == "queued" else {})
        status = self._queue.status(live.ticket)
        # Its end is told when it is stored.
        state = "running" if status.final else status.state
        return {**facts, "state": state, "version": live.version, "ahead": status.ahead, "fraction": status.fraction}

    def counts(self) -> dict[str, int]:
        """How many are waiting, and running."""
        states = [self._queue.status(ticket).state for ticket in self._tickets]
        return {state: states.count(state) for state in ("queued", "running")}

    def wake_all(self) -> None:
        """Answer those who wait now: the server stops."""
        self._closing = True
        for live in self._live.values():
            live.wake()

    async def close(self) -> None:
        """Stop the queue; what is not done stays ``queued`` in the database, and is taken up at the next start."""
        self.wake_all()
        await asyncio.to_thread(self._queue.close)
        await asyncio.gather(*self._ends)

    def _row(self, session: str, encode: str) -> dict[str, Any] | None:
        names = ("state", "error", "kbps", "target_kbps", "psnr", "psnr_painted", "psnr_elsewhere")
        names = (*names, "gain_painted", "gain_elsewhere", "seconds")
        columns = [getattr(Encode, name) for name in names]
        made_of = (Map.session == Encode.session) & (Map.number == Encode.map)
        with self._sessions() as db:
            row = db.execute(
                select(*columns, Map.strokes).join(Map, made_of).where(Encode.id == encode, Encode.session == session)
            ).first()
        return None if row is None else dict(row._mapping)

    def _from_the_queue(self, ticket: int, status: Status) -> None:
        """Called in the queue's threads, which must not wait."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed, ticket, status)

    def _changed(self, ticket: int, status: Status) -> None:
        live = self._tickets.get(ticket)
        if live is None:
            return
        if status.final and not self._closing:
            task = asyncio.create_task(self._end(live, status))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)
        # Where one starts or ends, the row behind it moves.
        for other in self._live.values() if status.final or status.fraction == 0 else [live]:
            self._show(other)

    def _show(self, live: _Live) -> None:
        """Wake those who wait if there is news: another state, fewer before it, or another tenth done."""
        status = self._queue.status(live.ticket)
        shown = status.state, status.ahead, int(10 * status.fraction)
        if not status.final and shown != live.shown:
            live.shown = shown
            live.wake()

    async def _end(self, live: _Live, status: Status) -> None:
        try:
            await asyncio.to_thread(self._store_end, live, status)
        except Exception:
            # The row says `queued` still, so the next start takes it up.
            _log.exception("the end of encode %s could not be stored", live.encode)
        self._live.pop(live.encode, None)
        self._tickets.pop(live.ticket, None)
        live.wake()

    def _store_end(self, live: _Live, status: Status) -> None:
        result, statistics = status.result, {}
        if result is not None:
            statistics = {name: getattr(result, name) for name in STATISTICS}
            video = self._work.video(live.session, live.encode)
            settle(video)
            if result.stream != video.name:
                settle(video.with_name(result.stream))
        with self._sessions.begin() as db:
            encode = db.get_one(Encode, live.encode)
            encode.state, encode.ended = status.state, time.time()
            encode.error = status.error and status.error[:1000]
            for name, value in statistics.items():
                setattr(encode, name, value)
