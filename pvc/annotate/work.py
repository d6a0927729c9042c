"""The folder of a collection: where its files lie, whose database it has, and that one server at a time uses it."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from pvc.annotate.store import Collection
from pvc.errors import ConfigError
from pvc.web.access import new_id
from pvc.web.database import Sessions


@dataclass(frozen=True)
class Work:
    """Names of the files in ``folder``. Every part of them was drawn or counted by the server."""

    folder: Path

    def session(self, session: str) -> Path:
        """Folder with what a session's participant painted."""
        return self.folder / "sessions" / session

    def map(self, session: str, number: int) -> Path:
        """Importance file of a map, at the size of the clip's grid."""
        return self.session(session) / f"map-{number:06d}.mkv"

    def video(self, session: str, encode: str) -> Path:
        """What a browser plays of an encode. A stream that is another file lies beside it; its row has the name."""
        return self.session(session) / f"encode-{encode}.mp4"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder (made if it is not there) for this process; the hold ends with it, whatever ends it.

        Raises:
            ConfigError: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".serving").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{self.folder} is served or prepared by another pvc; stop that one, or give another --out"
                ) from None
            yield

    def tidy(self) -> None:
        """Remove what a killed server left half-written; files get their names only when they are whole."""
        for partial in (self.folder / "sessions").glob("*/.*"):
            partial.unlink(missing_ok=True)
        for export in self.folder.glob(".export-*"):
            shutil.rmtree(export, ignore_errors=True)

    def claim(self, sessions: Sessions) -> str:
        """The collection's id, which the folder and the database must agree about; drawn if both are new.

        Raises:
            ConfigError: the database is another collection's, or does not have what the folder's files belong to.
        """
        file = self.folder / "collection.txt"
        here = file.read_text(encoding="ascii").strip() if file.is_file() else None
        with sessions.begin() as session:
            there = session.scalar(select(Collection.id))
            if here is None and there is None:
                here = new_id()
                session.add(Collection(id=here, began=time.time()))
                file.write_text(here + "\n", encoding="ascii")
                settle(file)  # before the row, as all files are
            elif there is None:
                # A folder whose first start was cut off between the two; one with sessions has lost its database.
                if any((self.folder / "sessions").glob("*")):
                    raise ConfigError(f"{self.folder} was painted with another database; give that one with --database")
                session.add(Collection(id=here, began=time.time()))
            elif here != there:
                raise ConfigError(
                    f"the database belongs to another collection than {self.folder}; give its own --database or --out"
                )
        return here


def settle(file: Path) -> None:
    """Return when the file, and its name in its folder, are on the disk."""
    for path in (file, file.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
