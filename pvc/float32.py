"""Float32 as it says, and the same each time, where a GPU's libraries may take less."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

# Who computes and what: a setting "none" follows that of "all" of its backend, which follows that of "generic". Not all
# of them can be set to "none" again by public names.
_PARENTS = ("generic", "all"), ("cuda", "all"), ("mkldnn", "all")
_OPERATIONS = tuple((backend, what) for backend in ("cuda", "mkldnn") for what in ("conv", "rnn", "matmul"))

_lock, _inside, _before = threading.Lock(), 0, None


@contextmanager
def full_float32() -> Iterator[None]:
    """Products and convolutions of the whole process in float32, by algorithms that give the same bits each time.

    A GPU's convolutions are otherwise computed in TF32, with 10 bits behind the point, and what a decoder makes of a
    stream drifts away from what its encoder saw; so are products after training, which asks for that. Of several
    threads the last one that leaves puts back what the first one found, whichever of PyTorch's ways it was set in.
    """
    global _inside, _before
    with _lock:
        if not _inside:
            _before = _enter()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _leave(_before)


class _Settings(NamedTuple):
    """PyTorch's older switches, its newer ones by backend and operation, and what cuDNN may choose."""

    products: str
    tf32: bool
    precisions: dict[tuple[str, str], str]
    benchmark: bool
    deterministic: bool


def _enter() -> _Settings:
    """Set everything; what was set before."""
    cudnn, tf32, precisions = torch.backends.cudnn, _cudnn_tf32(), {}
    # A setting that follows another cannot be told from its own, so what is followed is read and taken away first.
    for keys, value in ((_PARENTS, "none"), (_OPERATIONS, "ieee")):
        for key in keys:
            precisions[key] = _get(*key)
            _put(*key, value)
    if tf32 is None:
        tf32 = _cudnn_tf32() is None  # "ieee" goes together with a switch that is off
    products = torch.get_float32_matmul_precision()  # only now: no newer one says otherwise any more
    before = _Settings(products, tf32, precisions, cudnn.benchmark, cudnn.deterministic)
    _switch("highest", False)
    for key in _OPERATIONS:  # the older ones set some of them to "none"
        _put(*key, "ieee")
    cudnn.benchmark, cudnn.deterministic = False, True
    return before


def _leave(before: _Settings) -> None:
    cudnn = torch.backends.cudnn
    _switch(before.products, before.tf32)
    for key, precision in before.precisions.items():
        _put(*key, precision)
    cudnn.benchmark, cudnn.deterministic = before.benchmark, before.deterministic


def _switch(products: str, tf32: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = tf32


def _cudnn_tf32() -> bool | None:
    """The older switch of cuDNN; None where the newer ones say otherwise, and PyTorch does not tell."""
    try:
        return torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return None


def _get(backend: str, operation: str) -> str:
    return torch._C._get_fp32_precision_getter(backend, operation)


def _put(backend: str, operation: str, precision: str) -> None:
    torch._C._set_fp32_precision_setter(backend, operation, precision)
