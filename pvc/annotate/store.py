"""The tables of the annotation tool: participants, their sessions, strokes, maps and encodes.

Times are seconds since 1970 (UTC). Maps and videos are files, whose names follow from the rows; a row is written only
when its file is on the disk.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pvc.web.database import Sessions, open_database

MIGRATIONS = Path(__file__).parent / "migrations"


def open_store(url: str) -> Sessions:
    """The database at ``url`` with these tables, of their newest version.

    Raises:
        ConfigError: as :func:`pvc.web.database.open_database`.
    """
    return open_database(url, MIGRATIONS)


def sqlite_url(work: Path) -> str:
    """URL of the database that a collection in ``work`` has when no other is asked for."""
    return f"sqlite:///{work / 'annotate.sqlite'}"


class Base(DeclarativeBase):
    """Of the tables below; ``migrations/`` makes them."""


class Collection(Base):
    """The one collection that the database belongs to; ``id`` also stands in its folder."""

    __tablename__ = "annotate_collection"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    began: Mapped[float]


class Participant(Base):
    """Somebody who paints, known by a random id. ``cookie`` is a hash; ``worker`` is what a recruiter calls them."""

    __tablename__ = "annotate_participant"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    cookie: Mapped[str] = mapped_column(String(64), unique=True)
    worker: Mapped[str | None] = mapped_column(String(128), unique=True)
    code: Mapped[str] = mapped_column(String(16))
    joined: Mapped[float]


class Session(Base):
    """One participant painting one clip, from its start until 'Next video'; ``position`` counts from 1."""

    __tablename__ = "annotate_session"
    __table_args__ = (UniqueConstraint("participant", "clip"), UniqueConstraint("participant", "position"))

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    participant: Mapped[str] = mapped_column(ForeignKey("annotate_participant.id"))
    clip: Mapped[str] = mapped_column(String(255), index=True)
    position: Mapped[int]
    started: Mapped[float]
    finished: Mapped[float | None]


class Stroke(Base):
    """Item ``seq`` (from 1) of a session's log, as the page sent it: a stroke, undo, redo or clear."""

    __tablename__ = "annotate_stroke"

    session: Mapped[str] = mapped_column(ForeignKey("annotate_session.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    received: Mapped[float]
    item: Mapped[dict[str, Any]] = mapped_column(JSON)


class Map(Base):
    """Map ``number`` (from 1) of a session: the file ``map-NNNNNN.mkv``, made of the log's first ``strokes`` items."""

    __tablename__ = "annotate_map"

    session: Mapped[str] = mapped_column(ForeignKey("annotate_session.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    strokes: Mapped[int]
    final: Mapped[bool]
    saved: Mapped[float]


class Encode(Base):
    """The clip coded again by map ``map`` of its session: the file ``encode-ID.mp4`` once ``state`` is ``done``.

    ``state`` is ``queued`` (or running), ``done``, ``cancelled`` or ``failed`` (``error`` says why). The statistics
    are those of :class:`pvc.annotate.reencode.EncodeResult`. ``asked``, ``ended``: times, ``seconds`` the work.
    """

    __tablename__ = "annotate_encode"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    session: Mapped[str] = mapped_column(ForeignKey("annotate_session.id"), index=True)
    map: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), index=True)
    asked: Mapped[float]
    ended: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(String(1000))
    kbps: Mapped[float | None]
    target_kbps: Mapped[float | None]
    psnr: Mapped[float | None]
    psnr_painted: Mapped[float | None]
    psnr_elsewhere: Mapped[float | None]
    gain_painted: Mapped[float | None]
    gain_elsewhere: Mapped[float | None]
    seconds: Mapped[float | None]
    asked_kbps: Mapped[float | None]
    stream: Mapped[str | None] = mapped_column(String(255))


STATISTICS = (
    "kbps",
    "target_kbps",
    "psnr",
    "psnr_painted",
    "psnr_elsewhere",
    "gain_painted",
    "gain_elsewhere",
    "seconds",
    "asked_kbps",
    "stream",
)
"""Columns of :class:`Encode` that an :class:`pvc.annotate.reencode.EncodeResult` fills."""
