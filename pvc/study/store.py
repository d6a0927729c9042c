"""Participants and their trials in the database."""

from pathlib import Path

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from pvc.web.database import Sessions, open_database

MIGRATIONS = Path(__file__).parent / "migrations"
FILE = "study.sqlite"
"""In the study's folder: the database, when no other is asked for."""


def open_store(folder: Path, url: str | None = None) -> Sessions:
    """The database at ``url``, or the study's own.

    Raises:
        ConfigError: it cannot be used.
    """
    return open_database(url or f"sqlite:///{(folder / FILE).resolve()}", MIGRATIONS)


class Base(DeclarativeBase):
    """Of the tables below; :mod:`pvc.study.migrations` makes them."""


class Participant(Base):
    """Somebody who takes part. Times are seconds since 1970, UTC."""

    __tablename__ = "study_participant"
    __table_args__ = (UniqueConstraint("study", "worker"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    study: Mapped[str] = mapped_column(String(64), index=True)
    cookie: Mapped[str] = mapped_column(String(64), unique=True)  # a hash
    worker: Mapped[str | None] = mapped_column(String(128))
    code: Mapped[str] = mapped_column(String(16))
    joined: Mapped[float]
    trials: Mapped[list["Trial"]] = relationship(order_by="Trial.position", lazy="selectin")

    @property
    def current(self) -> "Trial | None":
        """The first trial without an answer; None at the end."""
        return next((trial for trial in self.trials if trial.choice is None), None)


class Trial(Base):
    """A pair that a participant is shown, and the answer.

    ``left`` is the codec on the left, or first; ``plays_left`` and ``plays_right`` how often either was seen to its
    end, ``restarts`` how often it was set back by hand, ``scale`` screen pixels a video pixel, ``seconds`` from the
    first picture to the answer. All but ``position``, ``pair`` and ``left`` come with the answer.
    """

    __tablename__ = "study_trial"

    participant: Mapped[str] = mapped_column(ForeignKey("study_participant.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    pair: Mapped[str] = mapped_column(String(16))
    left: Mapped[str] = mapped_column(String(200))
    opened: Mapped[float | None]
    answered: Mapped[float | None]
    choice: Mapped[str | None] = mapped_column(String(5))
    plays_left: Mapped[int | None]
    plays_right: Mapped[int | None]
    restarts: Mapped[int | None]
    layout: Mapped[str | None] = mapped_column(String(16))
    scale: Mapped[float | None]
    seconds: Mapped[float | None]
