"""Weights & Biases as a guest: whatever happens to it or to its server, the run goes on."""

import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from pvc.errors import ConfigError

log = logging.getLogger(__name__)


class RunWandb(WandbLogger):
    """Lightning's logger for one run of W&B, which a resumed run continues: its id is kept in ``save_dir/wandb/id``.

    Where the server cannot be reached, or there is no account, the run is logged to ``save_dir/wandb`` for
    ``wandb sync``. A server that is lost later is tried again and again by W&B's own process. Where that process ends
    (a signal to all processes of a job kills it), the run goes on without W&B.

    Args:
        save_dir: folder of the run. wait: seconds for the server, at the start and once more at the end, > 0.
        id, offline, kwargs: see Lightning's ``WandbLogger``; ``id`` overrides the one that is kept.
    """

    def __init__(
        self, save_dir: str | Path, *, wait: float = 30.0, id: str | None = None, offline: bool = False, **kwargs: Any
    ):
        if not wait > 0:
            raise ConfigError(f"logger.wandb.wait={wait} must be above 0")
        kept = id or os.environ.get("WANDB_RUN_ID") or _kept_id(Path(save_dir) / "wandb" / "id")
        super().__init__(save_dir=save_dir, id=kept, offline=offline, **kwargs)
        import wandb

        # Without a server there is W&B's own process alone to wait for, which takes what it takes on a busy machine.
        begin = {} if offline or os.environ.get("WANDB_MODE") == "offline" else {"init_timeout": wait}
        self._wandb_init["settings"] = wandb.Settings(**begin, finish_timeout=wait)
        self._gone = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run, begun when it is first asked for."""
        import wandb

        try:
            return WandbLogger.experiment.fget(self)
        except wandb.Error as error:
            log.warning("pvc: W&B: %s; this run is logged to %s for `wandb sync`", _line(error), self.save_dir)
            self._offline = True
            self._wandb_init["mode"] = "offline"
            self._wandb_init["settings"].init_timeout = wandb.Settings().init_timeout
            _end_service()  # where this id is taken
        return WandbLogger.experiment.fget(self)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log, as long as W&B is there. Pictures come this way too."""
        if not self._gone:
            try:
                super().log_metrics(metrics, step)
            except Exception as error:  # what W&B raises where its process has ended is its own affair
                self._lose(error)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End W&B's run, so that another one of a sweep in this process has its own."""
        if self._experiment is None or self._gone:
            return
        try:
            super().finalize(status)
            self._experiment.finish(exit_code=0 if status == "success" else 1)
        except Exception as error:
            self._lose(error)
        self._experiment = None

    def _lose(self, error: Exception) -> None:
        self._gone = True
        log.warning("pvc: W&B has ended (%s); the run goes on without, a resume goes on with it", _line(error))
        _end_service()  # else it complains once more when the interpreter exits


def _end_service() -> None:
    """End W&B's own process, or what is left of the connection to it."""
    import wandb

    with suppress(Exception):
        wandb.teardown()


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]


@rank_zero_only
def _kept_id(file: Path) -> str:
    """The id in ``file``, made where there is none."""
    kept = file.read_text().strip() if file.is_file() else ""
    if not kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = secrets.token_hex(4)
        file.write_text(kept)
    return kept
