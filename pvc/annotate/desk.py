"""Participants and their clips: who joins, which clip is next, when it may be finished."""

import random
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import func, or_, orm, select

from pvc.annotate import store
from pvc.annotate.store import Participant, Session
from pvc.errors import PvcError
from pvc.web.access import new_id
from pvc.web.database import Sessions

ABANDONED = 2 * 3600
"""Seconds after which an unfinished session no longer counts as one when clips are handed out."""
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that look alike


class Conflict(PvcError):
    """What is asked does not fit what is stored."""


class TooEarly(PvcError):
    """'Next video' before the minimum time has passed."""

    def __init__(self, seconds_left: float) -> None:
        super().__init__(f"there are {seconds_left:.0f} s left to paint this video")
        self.seconds_left = seconds_left


@dataclass(frozen=True)
class Standing:
    """How far a participant is: clips ``done`` of ``total``, and the session that is open, if one is."""

    participant: Participant
    done: int
    total: int
    session: Session | None
    elapsed: float = 0.0
    strokes: int = 0
    maps: int = 0
    encode: str | None = None


class Desk:
    """Gives participants their clips.

    Args:
        clips: names of those that are handed out. each: how many a participant gets; None: all.
        minimum_seconds: on each clip. clock: seconds since 1970.
    """

    def __init__(
        self,
        sessions: Sessions,
        clips: Collection[str],
        each: int | None,
        minimum_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sessions, self._clips, self._clock = sessions, sorted(clips), clock
        self.total, self.minimum_seconds = min(each or len(clips), len(clips)), minimum_seconds
        self._rng = random.SystemRandom()

    def find(self, cookie: str | None) -> Participant | None:
        """The participant of this (hashed) cookie."""
        if cookie is None:
            return None
        with self._sessions() as db:
            return db.scalar(select(Participant).where(Participant.cookie == cookie))

    def session_of(self, cookie: str | None, session: str) -> Session | None:
        """This session, if it belongs to the participant of this (hashed) cookie."""
        if cookie is None:
            return None
        with self._sessions() as db:
            owner = Session.participant == Participant.id
            return db.scalar(
                select(Session).join(Participant, owner).where(Participant.cookie == cookie, Session.id == session)
            )

    def join(self, cookie: str, worker: str | None) -> Participant:
        """A new participant, with a first clip.

        Raises:
            Conflict: somebody with this worker id has joined already (from another browser, or its cookies are gone).
        """
        with self._sessions.begin() as db:
            self._one_at_a_time(db)
            if worker is not None and db.scalar(select(Participant.id).where(Participant.worker == worker)):
                raise Conflict("this worker ID has taken part already; go on in the browser that you began with")
            participant = Participant(
                id=new_id(),
                cookie=cookie,
                worker=worker,
                code="".join(secrets.choice(_LETTERS) for _ in range(10)),
                joined=self._clock(),
            )
            db.add(participant)
            db.flush()
            self.hand_out(db, participant.id)
        return participant

    def standing(self, participant: Participant) -> Standing:
        """How far the participant is."""
        with self._sessions() as db:
            done, session = self._progress(db, participant.id)
            standing = Standing(participant, min(done, self.total), self.total, session)
            if session is None:
                return standing
            newest = select(store.Encode.id).where(store.Encode.session == session.id).order_by(store.Encode.map.desc())
            return Standing(
                participant,
                done,
                self.total,
                session,
                elapsed=self._clock() - session.started,
                strokes=db.scalar(select(func.max(store.Stroke.seq)).where(store.Stroke.session == session.id)) or 0,
                maps=db.scalar(select(func.max(store.Map.number)).where(store.Map.session == session.id)) or 0,
                encode=db.scalar(newest.limit(1)),
            )

    def everybody(self) -> list[tuple[str, str | None, float, int, str | None]]:
        """Each participant's id, worker id, time of joining, finished clips, and code if that were all."""
        finished = select(func.count(Session.finished)).where(Session.participant == Participant.id).scalar_subquery()
        with self._sessions() as db:
            rows = db.execute(select(Participant, finished).order_by(Participant.joined)).all()
        return [(one.id, one.worker, one.joined, n, one.code if n >= self.total else None) for one, n in rows]

    def check_time(self, session: Session) -> None:
        """Raises ``TooEarly`` before the minimum time of this session has passed."""
        left = self.minimum_seconds - (self._clock() - session.started)
        if left > 0:
            raise TooEarly(left)

    def finish(self, db: orm.Session, session: str) -> None:
        """Close a session and hand out the next clip, in the transaction ``db``."""
        self._one_at_a_time(db)
        row = db.get_one(Session, session)
        row.finished = self._clock()
        self.hand_out(db, row.participant)

    def hand_out(self, db: orm.Session, participant: str) -> None:
        """Give the participant another clip, if none is open and some are left: one of those painted least so far."""
        done, current = self._progress(db, participant)
        if current is not None or done >= self.total:
            return
        of_mine = select(Session.clip, Session.position).where(Session.participant == participant)
        mine = dict(db.execute(of_mine).all())
        alive = or_(Session.finished.is_not(None), Session.started > self._clock() - ABANDONED)
        painters = select(Session.clip, func.count()).where(alive).group_by(Session.clip)
        taken = dict(db.execute(painters).all())
        left = [clip for clip in self._clips if clip not in mine]
        if not left:
            return
        clip = min(left, key=lambda name: (taken.get(name, 0), self._rng.random()))
        position = max(mine.values(), default=0) + 1
        db.add(Session(id=new_id(), participant=participant, clip=clip, position=position, started=self._clock()))

    def _progress(self, db: orm.Session, participant: str) -> tuple[int, Session | None]:
        rows = db.scalars(select(Session).where(Session.participant == participant).order_by(Session.position)).all()
        # A clip that was taken out of the folder in the meantime is nobody's any more.
        current = [row for row in rows if row.finished is None and row.clip in self._clips]
        return sum(row.finished is not None for row in rows), current[0] if current else None

    def _one_at_a_time(self, db: orm.Session) -> None:
        """Transactions that hand out clips wait for each other, so that no two see the same counts."""
        db.execute(select(store.Collection.id).with_for_update())
