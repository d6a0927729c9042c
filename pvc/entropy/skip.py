"""Symbols that are certain to be zero are not coded.

The entropy model's level tells how sure it is: far below the lowest table, nonzero symbols are so rare that losing
them costs less than saying each time that there is none. Where it is wrong all the same (motion that starts all of a
sudden), the encoder notices and codes them: one flag for each latent.
"""

import numpy as np
import torch
from torch import Tensor

from pvc.entropy.tables import BITS, Tables

# Rounded level up to which a symbol is skipped. On six training clips, with and without ROI, this gains 0.3 to 1.3 %
# BD-rate over coding all symbols (benchmarks/entropy_skip.py); skipping level 0 too, hardly more, for twice the loss.
SKIP_LEVEL = -1
# Skipping must not lose more than this, in squared symbols each: the part of nonzero symbols that table 0 expects.
ENERGY = 1 / 630
# The flag: 0, they are skipped, costs 0.015 bits; 1, they are coded like all others, 6.6 bits. Last entry: escape.
FLAG = Tables(np.array([[0, (1 << BITS) - 656, (1 << BITS) - 1, 1 << BITS]]), np.array([4]), np.array([0]))


def is_certain(level: Tensor) -> Tensor:
    """Where a symbol is certain to be zero, by its table's ``level`` before that is clamped to the table's rows."""
    return torch.round(level) <= SKIP_LEVEL


def skipped(level: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor]:
    """Symbols [N, M, h, w] that the encoder leaves out, and the flag [N, 1, 1, 1]: none, as too much would be lost."""
    certain = is_certain(level)
    lost = (symbols.detach().square() * certain).sum((1, 2, 3), keepdim=True)
    flag = lost > ENERGY * certain.sum((1, 2, 3), keepdim=True)
    return certain & ~flag, flag
