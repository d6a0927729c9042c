"""What participants do: join, see pairs, answer. Each call is one transaction."""

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pvc.errors import ConfigError
from pvc.study.draw import draw
from pvc.study.plan import Study
from pvc.study.store import Participant, Trial
from pvc.web.access import new_id
from pvc.web.database import Sessions

_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that look alike
LENIENCE = 0.5
"""Seconds by which an answer may come before both videos can have ended, for clocks and rounding."""


class Taken(ConfigError):
    """Somebody with this worker id has taken part already."""


class TooEarly(ConfigError):
    """An answer before both videos can have been seen."""

    def __init__(self, seconds_left: float) -> None:
        super().__init__(f"both videos have to be seen first; {seconds_left:.1f} s are left")


@dataclass(frozen=True)
class Answer:
    """What comes with the choice of ``left`` or ``right``; the fields are those of ``Trial``."""

    choice: str
    plays_left: int
    plays_right: int
    restarts: int
    layout: str
    scale: float
    seconds: float


class Desk:
    """Lets participants take part in ``study``.

    Args:
        clock: Gives seconds since 1970.
        rng: Draws the order and the sides; None: nobody can foresee them.
    """

    def __init__(
        self,
        study: Study,
        sessions: Sessions,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.study, self._sessions, self._clock = study, sessions, clock
        self._rng = rng or random.SystemRandom()

    def find(self, cookie: str | None) -> Participant | None:
        """The participant of this (hashed) cookie; None if there is none in this study."""
        if cookie is None:
            return None
        with self._sessions() as session:
            return session.scalar(self._of(cookie))

    def join(self, cookie: str, worker: str | None) -> Participant:
        """A new participant, whose pairs are drawn now.

        Raises:
            Taken: there is one with this worker id.
        """
        try:
            with self._sessions.begin() as session:
                if worker is not None and session.scalar(
                    select(Participant.id).where(Participant.study == self.study.id, Participant.worker == worker)
                ):
                    raise Taken(_TAKEN)
                participant = Participant(
                    id=new_id(),
                    study=self.study.id,
                    cookie=cookie,
                    worker=worker,
                    code="".join(secrets.choice(_LETTERS) for _ in range(10)),
                    joined=self._clock(),
                )
                order = draw(self.study, self._shown(session), self._rng)
                participant.trials = [
                    Trial(position=number, pair=pair.id, left=left) for number, (pair, left) in enumerate(order, 1)
                ]
                session.add(participant)
        except IntegrityError:  # two requests at the same moment
            raise Taken(_TAKEN) from None
        return participant

    def open(self, cookie: str | None, position: int) -> Trial | None:
        """Note that the participant's current trial is on the screen. None if ``position`` is not that trial."""
        with self._sessions.begin() as session:
            trial = self._current(session, cookie)
            if trial is None or trial.position != position:
                return None
            if trial.opened is None:
                trial.opened = self._clock()
            return trial

    def answer(self, cookie: str | None, position: int, answer: Answer) -> Participant | None:
        """Store the answer to the current trial. The first answer stays: to repeat one changes nothing.

        Returns None if ``position`` is neither the current trial nor one that was answered.

        Raises:
            TooEarly: both videos cannot have been seen since the trial was opened.
        """
        with self._sessions.begin() as session:
            participant = session.scalar(self._of(cookie).with_for_update())  # two clicks come one after the other
            current = participant and participant.current
            if current is None or current.position != position:
                answered = [t.position for t in participant.trials if t.choice] if participant else []
                return participant if position in answered else None
            pair = self.study.pair(current.pair)
            # In turn, the second video starts when the first has ended.
            needed = pair.seconds * (2 if answer.layout == "in-turn" else 1) - LENIENCE
            passed = 0.0 if current.opened is None else self._clock() - current.opened
            if passed < needed:
                raise TooEarly(needed - passed)
            for name, value in vars(answer).items():
                setattr(current, name, value)
            current.answered = self._clock()
            return participant

    def progress(self) -> dict[str, int]:
        """How many have joined, and how many have finished."""
        with self._sessions() as session:
            everyone = list(session.scalars(select(Participant).where(Participant.study == self.study.id)))
        return {"joined": len(everyone), "finished": sum(one.current is None for one in everyone)}

    def _of(self, cookie: str | None):
        return select(Participant).where(Participant.study == self.study.id, Participant.cookie == (cookie or ""))

    def _current(self, session: Session, cookie: str | None) -> Trial | None:
        participant = session.scalar(self._of(cookie).with_for_update())
        return participant.current if participant else None

    def _shown(self, session: Session) -> Counter:
        rows = session.execute(
            select(Trial.pair, func.count())
            .join(Participant, Participant.id == Trial.participant)
            .where(Participant.study == self.study.id)
            .group_by(Trial.pair)
        )
        return Counter({pair: count for pair, count in rows})


_TAKEN = "this worker ID has taken part already; go on in the browser that you began with"
