"""Clips that ``pvc data pack`` has put into shards, from a folder or an object store, sample by sample as they were."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from pvc.data.sequence import Box, Sequence
from pvc.data.shard_coding import decode_mask, put_frame
from pvc.data.shard_store import Clip, Pack, shard_name
from pvc.data.source import Source
from pvc.errors import DataError


@dataclass
class ShardSequence(Sequence):
    """A clip of a pack."""

    pack: Pack
    clip: Clip

    @property
    def has_mask(self) -> bool:
        return self.clip.mask_sizes is not None

    def _read(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        box = box or Box(0, 0, self.height, self.width)
        frames = torch.empty(count, 3, box.height, box.width, dtype=torch.uint8)
        numbers = range(start, start + count * step, step)
        for t, data, frame in zip(numbers, self.pack.read(self.clip, numbers), frames.numpy(), strict=True):
            if not put_frame(data, self.pack.coding, box, (self.height, self.width), frame):
                raise self._damaged(f"frame {t}")
        return frames

    def _read_mask(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        masks, numbers = [], range(start, start + count * step, step)
        for t, data in zip(numbers, self.pack.read(self.clip, numbers, mask=True), strict=True):
            if (mask := decode_mask(data, (self.height, self.width))) is None:
                raise self._damaged(f"mask {t}")
            mask = torch.from_numpy(mask)[None]
            masks.append(mask if box is None else box.cut(mask))
        return torch.stack(masks)

    def _damaged(self, what: str) -> DataError:
        return DataError(
            f"{self.pack.root}/{shard_name(self.clip.shard)}: {what} of {self.name} is damaged; run pvc data pack "
            "again with the same settings and verify=true, which mends it"
        )


class Shards(Source):
    """A pack as a data set: its splits are those that were packed.

    Args:
        root: its folder, or an address such as ``s3://bucket/pack`` (with fsspec's package for it, such as s3fs).
        copy: of an address: see :class:`~pvc.data.shard_store.Pack`.
        on_error: see :class:`~pvc.data.source.Source`.

    Raises:
        DataError: there is no finished pack.
    """

    def __init__(self, root: str | Path, copy: str | Path | None = None, on_error: str = "raise") -> None:
        super().__init__(None, on_error)
        self.pack = Pack(str(root), copy)

    def train(self) -> list[Sequence]:
        return self._split("train")

    def val(self) -> list[Sequence]:
        return self._split("val")

    def eval(self) -> list[Sequence]:
        return self._split("eval")

    def _split(self, name: str) -> list[Sequence]:
        if name not in self.pack.splits:
            raise DataError(
                f"{self.pack.root} was packed without {name}, only with {', '.join(self.pack.splits)}; pack into "
                f"another folder with splits=[{name}]"
            )
        clips = [self.pack.clips[i] for i in self.pack.splits[name]]
        return [
            ShardSequence(c.dataset, c.name, c.frames, c.height, c.width, Fraction(c.fps), self.pack, c) for c in clips
        ]
