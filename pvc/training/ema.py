"""A running mean of the weights, made where they are."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Ema(EMAWeightAveraging):
    """Lightning's mean of the weights, without a wait for a GPU.

    Lightning copies the module before that is moved to its device, so that all weights come back to the host in each
    step, and asks each time whether it is the first.

    Args:
        decay: of the mean, in (0, 1).
    """

    state_key = "EMAWeightAveraging"  # in checkpoints, as Lightning calls it

    def __init__(self, decay: float):
        super().__init__(decay=decay, use_buffers=False)
        self._mean = get_ema_multi_avg_fn(decay)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the module to the device on which it will be trained."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let the step count in the mean."""
        if trainer.global_step <= self._latest_update_step:
            return
        average = self._average_model
        own, new = ([p.detach() for p in module.parameters()] for module in (average.module, pl_module))
        if self._latest_update_step:
            self._mean(own, new, None)
        else:
            for kept, weight in zip(own, new, strict=True):
                kept.copy_(weight)
        for kept, value in zip(average.module.buffers(), pl_module.buffers(), strict=True):
            kept.copy_(value)
        average.n_averaged += 1
        self._latest_update_step = trainer.global_step
