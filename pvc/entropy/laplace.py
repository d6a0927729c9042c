"""A Laplace density in place of the Gaussian one."""

import math

import torch
from compressai.entropy_models import GaussianConditional
from torch import Tensor

_ROOT2 = math.sqrt(2)


class LaplaceConditional(GaussianConditional):
    """CompressAI's conditional model with Laplace densities of the standard deviations in its table.

    Block-transform coefficients have heavier tails than a Gaussian whose scale a hyperprior can tell.
    """

    def __init__(self, scale_table):
        super().__init__(scale_table, tail_mass=1e-5)

    def _standardized_cumulative(self, inputs: Tensor) -> Tensor:
        below = 0.5 * torch.exp(_ROOT2 * inputs.clamp(max=0))
        return torch.where(inputs < 0, below, 1 - 0.5 * torch.exp(-_ROOT2 * inputs.clamp(min=0)))

    @staticmethod
    def _standardized_quantile(quantile: float) -> float:
        return math.log(2 * quantile) / _ROOT2 if quantile < 0.5 else -math.log(2 - 2 * quantile) / _ROOT2
