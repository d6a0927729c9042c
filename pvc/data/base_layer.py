"""The base layer of a training set, coded once: pictures of an ordinary codec at several QPs, and saliency maps.

``pvc data base`` writes such a cache, and CPVC trains on it beside the source (Li, IEEE Access 2024, section IV.B).
A clip is a folder ``clips/NAME`` of tracks: ``qp29`` ... are decoded pictures, ``saliency`` is the map. A track is raw
uint8 ``[T, C, H, W]`` in a ``.u8`` file, memory-mapped when read, and a ``.json`` that is written last: its presence
says that the track is whole. ``base.json`` says how all of it was made.
"""

import json
import os
import uuid
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pvc.errors import ConfigError, DataError

SALIENCY = "saliency"
"""Name of the track with the saliency map."""


def qp_track(qp: int) -> str:
    """Name of the track with the pictures at ``qp``."""
    return f"qp{qp:d}"


class BaseLayer:
    """A cache of base layers in ``folder``.

    Several processes may fill it; no track is ever seen half written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()

    # -- how it was made ---------------------------------------------------------------------------------------------

    @property
    def made_by(self) -> dict[str, Any]:
        """``base`` (the codec's name), ``codec`` (its settings), ``gop``, ``frames``, ``saliency``, and a list ``qp``.

        Raises:
            DataError: the folder is no such cache.
        """
        try:
            return json.loads((self.folder / "base.json").read_text())
        except (OSError, json.JSONDecodeError):
            raise DataError(
                f"{self.folder} is no cache of base layers; make it by pvc data base data=... data.root=... "
                f"out={self.folder}"
            ) from None

    def begin(self, made_by: dict[str, Any]) -> None:
        """Begin to fill the cache, or go on with it. QPs may be added; everything else has to stay as it was.

        Raises:
            ConfigError: what is there was made in another way.
        """
        made_by = json.loads(json.dumps(made_by))
        if (self.folder / "base.json").exists():
            there = self.made_by
            if differ := [k for k in made_by if k != "qp" and made_by[k] != there.get(k)]:
                key = differ[0]
                raise ConfigError(
                    f"{self.folder} was made with another {key} ({_short(there.get(key))}, not "
                    f"{_short(made_by[key])}); give another out, or delete it"
                )
            made_by["qp"] = sorted({*there["qp"], *made_by["qp"]})
        self._write(self.folder / "base.json", json.dumps(made_by, indent=1).encode())

    # -- tracks ------------------------------------------------------------------------------------------------------

    def info(self, name: str, track: str) -> dict[str, Any] | None:
        """``shape`` ``[T, C, H, W]``, ``source`` (:func:`~pvc.data.identity.source_digest`) and, of pictures, ``bits``.

        None where the track is not there, or not whole.
        """
        file = self._file(name, track)
        try:
            info = json.loads(file.with_suffix(".json").read_text())
            return info if file.stat().st_size == np.prod(info["shape"]) else None
        except (OSError, json.JSONDecodeError):
            return None

    def store(self, name: str, track: str, frames: Iterable[Tensor], **about: Any) -> None:
        """Write ``frames`` (uint8 ``[C, H, W]``) and what there is to say of them.

        Raises:
            DataError: they have not the shape ``about["shape"]``.
        """
        file, count = self._file(name, track), 0
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
        try:
            with part.open("wb") as f:
                for frame in frames:
                    found = [*frame.shape]
                    if found != [*about["shape"][1:]]:
                        raise DataError(f"{name}: a frame of {track} is {found}, not {[*about['shape'][1:]]}")
                    f.write(frame.numpy().tobytes())
                    count += 1
            if count != about["shape"][0]:
                raise DataError(f"{name}: {track} has {count} frames where the clip has {about['shape'][0]}")
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
        self._write(file.with_suffix(".json"), json.dumps(about).encode())

    def load(self, name: str, track: str) -> NDArray[np.uint8]:
        """The track, memory-mapped ``[T, C, H, W]``. Raises ``DataError`` where it is not there."""
        file, info = self._file(name, track), self.info(name, track)
        if info is None:
            raise DataError(f"{self.folder} has lost {track} of {name}; run pvc data base again, which mends it")
        return _map(file, tuple(info["shape"]), file.stat().st_ino)

    def sweep(self) -> None:
        """Remove what a killed process left half written. For the only writer."""
        for part in self.folder.rglob(".*.part"):
            part.unlink(missing_ok=True)

    def _file(self, name: str, track: str) -> Path:
        return self.folder / "clips" / name / f"{track}.u8"

    def _write(self, file: Path, data: bytes) -> None:
        part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
        part.write_bytes(data)
        os.replace(part, file)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


@lru_cache(maxsize=4096)
def _map(file: Path, shape: tuple[int, ...], inode: int) -> NDArray[np.uint8]:  # a replaced file is another inode
    return np.memmap(file, np.uint8, "r", shape=shape)
