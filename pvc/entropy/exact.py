"""Networks whose output is the same on every device, thread count and memory layout.

The path that picks the coder's tables must not differ in one bit between encoder and decoder. Weights and activations
are rounded to dyadic rationals (multiples of 2^-12 and 2^-8) and bounded; every product and every partial sum is then
a multiple of 2^-20 below 2^33 and so exact in float64, whatever the order of summation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pvc.entropy.condition import BetaCondition, Conditioned

WEIGHT_BITS, ACTIVATION_BITS, LIMIT = 12, 8, 1024.0


def dyadic(x: Tensor, bits: int) -> Tensor:
    """``x`` rounded to multiples of 2^-bits, in float64 (exact for any float32 input)."""
    return torch.round(x.detach().double() * 2.0**bits) * 2.0**-bits


def _activation(x: Tensor) -> Tensor:
    return dyadic(x, ACTIVATION_BITS).clamp(-LIMIT, LIMIT)


def _columns(x: Tensor, kernel: tuple[int, int], padding, stride) -> Tensor:
    return F.unfold(x, kernel, padding=padding, stride=stride)


def _conv(layer: nn.Conv2d, x: Tensor) -> Tensor:
    # unfold and a matrix product: cuDNN may pick a transform-domain algorithm for a convolution, which is not exact
    weight = dyadic(layer.weight, WEIGHT_BITS).flatten(1)
    n, _, h, w = x.shape
    (kh, kw), (ph, pw), (sh, sw) = layer.kernel_size, layer.padding, layer.stride
    y = weight @ _columns(x, (kh, kw), (ph, pw), (sh, sw))
    y = y + dyadic(layer.bias, WEIGHT_BITS)[:, None]
    return y.view(n, -1, (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1)


def _deconv(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    weight = dyadic(layer.weight, WEIGHT_BITS).flatten(1)
    h, w = (
        (x.shape[i + 2] - 1) * layer.stride[i] - 2 * layer.padding[i] + layer.kernel_size[i] + layer.output_padding[i]
        for i in (0, 1)
    )
    columns = weight.T @ x.flatten(2)
    y = F.fold(columns, (h, w), layer.kernel_size, padding=layer.padding, stride=layer.stride)
    return y + dyadic(layer.bias, WEIGHT_BITS)[:, None, None]


def _condition(layer: BetaCondition, x: Tensor, e: Tensor) -> Tensor:
    scale = dyadic(1 + e @ dyadic(layer.scale, WEIGHT_BITS), WEIGHT_BITS)
    shift = dyadic(e @ dyadic(layer.shift, WEIGHT_BITS), WEIGHT_BITS)
    return x * scale[:, :, None, None] + shift[:, :, None, None]


def run(layers: Conditioned, x: Tensor, e: Tensor | None = None) -> Tensor:
    """Evaluate ``layers`` on ``x`` [N, C, H, W] exactly; ``e`` [N, 4] float64 from ``embed_beta``.

    Knows convolutions without groups, transposed convolutions, ReLU, :class:`BoundedReLU`, PixelShuffle and
    :class:`BetaCondition`; anything else is a ``TypeError``, because it would not be exact.
    """
    x = _activation(x)
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose2d):
            x = _activation(_deconv(layer, x))
        elif isinstance(layer, nn.Conv2d) and layer.groups == 1:
            x = _activation(_conv(layer, x))
        elif isinstance(layer, BetaCondition):
            x = _activation(_condition(layer, x, e))
        elif isinstance(layer, nn.ReLU | BoundedReLU | nn.PixelShuffle):
            x = layer(x)
        else:
            raise TypeError(f"{type(layer).__name__} cannot be evaluated exactly")
    return x


class BoundedReLU(nn.Module):
    """ReLU clipped at 255, the range of CompressAI's QReLU with 8 bits."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> same shape, in [0, 255]."""
        return x.clamp(0, 255)
