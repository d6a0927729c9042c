"""Rounding with a dead zone, and with a price on bits where the importance is low; the decoder need not know either."""

import math

import torch
from torch import Tensor, nn

# Half of the Lagrangian multiplier of H.264 encoders, lambda = 0.134 step^2: in a group of pictures
# an error also harms the frames that follow.
PRICE = 0.134 / 2


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
    """Quantiser ``sign(v) floor(|v| + rounding)`` where the importance q is 1; rate-distortion optimised below.

    ``rounding`` is 1/3 for intra and 1/6 for inter latents, as in the H.264 reference encoder; 1/2 is plain rounding.
    An error counts w = 60^(q - 1), so beside it a bit is worth 1/w times as much. The quantiser already prices bits for
    w = 1 (that is what a dead zone does), so it charges ``PRICE (1/w - 1)`` step^2 for each bit on top, by the Laplace
    density that the entropy coder will use: values shrink, and become zero where that is cheaper.
    """

    def __init__(self, rounding: float):
        super().__init__()
        self.rounding = rounding

    def leave(self, y: Tensor, q: Tensor | None) -> Tensor:
        """What is likely to be left of ``y`` [N, C, h, w] before its density is known: a wider dead zone only.

        The quantiser step that suits a weight w grows as w^(-1/2), and the threshold with it.
        """
        a = y.detach().abs()
        n = torch.floor(a + self.rounding)
        return _Round.apply(y, n if q is None else n * (a >= (1 - self.rounding) * 60 ** ((1 - q) / 2)))

    def forward(self, v: Tensor, q: Tensor | None = None, std: Tensor | None = None) -> Tensor:
        """Symbols, whole numbers in float, of ``v`` [N, C, h, w], in steps.

        ``q`` [N, 1, h, w] is the importance on the latent's grid, ``std`` [N, C, h, w] the standard deviation of v.
        """
        a = v.detach().abs()
        if q is None:
            return _Round.apply(v, torch.floor(a + self.rounding))
        with torch.no_grad():
            price = PRICE / math.log(2) * (60 ** (1 - q) - 1)  # step^2 for a nat
            slope = math.sqrt(2) / std  # nats for each step away from zero, and ``first`` once
            first = torch.log(-torch.expm1(-slope / 2)) - torch.log(torch.sinh(slope / 2))
            n = torch.floor(a + self.rounding - price * slope / 2).clamp(min=0)
            n = n * (n * n - 2 * a * n + price * (first + slope * n) < 0)
        return _Round.apply(v, n)
