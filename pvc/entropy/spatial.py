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


def planes(x: Tensor, channels: tuple[int, ...], fold: int) -> Tensor:
    """``channels`` of ``x`` [N, M, h, w] as planes [N, C / fold^2, fold h, fold w]: see :class:`Conditional`."""
    return F.pixel_shuffle(torch.stack([x[:, k] for k in channels], dim=1), fold)


def unfolded(factor: Tensor | int, fold: int) -> Tensor | int:
    """What is one for each block [N, 1, h, w], or for all, on the grid of :func:`planes`."""
    if fold == 1 or not isinstance(factor, Tensor):
        return factor
    return factor.repeat_interleave(fold, -2).repeat_interleave(fold, -1)


def put_back(x: Tensor, own: Tensor, channels: tuple[int, ...], fold: int) -> Tensor:
    """``x`` [N, M, h, w] with ``own``, its :func:`planes`, instead of what it has in ``channels``."""
    own, out = F.pixel_unshuffle(own, fold), x.clone()
    for i, k in enumerate(channels):
        out[:, k] = own[:, i]
    return out


def differences(symbols: Tensor, channels: tuple[int, ...], factor: Tensor | int, fold: int = 1) -> Tensor:
    """``symbols`` [N, M, h, w], those of ``channels`` without what :func:`predict` says."""
    if not channels:
        return symbols
    own = planes(symbols, channels, fold)
    return put_back(symbols, own - predict(own, unfolded(factor, fold)), channels, fold)


def restore(coded: Tensor, channels: tuple[int, ...], factor: Tensor | int, fold: int = 1) -> Tensor:
    """The symbols [1, M, h, w] of which these are the :func:`differences`."""
    if not channels:
        return coded
    from pvc.entropy import median as loop  # not before: it takes seconds where it has to be compiled

    own = planes(coded, channels, fold)[0].to("cpu", torch.int32).contiguous()
    steps = unfolded(torch.as_tensor(factor).to("cpu", torch.int32).expand(1, 1, *coded.shape[-2:]), fold)
    loop.restore(own.numpy(), steps[0, 0].contiguous().numpy())
    return put_back(coded, own[None].to(coded), channels, fold)
