"""Packs a data set as ``pvc data pack`` does."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pvc.commands.data_pack import pack
from pvc.paths import config_dir


def data_config(data: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base=None):
        return compose(overrides=[f"+data={data}", *overrides]).data


def packed(data: str, out: Path, *overrides: str) -> Path:
    """``pvc data pack data=DATA out=OUT jobs=1 OVERRIDES`` in this process; returns ``out``."""
    with initialize_config_dir(str(config_dir()), version_base=None):
        pack(compose("data_pack", [f"data={data}", f"out={out}", "jobs=1", *overrides]))
    return out
