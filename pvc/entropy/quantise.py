"""Rounding with a dead zone that widens where the importance is low; the decoder need not know it."""

import torch
from torch import Tensor, nn


class _Round(torch.autograd.Function):
    """Forward: the symbols. Backward: the gradient, but nothing for symbols that are zero.

    A straight-through gradient tells the encoder that raising a value below the threshold lowers the distortion. It
    does not, and at low rates, where most values are below, such a codec learns to spend far too many bits.
    """

    @staticmethod
    def forward(ctx, v: Tensor, threshold: Tensor, rounding: float) -> Tensor:
        symbols = torch.sign(v) * torch.floor(v.abs() + rounding)
        symbols = torch.where(v.abs() < threshold, torch.zeros_like(v), symbols)
        ctx.save_for_backward(symbols)
        return symbols

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        (symbols,) = ctx.saved_tensors
        return grad * (symbols != 0), None, None


class DeadZone(nn.Module):
    """Quantiser ``sign(v) floor(|v| + rounding)``, zero below a threshold that depends on the importance q.

    The threshold is ``(1 - rounding) 60^((1 - q) / 2)`` steps: the quantiser step that suits a distortion weight
    w = 60^(q - 1) grows as w^(-1/2). At q = 1 it is the quantiser's own. ``rounding`` is 1/3 for intra and 1/6 for
    inter latents, as in the H.264 reference encoder; 1/2 is plain rounding.
    """

    def __init__(self, rounding: float):
        super().__init__()
        self.rounding = rounding

    def threshold(self, q: Tensor | None) -> Tensor:
        """[N, 1, h, w] for ``q`` [N, 1, h, w] on the latent's grid; a scalar without ROI. In rounding steps."""
        whole = torch.tensor(1 - self.rounding)
        return whole if q is None else whole.to(q.device) * 60 ** ((1 - q) / 2)

    def forward(self, v: Tensor, threshold: Tensor) -> Tensor:
        """``v`` [N, C, h, w] -> symbols, whole numbers in float."""
        return _Round.apply(v, threshold.to(v.device), self.rounding)
