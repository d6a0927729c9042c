"""One training run from its configuration: build, resume, fit, release."""

import logging
import sys
import warnings
from pathlib import Path

import torch
from hydra.utils import instantiate
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf

from pvc import __version__
from pvc.errors import CheckpointError, ConfigError
from pvc.models.checkpoint import save_model
from pvc.models.warm_start import warm_start
from pvc.paths import find_checkpoints
from pvc.training.pictures import Pictures

FINAL = "model.safetensors"


def newest_checkpoint(folder: Path) -> Path | None:
    """The Lightning checkpoint with the most steps in ``folder``, or None."""
    found = sorted(folder.glob("step=*.ckpt"), key=lambda p: int(p.stem.split("=")[1].split("-")[0]))
    return found[-1] if found else None


class _Bar(RichProgressBar):
    """The progress of an epoch; how many there will be is not known, as steps are what is counted."""

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
    for key, (value, low) in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ConfigError(f"{key}={value}: must be a whole number, {low} or more")


def _check_readable(path: Path) -> None:
    """Raise ``CheckpointError`` for a damaged checkpoint; Lightning's own errors do not name the file."""
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever reading damaged bytes leads to
        what = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise CheckpointError(
            f"{path} is damaged ({what}); delete it and run the same command again, which goes on from the one before"
        ) from None


def train(cfg: DictConfig, out: Path) -> Path:
    """Run the training that ``cfg`` (``configs/train.yaml``) describes in the folder ``out``.

    Writes ``checkpoints/step=N.ckpt`` (to resume), ``logs/`` (CSV), ``pictures/`` and, at the end, the released form
    ``model.safetensors``, whose path is returned.

    Raises:
        ConfigError: ``out`` already holds a run and ``resume`` is not set, or a value is out of range.
        CheckpointError: the checkpoint to start or resume from does not fit.
    """
    _check_numbers(cfg)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its notes on devices and products
    # What Lightning warns of is wanted: checkpoints after the optimisers' steps, and a loss's frozen backbone.
    warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
    torch.set_float32_matmul_precision("high")
    seed_everything(cfg.seed, verbose=False)
    folder = out / "checkpoints"
    newest = newest_checkpoint(folder)
    if newest and not cfg.resume:
        raise ConfigError(
            f"{out} already holds a run ({newest.name}); give resume=true to go on with it, or another out"
        )
    if newest:
        _check_readable(newest)
    model = instantiate(cfg.model)
    if cfg.warm_start and not newest:
        warm_start(model, _start_file(cfg.warm_start))
    loss = instantiate(cfg.loss)
    module = instantiate(cfg.training)(model=model, loss=loss).to(memory_format=torch.channels_last)
    data = instantiate(cfg.data)
    keep = ModelCheckpoint(
        folder,
        "{step}",
        monitor="step",
        mode="max",
        save_top_k=cfg.keep_checkpoints,
        every_n_train_steps=cfg.checkpoint_every,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    loggers = [CSVLogger(out, "logs"), *(instantiate(logger) for logger in (cfg.logger or {}).values())]
    callbacks = [keep, _Bar(), Pictures(out / "pictures", cfg.pictures_every)]
    trainer: Trainer = instantiate(cfg.trainer, logger=loggers, callbacks=callbacks, default_root_dir=str(out))
    try:
        trainer.fit(module, data, ckpt_path=newest, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C
        if not trainer.interrupted:
            raise
        print(f"pvc: the last checkpoint is in {folder}; the same command with resume=true goes on", file=sys.stderr)
        raise KeyboardInterrupt from None
    final = out / FINAL
    trainer.save_checkpoint(folder / f"step={trainer.global_step}.ckpt")  # all processes take part
    if trainer.is_global_zero:
        save_model(model.cpu(), final, release_notes(cfg, trainer.global_step))
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
