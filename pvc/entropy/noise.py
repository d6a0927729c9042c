"""Random numbers that belong to a sample: the same for it in any batch, on any device and in any number of processes.

Inside :func:`of_samples` a draw is a hash of (seed, number of the sample, number of the draw, place in the sample), so
two processes with n samples each draw what one with 2n does, and a resumed run draws what an unbroken one does.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF
_NEXT = 0x9E3779B9  # 2^32 / golden ratio: from one draw to the next


class _State:
    keys: Tensor | None = None  # int64 [N], one a sample, of the next draw


@contextmanager
def of_samples(seed: int, index: Tensor) -> Iterator[None]:
    """Make :func:`uniform` a function of ``seed`` and of the samples' numbers ``index`` (int64 [N]), on its device."""
    before, _State.keys = _State.keys, _hash(_hash(index & _LOW) ^ (seed & _LOW))
    try:
        yield
    finally:
        _State.keys = before


def by_sample(step: Callable) -> Callable:
    """Decorator of ``step(self, batch, ...)``: all its draws are those of ``batch["index"]`` under ``self.seed``."""

    @functools.wraps(step)
    def drawing(self, batch: dict, *args, **kwargs):
        with of_samples(self.seed, batch["index"]):
            return step(self, batch, *args, **kwargs)

    return drawing


def uniform(shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """U(0, 1), float32, of ``shape``; the first dimension counts samples, or frames sample after sample.

    Outside of :func:`of_samples` the numbers are those of torch's generator.
    """
    if _State.keys is None:
        return torch.rand(shape, device=device)
    keys, _State.keys = _State.keys, _hash((_State.keys + _NEXT) & _LOW)
    n = len(keys)
    places = _hash(torch.arange(torch.Size(shape).numel() // n, device=keys.device))
    bits = _hash(places ^ keys[:, None])
    return ((bits >> 9).to(torch.float32) * 2.0**-23 + 2.0**-24).view(shape).to(device)


def _hash(x: Tensor) -> Tensor:
    """32 bits in, 32 well-mixed bits out, in int64: rounds of multiply and shift, whose products stay below 2^63."""
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & _LOW
    x = ((x ^ (x >> 15)) * 0x735A2D97) & _LOW
    return x ^ (x >> 15)
