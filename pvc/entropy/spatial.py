"""Symbols coded as differences from what their neighbours tell, for latents that hardly change from block to block.

The prediction is the median edge detector of LOCO-I (Weinberger, Seroussi and Sapiro, "The LOCO-I lossless image
compression algorithm", IEEE Transactions on Image Processing, 2000): the median of left, above, and left + above -
corner, where there are zeros outside of the picture. Everything is a whole number, so every device predicts the same.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LIMIT = 16320
"""Largest magnitude of a symbol: a multiple of each factor of a step map, whose differences the coder can hold."""


def median(left: Tensor, above: Tensor, corner: Tensor, factor: Tensor | int) -> Tensor:
    """What three neighbours tell, a multiple of ``factor``, all whole numbers in float of shapes that go together.

    Gradients pass as if nothing were rounded.
    """
    told = (left + above - corner).maximum(torch.minimum(left, above)).minimum(torch.maximum(left, above))
    fixed = told.detach()
    # float32 has room: the least that a quotient lacks for the next whole number is 1/16
    rounded = torch.sign(fixed) * torch.floor((2 * fixed.abs() + factor) / (2 * factor)) * factor
    return told + (rounded - fixed)


def predict(symbols: Tensor, factor: Tensor | int) -> Tensor:
    """What their neighbours tell of ``symbols`` [N, C, h, w], multiples of ``factor`` ([N, 1, h, w] or 1) as they are.

    Gradients pass as if nothing were rounded.
    """
    padded = F.pad(symbols, (1, 0, 1, 0))
    return median(padded[..., 1:, :-1], padded[..., :-1, 1:], padded[..., :-1, :-1], factor)


def differences(symbols: Tensor, channels: tuple[int, ...], factor: Tensor | int) -> Tensor:
    """``symbols`` [N, M, h, w], those of ``channels`` without what :func:`predict` says."""
    if not channels:
        return symbols
    own = torch.stack([symbols[:, k] for k in channels], dim=1)
    left, coded = own - predict(own, factor), symbols.clone()
    for i, k in enumerate(channels):
        coded[:, k] = left[:, i]
    return coded


def restore(coded: Tensor, channels: tuple[int, ...], factor: Tensor | int) -> Tensor:
    """The symbols [1, M, h, w] of which these are the :func:`differences`."""
    if not channels:
        return coded
    from pvc.entropy import median as loop  # not before: it takes seconds where it has to be compiled

    own = torch.stack([coded[0, k] for k in channels]).to("cpu", torch.int32).contiguous()
    steps = torch.as_tensor(factor).to("cpu", torch.int32).expand(1, 1, *own.shape[-2:])[0, 0].contiguous()
    loop.restore(own.numpy(), steps.numpy())
    own, symbols = own.to(coded), coded.clone()
    for i, k in enumerate(channels):
        symbols[0, k] = own[i]
    return symbols
