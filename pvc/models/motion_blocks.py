"""The search of :class:`pvc.models.motion_search.MotionSearch` for a GPU: many blocks at once.

Blocks two apart, in rows and in columns, reach different pixels, and no price hangs on two of them. So a quarter of all
blocks moves at once, and J falls as if it were one after the other.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pvc.constants import constant
from pvc.entropy.spatial import median
from pvc.models.patch import BLOCK

_REACH = 2 * BLOCK  # pixels on each side of the square that a block's motion moves
_AROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]  # rows and columns away from a block
_OWN, _PRICED = 4, (4, 5, 7, 8)  # the block among these, and the symbols in whose price it has a part
_STEPS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))


class Blocks:
    """The blocks of a batch, their ``symbols`` [N, 2, h + 2, w + 2] with a border, and where each pixel is taken from.

    Args:
        target, reference, weight: of a squared error, each [N, 1, H, W].
        flow: that of ``symbols`` [N, 2, H, W], x first, in pixels.
        symbols: [N, 2, h, w], whole numbers in float; h and w >= 2.
        factor: what symbols are multiples of [N, 1, h, w]. others: motion to try besides [N, 2 n, h, w].
        rows: of ``prices`` [N, 2, h, w]. prices: [N, rows, magnitudes].
        functions: what a unit of a symbol adds to the flow around its block [N, 3, 3, 2, 2, 32, 32]
            (:func:`pvc.models.motion_search.with_borders`).
    """

    def __init__(
        self,
        *,
        target: Tensor,
        reference: Tensor,
        weight: Tensor,
        flow: Tensor,
        symbols: Tensor,
        factor: Tensor,
        others: Tensor,
        rows: Tensor,
        prices: Tensor,
        functions: Tensor,
    ):
        n, _, height, width = target.shape
        device, self.size = target.device, symbols.shape[-2:]
        # One picture below the other. Places in it are those of ``F.grid_sample``: pixel i of n is (2 i + 1) / n - 1.
        self.reference = reference.reshape(1, 1, n * height, width)
        unit = constant((2 / width, 2 / (n * height)), flow)
        top = torch.arange(n, device=device)[:, None, None] * height
        x = torch.arange(width, device=device) + flow[:, 0]
        y = torch.arange(height, device=device)[:, None] + top + flow[:, 1]
        first = torch.stack((torch.zeros_like(top), top), dim=-1)[:, None]
        last = first + constant((width - 1, height - 1), flow)
        at, *self.bounds = ((p + 0.5) * unit - 1 for p in (torch.stack((x, y), dim=-1), first, last))
        side = (_REACH - BLOCK) // 2
        self.at = F.pad(at, (0, 0, *(side,) * 4))
        self.target, self.weight = (F.pad(p[:, 0], (side,) * 4) for p in (target, weight))  # outside nothing counts
        self.functions = functions.permute(0, 1, 2, 3, 5, 6, 4) * unit  # [N, 3, 3, 2, 32, 32, 2]: to x and y last
        self.symbols, self.rows = F.pad(symbols, (1,) * 4), F.pad(rows.long(), (1,) * 4)
        self.factor = F.pad(factor[:, 0], (1,) * 4, value=1)
        self.others, self.prices = others.unflatten(1, (-1, 2)), prices

    def improve(self, top: int, left: int) -> None:
        """Lower J by the blocks in every second row from ``top`` and every second column from ``left`` on."""
        (h, w), device = self.size, self.at.device
        ranges = (0, len(self.at), 1), (top, h, 2), (left, w, 2)
        grid = torch.meshgrid(*(torch.arange(*r, device=device) for r in ranges), indexing="ij")
        n, i, j = (index.flatten() for index in grid)  # of B blocks
        around = [(i + v, j + u) for v, u in _AROUND]
        near, rows = (torch.stack([p[n, :, v + 1, u + 1] for v, u in around], 1) for p in (self.symbols, self.rows))
        factors = torch.stack([self.factor[n, v + 1, u + 1] for v, u in around], 1)
        inside = torch.stack([(v < h) & (u < w) for v, u in around], 1)
        at, target, weight = (self._tiles(p, top, left).flatten(0, 2) for p in (self.at, self.target, self.weight))
        functions = self.functions[n, (i > 0).int() + (i == h - 1), (j > 0).int() + (j == w - 1)]
        bounds = [b[n] for b in self.bounds]
        own, factor = near[:, _OWN, None], factors[:, _OWN, None, None]

        def best(tried: Tensor) -> Tensor:
            """Of motion [B, K, 2] that with the least J [B, 1, 2], the first if it is no worse."""
            places, moved = at[:, None], (tried - own)[..., None, None, None]
            for k in (0, 1):
                places = torch.addcmul(places, moved[:, :, k], functions[:, None, k])
            places = torch.clamp(places, *bounds).view(1, -1, _REACH, 2)
            seen = F.grid_sample(self.reference, places, padding_mode="border", align_corners=False)
            cost = (
                (seen.view(*tried.shape[:2], _REACH, _REACH) - target[:, None])
                .square_()
                .mul_(weight[:, None])
                .sum((2, 3))
            )
            cost += self._price(tried, near, factors, self.prices[n[:, None, None], rows], inside)
            least = torch.where(cost[:, 0] <= cost.amin(1), 0, cost.argmin(1))
            return tried.gather(1, least[:, None, None].expand(-1, 1, 2))

        told = median(near[:, 3], near[:, 1], near[:, 0], factor[:, 0])[:, None]
        beside = torch.floor(near[:, 1::2] / factor) * factor
        found = best(torch.cat((own, told, beside, self.others[n, :, :, i, j]), dim=1))
        found = best(found + constant(_STEPS, factor) * factor)
        self.symbols[n, :, i + 1, j + 1] = found[:, 0]
        shift = ((found - own)[:, 0, :, None, None, None] * functions).sum(1)
        tiles = self._tiles(self.at, top, left)
        tiles += shift.view(tiles.shape)

    def _tiles(self, plane: Tensor, top: int, left: int) -> Tensor:
        """[N, H + 16, W + 16, ...] -> the pixels of each second block [N, lines, columns, 32, 32, ...], a view."""
        for dim, first, count in ((2, left, self.size[1]), (1, top, self.size[0])):
            tiles = len(range(first, count, 2))
            plane = plane.narrow(dim, first * BLOCK, tiles * _REACH).unflatten(dim, (tiles, _REACH))
        return plane.transpose(2, 3)

    def _price(self, tried: Tensor, near: Tensor, factors: Tensor, prices: Tensor, inside: Tensor) -> Tensor:
        """[B, K], of all symbols in whose price a block has a part, were it ``tried`` [B, K, 2].

        ``near`` [B, 9, 2], ``factors`` [B, 9], ``prices`` [B, 9, 2, magnitudes], ``inside`` the picture [B, 9].
        """
        near = [tried if k == _OWN else near[:, None, k] for k in range(len(_AROUND))]
        cost = torch.zeros_like(tried)
        for k in _PRICED:
            factor = factors[:, k, None, None]
            told = median(near[k - 1], near[k - 3], near[k - 4], factor)
            magnitude = ((near[k] - told).abs() / factor).clamp(max=prices.shape[-1] - 1).long().expand_as(tried)
            cost += prices[:, k].gather(2, magnitude.transpose(1, 2)).transpose(1, 2) * inside[:, k, None, None]
        return cost.sum(2)


def refine(rounds: int, **problem: Tensor) -> Tensor:
    """Better symbols [N, 2, h, w] for the arguments of :class:`Blocks`; no result is waited for.

    As they were, where something is not finite.
    """
    finite = torch.stack([x.isfinite().all() for x in problem.values()]).all()
    blocks = Blocks(**{name: torch.nan_to_num(x, posinf=0, neginf=0) for name, x in problem.items()})
    for _ in range(rounds):
        for top in (0, 1):
            for left in (0, 1):
                blocks.improve(top, left)
    return torch.where(finite, blocks.symbols[:, :, 1:-1, 1:-1], problem["symbols"])
