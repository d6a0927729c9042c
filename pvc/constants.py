"""Numbers that are known beforehand, on the device where they are needed."""

from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple["float | Numbers", ...]


def constant(values: Numbers, like: Tensor) -> Tensor:
    """``values`` in the type of ``like`` and on its device, made once for each: a copy would make a GPU wait."""
    return _constant(values, like.dtype, like.device)


@lru_cache
def _constant(values: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)
