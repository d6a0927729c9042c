"""Symbols of a latent whose mean and scale are known: how they are quantised, what they cost, how they are coded."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from compressai.entropy_models import GaussianConditional
from compressai.ops import LowerBound, quantize_ste
from torch import Tensor, nn

from pvc.constants import constant
from pvc.entropy import noise, spatial
from pvc.entropy.coder import Reader, Writer
from pvc.entropy.quantise import DeadZone
from pvc.entropy.skip import FLAG, is_certain, skipped
from pvc.entropy.step_map import FACTORS, factor
from pvc.entropy.tables import tables_of

# 64 standard deviations, even in the logarithm, as in CompressAI.
SCALE_MIN, SCALE_MAX, SCALE_LEVELS = 0.11, 256.0, 64
LOG_STEP = math.log(SCALE_MAX / SCALE_MIN) / (SCALE_LEVELS - 1)
SCALE_TABLE = [SCALE_MIN * math.exp(LOG_STEP * i) for i in range(SCALE_LEVELS)]
# Where one of them is nearer than the next. Rounded, so that they do not hang on the last bit of a library's logarithm.
SCALE_EDGES = tuple(round(math.sqrt(a * b) * 2**20) / 2**20 for a, b in pairwise(SCALE_TABLE))
# Largest magnitude of a symbol: what an escape can hold.
SYMBOL_LIMIT = 2**15 - 1

# Symbols, mean, step ([N, 1, h, w] or 1) and level of the table, else each [N, M, h, w] -> symbols to write instead.
Choose = Callable[[Tensor, Tensor, Tensor | int, Tensor], Tensor]


def scale_to_level(scale: Tensor) -> Tensor:
    """Standard deviation -> position in the table, a real number."""
    return torch.log(scale / SCALE_MIN) / LOG_STEP


class Conditional(nn.Module):
    """What the entropy models share; they say mean and level.

    Args:
        log_scale: the scale is told as its level, its position in the table, instead of as a standard deviation.
        dead_zone: how y - mean is quantised; None is plain rounding.
        density: of the symbols, :class:`GaussianConditional` or a subclass.
        neighbours: channels that are coded as differences from what their neighbours tell (:mod:`pvc.entropy.spatial`);
            scale and level are those of the differences. Needs a dead zone.
        fold: ``fold``^2 channels of ``neighbours`` in a row are what the parts of each block have, row by row, of one
            plane (``F.pixel_unshuffle``), and neighbours are those in that plane.
        factors: of the step, by the place that a step map tells, whole numbers.
    """

    def __init__(
        self,
        *,
        log_scale: bool,
        dead_zone: DeadZone | None = None,
        density: type[GaussianConditional] = GaussianConditional,
        neighbours: tuple[int, ...] = (),
        fold: int = 1,
        factors: tuple[int, ...] = FACTORS,
    ):
        super().__init__()
        self.neighbours, self.fold, self.factors = neighbours, fold, factors
        self.log_scale, self.dead_zone = log_scale, dead_zone
        self.bound = LowerBound(0.0 if log_scale else SCALE_MIN)
        self.conditional = density(None)

    def update(self) -> None:
        """Compute the coder's tables; they are stored with the weights."""
        self.conditional.update_scale_table(SCALE_TABLE, force=True)

    def _quantise(self, v: Tensor) -> Tensor:
        """Symbols of ``v`` = y - mean, in steps."""
        return quantize_ste(v) if self.dead_zone is None else self.dead_zone(v)

    def _level_to_scale(self, level: Tensor) -> Tensor:
        level = self.bound(level)
        if self.log_scale and not self.training:
            level = torch.round(level)  # the density that the coder's table holds
        return SCALE_MIN * torch.exp(LOG_STEP * level.clamp(max=SCALE_LEVELS - 1)) if self.log_scale else level

    def _rarest(self, magnitude: Tensor, std: Tensor) -> Tensor:
        """What the coder spends at most, as a probability: 16 bits in a table, and 4 + log2 |symbol| more beyond it."""
        edge = torch.ceil(-self.conditional._standardized_quantile(self.conditional.tail_mass / 2) * std)
        return torch.where(magnitude <= edge, 2.0**-16, 2.0**-20 / magnitude.clamp(min=1))

    def estimate(
        self, y: Tensor, mean: Tensor, level: Tensor, coarse: Tensor | None, choose: Choose | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``y`` - mean as it is decoded, as the rate sees it, and its likelihood, each [N, M, h, w].

        ``coarse`` [N, 1, h, w] is the step map (:mod:`pvc.entropy.step_map`), None for step 1 everywhere; ``level`` is
        that of step 1. In training without a dead zone the rate sees uniform noise instead of rounding. In evaluation
        symbols that the coder skips are zero and cost nothing.

        ``choose`` may change the symbols; no gradient passes those that it changed.
        """
        step, level = self._coarser(level, coarse)
        std, v = self._level_to_scale(level), (y - mean) / step
        symbols = self._quantise(v)
        if choose is not None:
            chosen = choose(symbols.detach(), mean.detach(), step, level.detach().round().clamp(max=SCALE_LEVELS - 1))
            symbols = torch.where(chosen == symbols, symbols, chosen)
        skip = None
        if self.log_scale and not self.training:
            skip, _ = skipped(level, symbols)
            symbols = symbols.masked_fill(skip, 0)
        noisy = self.training and self.dead_zone is None
        coded = v + (noise.uniform(y.shape, y.device) - 0.5) if noisy else self.differences(symbols * step, step) / step
        likelihood = self.conditional.likelihood_lower_bound(self.conditional._likelihood(coded, std))
        if not self.training:
            likelihood = likelihood.maximum(self._rarest(coded.abs(), std))
        if skip is not None:
            likelihood = likelihood.masked_fill(skip, 1)
        return symbols * step, coded * step, likelihood

    def step(self, coarse: Tensor | None) -> Tensor | int:
        """Of the quantiser in each block [N, 1, h, w], by the step map; 1 everywhere without."""
        return 1 if coarse is None else factor(coarse, self.factors)

    def differences(self, symbols: Tensor, step: Tensor | int) -> Tensor:
        """What is coded of ``symbols`` [N, M, h, w], multiples of ``step``."""
        return spatial.differences(symbols, self.neighbours, step, self.fold)

    def _coarser(self, level: Tensor, coarse: Tensor | None) -> tuple[Tensor | int, Tensor]:
        """The step of each block, and the level of what is left of a latent of ``level`` in units of that step.

        Levels of ``neighbours`` say nowhere that a symbol is certain: one that is left out would change all behind it.
        """
        step = self.step(coarse)
        if coarse is not None:
            shifts = tuple(round(math.log(f) / LOG_STEP) for f in self.factors)
            level = level.clamp(max=SCALE_LEVELS - 1) - constant(shifts, level)[coarse.long()]
        if self.neighbours and not self.training:
            level = level.clone()
            for k in self.neighbours:
                level[:, k].clamp_(min=0)
        return step, level

    def bits(self, magnitudes: int) -> Tensor:
        """What the coder spends on a symbol [levels, magnitudes], from the table of each level."""
        scales = constant(tuple(SCALE_TABLE), self.conditional.scale_bound)
        magnitude = torch.arange(magnitudes, device=scales.device, dtype=scales.dtype).expand(len(scales), -1)
        std = scales[:, None].expand_as(magnitude)
        return -torch.log2(self.conditional._likelihood(magnitude, std).maximum(self._rarest(magnitude, std)))

    def put(
        self,
        y: Tensor,
        mean: Tensor,
        level: Tensor,
        coarse: Tensor | None,
        writer: Writer,
        choose: Choose | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Write y [1, M, h, w]; returns y - mean as it is decoded, and what was coded of it.

        ``level`` is exact and whole, that of step 1.

        ``choose`` may change the symbols before they are written.
        """
        step, level = self._coarser(level, coarse)
        symbols = self._quantise((y - mean) / step).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        indexes = level.clamp(min=0)
        if choose is not None:
            symbols = choose(symbols, mean, step, level).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        if self.log_scale:
            skip, flag = skipped(level, symbols)
            writer.put(flag, torch.zeros_like(flag, dtype=torch.int16), FLAG)
            symbols, indexes = symbols.masked_fill(skip, 0), indexes.masked_fill(skip, -1)
        symbols = symbols * step
        for k in self.neighbours:
            symbols[:, k].clamp_(-spatial.LIMIT, spatial.LIMIT)
        coded = self.differences(symbols, step)
        writer.put(coded / step, indexes, tables_of(self.conditional))
        return symbols, coded

    def get(self, level: Tensor, coarse: Tensor | None, reader: Reader) -> tuple[Tensor, Tensor]:
        """What :meth:`put` returned for this ``level`` and ``coarse``, whole numbers in float."""
        step, level = self._coarser(level, coarse)
        indexes = level.clamp(min=0)
        if self.log_scale and not reader.get(torch.zeros(1), FLAG).item():
            indexes = indexes.masked_fill(is_certain(level), -1)
        coded = reader.get(indexes, tables_of(self.conditional)).float() * step
        return spatial.restore(coded, self.neighbours, step, self.fold), coded

    def whole_level(self, level: Tensor) -> Tensor:
        """Row of the table, from an exact scale (or level): whole numbers up to the last row, in float64."""
        if not self.log_scale:
            level = torch.bucketize(level.contiguous(), constant(SCALE_EDGES, level))
        return torch.round(level).clamp(max=SCALE_LEVELS - 1)
