"""Steps that go wrong are skipped, and counted."""

import math
from collections.abc import Iterable

import torch
from lightning import Trainer
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer

from pvc.errors import ConfigError, TrainingError


class StepGuard:
    """Clips gradients before a step, and skips the step where they are not finite.

    torch's optimisers with ``fused=True`` are told on the device to leave everything as it is. The counts stay there
    too and are read every ``every`` steps, so that a GPU need not be waited for in the others. Before a step of any
    other optimiser the norm is read.

    Args:
        max_skipped: non-finite steps in a row after which training stops.
        every: steps from one reading to the next.
    """

    def __init__(self, max_skipped: int, every: int = 1):
        self.max_skipped, self.every = max_skipped, every
        self._counts = torch.zeros(3, dtype=torch.int64)  # skipped in all, in a row now, most in a row since a reading

    def prepare(self, trainer: Trainer) -> None:
        """Read when the run logs.

        Raises:
            ConfigError: gradients are scaled (float16), which a fused optimiser undoes after they were clipped.
        """
        self.every = trainer.log_every_n_steps or self.every
        if getattr(trainer.precision_plugin, "scaler", None) and any(map(_skips_by_itself, trainer.optimizers)):
            raise ConfigError(
                f"trainer.precision={trainer.precision} does not go with a fused optimiser; give bf16-mixed, or "
                "training.optimizer.fused=false"
            )

    def __call__(self, optimizer: Optimizer, parameters: Iterable[Parameter], clip: float | None, step: int) -> Tensor:
        """The norm of the gradient of ``parameters``, which is clipped to ``clip``; the step comes next.

        Raises:
            TrainingError: too many steps in a row were not finite, ``step`` (the number of this one) at the latest.
        """
        optimizer = getattr(optimizer, "optimizer", optimizer)  # Lightning's wrapper around it
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip or math.inf)
        wrong = ~torch.isfinite(norm)
        skipped, in_a_row, most = self._counts.to(norm.device, non_blocking=True).unbind()
        in_a_row = (in_a_row + 1) * wrong
        self._counts = torch.stack((skipped + wrong, in_a_row, torch.maximum(most, in_a_row)))
        if _skips_by_itself(optimizer):
            optimizer.grad_scale, optimizer.found_inf = None, wrong.float()
        elif wrong:
            optimizer.zero_grad(set_to_none=True)  # optimisers leave parameters without gradient alone
        if (step + 1) % self.every == 0:
            self.check(step)
        return norm

    def check(self, step: int) -> None:
        """Read the counts. Raises ``TrainingError`` where too many steps in a row were not finite, by ``step``."""
        most, self._counts[2] = int(self._counts[2]), 0
        if most > self.max_skipped:
            raise TrainingError(
                f"{most} steps in a row had a loss or gradient that is not finite, the last by step {step}; "
                "as a resumed run repeats its steps, give it another seed or a lower limit for the gradient"
            )

    @property
    def counted(self) -> Tensor:
        """Steps skipped so far, on the device: a scalar for the log."""
        return self._counts[0].float()

    @property
    def skipped(self) -> int:
        """Steps skipped so far."""
        return int(self._counts[0])

    @skipped.setter
    def skipped(self, count: int) -> None:
        self._counts = torch.tensor([count, 0, 0])

    @property
    def in_a_row(self) -> int:
        """How many of the last steps were skipped."""
        return int(self._counts[1])


def _skips_by_itself(optimizer: Optimizer) -> bool:
    """Whether its step does nothing where ``found_inf`` is 1, the attribute by which torch's GradScaler skips steps."""
    fused = all(group.get("fused") for group in optimizer.param_groups)
    return fused and getattr(optimizer, "_step_supports_amp_scaling", False)


def going_wrong(module: Module) -> bool:
    """Whether the last step of ``module``, or of one of the networks that it trains, was skipped."""
    return any(guard.in_a_row for guard in vars(module).values() if isinstance(guard, StepGuard))
