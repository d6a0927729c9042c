"""Means over all processes: of what a step logs, and of what validation measures on each clip."""

from collections.abc import Mapping

import torch
from lightning import LightningModule, Trainer
from torch import Tensor


def over_processes(module: LightningModule, logs: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
    """The scalars ``logs`` of training step number ``step`` (from 1), without gradient.

    If this step is logged they are averaged over the processes.
    """
    logs, trainer = {name: value.detach() for name, value in logs.items()}, module._trainer
    if trainer is None or trainer.world_size == 1 or step % trainer.log_every_n_steps:
        return logs
    mean = trainer.strategy.reduce(torch.stack([value.float() for value in logs.values()]), reduce_op="mean")
    return dict(zip(logs, mean.unbind()))


class Means:
    """Collects the values of single clips; a value counts once for each clip that has it.

    Lightning's own means need the same names in every process, and a process may have no clip, or none of some QP.
    """

    def __init__(self) -> None:
        self._of: dict[str, list[float]] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._of = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Add the values of one clip."""
        for name, value in values.items():
            self._of.setdefault(name, []).append(float(value))

    def gather(self, trainer: Trainer) -> dict[str, float]:
        """The mean of each name over the clips of all processes, the same in each of them; all must call it."""
        found = [self._of]
        if trainer.world_size > 1:
            found = [None] * trainer.world_size
            torch.distributed.all_gather_object(found, self._of)
        values: dict[str, list[float]] = {}
        for one in found:
            for name, own in one.items():
                values.setdefault(name, []).extend(own)
        return {name: sum(own) / len(own) for name, own in values.items()}
