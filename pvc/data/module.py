"""The LightningDataModule of every data set."""

import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pvc.data.crops import CropDataset
from pvc.data.loader import ClipLoader
from pvc.data.sampler import GlobalIndexSampler, ShareSampler
from pvc.data.sequence import Sequence
from pvc.data.source import Source
from pvc.errors import ConfigError
from pvc.importance import PerlinSettings, perlin_mask


class ClipDataModule(LightningDataModule):
    """Training crops and whole validation frames of a source.

    A training batch is ``{"frames": uint8 [N, T, 3, c, c], "roi": float32 [N, T, 1, c, c],
    "index": int64 [N]}``, the last the number of each sample since the beginning of the training. A validation batch
    holds the first ``val_frames`` frames of one sequence, whole, with its true mask (a fixed Perlin map where it has
    none), and ``"name"`` (list of one str), ``"fps"`` (list of one Fraction) and ``"counted"`` (list of one bool, see
    :class:`Shares`).

    Args:
        source: makes the source: called as ``source(root=root, on_error=on_error)``.
        root: folder of the data set; None for the synthetic one.
        batch_size: samples a batch and device.
        frames, crop, stride, flip_horizontal, flip_vertical, reverse, roi, perlin, samples_per_epoch: see
            :class:`~pvc.data.crops.CropDataset`.
        workers: processes that load data; 0 loads in the training process. The samples are the same for any number.
        seed: of all that is random.
        val_frames: frames a validation sequence, from its first; None takes all.
        on_error: ``"raise"`` or ``"skip"`` broken and missing files.

    The state in a checkpoint is ``samples_seen``: a resumed run goes on with the next sample.
    """

    def __init__(
        self,
        source: Callable[..., Source],
        root: str | Path | None = None,
        *,
        batch_size: int = 8,
        frames: int = 3,
        crop: int = 256,
        stride: tuple[int, int] = (1, 1),
        flip_horizontal: float = 0.5,
        flip_vertical: float = 0.0,
        reverse: float = 0.5,
        roi: str = "perlin",
        perlin: Mapping | PerlinSettings | None = None,
        samples_per_epoch: int | None = None,
        workers: int = 2,
        seed: int = 0,
        val_frames: int | None = 12,
        on_error: str = "raise",
    ) -> None:
        super().__init__()
        for key, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("val_frames", val_frames, 1),
        ):
            if value is not None and value < least:
                raise ConfigError(f"data.{key}={value} is too small; give {least} or more")
        self._source, self.root, self.on_error = source, root, on_error
        self.batch_size, self.workers, self.seed, self.val_frames = batch_size, workers, seed, val_frames
        if not isinstance(perlin, PerlinSettings):
            perlin = PerlinSettings(**{k: v if np.isscalar(v) else tuple(v) for k, v in (perlin or {}).items()})
        self.perlin = perlin
        self._crops = dict(
            frames=frames, crop=crop, stride=tuple(stride), roi=roi, samples_per_epoch=samples_per_epoch,
            flip_horizontal=flip_horizontal, flip_vertical=flip_vertical, reverse=reverse,
        )  # fmt: skip
        self.samples_seen = 0
        """Training samples consumed so far, over all processes."""
        self.train_set: CropDataset | None = None
        self.val_set: WholeClips | None = None

    def source(self) -> Source:
        """The data set (files are looked at when it is made)."""
        return self._source(root=self.root, on_error=self.on_error)

    def prepare_data(self) -> None:
        """Fill the cache of decoded frames, in one process, before the others look."""
        source = self.source()
        source.train()
        source.val()

    def setup(self, stage: str | None = None) -> None:
        """Make the data sets of ``"fit"`` or ``"validate"`` (or both, without a stage)."""
        source = self.source()
        if stage in (None, "fit") and self.train_set is None:
            self.train_set = CropDataset(
                source.train(), perlin=self.perlin, seed=self.seed, on_error=self.on_error, **self._crops
            )
        if self.val_set is None:
            self.val_set = WholeClips(source.val(), self.val_frames, self.perlin, self.seed)

    def train_dataloader(self) -> DataLoader:
        """Endless in effect: each epoch goes on where the last one ended."""
        trainer = self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        sampler = GlobalIndexSampler(
            len(self.train_set), self.batch_size, lambda: self.samples_seen, rank=rank, world_size=world_size
        )
        return ClipLoader(
            self.train_set, self.batch_size, sampler=sampler, num_workers=self.workers,
            persistent_workers=self.workers > 0, pin_memory=torch.cuda.is_available(),
        )  # fmt: skip

    def val_dataloader(self) -> DataLoader:
        """One sequence a batch, whole frames, always in the same order; each process has its share, see `Shares`."""
        workers = min(self.workers, 1)
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return ClipLoader(
            Shares(self.val_set), batch_size=1, sampler=ShareSampler(len(self.val_set), rank, world_size),
            collate_fn=_collate_one, num_workers=workers, persistent_workers=workers > 0,
        )  # fmt: skip

    def on_after_batch_transfer(self, batch: dict, dataloader_idx: int) -> dict:
        """Count what the training has consumed (a batch that is merely prefetched has not come here yet)."""
        if self.trainer is not None and self.trainer.training:
            self.samples_seen += len(batch["frames"]) * self.trainer.world_size
        return batch

    def state_dict(self) -> dict[str, int]:
        return {"samples_seen": self.samples_seen}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.samples_seen = state_dict["samples_seen"]


class WholeClips(Dataset):
    """The first frames of each sequence, uncropped, with its mask or a fixed Perlin map."""

    def __init__(self, sequences: list[Sequence], frames: int | None, perlin: PerlinSettings, seed: int) -> None:
        self.sequences, self.frames, self.perlin, self.seed = sequences, frames, perlin, seed

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> dict[str, Tensor | str | Fraction]:
        s = self.sequences[index]
        count = min(s.frames, self.frames or s.frames)
        roi = s.read_mask(0, count)
        if roi is None:
            rng = np.random.default_rng([self.seed, zlib.crc32(s.name.encode())])
            roi = perlin_mask((count, s.height, s.width), rng, self.perlin)
        return {"frames": s.read(0, count), "roi": roi, "name": s.name, "fps": s.fps}


class Shares(Dataset):
    """The items of ``whole``, with ``"counted"``: False for those beyond its end, with which processes whose share is
    smaller keep the others company.

    Processes with different numbers of batches would wait for each other for ever.
    """

    def __init__(self, whole: Dataset) -> None:
        self.whole = whole

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: int) -> dict:
        return {**self.whole[index % len(self.whole)], "counted": index < len(self.whole)}


def _collate_one(items: list[dict]) -> dict:
    (item,) = items
    return {k: v.unsqueeze(0) if isinstance(v, Tensor) else [v] for k, v in item.items()}
