"""How coarse the quantiser's step is in each block, told to the decoder: few bits, as in a codec with delta QPs.

The step that suits a block in which an error counts w = 60^(q - 1) grows as w^(-1/2). The decoder is told which of
``FACTORS`` the encoder took, so that what is left of the block's latents is coded as coarsely as it is needed. The
map is coded against that of the frame before or, in an I-frame, row by row against the row above.
"""

import math
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pvc.constants import constant
from pvc.entropy.coder import Reader, Writer
from pvc.entropy.tables import BITS, Tables

# Whole numbers, so that y - mean in steps of factor 1 is a whole number too.
FACTORS = (1, 2, 3, 5, 8)
COUNT = len(FACTORS)
# Those of what should grow half as fast in the logarithm, as the step of motion does with beta.
ROOTS = (1, 1, 2, 2, 3)
_EDGES = tuple(round(math.log(a * b) / 2 * 2**20) / 2**20 for a, b in pairwise(FACTORS))
# Probability that a block differs from what it is compared with: where the 3 x 3 (or 3) blocks around it in the map
# of the frame before (or the row above) are equal, and where they are not. Means over Perlin and true masks of
# training clips (benchmarks/step_map.py).
CHANGE = {"frame": (0.003, 0.09), "row": (0.05, 0.3)}


def of_importance(q: Tensor, stride: int) -> Tensor:
    """Place in ``FACTORS``, whole numbers [N, 1, H/stride, W/stride] in float, of each block of ``q`` [N, 1, H, W].

    The most important pixel of a block counts, so that the surroundings of a region of interest do not take it along.
    """
    q = F.max_pool2d(q.detach().float(), stride)
    return torch.bucketize((1 - q) * (math.log(60) / 2), constant(_EDGES, q)).to(q)


def factor(coarse: Tensor, factors: tuple[int, ...] = FACTORS) -> Tensor:
    """Factor of the step, from its place in ``factors``."""
    return constant(factors, coarse)[coarse.long()]


def _rows() -> Tables:
    """Row 0: all alike. Then for each kind of comparison, flat and edge, one row for each value compared with."""
    rows, offsets = [[1 / COUNT] * COUNT], [0]
    for change in (*CHANGE["frame"], *CHANGE["row"]):
        for value in range(COUNT):
            rows.append([1 - change if c == value else change / (COUNT - 1) for c in range(COUNT)])
            offsets.append(-value)
    cumulative = np.zeros((len(rows), COUNT + 2), np.int64)
    cumulative[:, 1:-1] = np.round(np.cumsum(rows, 1) * ((1 << BITS) - 1))
    cumulative[:, -1] = 1 << BITS
    return Tables(cumulative, np.full(len(rows), COUNT + 2), np.array(offsets))


TABLES = _rows()


def _edge(reference: Tensor, window: tuple[int, int]) -> Tensor:
    """Where the places of ``reference`` [N, 1, h, w] in a window around one differ: 1, else 0."""
    around = window[0] // 2, window[1] // 2
    largest, least = F.max_pool2d(reference, window, 1, around), -F.max_pool2d(-reference, window, 1, around)
    return (largest != least).to(reference)


def compared(coarse: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor, str]:
    """What ``coarse`` is compared with, whether there is an edge in that, and the kind of comparison."""
    if before is not None:
        return before, _edge(before, (3, 3)), "frame"
    above = torch.cat((coarse[..., :1, :1].expand_as(coarse[..., :1, :]), coarse[..., :-1, :]), dim=2)
    return above, _edge(above, (1, 3)), "row"


def _indexes(reference: Tensor, edge: Tensor, kind: str) -> Tensor:
    """Rows of ``TABLES``."""
    return 1 + (2 * list(CHANGE).index(kind) + edge) * COUNT + reference


def bits(coarse: Tensor, before: Tensor | None) -> Tensor:
    """What :func:`put` spends on each clip's map, [N]."""
    reference, edge, kind = compared(coarse, before)
    flat, other = (torch.where(edge > 0, b, a) for a, b in zip(*_cost(kind)))
    spent = torch.where(coarse == reference, flat, other).flatten(1).sum(1)
    return spent + (math.log2(COUNT) if before is None else 0)


def _cost(kind: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bits of what stays and of what changes, each (without an edge, with one)."""
    flat, edge = CHANGE[kind]
    stays, changes = (-math.log2(1 - flat), -math.log2(1 - edge)), (math.log2((COUNT - 1) / c) for c in (flat, edge))
    return tuple(zip(stays, changes))


def put(coarse: Tensor, before: Tensor | None, writer: Writer) -> None:
    """Write the map ``coarse`` [1, 1, h, w] (:func:`of_importance`); ``before`` is that of the frame before."""
    reference, edge, kind = compared(coarse, before)
    if before is None:
        writer.put(coarse[..., :1, :1], torch.zeros_like(coarse[..., :1, :1]), TABLES)
    writer.put(coarse - reference, _indexes(reference, edge, kind), TABLES)


def get(shape: tuple[int, int], before: Tensor | None, reader: Reader, device: torch.device) -> Tensor:
    """The map [1, 1, h, w] of ``shape`` (h, w) that :func:`put` wrote. A damaged stream gives some map, too."""
    if before is not None:
        return _read(before, _edge(before, (3, 3)), "frame", reader)
    reference = reader.get(torch.zeros(1, 1, 1, 1), TABLES).float().expand(1, 1, 1, shape[1])
    rows = []
    for _ in range(shape[0]):
        reference = _read(reference, _edge(reference, (1, 3)), "row", reader)
        rows.append(reference)
    return torch.cat(rows, dim=2).to(device)


def _read(reference: Tensor, edge: Tensor, kind: str, reader: Reader) -> Tensor:
    symbols = reader.get(_indexes(reference, edge, kind), TABLES)
    return (reference + symbols).clamp(0, COUNT - 1)
