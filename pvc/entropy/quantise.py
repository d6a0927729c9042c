"""Rounding in training and the importance-driven dead zone."""

import torch
from compressai.ops import quantize_ste
from torch import Tensor, nn

__all__ = ["DeadZone", "quantize_ste"]


class DeadZone(nn.Module):
    """Soft threshold before rounding, wider where the importance q is low; the decoder need not know it.

    ``y * sigmoid((|y| - tau) / 0.15)`` with ``tau = tau0 + k (60^((1 - q) / 2) - 1)`` for each channel: the
    quantiser step that suits a distortion weight w = 60^(q - 1) grows as w^(-1/2). At q = 1 the second term is zero.
    Thresholds are in units of the rounding step and are learnt.
    """

    def __init__(self, channels: int, roi: bool, tau0: float = 0.4, k: float = 0.6):
        super().__init__()
        self.tau0 = nn.Parameter(torch.full((channels,), tau0))
        self.k = nn.Parameter(torch.full((channels,), k)) if roi else None

    def threshold(self, q: Tensor | None) -> Tensor:
        """tau [N, C, h, w] (or [C, 1, 1] without ROI) for ``q`` [N, 1, h, w] on the latent's grid."""
        tau = self.tau0[:, None, None]
        if self.k is None:
            return tau
        return tau + self.k[:, None, None] * (60 ** ((1 - q) / 2) - 1)

    def forward(self, y: Tensor, tau: Tensor) -> Tensor:
        """``y`` [N, C, h, w] with ``tau`` from :meth:`threshold`."""
        return y * torch.sigmoid((y.abs() - tau) / 0.15)
