"""A pack of clips in tar shards: what is in it, and how parts of it are read.

A shard is a tar file in WebDataset's convention: one sample a clip, with its frames ``000012.00000.png`` ... and then
its masks. ``index.json``, written last, says where each clip's frames begin in which shard, so that three frames are
one short read from a file or an object store, and nobody has to look through a tar.
"""

import fcntl
import hashlib
import json
import mmap
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from fsspec.implementations.cached import CachingFileSystem
from fsspec.implementations.local import LocalFileSystem

from pvc.errors import DataError

INDEX, VERSION = "index.json", 1
_BLOCK = 512  # of a tar file: a member is a header of one block and its content, filled up to whole blocks


@dataclass(frozen=True)
class Clip:
    """Where a clip is: shard number, offset of its first frame and of its first mask, and the bytes of each."""

    dataset: str
    name: str
    frames: int
    height: int
    width: int
    fps: str
    shard: int
    offset: int
    sizes: list[int]
    mask_offset: int = 0
    mask_sizes: list[int] | None = None

    def places(self, numbers: range, mask: bool = False) -> list[tuple[int, int]]:
        """First byte and end of some frames or masks, which follow one another as members of the tar."""
        sizes = np.asarray(self.mask_sizes if mask else self.sizes)
        members = _BLOCK + -(-sizes // _BLOCK) * _BLOCK
        starts = (self.mask_offset if mask else self.offset) + np.cumsum(members) - members
        return [(int(starts[i]), int(starts[i] + sizes[i])) for i in numbers]

    def to_json(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if v or k in ("shard", "offset")}


def shard_name(number: int) -> str:
    """File of a shard, in the folder of the pack."""
    return f"shard-{number:05d}.tar"


class Pack:
    """A finished pack, at a folder or at any address that fsspec knows (``s3://bucket/pack``).

    Args:
        root: Where it is.
        copy: Folder on this machine's disk into which a shard of an address is copied when it is first read; None
            reads from the address each time, and only what is asked for.

    Raises:
        DataError: there is none, it is unfinished, or it is of another version.
    """

    def __init__(self, root: str, copy: str | Path | None = None) -> None:
        self.root = str(root).rstrip("/")
        self._connection: tuple[int, tuple[fsspec.AbstractFileSystem, str]] | None = None
        self._open: dict[int, mmap.mmap] = {}
        files, folder = self._files
        if isinstance(files, CachingFileSystem):
            raise DataError(
                f"{root}: fsspec's caches hand out files that another process is still writing; give the address "
                "alone, and data.source.copy=DIR for a copy on this machine"
            )
        try:
            data = files.cat_file(f"{folder}/{INDEX}")
            index = json.loads(data)
        except FileNotFoundError:
            raise DataError(
                f"{root} holds no finished pack (there is no {INDEX}); make it by pvc data pack data=... "
                f"data.root=... out={root}, or run the same command again where it was stopped"
            ) from None
        except (OSError, ImportError, ValueError) as error:
            raise DataError(f"{root}: cannot read the pack's {INDEX} ({error})") from error
        if index.get("version") != VERSION:
            raise DataError(
                f"{root} is a pack of version {index.get('version')}, and this is for {VERSION}; pack again"
            )
        self._copy = copy and Path(copy).expanduser() / hashlib.sha256(data).hexdigest()[:16]
        self.coding: str = index["frames"]
        self.splits: dict[str, list[int]] = index["splits"]
        self.clips = [Clip(**clip) for clip in index["clips"]]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_open": {}, "_connection": None}

    @property
    def _files(self) -> tuple[fsspec.AbstractFileSystem, str]:
        """The file system and the pack's place in it; a worker that was forked makes its own connection."""
        if self._connection is None or self._connection[0] != os.getpid():
            try:
                self._connection = os.getpid(), fsspec.core.url_to_fs(os.path.expanduser(self.root))
            except (ImportError, ValueError) as error:  # the package for s3:// is not installed; no such protocol
                raise DataError(f"{self.root}: {error}") from error
        return self._connection[1]

    def read(self, clip: Clip, numbers: range, mask: bool = False) -> list[bytes | memoryview]:
        """The stored frames or masks with these numbers, and nothing else of the clip.

        Raises:
            DataError: the shard is missing, cut short, or cannot be reached.
        """
        places = clip.places(numbers, mask)
        files, root = self._files
        file = f"{root}/{shard_name(clip.shard)}"
        try:
            if isinstance(files, LocalFileSystem) or self._copy:
                shard = self._map(clip.shard, file)
                found = [shard[start:end] for start, end in places]
            elif numbers.step == 1:  # one request
                base, end = places[0][0], places[-1][1]
                data = memoryview(files.cat_file(file, start=base, end=end))
                found = [data[a - base : b - base] for a, b in places]
            else:
                found = files.cat_ranges([file] * len(places), *zip(*places), on_error="raise")
        except Exception as error:  # what an object store's package raises is its own
            raise DataError(f"{file}: cannot be read ({str(error) or type(error).__name__})") from error
        if any(len(data) != end - start for data, (start, end) in zip(found, places, strict=True)):
            raise DataError(f"{file} is cut short; run pvc data pack again with the same settings, which mends it")
        return found

    def _map(self, number: int, file: str) -> memoryview:
        """A shard of this machine, or its copy, memory-mapped."""
        if number not in self._open:
            local = file if isinstance(self._files[0], LocalFileSystem) else self._copied(file)
            with open(local, "rb") as f:
                self._open[number] = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self._open[number])

    def _copied(self, file: str) -> Path:
        """The copy of a shard, which appears whole; one process fetches it, and the others wait."""
        copy = self._copy / file.rsplit("/", 1)[-1]
        if not copy.exists():
            self._copy.mkdir(parents=True, exist_ok=True)
            with copy.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however it ends
                if not copy.exists():
                    part = copy.with_suffix(".part")
                    self._files[0].get_file(file, str(part))
                    os.replace(part, copy)
        return copy
