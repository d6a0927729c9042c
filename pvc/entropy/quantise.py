"""Rounding with a dead zone, of which the decoder need not know."""

import torch
from torch import Tensor, nn


class _Round(torch.autograd.Function):
    """Forward: the symbols. Backward: the gradient, but nothing for symbols that are zero.

    A straight-through gradient tells the encoder that raising a value below the threshold lowers the distortion. It
    does not, and at low rates, where most values are below, such a codec learns to spend far too many bits.
    """

    @staticmethod
    def forward(ctx, v: Tensor, magnitude: Tensor) -> Tensor:
        symbols = torch.sign(v) * magnitude
        ctx.save_for_backward(symbols)
        return symbols

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (symbols,) = ctx.saved_tensors
        return grad * (symbols != 0), None


class DeadZone(nn.Module):
    """Quantiser ``sign(v) floor(|v| + rounding)``.

    ``rounding`` is 1/3 for intra and 1/6 for inter latents, as in the H.264 reference encoder; 1/2 is plain rounding.
    """

    def __init__(self, rounding: float):
        super().__init__()
        self.rounding = rounding

    def forward(self, v: Tensor) -> Tensor:
        """Symbols, whole numbers in float, of ``v``, in steps."""
        return _Round.apply(v, torch.floor(v.detach().abs() + self.rounding))
