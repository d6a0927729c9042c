"""What was collected, session by session, as export, averages and rules look at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pvc.annotate.clip import Clip, load_clips
from pvc.annotate.maps import Values, read_values
from pvc.annotate.store import Encode, Map, Participant, Session, Stroke, open_store, sqlite_url
from pvc.annotate.work import Work
from pvc.errors import DataError
from pvc.web.database import Sessions


@dataclass(frozen=True)
class Painted:
    """One session.

    Attributes:
        id, participant: random ids. worker: what the recruiter calls them, or None.
        clip: that was painted. position: of the clip among the participant's, from 1.
        started, finished: seconds since 1970; finished is None if 'Next video' was not pressed.
        log: items of the stroke log, in order. received: when each reached the server.
        maps: files of all maps, oldest first: the last one is the final, or newest one. map_rows, encodes: their rows.
    """

    id: str
    participant: str
    worker: str | None
    clip: Clip
    position: int
    started: float
    finished: float | None
    log: Sequence[Mapping[str, Any]] = ()
    received: Sequence[float] = ()
    maps: Sequence[Path] = ()
    map_rows: Sequence[Mapping[str, Any]] = ()
    encodes: Sequence[Mapping[str, Any]] = field(default=())

    @property
    def seconds(self) -> float:
        """From the start to the end, or to the last item."""
        last = self.finished or max(self.received, default=self.started)
        return last - self.started

    def values(self) -> Values | None:
        """The final map, or the newest; uint8 ``[T, h, w]``. None if none was ever sent.

        Raises:
            ImportanceError, VideoError: its file is damaged.
        """
        return read_values(self.maps[-1], self.clip.grid) if self.maps else None


def open_collection(work: str | Path, database: str | None = None) -> Sessions:
    """The database of a collection.

    Raises:
        DataError: nothing was collected in ``work``. ConfigError: the database cannot be used.
    """
    work = Path(work)
    if database is None and not (work / "annotate.sqlite").is_file():
        hint = f"; did you mean {work / 'annotations'}?" if (work / "annotations" / "annotate.sqlite").is_file() else ""
        raise DataError(f"{work} holds no annotate.sqlite, so nothing was collected there{hint}")
    return open_store(database or sqlite_url(work))


def read_painted(work: str | Path, sessions: Sessions) -> list[Painted]:
    """All sessions in which something may have been painted, by clip and start.

    Raises:
        DataError: a session's clip is not there.
    """
    folder, clips = Work(Path(work)), {clip.name: clip for clip in load_clips(work)}
    with sessions() as db:
        people = {person.id: person for person in db.scalars(select(Participant))}
        rows = db.scalars(select(Session).order_by(Session.clip, Session.started, Session.id)).all()
        logs, maps, encodes = (
            _grouped(db.scalars(select(table).order_by(table.session, order)))
            for table, order in ((Stroke, Stroke.seq), (Map, Map.number), (Encode, Encode.asked))
        )
    if missing := sorted({row.clip for row in rows} - clips.keys()):
        raise DataError(f"{work}/clips does not hold {', '.join(missing)}, which people painted; put it back")
    return [
        Painted(
            id=row.id,
            participant=row.participant,
            worker=people[row.participant].worker,
            clip=clips[row.clip],
            position=row.position,
            started=row.started,
            finished=row.finished,
            log=[stroke.item for stroke in logs.get(row.id, [])],
            received=[stroke.received for stroke in logs.get(row.id, [])],
            maps=[folder.map(row.id, one.number) for one in maps.get(row.id, [])],
            map_rows=[_columns(one) for one in maps.get(row.id, [])],
            encodes=[_columns(one) for one in encodes.get(row.id, [])],
        )
        for row in rows
    ]


def _grouped(rows: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.session, []).append(row)
    return found


def _columns(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}
