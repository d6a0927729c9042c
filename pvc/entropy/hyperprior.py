"""Mean and scale hyperprior (Minnen et al., NeurIPS 2018) with table indices that are computed exactly."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from compressai.ops import quantize_ste
from torch import Tensor, nn

from pvc.entropy import exact, noise
from pvc.entropy.coder import Reader, Writer
from pvc.entropy.condition import Conditioned
from pvc.entropy.conditional import SYMBOL_LIMIT, Choose, Conditional
from pvc.entropy.quantise import DeadZone
from pvc.entropy.tables import tables_of

# Magnitude up to which the symbols of the frame before tell the scale something.
CONTEXT_LIMIT = 15
# Bits that a symbol of z may cost, and how far from the median that is looked at.
Z_BITS, Z_REACH = 14, 64


class FactorizedPrior(EntropyBottleneck):
    """CompressAI's factorised density; the tables' range is found by bisection, so no second optimiser is needed."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.quantiles.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` [N, C, h, w] with noise (in evaluation: rounded), and its likelihood.

        The parent's function. The parent permutes by a tensor, whose elements a GPU has to be waited for.
        """
        if self.training:
            x = x + (noise.uniform(x.shape, x.device) - 0.5)
        values = x.transpose(0, 1).contiguous()
        noisy = values.flatten(1)[:, None]
        if not self.training:
            noisy = self.quantize(noisy, "dequantize", self._get_medians())
        likelihood = self.likelihood_lower_bound(self._likelihood(noisy)[0])
        return tuple(v.view(values.shape).transpose(0, 1).contiguous() for v in (noisy, likelihood))

    @torch.no_grad()
    def plausible(self) -> tuple[Tensor, Tensor]:
        """Least and largest symbol, as differences from the median, that cost at most ``Z_BITS``, each [1, C, 1, 1]."""
        medians = self.quantiles[:, :, 1:2]
        symbols = torch.arange(-Z_REACH, Z_REACH + 1, device=medians.device, dtype=medians.dtype)
        likely = self._likelihood(medians + symbols)[0][:, 0] >= 2.0**-Z_BITS
        ends = []
        for sign, outmost in ((-1, 0), (1, -1)):  # one that is likely at the outmost place has no end
            end = torch.where(likely, sign * symbols, 0).amax(1)
            ends.append(sign * torch.where(likely[:, outmost], SYMBOL_LIMIT, end).view(1, -1, 1, 1))
        return ends[0], ends[1]

    @torch.no_grad()
    def _update_quantiles(self, *args, **kwargs) -> None:
        medians = self.quantiles[:, :, 1].clone()
        super()._update_quantiles(*args, **kwargs)
        self.quantiles[:, :, 1] = medians  # training rounds around these: moving them now would change the symbols


@dataclass(frozen=True)
class Context:
    """What encoder and decoder have coded before, on the grid of y.

    ``symbols`` [N, C, h, w], whole numbers, help to tell the scale: from them the table indices are still exact.
    ``latent`` [N, M, h, w], real numbers in units of the rounding step, helps to tell the mean.
    """

    symbols: Tensor
    latent: Tensor | None = None


class Hyperprior(Conditional):
    """Codes a latent y [N, M, h, w] with the help of z [N, Z, h/s, w/s].

    Args:
        encoder: y -> z.
        mean: z -> mean [N, M, h, w].
        scale: z -> standard deviation, or its table level when ``log_scale``; must be a net that
            :func:`pvc.entropy.exact.run` knows, as must be all that follow it.
        latent, hyper: channels M and Z.
        dead_zone: how y - mean is quantised, and y before z is formed from it; None is plain rounding.
        density: conditional density of the symbols, :class:`GaussianConditional` or a subclass.
        context_scale: magnitudes of ``Context.symbols`` -> what is added to the output of ``scale``; None: no context.
        scale_head: what follows that sum.
        context_mean: ``Context.latent`` -> what is added to the mean; None: nothing.
        neighbours, fold, factors: see :class:`Conditional`.
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
        context_scale: Conditioned | None = None,
        scale_head: Conditioned | None = None,
        context_mean: Conditioned | None = None,
        **how: Any,
    ):
        super().__init__(log_scale=log_scale, dead_zone=dead_zone, density=density, **how)
        self.encoder, self.mean, self.scale = encoder, mean, scale
        self.context_scale, self.scale_head = context_scale, scale_head or Conditioned()
        self.context_mean = context_mean
        self.latent, self.hyper = latent, hyper
        self.factorized = FactorizedPrior(hyper)

    def scale_parameters(self) -> Iterator[nn.Parameter]:
        """Those of what tells the symbols' spread. They change what symbols cost, and no symbol."""
        for net in (self.scale, self.context_scale, self.scale_head):
            yield from () if net is None else net.parameters()

    def _hyper_latent(self, y: Tensor, coarse: Tensor | None, e: Tensor | None) -> Tensor:
        """z from y, or from what the dead zone leaves of y, so that z knows where the zeros are.

        An encoder takes no value that is far too dear: what networks make of a y that they have never seen may be.
        """
        if self.dead_zone is not None:
            step = self.step(coarse)
            y = self.dead_zone(y / step) * step
        z = self.encoder(y, e)
        if self.training:
            return z
        least, largest = self.factorized.plausible()
        return torch.clamp(z, self._medians() + least, self._medians() + largest)

    def _mean(self, z_hat: Tensor, e: Tensor | None, context: Context | None) -> Tensor:
        mean = self.mean(z_hat, e)
        return mean if self.context_mean is None else mean + self.context_mean(context.latent, e)

    def _level(self, z_hat: Tensor, e: Tensor | None, context: Context | None) -> Tensor:
        out = self.scale(z_hat, e)
        if self.context_scale is not None:
            out = out + self.context_scale(context.symbols.abs().clamp(max=CONTEXT_LIMIT), e)
        return self.scale_head(out, e)

    def forward(
        self,
        y: Tensor,
        coarse: Tensor | None = None,
        e: Tensor | None = None,
        context: Context | None = None,
        choose: Choose | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantised latent and what is coded of it [N, M, h, w] (gradient straight through), and estimated bits [N].

        ``coarse`` [N, 1, h, w] is the step map, if the decoder is told one. Symbols are in units of step 1, so they are
        multiples of the block's step. ``choose`` may change them (:meth:`Conditional.estimate`).

        In training, z's bits are those of uniform noise instead of rounding, and so are y's without a dead zone; in
        evaluation they are those of the symbols, and symbols that the coder skips are zero and cost nothing.
        """
        z = self._hyper_latent(y, coarse, e)
        _, z_likelihood = self.factorized(z)
        medians = self._medians()
        z_hat = quantize_ste(z - medians) + medians
        mean, level = self._mean(z_hat, e, context), self._level(z_hat, e, context)
        symbols, coded, likelihood = self.estimate(y, mean, level, coarse, choose)
        bits = -(torch.log2(likelihood).flatten(1).sum(1) + torch.log2(z_likelihood).flatten(1).sum(1))
        return symbols + mean, coded, bits

    def _medians(self) -> Tensor:
        return self.factorized.quantiles[:, 0, 1].detach()[None, :, None, None]

    def update(self) -> None:
        """Compute the coder's tables from the trained densities; they are stored with the weights."""
        self.factorized.update(force=True, update_quantiles=True)
        super().update()

    def _predicted(self, z_symbols: Tensor, e: Tensor | None, context: Context | None) -> Tensor:
        """Mean [1, M, h, w] from the symbols of z."""
        medians = self._medians()
        return self._mean(z_symbols.to(medians.dtype) + medians, e, context)

    def _table_level(self, z_symbols: Tensor, e: Tensor | None, context: Context | None) -> Tensor:
        """Level of the table [1, M, h, w] from the symbols of z and those of ``context``, exact everywhere.

        Levels are whole numbers up to the last row; those of a ``log_scale`` go below the first one.
        """
        exact_z = z_symbols.double() + exact.dyadic(self._medians(), exact.ACTIVATION_BITS)
        level = exact.run(self.scale, exact_z, e)
        if self.context_scale is not None:
            level = level + exact.run(self.context_scale, context.symbols.double().abs().clamp(max=CONTEXT_LIMIT), e)
        return self.whole_level(exact.run(self.scale_head, level, e))

    def _z_indexes(self, shape: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
        return torch.arange(self.hyper, dtype=torch.int16, device=device).view(1, -1, 1, 1).expand(1, -1, *shape)

    def compress(
        self,
        y: Tensor,
        coarse: Tensor | None,
        e: Tensor | None,
        context: Context | None,
        writer: Writer,
        choose: Choose | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Write y [1, M, h, w]; returns what the decoder has: quantised latent and what was coded, both [1, M, h, w].

        ``choose`` may change the symbols (:meth:`Conditional.put`).
        """
        z = self._hyper_latent(y, coarse, e)
        z_symbols = torch.round(z - self._medians()).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        mean, level = self._predicted(z_symbols, e, context), self._table_level(z_symbols, e, context)
        writer.put(z_symbols, self._z_indexes(z.shape[-2:], z.device), tables_of(self.factorized))
        symbols, coded = self.put(y, mean, level, coarse, writer, choose)
        return symbols + mean, coded

    def decompress(
        self,
        hyper_shape: tuple[int, int],
        coarse: Tensor | None,
        e: Tensor | None,
        context: Context | None,
        reader: Reader,
    ) -> tuple[Tensor, Tensor]:
        """Read what :meth:`compress` wrote and return the same; ``hyper_shape`` is z's (h, w)."""
        z_symbols, symbols, coded = self.read(hyper_shape, coarse, e, context, reader)
        return self.restore(z_symbols, symbols, e, context), coded

    def restore(self, z_symbols: Tensor, symbols: Tensor, e: Tensor | None, context: Context | None) -> Tensor:
        """The quantised latent that has these symbols."""
        return symbols + self._predicted(z_symbols, e, context)

    def read(
        self,
        hyper_shape: tuple[int, int],
        coarse: Tensor | None,
        e: Tensor | None,
        context: Context | None,
        reader: Reader,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols of z, those of y and what was coded of these.

        Of ``context`` only the symbols matter, so this can run ahead of the pictures.
        """
        medians = self._medians()
        z_symbols = reader.get(self._z_indexes(hyper_shape), tables_of(self.factorized)).to(medians.device)
        level = self._table_level(z_symbols, e, context)
        symbols, coded = self.get(level, coarse, reader)
        return z_symbols, symbols.to(medians), coded.to(medians)
