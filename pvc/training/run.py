"""One training run from its configuration: build, resume, fit, release."""

import logging
import warnings
from pathlib import Path

import torch
from hydra.utils import instantiate
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, RichProgressBar
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError

from pvc import __version__
from pvc.errors import CheckpointError, ConfigError, TrainingError
from pvc.folder import alone
from pvc.models.checkpoint import save_model
from pvc.models.warm_start import warm_start
from pvc.paths import find_checkpoints
from pvc.training.checkpoint_io import AtomicCheckpointIO, check_readable, newest_checkpoint
from pvc.training.checkpoints import Checkpoints
from pvc.training.ema import Ema
from pvc.training.ending import ending
from pvc.training.loggers import make_loggers
from pvc.training.pictures import Pictures
from pvc.training.signals import Signals
from pvc.training.slurm import was_requeued
from pvc.training.speed import arrange

FINAL = "model.safetensors"
ENDING = 60
"""Seconds that a process which was told to stop may take for its last checkpoint."""


class _Bar(RichProgressBar):
    """The progress of an epoch; how many there will be is not known, as steps are what is counted.

    Numbers are those of the last step that was logged. To read those of each step, as Lightning does for what is logged
    with ``prog_bar=True``, a GPU would have to be waited for.
    """

    _shown: dict[str, float] | None = None

    @property
    def total_train_batches(self) -> int | float:
        """Steps of this epoch, those before a resume as well: Lightning counts what is left, its bar from the start."""
        batches, steps = self.trainer.num_training_batches, self.trainer.max_steps
        if steps == -1:  # Lightning's word for no end
            return batches
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready % batches  # 0 where an epoch begins
        return min(batches, done + steps - self.trainer.global_step)

    def get_metrics(self, trainer: Trainer, module: LightningModule) -> dict:
        """What stands behind the bar."""
        if self._shown is None or trainer.global_step % (trainer.log_every_n_steps or 50) == 0:
            found = trainer.callback_metrics
            self._shown = {k: float(found[f"train/{k}"]) for k in ("bpp", "psnr") if f"train/{k}" in found}
        return {**super().get_metrics(trainer, module), **self._shown}

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch}".ljust(len(self.validation_description))


def _check_numbers(cfg: DictConfig) -> None:
    """Raise ``ConfigError`` for what is no number of steps or of files."""
    steps = cfg.trainer.get("max_steps")
    if steps == 0:
        raise ConfigError("trainer.max_steps=0 would release a model that was never trained; give 1 or more")
    least = {"checkpoint_every": 1, "keep_checkpoints": 1, "pictures_every": 0}
    numbers = {key: (cfg.get(key), low) for key, low in least.items()}
    if steps not in (None, -1):  # Lightning's words for no end
        numbers["trainer.max_steps"] = steps, 1
    if cfg.ema is not None and not (isinstance(cfg.ema, float) and 0 < cfg.ema < 1):
        raise ConfigError(f"ema={cfg.ema}: must lie between 0 and 1, such as 0.998; null for none")
    for key, (value, low) in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ConfigError(f"{key}={value}: must be a whole number, {low} or more")


def train(cfg: DictConfig, out: Path) -> Path:
    """Run the training that ``cfg`` (``configs/train.yaml``) describes in the folder ``out``.

    Writes ``checkpoints/step=N.ckpt`` (to resume), ``logs/`` (CSV), ``pictures/``, ``run.html`` and, at the end, the
    released form ``model.safetensors``, whose path is returned.

    Raises:
        ConfigError: ``out`` already holds a run and ``resume`` is not set, another process trains there, or a value is
            out of range.
        CheckpointError: the checkpoint to start or resume from does not fit.
        TrainingError: training went wrong, or the disk is full; the last checkpoint is intact.
        SystemExit: a signal stopped the run; 128 + its number.
    """
    _check_numbers(cfg)
    if rank_zero_only.rank:
        return _train(cfg, out)
    out.mkdir(parents=True, exist_ok=True)
    with alone(out, "pvc train", wait=ENDING):  # processes of a sweep that was killed end by themselves
        return _train(cfg, out)


def _train(cfg: DictConfig, out: Path) -> Path:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its notes on devices and products
    # What Lightning warns of is wanted: a loss with a frozen backbone, and a hook of the module where data has others.
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
    warnings.filterwarnings("ignore", message="You have overridden `on_before_batch_transfer` in `LightningModule`")
    torch.set_float32_matmul_precision("high")
    seed_everything(cfg.seed, verbose=False)
    folder = out / "checkpoints"
    newest = newest_checkpoint(folder)
    if newest and not cfg.resume and not was_requeued():
        raise ConfigError(
            f"{out} already holds a run ({newest.name}); give resume=true to go on with it, or another out"
        )
    if newest:
        check_readable(newest)
    model = instantiate(cfg.model)
    if cfg.warm_start and not newest:
        warm_start(model, _start_file(cfg.warm_start))
    loss = instantiate(cfg.loss)
    module = instantiate(cfg.training)(model=model, loss=loss)
    data = instantiate(cfg.data)
    loggers = make_loggers(cfg.logger, out)
    for logger in loggers[1:]:  # the CSV log has .hydra/ beside it
        logger.log_hyperparams(release_notes(cfg, 0)["config"])
    signals = Signals()
    keep = Checkpoints(folder, cfg.checkpoint_every, cfg.keep_checkpoints, signals)
    callbacks = [keep, _Bar(), LearningRateMonitor("step"), Pictures(out / "pictures", cfg.pictures_every)]
    if cfg.ema is not None:
        callbacks.append(Ema(cfg.ema))
    if cfg.page:
        callbacks.append(instantiate(cfg.page)(out, cfg.name, OmegaConf.to_yaml(cfg)))
    trainer: Trainer = instantiate(
        cfg.trainer,
        logger=loggers,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=str(out),
    )
    arrange(module, trainer.strategy.root_device)
    with ending(trainer, folder, signals):
        trainer.fit(module, data, ckpt_path=newest, weights_only=True)
    final = out / FINAL
    if trainer.is_global_zero:
        last = newest_checkpoint(folder)
        # Not what training ends with: averaged weights, where there are any, are those that the checkpoint is about.
        module.cpu().load_state_dict(torch.load(last, map_location="cpu", weights_only=True)["state_dict"])
        try:
            save_model(model, final, release_notes(cfg, trainer.global_step))
        except (OSError, SafetensorError) as error:
            raise TrainingError(
                f"{final} cannot be written: {error}; all steps are done and in {last}, so make room and run the same "
                "command with resume=true"
            ) from None
    return final


def release_notes(cfg: DictConfig, steps: int) -> dict:
    """How a released checkpoint was made: steps and configuration, without folders of the machine."""
    notes = OmegaConf.to_container(cfg, resolve=False)
    notes["out"] = Path(str(cfg.out)).name
    notes["warm_start"] = cfg.warm_start and Path(cfg.warm_start).name
    for part, key in (
        (notes["data"], "root"),
        (notes["data"], "base_cache"),
        (notes["data"].get("source", {}), "cache"),
        (notes["data"].get("source", {}), "copy"),
        (notes.get("page") or {}, "cache"),
    ):
        if part.get(key):
            part[key] = Path(part[key]).name
    return {"steps": steps, "pvc": __version__, "config": notes}


def _start_file(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_file():
        return path
    found = find_checkpoints(name)
    if len(found) > 1:
        raise CheckpointError(f"{name} names {len(found)} checkpoints; give one: {', '.join(p.stem for p in found)}")
    return found[0]
