"""Where a run's numbers and pictures go: always to CSV files, and to what ``logger=`` names."""

from pathlib import Path

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig
from PIL import Image

from pvc.errors import ConfigError
from pvc.training.csv_log import RunLog


def make_loggers(wanted: DictConfig | None, out: Path) -> list[Logger]:
    """The CSV logger, and those of ``wanted`` (``configs/logger``).

    Raises:
        ConfigError: the package of one is not installed.
    """
    loggers: list[Logger] = [RunLog(out, "logs")]
    for name, settings in (wanted or {}).items():
        try:
            loggers.append(instantiate(settings))
        except InstantiationException as error:
            if isinstance(error.__cause__, ModuleNotFoundError):
                raise ConfigError(f"logger={name} needs a package of that name; pip install {name}") from None
            raise
    return loggers


def log_picture(logger: Logger, image: Image.Image, step: int) -> None:
    """Show the picture of ``step`` in loggers that can."""
    if isinstance(logger, WandbLogger):
        logger.log_image("pictures", [image], step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image("pictures", np.asarray(image), step, dataformats="HWC")
