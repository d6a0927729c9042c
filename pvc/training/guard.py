"""Steps that go wrong are skipped, and counted."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from pvc.errors import TrainingError


class StepGuard:
    """Clips gradients before a step, and skips the step where they are not finite.

    Args:
        max_skipped: non-finite steps in a row after which training stops.
    """

    def __init__(self, max_skipped: int):
        self.max_skipped, self.skipped, self._in_a_row = max_skipped, 0, 0

    def __call__(self, optimizer: Optimizer, parameters: Iterable[Parameter], clip: float | None, step: int) -> Tensor:
        """The norm of the gradient of ``parameters``, which is clipped to ``clip``.

        Where it is not finite the gradients are taken away: optimisers leave parameters without gradient alone.

        Raises:
            TrainingError: too many steps in a row were not finite; ``step`` is the last.
        """
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip or math.inf)
        if torch.isfinite(norm):
            self._in_a_row = 0
            return norm
        optimizer.zero_grad(set_to_none=True)
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row > self.max_skipped:
            raise TrainingError(
                f"{self._in_a_row} steps in a row had a loss or gradient that is not finite, the last at step {step}; "
                "resume from the last checkpoint with a lower learning rate"
            )
        return norm
