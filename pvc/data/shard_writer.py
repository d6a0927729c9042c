"""Writes a pack: each shard whole or not at all, checked as it lies on the disk, and the index when all are there."""

import hashlib
import json
import os
import tarfile
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pvc.data.sequence import Box, Sequence
from pvc.data.shard_coding import decode_mask, encode_frame, encode_mask, put_frame
from pvc.data.shard_store import INDEX, VERSION, Clip, shard_name
from pvc.errors import ConfigError, DataError

_BEGUN = "pack.json"  # how the pack is made; its presence says that the folder is a pack
_OTHER = {"frames": "with other frames", "clips": "of other clips", "shards": "with another shard_mb"}


def writer_module() -> Any:
    """The library that writes shards. Raises ``ConfigError`` where it is not installed."""
    try:
        import webdataset
    except ImportError:
        raise ConfigError("pvc data pack needs the package webdataset: pip install 'pvc[shards]'") from None
    return webdataset


class PackWriter:
    """Fills the folder ``out`` with ``clips``; every process has its own copy.

    Args:
        out: Where to.
        clips: Everything that is packed.
        splits: Numbers of the clips of each split, in the split's order.
        coding: ``"png"`` (a PNG of the data set is taken as it is) or ``"raw"``.
        shard_bytes: Of frames as they are in memory, at which a shard ends; a clip is never divided.
    """

    def __init__(
        self, out: Path, clips: list[Sequence], splits: dict[str, list[int]], coding: str, shard_bytes: float
    ) -> None:
        self.out, self.clips, self.splits, self.coding = out, clips, splits, coding
        sizes = np.cumsum([raw_bytes(s) for s in clips]) - 1
        shards = np.unique(sizes // shard_bytes, return_inverse=True)[1]
        self.shards = [[int(i) for i in np.flatnonzero(shards == n)] for n in range(int(shards[-1]) + 1)]

    def check(self) -> None:
        """See that the folder is new or empty, or holds this very pack, finished or not.

        Raises:
            ConfigError: something else is in it, or a pack of other clips or settings.
        """
        file, wanted = self.out / _BEGUN, self._made_by()
        if file.exists():
            there = json.loads(file.read_text())
            if differ := [k for k in wanted if wanted[k] != there.get(k)]:
                raise ConfigError(
                    f"{self.out} is a pack {_OTHER.get(differ[0], 'of another version')} than this one; give another "
                    "out, or delete it"
                )
        elif self.out.exists() and any(p.name != ".lock" for p in self.out.iterdir()):
            raise ConfigError(f"{self.out} holds other files and no pack; give an empty or a new folder as out")

    def begin(self) -> None:
        """Begin the pack, or go on with it. For the only process that writes."""
        self.check()
        for part in self.out.glob(".*.part"):  # of a process that was killed
            part.unlink(missing_ok=True)
        self._write(self.out / _BEGUN, json.dumps(self._made_by()).encode())

    def is_there(self, number: int, verify: bool = False) -> bool:
        """Whether a shard is whole; with ``verify`` all of it is read."""
        file, about = self.out / shard_name(number), self._about(number)
        if about is None or not file.is_file() or file.stat().st_size != about["bytes"]:
            return False
        return not verify or _sha256(file) == about["sha256"]

    def store(self, number: int) -> None:
        """Write a shard, and read it again to see that it is what was meant.

        Raises:
            DataError: the disk did not keep it; PvcError: a clip cannot be read.
        """
        file = self.out / shard_name(number)
        part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
        try:
            with part.open("wb") as stream, writer_module().TarWriter(stream, encoder=False, mtime=0) as tar:
                members = [(name, data) for i in self.shards[number] for name, data in self._put(tar, i)]
            clips = _check(part, members, [self._clip(i, number) for i in self.shards[number]])
            about = {"bytes": part.stat().st_size, "sha256": _sha256(part), "clips": [c.to_json() for c in clips]}
            os.replace(part, file)
        except OSError as error:
            raise DataError(f"{file} cannot be written ({error.strerror or error})") from error
        finally:
            part.unlink(missing_ok=True)
        self._write(file.with_suffix(".json"), json.dumps(about).encode())

    def finish(self) -> int:
        """Write the index; every shard must be there. Returns the bytes of all shards."""
        shards = [self._about(n) for n in range(len(self.shards))]
        index = {"version": VERSION, "frames": self.coding, "splits": self.splits}
        index["clips"] = [clip for about in shards for clip in about["clips"]]
        self._write(self.out / INDEX, json.dumps(index, separators=(",", ":")).encode())
        return sum(about["bytes"] for about in shards)

    # -- one clip ----------------------------------------------------------------------------------------------------

    def _put(self, tar: Any, number: int) -> Iterator[tuple[str, int]]:
        """Write a clip's members one by one; name and checksum of each."""
        s, key = self.clips[number], f"{number:06d}"
        for t, frame in enumerate(s.stream()):
            yield self._member(tar, key, f"{t:05d}.{self.coding}", self._frame(s, t, frame))
        for t, mask in enumerate(s.stream_mask() or ()):
            data = encode_mask(mask)
            if not np.array_equal(decode_mask(data, (s.height, s.width)), mask[0].numpy()):
                raise DataError(f"{s.dataset}/{s.name}: mask {t} does not survive being packed")
            yield self._member(tar, key, f"{t:05d}.mask.{'png' if data[1:4] == b'PNG' else 'f32'}", data)

    def _frame(self, s: Sequence, t: int, frame: Tensor) -> bytes:
        data = s.png(t) if self.coding == "png" else None
        for candidate in (data, None):
            data = encode_frame(frame, self.coding) if candidate is None else candidate
            back = np.empty((3, s.height, s.width), np.uint8)
            whole = Box(0, 0, s.height, s.width)
            if put_frame(data, self.coding, whole, whole[2:], back) and torch.equal(torch.from_numpy(back), frame):
                return data
        raise DataError(f"{s.dataset}/{s.name}: frame {t} does not survive being packed")

    @staticmethod
    def _member(tar: Any, key: str, extension: str, data: bytes) -> tuple[str, int]:
        tar.write({"__key__": key, extension: data})
        return f"{key}.{extension}", zlib.crc32(data)

    def _clip(self, number: int, shard: int) -> Clip:
        s = self.clips[number]
        return Clip(s.dataset, s.name, s.frames, s.height, s.width, str(s.fps), shard, 0, [])

    # -- files -------------------------------------------------------------------------------------------------------

    def _made_by(self) -> dict[str, Any]:
        every = [(s.dataset, s.name, s.frames, s.height, s.width, str(s.fps), s.has_mask) for s in self.clips]
        clips = hashlib.sha256(json.dumps([every, self.splits]).encode()).hexdigest()[:16]
        return {"version": VERSION, "frames": self.coding, "clips": clips, "shards": len(self.shards)}

    def _about(self, number: int) -> dict[str, Any] | None:
        try:
            return json.loads((self.out / shard_name(number)).with_suffix(".json").read_text())
        except (OSError, json.JSONDecodeError):
            return None

    def _write(self, file: Path, data: bytes) -> None:
        part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
        part.write_bytes(data)
        os.replace(part, file)


def raw_bytes(sequence: Sequence) -> int:
    """Of all frames of a clip as they are in memory."""
    return 3 * sequence.frames * sequence.height * sequence.width


def _check(file: Path, members: list[tuple[str, int]], clips: list[Clip]) -> list[Clip]:
    """Read a shard back: the clips with their places in it. Raises ``DataError`` where a byte is not as written."""
    found = []
    with tarfile.open(file) as tar:
        for (name, checksum), member in zip(members, tar, strict=True):
            if member.name != name or zlib.crc32(tar.extractfile(member).read()) != checksum:
                raise DataError(f"{file.parent}: the disk did not keep {name} as it was written")
            found.append(member)
    done = []
    for clip, (_, own) in zip(clips, groupby(found, key=lambda member: member.name.split(".")[0]), strict=True):
        own = list(own)
        frames, masks = own[: clip.frames], own[clip.frames :]
        clip = replace(clip, offset=frames[0].offset_data, sizes=[m.size for m in frames])
        if masks:
            clip = replace(clip, mask_offset=masks[0].offset_data, mask_sizes=[m.size for m in masks])
        for part, is_mask in ((frames, False), *([(masks, True)] if masks else [])):
            assert clip.places(range(len(part)), is_mask) == [(m.offset_data, m.offset_data + m.size) for m in part]
        done.append(clip)
    return done


def _sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
