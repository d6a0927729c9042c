"""One of the three codecs inside SSF (intra, motion, residual): encoder, decoder, entropy model."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from compressai.models.utils import conv, deconv
from torch import Tensor, nn

from pvc.entropy.condition import BETA_MAX, BETA_MIN, BINS, BetaCondition, Conditioned
from pvc.entropy.conditional import scale_to_level
from pvc.entropy.exact import BoundedReLU
from pvc.entropy.hyperprior import Hyperprior
from pvc.entropy.laplace import LaplaceConditional
from pvc.entropy.quantise import DeadZone
from pvc.entropy.step_map import FACTORS
from pvc.models.conv import ConvDecoder, ConvEncoder, stack
from pvc.models.patch import PatchDecoder, PatchEncoder
from pvc.models.rows import Pointwise, Upsample


@dataclass(frozen=True)
class Condition:
    """What steers one frame.

    ``e`` [N, 4] float64 is the beta embedding, ``q`` [N, 1, H, W] the importance, which only an encoder knows, and
    ``coarse`` [N, 1, H/16, W/16] the step map (:mod:`pvc.entropy.step_map`), of which a decoder is told.
    """

    e: Tensor | None = None
    q: Tensor | None = None
    coarse: Tensor | None = None

    @property
    def told(self) -> dict[str, Tensor]:
        """The step map as one of the symbols of a frame; nothing where there is none."""
        return {} if self.coarse is None else {"map": self.coarse}


class Gain(nn.Module):
    """Factor per channel before rounding, its inverse after it; per beta too when multi-rate.

    ``start`` [C] at ``beta``; a multi-rate model follows (beta' / beta)^slope, because the quantiser step that suits
    beta grows as its square root (slope -1/2). Not learnt: gradients through rounding favour ever finer steps.
    """

    def __init__(self, start: Tensor, multirate: bool, beta: float, slope: float):
        super().__init__()
        self.log = nn.Parameter(start.log(), requires_grad=False)
        self.rate, self.slope = None, slope
        if multirate:
            bins = torch.linspace(math.log(BETA_MIN), math.log(BETA_MAX), BINS)
            rate = (slope * (bins - math.log(beta)))[:, None].expand(-1, len(start)).clone()
            self.rate = nn.Parameter(rate, requires_grad=False)

    def forward(self, e: Tensor | None) -> Tensor:
        """[N or 1, C, 1, 1]."""
        log = self.log[None] if self.rate is None else self.log + e.to(self.log.dtype) @ self.rate
        return log.exp()[:, :, None, None]


class Branch(nn.Module):
    """Encoder, entropy model and decoder of one kind of information."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, prior: Hyperprior, gain: Gain | None = None):
        super().__init__()
        self.encoder, self.decoder, self.prior, self.gain = encoder, decoder, prior, gain

    def encode(self, x: Tensor, condition: Condition) -> Tensor:
        """``x`` [N, C, H, W] -> latent in units of the rounding step, [N, M, H/16, W/16], float32."""
        y = self.encoder(x, condition.q, condition.e).float()
        return y if self.gain is None else y * self.gain(condition.e)

    def scale_back(self, y_hat: Tensor, condition: Condition) -> Tensor:
        """Decoded latent without the gain."""
        return y_hat if self.gain is None else y_hat / self.gain(condition.e)


def conv_branch(
    inputs: int, outputs: int, *, width: int, latent: int, multirate: bool, roi: bool, extra_latent: int = 0
) -> Branch:
    """The paper's network; ``extra_latent`` channels of another branch are appended to the decoder's input."""
    hyper = [latent] * 4
    prior = Hyperprior(
        stack(hyper, conv, multirate),
        stack(hyper, deconv, multirate),
        Conditioned(BoundedReLU() if isinstance(x, nn.ReLU) else x for x in stack(hyper, deconv, multirate)),
        latent,
        latent,
    )
    encoder = ConvEncoder(inputs, width, latent, multirate=multirate, roi=roi)
    return Branch(encoder, ConvDecoder(latent + extra_latent, width, outputs, multirate=multirate), prior)


def _activation(width: int, multirate: bool) -> list[nn.Module]:
    return [nn.ReLU(), *([BetaCondition(width)] if multirate else [])]


def _upsampling(hyper: int, width: int, multirate: bool) -> list[nn.Module]:
    """z at 1/32 -> [N, width] at 1/16, from layers that can be evaluated exactly; :func:`_head` follows."""
    layers = [nn.Conv2d(hyper, width, 3, padding=1), *_activation(width, multirate)]
    return [*layers, Pointwise(width, 4 * width), Upsample(2)]


def _head(width: int, latent: int, multirate: bool) -> list[nn.Module]:
    return [*_activation(width, multirate), nn.Conv2d(width, latent, 3, padding=1)]


def _context(channels: int, width: int, outputs: int, multirate: bool) -> Conditioned:
    """What was coded before -> [N, outputs], at the same resolution, from layers that can be evaluated exactly."""
    return Conditioned([Pointwise(channels, width), *_head(width, outputs, multirate)])


def patch_branch(
    inputs: int,
    outputs: int,
    *,
    width: int,
    latent: int,
    hyper: int,
    encoder_basis: Tensor,
    decoder_basis: Tensor,
    deviation: Tensor,
    gain: Tensor,
    multirate: bool,
    roi: bool,
    beta: float,
    slope: float,
    dead_zone: DeadZone,
    extra_latent: int = 0,
    context: int = 0,
    symbol_context: int = 0,
    latent_context: bool = False,
    neighbours: tuple[int, ...] = (),
    fold: int = 1,
    factors: tuple[int, ...] = FACTORS,
    density: type[LaplaceConditional] = LaplaceConditional,
) -> Branch:
    """The tiny models' network: see :mod:`pvc.models.patch`.

    ``deviation`` [latent] is what the latents spread like before the gain; it starts the entropy model. The decoder
    also sees ``context`` channels at full resolution, the entropy model's scale ``symbol_context`` channels of
    ``Context.symbols`` and, with ``latent_context``, its mean ``Context.latent``. ``neighbours`` are the latents that
    are coded as differences from those of the blocks around; ``fold`` and ``factors``: see :class:`PatchDecoder` and
    :class:`pvc.entropy.conditional.Conditional`; ``density``: of the symbols.
    """
    down = [nn.Conv2d(latent, width, 3, padding=1)]
    down += [nn.LeakyReLU(0.125), *([BetaCondition(width)] if multirate else [])]
    down += [nn.Conv2d(width, hyper, 5, stride=2, padding=2)]
    mean = Conditioned([*_upsampling(hyper, width, multirate), *_head(width, latent, multirate)])
    scale, head = Conditioned(_upsampling(hyper, width, multirate)), Conditioned(_head(width, latent, multirate))
    context_mean = _context(latent, width, latent, multirate) if latent_context else None
    with torch.no_grad():
        for net in (mean, head, context_mean):
            if net is not None:
                net[-1].weight.mul_(0.1)
                net[-1].bias.zero_()
        head[-1].bias.copy_(scale_to_level((deviation * gain).clamp(min=0.15)))
    prior = Hyperprior(
        Conditioned(down),
        mean,
        scale,
        latent,
        hyper,
        log_scale=True,
        dead_zone=dead_zone,
        density=density,
        context_scale=_context(symbol_context, width, width, multirate) if symbol_context else None,
        scale_head=head,
        context_mean=context_mean,
        neighbours=neighbours,
        fold=fold,
        factors=factors,
    )
    decoder = partial(PatchDecoder, multirate=multirate, context=context, fold=fold)
    return Branch(
        PatchEncoder(inputs, width, latent, encoder_basis, multirate=multirate, roi=roi),
        decoder(latent + extra_latent, width, outputs, decoder_basis),
        prior,
        Gain(gain, multirate, beta, slope),
    )
