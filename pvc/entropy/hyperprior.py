"""Mean and scale hyperprior (Minnen et al., NeurIPS 2018) with table indices that are computed exactly."""

import math
from itertools import pairwise

import torch
from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from compressai.ops import LowerBound, quantize_ste
from torch import Tensor, nn

from pvc.entropy import exact
from pvc.entropy.condition import Conditioned
from pvc.entropy.quantise import DeadZone

# 64 standard deviations, even in the logarithm, as in CompressAI.
SCALE_MIN, SCALE_MAX, SCALE_LEVELS = 0.11, 256.0, 64
LOG_STEP = math.log(SCALE_MAX / SCALE_MIN) / (SCALE_LEVELS - 1)
SCALE_TABLE = [SCALE_MIN * math.exp(LOG_STEP * i) for i in range(SCALE_LEVELS)]
# Largest magnitude coded with a table of its own; beyond it the coder escapes to Elias-gamma-like bypass bits.
SYMBOL_LIMIT = 2**15 - 1


def scale_to_level(scale: Tensor) -> Tensor:
    """Standard deviation -> position in the table, a real number."""
    return torch.log(scale / SCALE_MIN) / LOG_STEP


class FactorizedPrior(EntropyBottleneck):
    """CompressAI's factorised density; the tables' range is found by bisection, so no second optimiser is needed."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.quantiles.requires_grad_(False)

    @torch.no_grad()
    def _update_quantiles(self, *args, **kwargs) -> None:
        medians = self.quantiles[:, :, 1].clone()
        super()._update_quantiles(*args, **kwargs)
        self.quantiles[:, :, 1] = medians  # training rounds around these: moving them now would change the symbols


class Hyperprior(nn.Module):
    """Codes a latent y [N, M, h, w] with the help of z [N, Z, h/s, w/s].

    Args:
        encoder: y -> z.
        mean: z -> mean [N, M, h, w].
        scale: z -> standard deviation, or its table level when ``log_scale``; must be a net that
            :func:`pvc.entropy.exact.run` knows.
        latent, hyper: channels M and Z.
        dead_zone: how y - mean is quantised, and y before z is formed from it; None is plain rounding.
        density: conditional density of the symbols, :class:`GaussianConditional` or a subclass.
    """

    def __init__(
        self,
        encoder: Conditioned,
        mean: Conditioned,
        scale: Conditioned,
        latent: int,
        hyper: int,
        *,
        log_scale: bool = False,
        dead_zone: DeadZone | None = None,
        density: type[GaussianConditional] = GaussianConditional,
    ):
        super().__init__()
        self.encoder, self.mean, self.scale = encoder, mean, scale
        self.latent, self.hyper, self.log_scale = latent, hyper, log_scale
        self.dead_zone = dead_zone
        self.bound = LowerBound(0.0 if log_scale else SCALE_MIN)
        self.factorized = FactorizedPrior(hyper)
        self.conditional = density(None)

    def _hyper_latent(self, y: Tensor, q: Tensor | None, e: Tensor | None) -> Tensor:
        """z from y, or from what the dead zone leaves of y, so that z knows where the zeros are."""
        return self.encoder(y if self.dead_zone is None else self.dead_zone(y, self.dead_zone.threshold(q)), e)

    def _quantise(self, v: Tensor, q: Tensor | None) -> Tensor:
        """Symbols of ``v`` = y - mean."""
        return quantize_ste(v) if self.dead_zone is None else self.dead_zone(v, self.dead_zone.threshold(q))

    def _standard_deviation(self, z_hat: Tensor, e: Tensor | None) -> Tensor:
        out = self.bound(self.scale(z_hat, e))
        return SCALE_MIN * torch.exp(LOG_STEP * out.clamp(max=SCALE_LEVELS - 1)) if self.log_scale else out

    def forward(self, y: Tensor, q: Tensor | None = None, e: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Quantised latent [N, M, h, w] (rounded, gradient straight through) and estimated bits [N].

        In training, z's bits are those of uniform noise instead of rounding, and so are y's without a dead zone; in
        evaluation they are those of the symbols.
        """
        z = self._hyper_latent(y, q, e)
        _, z_likelihood = self.factorized(z)
        medians = self._medians()
        z_hat = quantize_ste(z - medians) + medians
        mean, std = self.mean(z_hat, e), self._standard_deviation(z_hat, e)
        symbols = self._quantise(y - mean, q)
        noise = self.training and self.dead_zone is None
        coded = y - mean + torch.empty_like(y).uniform_(-0.5, 0.5) if noise else symbols
        likelihood = self.conditional.likelihood_lower_bound(self.conditional._likelihood(coded, std))
        bits = -(torch.log2(likelihood).flatten(1).sum(1) + torch.log2(z_likelihood).flatten(1).sum(1))
        return symbols + mean, bits

    def _medians(self) -> Tensor:
        return self.factorized.quantiles[:, 0, 1].detach()[None, :, None, None]

    def update(self) -> None:
        """Compute the coder's tables from the trained densities; they are stored with the weights."""
        self.factorized.update(force=True, update_quantiles=True)
        self.conditional.update_scale_table(SCALE_TABLE, force=True)

    def _tables(self, z_symbols: Tensor, e: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean [1, M, h, w] and table index [1, M, h, w] from the symbols of z; the index is exact everywhere."""
        medians = self._medians()
        z_hat = z_symbols.to(medians.dtype) + medians
        mean = self.mean(z_hat, e)
        exact_z = z_symbols.double() + exact.dyadic(medians, exact.ACTIVATION_BITS)
        level = exact.run(self.scale, exact_z, e)
        if not self.log_scale:
            edges = [math.sqrt(a * b) for a, b in pairwise(SCALE_TABLE)]
            level = torch.bucketize(level, torch.tensor(edges, dtype=torch.float64, device=level.device))
        return mean, torch.round(level).clamp(0, SCALE_LEVELS - 1).int()

    def _z_indexes(self, shape: tuple[int, int]) -> Tensor:
        return torch.arange(self.hyper, dtype=torch.int32).view(1, -1, 1, 1).expand(1, -1, *shape)

    def compress(self, y: Tensor, q: Tensor | None, e: Tensor | None, writer) -> Tensor:
        """Write y [1, M, h, w] with ``writer`` (:class:`pvc.entropy.coder.Writer`); returns what the decoder has."""
        z = self._hyper_latent(y, q, e)
        z_symbols = torch.round(z - self._medians()).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).int()
        mean, indexes = self._tables(z_symbols, e)
        symbols = self._quantise(y - mean, q).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).int()
        writer.put(z_symbols, self._z_indexes(z.shape[-2:]), self.factorized)
        writer.put(symbols, indexes, self.conditional)
        return symbols.to(mean.dtype) + mean

    def decompress(self, hyper_shape: tuple[int, int], e: Tensor | None, reader) -> Tensor:
        """Read what :meth:`compress` wrote; ``hyper_shape`` is z's (h, w). Returns [1, M, h, w]."""
        z_symbols = reader.get(self._z_indexes(hyper_shape), self.factorized)
        mean, indexes = self._tables(z_symbols.to(self.factorized.quantiles.device), e)
        symbols = reader.get(indexes, self.conditional)
        return symbols.to(mean) + mean
