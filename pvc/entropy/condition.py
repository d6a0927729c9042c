"""Rate conditioning: beta as a 16-bit integer, its soft one-hot embedding, and the scale-and-shift it drives.

Source: Fathima et al., "A neural video codec with spatial rate-distortion control", WACV 2023, section 3.2, figure 2.
"""

import math

import torch
from torch import Tensor, nn

from pvc.errors import ConfigError

BETA_MIN, BETA_MAX = 1e-4, 1.28e-2
BINS = 4
_LEVELS = 65535
_SPAN = math.log2(BETA_MAX) - math.log2(BETA_MIN)


def beta_to_code(beta: float) -> int:
    """The 16-bit integer that is sent for ``beta``: uniform in log2 beta over [1e-4, 1.28e-2].

    Raises:
        ConfigError: beta outside the range.
    """
    if not BETA_MIN * (1 - 1e-6) <= beta <= BETA_MAX * (1 + 1e-6):
        raise ConfigError(f"beta={beta:g} is out of range; give a value in [{BETA_MIN:g}, {BETA_MAX:g}]")
    position = (math.log2(beta) - math.log2(BETA_MIN)) / _SPAN
    return min(max(round(position * _LEVELS), 0), _LEVELS)


def code_to_beta(code: int) -> float:
    """The beta that a 16-bit code stands for; what encoder and decoder both use."""
    return BETA_MIN * 2.0 ** (_SPAN * code / _LEVELS)


def embed_beta(beta: Tensor) -> Tensor:
    """Soft one-hot embedding of ``beta`` [N] into 4 bins [N, 4], linear in log2 beta between neighbouring bins.

    Computed in float64 from the 16-bit code and rounded to multiples of 2^-16, so every device gets the same values.
    """
    span = torch.log2(beta.double() / BETA_MIN) / _SPAN
    code = torch.round(span * _LEVELS).clamp(0, _LEVELS)
    position = torch.round(code * (BINS - 1) / _LEVELS * 2**16) / 2**16
    bins = torch.arange(BINS, device=beta.device, dtype=torch.float64)
    return (1 - (position[:, None] - bins).abs()).clamp(min=0)


class TakesBeta(nn.Module):
    """A layer that is called with the beta embedding [N, 4] beside its input."""


class BetaCondition(TakesBeta):
    """Scale and shift per channel from the beta embedding: ``x * (1 + e W_s) + e W_b`` (figure 2, right).

    Starts as the identity, bit for bit, so a model warm-started from a single-rate one equals it at every beta.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(BINS, channels))
        self.shift = nn.Parameter(torch.zeros(BINS, channels))

    def coefficients(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """``e`` [N, 4] -> scale and shift, each [N, C]."""
        # sums, not a matrix product: autocast would round that to half precision
        bins = e.to(self.scale.dtype)[:, :, None]
        return 1 + (bins * self.scale).sum(1), (bins * self.shift).sum(1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """``x`` [N, C, H, W], ``e`` [N, 4] -> [N, C, H, W]."""
        scale, shift = self.coefficients(e)
        return torch.addcmul(shift[:, :, None, None].to(x.dtype), x, scale[:, :, None, None].to(x.dtype))


class Conditioned(nn.ModuleList):
    """A sequence of layers in which every :class:`TakesBeta` also gets the beta embedding."""

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        """``x`` through all layers; ``e`` [N, 4] is needed when a layer is conditioned."""
        for layer in self:
            x = layer(x, e) if isinstance(layer, TakesBeta) else layer(x)
        return x
