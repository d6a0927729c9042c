"""Data sets and training crops. The LightningDataModule is :mod:`pvc.data.module`, as Lightning is slow to import."""

from hydra.utils import instantiate
from omegaconf import DictConfig

from pvc.data.crops import CropDataset
from pvc.data.sequence import Box, Sequence
from pvc.errors import ConfigError

__all__ = ["Box", "CropDataset", "Sequence", "sequences"]


def sequences(cfg: DictConfig, split: str = "eval") -> list[Sequence]:
    """The sequences of a data config (``configs/data/*.yaml``): ``"eval"``, ``"val"`` or ``"train"``.

    Raises:
        DataError: the data set is not laid out as expected.
        ConfigError: no such split.
    """
    if split not in ("eval", "val", "train"):
        raise ConfigError(f"split = {split!r}: must be eval, val or train")
    return getattr(instantiate(cfg.source)(root=cfg.root, on_error=cfg.on_error), split)()
