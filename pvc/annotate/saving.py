"""Maps kept: a file that is on the disk first, then the row that names it, then the answer."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import func, orm, select

from pvc.annotate.clip import Clip
from pvc.annotate.desk import Conflict
from pvc.annotate.maps import Values, from_wire, write_values
from pvc.annotate.store import Encode, Map, Session, Stroke
from pvc.annotate.wire import unpack
from pvc.annotate.work import Work, settle
from pvc.errors import VideoError
from pvc.web.access import new_id
from pvc.web.database import Sessions

MOST_MAPS = 5000
"""Maps of a session: the disk is finite, and nobody paints so much in one clip."""


@dataclass(frozen=True)
class Order:
    """An encode that is asked for, of a map that is stored. ``ask``: what the encoder was asked for the last time."""

    encode: str
    session: str
    clip: str
    number: int
    ask: float | None


class MapKeeper:
    """Stores maps of sessions.

    Args:
        clips: by name.
    """

    def __init__(self, sessions: Sessions, work: Work, clips: Mapping[str, Clip]) -> None:
        self._sessions, self._work, self._clips = sessions, work, clips
        self._locks, self._guard = {}, threading.Lock()

    def save(self, session: Session, body: bytes, strokes: int) -> Order:
        """Store a map that was painted by the first ``strokes`` items of the log, and the wish to see it.

        Args:
            body: gzip of the map as the page sends it.

        Raises:
            Conflict: the session is finished, or the log has fewer items.
            ImportanceError: it is no map of this clip.
        """
        values = self._unpack(session, body)
        with self._turn(session.id):
            return self._store(session, values, strokes, final=False)

    def finish(
        self, session: Session, body: bytes, strokes: int, close: Callable[[orm.Session, str], None]
    ) -> Order | None:
        """Store the last map and close the session; to repeat that changes nothing.

        Returns:
            The encode that is still to be made: none if the clip was coded with this very map, or nothing was painted.

        Raises:
            Conflict, ImportanceError: as :meth:`save`.
        """
        values = self._unpack(session, body)
        with self._turn(session.id):
            with self._sessions() as db:
                if db.get_one(Session, session.id).finished is not None:
                    return None
            return self._store(session, values, strokes, final=True, close=close)

    def _unpack(self, session: Session, body: bytes) -> Values:
        frames, rows, columns = shape = self._clips[session.clip].grid
        return from_wire(unpack(body, frames * rows * columns), shape)

    @contextmanager
    def _turn(self, session: str):
        """One request of a session at a time: the next map's number is the last one's plus 1."""
        with self._guard:
            lock, waiting = self._locks.get(session, (threading.Lock(), 0))
            self._locks[session] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, waiting = self._locks.pop(session)
                if waiting > 1:
                    self._locks[session] = lock, waiting - 1

    def _store(
        self,
        session: Session,
        values: Values,
        strokes: int,
        *,
        final: bool,
        close: Callable[[orm.Session, str], None] | None = None,
    ) -> Order | None:
        last, ask = self._check(session.id, strokes)
        number = last + 1
        file = self._work.map(session.id, number)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_values(file, values, self._clips[session.clip].rate)
        except VideoError as error:
            # A full disk is not the client's to mend; it may try again.
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise
        settle(file)
        if number == 1:  # its folder is new, and perhaps that one's
            settle(file.parent.parent)
        now = time.time()
        with self._sessions.begin() as db:
            wanted = not final or (strokes > 0 and not self._coded(db, session.id, strokes))
            db.add(Map(session=session.id, number=number, strokes=strokes, final=final, saved=now))
            order = Order(new_id(), session.id, session.clip, number, ask) if wanted else None
            if order:
                db.add(Encode(id=order.encode, session=session.id, map=number, state="queued", asked=now))
            if close:
                db.flush()
                close(db, session.id)
        return order

    def _check(self, session: str, strokes: int) -> tuple[int, float | None]:
        with self._sessions() as db:
            if db.get_one(Session, session).finished is not None:
                raise Conflict("this video is finished; load the page again")
            stored = db.scalar(select(func.max(Stroke.seq)).where(Stroke.session == session)) or 0
            if strokes > stored:
                raise Conflict(f"the map is made of {strokes} strokes, but only {stored} are stored; send them first")
            last = db.scalar(select(func.max(Map.number)).where(Map.session == session)) or 0
            if last >= MOST_MAPS:
                raise Conflict(f"a video takes {MOST_MAPS} maps at most; press 'Next video'")
            done = select(Encode.asked_kbps).where(Encode.session == session, Encode.state == "done")
            return last, db.scalar(done.order_by(Encode.map.desc()).limit(1))

    def _coded(self, db: orm.Session, session: str, strokes: int) -> bool:
        """Whether the newest encode is (or will be) of the map that these strokes make."""
        made_of = (
            select(Map.strokes, Encode.state)
            .join(Encode, (Encode.session == Map.session) & (Encode.map == Map.number))
            .where(Map.session == session)
            .order_by(Map.number.desc())
            .limit(1)
        )
        row = db.execute(made_of).first()
        return row is not None and row.strokes == strokes and row.state in ("queued", "done")
