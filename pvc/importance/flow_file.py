"""Optical flow of a clip on disk, so that it is computed once."""

import os
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pvc.errors import ImportanceError


class FlowFile:
    """Flow of a clip on disk (``.npz``): written once, read frame by frame in any order.

    Args:
        path: A file by :meth:`write`.

    Raises:
        ImportanceError: there is no such file, or it is damaged or something else.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        try:
            self._arrays = np.load(path, allow_pickle=False)
            self._count = len(self._arrays.files)
        except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise ImportanceError(
                f"{path}: cannot read this as the flow of a clip ({error}); compute it again"
            ) from None

    def __len__(self) -> int:
        """Number of flows: one fewer than the clip's frames."""
        return self._count

    def __getitem__(self, t: int) -> NDArray[np.int16]:
        """The flow from frame t + 1 to frame t, as :meth:`Farneback.flows` yields it."""
        if not 0 <= t < self._count:
            raise IndexError(t)
        try:
            flow = self._arrays[f"{t:06d}"]
        except (KeyError, OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, tokenize.TokenError) as error:
            raise ImportanceError(f"{self._path}: flow {t} is damaged ({error}); compute it again") from None
        return np.ascontiguousarray(np.cumsum(flow, axis=2, dtype=np.int16))

    @staticmethod
    def write(path: str | Path, flows: Iterable[NDArray[np.int16]]) -> None:
        """Write ``flows`` to ``path``, one after the other; the file appears when it is whole.

        Differences of horizontal neighbours, deflated, which is smaller and loses nothing.

        Raises:
            ImportanceError: the file cannot be written.
        """
        path = Path(path)
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    for t, flow in enumerate(flows):
                        with archive.open(f"{t:06d}.npy", "w") as member:
                            np.lib.format.write_array(member, np.diff(flow, axis=2, prepend=np.int16(0)))
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            raise ImportanceError(f"{path} cannot be written: {error.strerror or error}") from None
