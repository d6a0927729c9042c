"""Maps of an importance source, made once for each sequence and kept in the run's folder."""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pvc.data import Sequence as Clip
from pvc.errors import ImportanceError
from pvc.importance import check_map
from pvc.importance.source import Source
from pvc.video import VideoReader, VideoWriter


class MapCache:
    """The maps of ``source`` as lossless files in ``out/importance``, which any process can make and read.

    They have 8 bits a pixel, as maps in files have everywhere in pvc. A file is found by the hash of the frames and all
    that decides the source's maps, so it is never that of another clip or of other settings.
    """

    def __init__(self, source: Source, out: Path):
        self._source, self._out = source, out

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the maps, as it is recorded."""
        return {"source": self._source.name, **self._source.meta}

    def maps(self, clip: Clip, sha256: str, frames: Callable[[], Iterator[Tensor]]) -> Callable[[], Iterator[Tensor]]:
        """A function that gives the maps of ``frames()``, float32 ``[1, H, W]`` each. What is not there is made now.

        Args:
            clip: Whose frames they are. sha256: Of the frames. frames: Gives them, uint8 ``[3, H, W]``, from the first.

        Raises:
            ImportanceError: the source gives too few or too many maps, or one that does not fit.
        """
        key = json.dumps([sha256, self.identity], sort_keys=True)
        name = f"{clip.name.replace('/', '_')}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.mkv"
        path = self._out / "importance" / clip.dataset.replace("/", "_") / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, clip, frames)
        return partial(_read, path)

    def _write(self, path: Path, clip: Clip, frames: Callable[[], Iterator[Tensor]]) -> None:
        source, given = self._source.name, _Counted(frames())
        size, like = (
            {"width": clip.width, "height": clip.height},
            torch.empty((1, 3, clip.height, clip.width), device="meta"),
        )
        with VideoWriter(path, **size, fps=clip.fps, pix_fmt="gray", full_range=True) as writer:
            count = 0
            for q in self._source.maps(given):
                check_map(q[None], like, map_name=f"map {count} of {source}", clip_name=clip.name)
                writer.write((q * 255).round().to(torch.uint8))
                count += 1
            if count != given.count or next(given, None) is not None:
                raise ImportanceError(f"{source} gives {count} maps for the {given.count} frames of {clip.name}")


class _Counted(Iterator[Tensor]):
    """An iterator that counts."""

    def __init__(self, items: Iterator[Tensor]):
        self._items, self.count = items, 0

    def __next__(self) -> Tensor:
        item = next(self._items)
        self.count += 1
        return item


def _read(path: Path) -> Iterator[Tensor]:
    with VideoReader(path, grey=True) as reader:
        yield from reader
