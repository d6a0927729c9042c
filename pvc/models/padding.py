"""Pictures of any size for networks that halve it."""

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """[..., C, H, W] padded on the right and below, by repeating the border, to multiples of ``multiple``."""
    h, w = x.shape[-2:]
    right, below = -w % multiple, -h % multiple
    if not right and not below:
        return x
    flat = F.pad(x.reshape(-1, *x.shape[-3:]), (0, right, 0, below), mode="replicate")
    return flat.view(*x.shape[:-2], h + below, w + right)
