"""A collection that is being served: its clips, its database, and those who look after them."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from sqlalchemy import func, select

from pvc.annotate.clip import Clip
from pvc.annotate.desk import Desk
from pvc.annotate.encodes import Encodes
from pvc.annotate.saving import MapKeeper
from pvc.annotate.store import Encode, Map, Participant, Session, Stroke
from pvc.annotate.work import Work
from pvc.errors import ConfigError
from pvc.web.database import Sessions


class Collection:
    """One collection.

    Args:
        clips: that are handed out, by name. settings: ``session``, ``brush``, ``queue`` and ``codec`` of
            ``configs/annotate.yaml``, which :func:`check_settings` has seen.
    """

    encodes: Encodes
    """Those under way; there while the server runs."""

    def __init__(self, work: Work, sessions: Sessions, clips: Mapping[str, Clip], settings: DictConfig) -> None:
        self.work, self.sessions, self.clips = work, sessions, clips
        self.brush: dict[str, Any] = OmegaConf.to_container(settings.brush)
        self.desk = Desk(sessions, clips, settings.session.clips, settings.session.minimum_seconds)
        self.maps = MapKeeper(sessions, work, clips)
        self._workers, self._threads = settings.queue.workers, settings.codec.threads

    def open(self) -> None:
        """Start the encoders and take up what was left; in the event loop."""
        self.encodes = Encodes(self.sessions, self.work, self.clips, self._workers, self._threads)
        self.encodes.resume()

    def newest_map(self, session: str) -> int | None:
        """Number of a session's newest map."""
        with self.sessions() as db:
            return db.scalar(select(func.max(Map.number)).where(Map.session == session))

    def is_done(self, session: str, encode: str) -> bool:
        """Whether this is an encode of this session, and its video is there."""
        with self.sessions() as db:
            state = select(Encode.state).where(Encode.id == encode, Encode.session == session)
            return db.scalar(state) == "done"

    def status(self) -> dict[str, Any]:
        """Numbers for whoever runs the collection."""
        with self.sessions() as db:
            count = {
                name: db.scalar(select(func.count()).select_from(table))
                for name, table in (("participants", Participant), ("strokes", Stroke), ("maps", Map))
            }
            by_state = dict(db.execute(select(Encode.state, func.count()).group_by(Encode.state)).all())
            rows = db.execute(select(Session.clip, func.count(), func.count(Session.finished)).group_by(Session.clip))
            painted = {clip: {"started": started, "finished": finished} for clip, started, finished in rows}
        clips = {name: painted.get(name, {"started": 0, "finished": 0}) for name in self.clips}
        return {**count, "encodes": by_state, "queue": self.encodes.counts(), "clips": clips}


def check_settings(settings: DictConfig) -> None:
    """Raises ``ConfigError`` if a setting of the server is out of range."""
    _within("session.minimum_seconds", settings.session.minimum_seconds, 0, 24 * 3600)
    for key, value in (("session.clips", settings.session.clips), ("queue.workers", settings.queue.workers)):
        if value is not None:
            _within(key, value, 1, 1000, whole=True)
    _within("brush.radius", settings.brush.radius, 1, 60)
    _within("brush.strength", settings.brush.strength, 1, 127)


def _within(key: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and low <= value <= high
    if not fits:
        raise ConfigError(f"{key}={value} is not a {'whole ' if whole else ''}number from {low} to {high}")
