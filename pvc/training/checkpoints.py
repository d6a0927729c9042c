"""When a run writes checkpoints, which it keeps, and how it stops between two steps."""

import signal
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from pvc.errors import TrainingError
from pvc.training.checkpoint_io import all_checkpoints, remove_partial
from pvc.training.guard import going_wrong
from pvc.training.signals import Signals


class Stopped(Exception):
    """A signal asked the run to stop; the step is done and its checkpoint written."""


class Checkpoints(Checkpoint):
    """Writes ``step=N.ckpt`` every ``every`` steps, before a validation, at the end and when a signal asks to stop.

    A checkpoint is taken when a step is whole, and never while steps are being skipped: weights that lead to gradients
    which are not finite are nothing to go on from. It comes after the next good step then. All but the newest ``keep``
    are deleted when a new one stands, also what a run that was killed has left.

    Lightning's ``ModelCheckpoint`` keeps by score, of which there is none here. It knows what to delete from its own
    state, so that each resume leaves a checkpoint behind, and at the end of an epoch it waits for the next validation.

    Args:
        folder: of the checkpoints.
        every: steps.
        keep: checkpoints.
        signals: installed here when training begins.
    """

    def __init__(self, folder: Path, every: int, keep: int, signals: Signals):
        self.folder, self.every, self.keep, self.signals = folder, every, keep, signals
        self._due, self._stop, self._validates, self._at, self._saved = False, False, False, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Whether the checkpoint is from the beginning of a validation."""
        return {"validates": self._validates}

    def on_load_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Begin with the validation that the checkpoint is from: show Lightning one that had begun.

        It would take it for done otherwise.
        """
        if checkpoint["callbacks"].get(self.state_key, {}).get("validates"):
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            progress["total"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Take over the signals, from Lightning too: its handler talks to the other processes amid a step."""
        if trainer.received_sigterm:
            self.signals.received = signal.SIGTERM
        self.signals.install()
        self._at = self._saved = trainer.global_step
        if trainer.is_global_zero:
            remove_partial(self.folder)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        """Write a checkpoint when it is time, or where a process of this run has received a signal.

        Raises:
            TrainingError: the checkpoint cannot be written.
        """
        step = trainer.global_step
        if step == self._at:  # gradients are being accumulated
            return
        self._at = step
        last = step == trainer.max_steps
        self._due |= step % self.every == 0 or last
        self._stop = _any(trainer, self.signals.received is not None)
        wanted = last or ((self._due or self._stop) and not going_wrong(module))
        if wanted and not _validation_comes(trainer):
            self._save(trainer)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Stop here rather than where the step ended: since then it has been logged.

        Raises:
            Stopped: the checkpoint has been written.
        """
        if self._stop:
            raise Stopped("stopped by a signal")

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Write a checkpoint before whole frames are coded, which may take long and more memory than a step.

        Raises:
            Stopped: instead of the validation, which a resumed run does.
            TrainingError: the checkpoint cannot be written.
        """
        if self._at and (trainer.global_step == trainer.max_steps or not going_wrong(module)):
            self._validates = True
            self._save(trainer)
            self._validates = False
        if self._stop:
            raise Stopped("stopped by a signal")

    def on_validation_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Leave a validation. Several processes finish it, as they may differ in batches.

        Raises:
            Stopped: this process has received a signal.
        """
        if self._at and trainer.world_size == 1 and self.signals.received is not None:
            raise Stopped("stopped by a signal")

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the last checkpoint of a run that ends otherwise than by its number of steps."""
        if trainer.fit_loop.done:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        """Write a checkpoint and delete old ones; nothing where this step has one."""
        self._due, problem = False, None
        if self._saved == trainer.global_step:
            return
        try:
            trainer.save_checkpoint(self.folder / f"step={trainer.global_step}.ckpt")
        except TrainingError as error:  # in the first process, which the others wait for behind a barrier
            problem = error
            trainer.strategy.barrier("Trainer.save_checkpoint")
        if _any(trainer, problem is not None):
            raise problem or TrainingError("the first process could not write a checkpoint")
        self._saved = trainer.global_step
        for old in all_checkpoints(self.folder)[: -self.keep] if trainer.is_global_zero else ():
            old.unlink(missing_ok=True)
        for logger in trainer.loggers:
            logger.save()


def _validation_comes(trainer: Trainer) -> bool:
    """Whether a validation follows the batch that has just been trained on."""
    loop = trainer.fit_loop
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


def _any(trainer: Trainer, here: bool) -> bool:
    """Whether something is so in any process of the run."""
    return trainer.strategy.reduce_boolean_decision(here, all=False) if trainer.world_size > 1 else here
