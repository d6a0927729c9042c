"""Decoded frames kept on disk, so that three random frames do not cost a seek and a decode.

A clip is raw uint8 ``[T, C, H, W]`` in a ``.u8`` file, memory-mapped when read, and its shape in a ``.json``. The name
holds a hash of path, size and modification time, so a changed file is decoded again. Entries appear complete or not at
all, and several processes may fill one cache.
"""

import hashlib
import json
import os
import shutil
import uuid
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray
from torch import Tensor

from pvc.errors import DataError
from pvc.video import VideoInfo, VideoReader, probe

_KEEP_FREE = 2**30  # bytes the cache leaves free on the disk


class FrameCache:
    """A folder of decoded clips.

    Args:
        folder: where; ``"auto"`` is the platform's cache folder for pvc (``~/.cache/pvc`` on Linux).
    """

    def __init__(self, folder: str | Path = "auto") -> None:
        base = platformdirs.user_cache_path("pvc") if folder == "auto" else Path(folder).expanduser()
        self.folder = base / "frames"

    def info(self, path: Path, grey: bool = False) -> dict | None:
        """``shape`` ``[T, C, H, W]`` and ``fps`` of a clip that is in the cache, else None."""
        file = self._file(path, grey)
        try:
            info = json.loads(file.with_suffix(".json").read_text())
            if file.stat().st_size == np.prod(info["shape"]):
                return {"shape": tuple(info["shape"]), "fps": Fraction(info["fps"])}
        except (OSError, json.JSONDecodeError):
            pass
        return None

    def load(self, path: Path, grey: bool = False, **raw: object) -> NDArray[np.uint8]:
        """Memory-mapped frames of a clip, ``[T, 3, H, W]`` (grey: ``[T, 1, H, W]``, 255 for 1), decoded where needed.

        Args:
            raw: what :func:`pvc.video.open_video` has to be told about a raw file.

        Raises:
            VideoError: the clip is broken.
            DataError: the cache cannot be written.
        """
        file = self._file(path, grey)
        info = self.info(path, grey)
        if info is None:
            self._store(file, path, grey, raw)
            info = self.info(path, grey)
        return _map(file, info["shape"], file.stat().st_ino)

    def _file(self, path: Path, grey: bool) -> Path:
        path = path.resolve()
        digest = hashlib.sha256(f"{path} {grey}".encode())
        for member in sorted(path.iterdir()) if path.is_dir() else [path]:
            stat = member.stat()
            digest.update(f"{member.name} {stat.st_size} {stat.st_mtime_ns}".encode())
        return self.folder / f"{path.stem[:80]}-{digest.hexdigest()[:16]}.u8"

    def _store(self, file: Path, path: Path, grey: bool, raw: dict) -> None:
        info = probe(path, **raw)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_space(info, 1 if grey else 3)
            part = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
            try:
                with part.open("wb") as f, VideoReader(path, grey=grey, **raw) as reader:
                    count = 0
                    for frame in reader:
                        f.write(_bytes(frame))
                        count += 1
                os.replace(part, file)
            finally:
                part.unlink(missing_ok=True)
            # Written last: its presence says that the frames are complete.
            part.write_text(json.dumps({"shape": [count, *frame.shape], "fps": str(info.fps)}))
            os.replace(part, file.with_suffix(".json"))
        except OSError as error:
            raise DataError(
                f"cannot keep the decoded frames of {path} in {self.folder} ({error.strerror or error}); "
                "choose another folder with data.source.cache=DIR or none with data.source.cache=null"
            ) from error

    def _check_space(self, info: VideoInfo, channels: int) -> None:
        need, free = info.frames * info.height * info.width * channels, shutil.disk_usage(self.folder).free
        if need + _KEEP_FREE > free:
            raise OSError(f"{need / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free and 1 GB must stay so")


def _bytes(frame: Tensor) -> bytes:
    return (frame.mul(255).round().byte() if frame.is_floating_point() else frame).numpy().tobytes()


@lru_cache(maxsize=1024)
def _map(file: Path, shape: tuple[int, ...], inode: int) -> NDArray[np.uint8]:  # a replaced file is another inode
    return np.memmap(file, np.uint8, "r", shape=shape)
