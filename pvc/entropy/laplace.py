"""Laplace densities in place of the Gaussian one."""

import math
from functools import lru_cache

import torch
from compressai.entropy_models import GaussianConditional
from torch import Tensor

_ROOT2 = math.sqrt(2)


class LaplaceConditional(GaussianConditional):
    """CompressAI's conditional model with Laplace densities of the standard deviations in its table.

    Block-transform coefficients have heavier tails than a Gaussian whose scale a hyperprior can tell.
    """

    TAIL_MASS = 1e-5  # what tables leave to their escapes

    def __init__(self, scale_table):
        super().__init__(scale_table, tail_mass=self.TAIL_MASS)

    def _standardized_cumulative(self, inputs: Tensor) -> Tensor:
        below = 0.5 * torch.exp(_ROOT2 * inputs.clamp(max=0))
        return torch.where(inputs < 0, below, 1 - 0.5 * torch.exp(-_ROOT2 * inputs.clamp(min=0)))

    @staticmethod
    def _standardized_quantile(quantile: float) -> float:
        return math.log(2 * quantile) / _ROOT2 if quantile < 0.5 else -math.log(2 - 2 * quantile) / _ROOT2


class LaplaceMixture(LaplaceConditional):
    """A part ``WIDE`` of the symbols spreads ``TIMES`` as far as the others; together they have the standard deviation.

    Motion goes on as its neighbours tell, or does something else altogether. Both numbers were fitted
    to what the search for motion finds in training clips, and rounded (``docs/training.md``).
    """

    TAIL_MASS, WIDE, TIMES = 1e-4, 0.4, 4.0
    _NARROW = (1 + WIDE * (TIMES**2 - 1)) ** -0.5  # standard deviation of the others

    def _standardized_cumulative(self, inputs: Tensor) -> Tensor:
        narrow, wide = (super(LaplaceMixture, self)._standardized_cumulative(inputs / s) for s in self._deviations())
        return torch.lerp(narrow, wide, self.WIDE)

    @classmethod
    def _deviations(cls) -> tuple[float, float]:
        return cls._NARROW, cls._NARROW * cls.TIMES

    @classmethod
    @lru_cache
    def _standardized_quantile(cls, quantile: float) -> float:
        if quantile > 0.5:
            return -cls._standardized_quantile(1 - quantile)
        shares = tuple(zip((1 - cls.WIDE, cls.WIDE), cls._deviations(), strict=True))
        low, high = -100.0, 0.0
        for _ in range(60):
            middle = (low + high) / 2
            below = sum(0.5 * share * math.exp(_ROOT2 * middle / s) for share, s in shares)
            low, high = (middle, high) if below < quantile else (low, middle)
        return high
