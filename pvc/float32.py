"""Float32 as it says, and the same each time, where a GPU's libraries may take less."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock, _inside, _before = threading.Lock(), 0, None


@contextmanager
def full_float32() -> Iterator[None]:
    """Products and convolutions of the whole process in float32, by algorithms that give the same bits each time.

    A GPU's convolutions are otherwise computed in TF32, with 10 bits behind the point, and what a decoder makes of a
    stream drifts away from what its encoder saw; so are products after training, which asks for that. Of several
    threads the last one that leaves puts back what the first one found.
    """
    global _inside, _before
    with _lock:
        if not _inside:
            _before = _settings()
            _set("highest", False, False, True)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _set(*_before)


def _settings() -> tuple[str, bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic


def _set(products: str, tf32: bool, benchmark: bool, deterministic: bool) -> None:
    cudnn = torch.backends.cudnn
    torch.set_float32_matmul_precision(products)
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = tf32, benchmark, deterministic
