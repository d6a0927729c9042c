"""Float32 as it says, and the same each time, where a GPU's libraries may take less."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Products and convolutions of the whole process in float32, by algorithms that give the same bits each time.

    A GPU's convolutions are otherwise computed in TF32, with 10 bits behind the point, and what a decoder makes of a
    stream drifts away from what its encoder saw; so are products after training, which asks for that.
    """
    cudnn, products = torch.backends.cudnn, torch.get_float32_matmul_precision()
    before = cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = False, False, True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
