"""Networks whose output is the same on every device, thread count, memory layout and precision.

The path that picks the coder's tables must not differ in one bit between encoder and decoder. Weights are rounded to 7
bits and a sign (their step is a power of two for each output channel), activations to multiples of 2^-6 within ±1024.
In units of these steps everything is a whole number, and sums of products of whole numbers are exact in floating point
as long as none can pass 2^53 (float64) or 2^24 (float32), whatever their order. Float64 always has room. Float32 is
twice as fast, so the CPU takes it for a layer where a bound, computed from weights and activations, says that it has
room too: both give the same numbers.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pvc.entropy.condition import BetaCondition, Conditioned
from pvc.float32 import full_float32

WEIGHT_BITS, CONDITION_BITS, ACTIVATION_BITS, LIMIT = 7, 8, 6, 1024.0
_UNIT, _MOST = 2.0**ACTIVATION_BITS, LIMIT * 2.0**ACTIVATION_BITS
# Bits behind the binary point that a weight may have; a channel of weights below 2^-18 gets no finer step.
_FINEST = 24


def dyadic(x: Tensor, bits: int) -> Tensor:
    """``x`` rounded to multiples of 2^-bits, in float64 (exact for any float32 input)."""
    return torch.round(x.detach().double() * 2.0**bits) * 2.0**-bits


class BoundedReLU(nn.Module):
    """ReLU clipped at 255, the range of CompressAI's QReLU with 8 bits."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> same shape, in [0, 255]."""
        return x.clamp(0, 255)


class Residual(Conditioned):
    """Adds what comes out of its layers to what goes in."""

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        """``x`` [N, C, H, W] -> same shape."""
        return x + super().forward(x, e)


@dataclass(frozen=True)
class _Packed:
    """A convolution in whole numbers: ``weight`` [taps * C, out] (transposed ones: [C, out * taps]), ``bias`` [out].

    One unit of the output is ``step`` [out] units of an activation. ``gain`` [C, out] sums the magnitudes of the
    weights over taps: no partial sum passes the largest magnitudes of the inputs [C] times it, plus the bias.
    """

    weight: Tensor
    bias: Tensor
    step: Tensor
    gain: Tensor

    @cached_property
    def single(self) -> "_Packed":
        """The same in float32."""
        return _Packed(self.weight.float(), self.bias.float(), self.step.float(), self.gain)


_packed: WeakKeyDictionary[nn.Module, tuple[tuple, _Packed]] = WeakKeyDictionary()


def _pack(layer: nn.Conv2d | nn.ConvTranspose2d) -> _Packed:
    """``layer`` in whole numbers, kept until its parameters change."""
    parameters = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
    if any(p.is_inference() for p in parameters):  # nothing tells when these change
        return _make(layer)
    key = tuple((p._version, p.data_ptr(), p.device) for p in parameters)
    known = _packed.get(layer)
    if known is None or known[0] != key:
        known = _packed[layer] = key, _make(layer)
    return known[1]


def _make(layer: nn.Conv2d | nn.ConvTranspose2d) -> _Packed:
    transposed = isinstance(layer, nn.ConvTranspose2d)
    weight = layer.weight.detach().double()
    weight = weight.permute(0, 2, 3, 1) if transposed else weight.permute(2, 3, 1, 0)  # out comes last
    exponent = torch.frexp(weight.abs().amax((0, 1, 2))).exponent
    step = torch.exp2((exponent.double() - WEIGHT_BITS).clamp(min=-_FINEST))
    weight = torch.round(weight / step)
    bias = torch.zeros_like(step) if layer.bias is None else torch.round(layer.bias.detach().double() * _UNIT / step)
    gain = weight.abs().sum((1, 2) if transposed else (0, 1))
    weight = weight.permute(0, 3, 1, 2).flatten(1) if transposed else weight.flatten(0, 2)
    return _Packed(weight.contiguous(), bias, step, gain)


@lru_cache
def _multiplies_exactly() -> bool:
    """Whether float32 products on the CPU are what they say, in :func:`full_float32`: the environment has a say too."""
    ones = torch.ones(96, 96)
    return torch.equal((4097 * ones) @ (4095 * torch.eye(96)), ones * (2**24 - 1))


def _with_room(x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """``x`` [N, H, W, C] in the fastest type that has room.

    No sum passes the largest magnitude of each channel times ``gain`` [C, out], plus that of ``offset`` [out].
    """
    if x.device.type != "cpu":  # the bound would have to come back from the device
        return x.double()
    if not _multiplies_exactly() or not x.numel():
        return x.double()
    bound = x.abs().amax((0, 1, 2)).double() @ gain + offset.abs()
    return x.float() if bound.max() <= 2**24 else x.double()


def _activation(x: Tensor) -> Tensor:
    return x.round_().clamp_(-_MOST, _MOST)


def _conv(layer: nn.Conv2d, x: Tensor, packed: _Packed) -> Tensor:
    """[N, H, W, C] -> [N, H', W', out] in output units, by matrix products alone.

    A convolution of a library may use an algorithm that passes through other numbers (Winograd, FFT).
    """
    weight, bias = packed.weight, packed.bias
    n, h, w, c = x.shape
    (kh, kw), (ph, pw), (sh, sw) = layer.kernel_size, layer.padding, layer.stride
    if (kh, kw, ph, pw, sh, sw) == (1, 1, 0, 0, 1, 1):
        return torch.addmm(bias, x.reshape(-1, c), weight).view(n, h, w, -1)
    out = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    if (sh, sw) != (1, 1):
        columns = F.unfold(x.permute(0, 3, 1, 2), (kh, kw), padding=(ph, pw), stride=(sh, sw))
        columns = columns.view(n, c, kh * kw, -1).permute(0, 3, 2, 1).flatten(2)
        return (columns @ weight + bias).view(n, *out, -1)
    # In a padded picture, laid out row after row, a tap is the same picture read from another position on.
    x = F.pad(x, (0, 0, pw, pw, ph, ph))
    width = w + 2 * pw
    flat = x.view(-1, c)
    last = (kh - 1) * width + kw - 1
    y = bias.repeat(len(flat), 1)
    inside = y[: len(flat) - last]
    for tap in range(kh * kw):
        start = tap // kw * width + tap % kw
        inside.addmm_(flat[start : start + len(inside)], weight[tap * c : (tap + 1) * c])
    return y.view(n, -1, width, y.shape[1])[:, : out[0], : out[1]]


def _deconv(layer: nn.ConvTranspose2d, x: Tensor, packed: _Packed) -> Tensor:
    """[N, H, W, C] -> [N, H', W', out] in output units."""
    n, h, w, c = x.shape
    out = [
        (size - 1) * layer.stride[i] - 2 * layer.padding[i] + layer.kernel_size[i] + layer.output_padding[i]
        for i, size in enumerate((h, w))
    ]
    columns = packed.weight.T @ x.view(n, h * w, c).transpose(1, 2)
    y = F.fold(columns, out, layer.kernel_size, padding=layer.padding, stride=layer.stride)
    return y.permute(0, 2, 3, 1) + packed.bias


def _condition(layer: BetaCondition, x: Tensor, e: Tensor) -> Tensor:
    """Scale and shift [N, H, W, C] -> the same shape, an activation."""
    unit = 2.0**CONDITION_BITS
    scale = torch.round((1 + e @ dyadic(layer.scale, 12)).clamp(-LIMIT, LIMIT) * unit)[:, None, None]
    shift = torch.round((e @ dyadic(layer.shift, 12)).clamp(-LIMIT, LIMIT) * unit * _UNIT)[:, None, None]
    x = _with_room(x, scale.abs().amax(0).flatten().diag(), shift.abs().amax(0).flatten())
    return _activation(torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype)).mul_(1 / unit))


def _shuffle(x: Tensor, r: int) -> Tensor:
    """``nn.PixelShuffle`` of [N, H, W, C r r] -> [N, r H, r W, C]."""
    n, h, w, c = x.shape
    return x.view(n, h, w, c // r**2, r, r).permute(0, 1, 4, 2, 5, 3).reshape(n, h * r, w * r, -1)


def _through(layers: Conditioned, x: Tensor, e: Tensor | None) -> Tensor:
    """Activations [N, H, W, C] through ``layers``; what the last convolution gives is not rounded."""
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.groups == 1 and layer.dilation == (1, 1):
            packed = _pack(layer)
            x = _with_room(x, packed.gain, packed.bias)
            packed = packed.single if x.dtype == torch.float32 else packed
            apply = _deconv if isinstance(layer, nn.ConvTranspose2d) else _conv
            x = apply(layer, x, packed) * packed.step
            x = x if i == len(layers) - 1 else _activation(x)
        elif isinstance(layer, Residual):
            x = _activation(x.double() + _through(layer, x, e).double())
        elif isinstance(layer, BetaCondition):
            x = _condition(layer, x, e)
        elif isinstance(layer, nn.ReLU):
            x = x.clamp(min=0)
        elif isinstance(layer, BoundedReLU):
            x = x.clamp(0, 255 * _UNIT)
        elif isinstance(layer, nn.PixelShuffle):
            x = _shuffle(x, layer.upscale_factor)
        else:
            raise TypeError(f"{type(layer).__name__} cannot be evaluated exactly")
    return x


@torch.no_grad()
def run(layers: Conditioned, x: Tensor, e: Tensor | None = None) -> Tensor:
    """Evaluate ``layers`` on ``x`` [N, C, H, W] exactly; ``e`` [N, 4] float64 from ``embed_beta``.

    Knows convolutions without groups or dilation, transposed ones too, ReLU, :class:`BoundedReLU`, PixelShuffle,
    :class:`Residual` and :class:`BetaCondition`; anything else is a ``TypeError``, because it would not be exact.
    Returns float64; what the last convolution gives is not rounded.
    """
    if not len(layers):
        return x.double()
    with full_float32(), torch.autocast(x.device.type, enabled=False):
        x = _activation(x.detach().permute(0, 2, 3, 1).double() * _UNIT).contiguous()
        return _through(layers, x, e).double().permute(0, 3, 1, 2) / _UNIT
