"""What goes through once, kept on disk to go through again."""

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from pvc.errors import VideoError

T = TypeVar("T")


class Spool(Generic[T]):
    """A temporary file without a name, so that it is gone with its process, however that ends.

    It lies where Python's ``tempfile`` puts such files; the environment variable TMPDIR says where that is.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="pvc-spool-")  # noqa: SIM115 it outlives this function
        self._count = 0

    def keep(self, items: Iterable[T]) -> Iterator[T]:
        """``items`` as they come; each is on disk once it was given out.

        Raises:
            VideoError: no room on the disk.
        """
        for item in items:
            try:
                pickle.dump(item, self._file, protocol=pickle.HIGHEST_PROTOCOL)
                self._file.flush()
            except OSError as error:
                raise VideoError(no_room("the frames between two passes", error)) from None
            self._count += 1
            yield item

    def __len__(self) -> int:
        """Number of items kept."""
        return self._count

    def __iter__(self) -> Iterator[T]:
        """What was kept, from its beginning."""
        self._file.seek(0)
        for _ in range(self._count):
            yield pickle.load(self._file)

    def __enter__(self) -> "Spool[T]":
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def no_room(what: str, error: OSError) -> str:
    """What to tell whoever's disk is full."""
    return f"no room in {tempfile.gettempdir()} for {what} ({error.strerror}); set TMPDIR to a folder with more"
