"""The search of :class:`pvc.models.motion_search.MotionSearch` for a GPU: many blocks at once.

Blocks two apart, in rows and in columns, reach different pixels, and no price hangs on two of them. So a quarter of all
blocks moves at once, and J falls as if it were one after the other.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pvc.constants import constant
from pvc.entropy.spatial import median

_STEPS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))
# Of a block and those around it, row by row: itself, those beside it, and by what it is told.
_OWN, _BESIDE, _TELLING = 4, (1, 3, 5, 7), (3, 1, 0)
# The symbols in whose price it has a part, and by what these are told: left, above, corner.
_PRICED = (4, 5, 7, 8)
_TOLD = tuple(tuple(k - back for k in _PRICED) for back in (1, 3, 4))


class Blocks:
    """The blocks of a batch, their ``symbols`` [N, 2, h + 2, w + 2] with a border, and where each pixel is taken from.

    Args:
        target, weight: of a squared error, each [N, 1, H, W]. reference: [N, 1, t H, t W], its pixels at places that t
            divides.
        flow: that of ``symbols`` [N, 2, H, W], x first, in pixels.
        symbols: [N, 2, h, w], whole numbers in float; h and w >= 2.
        factor: what symbols are multiples of [N, 1, h, w]. others: motion to try besides [N, 2 n, h, w].
        rows: of ``prices`` [N, 2, h, w]. prices: [N, rows, magnitudes].
        functions: what a unit of a symbol adds to the flow around its block [N, 3, 3, 2, 2, 2 b, 2 b]
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
        self.reference, times = reference.reshape(1, 1, -1, reference.shape[-1]), reference.shape[-1] // width
        self.reach = functions.shape[-1]  # pixels on each side of the square that a block's motion moves
        unit = constant((2 / width, 2 / (n * height)), flow)
        top = torch.arange(n, device=device)[:, None, None] * height
        x = torch.arange(width, device=device) + flow[:, 0]
        y = torch.arange(height, device=device)[:, None] + top + flow[:, 1]
        first = torch.stack((torch.zeros_like(top), top), dim=-1)[:, None]
        last = first + constant((width - 1, height - 1), flow)
        at, *self.bounds = ((p + 0.5 / times) * unit - 1 for p in (torch.stack((x, y), dim=-1), first, last))
        side, block = self.reach // 4, self.reach // 2
        # outside nothing counts; the last blocks may end there
        around = side, side + block * symbols.shape[-1] - width, side, side + block * symbols.shape[-2] - height
        self.at = F.pad(at, (0, 0, *around))
        self.target, self.weight = (F.pad(p[:, 0], around) for p in (target, weight))
        functions = functions.permute(0, 1, 2, 3, 5, 6, 4) * unit  # [N, 3, 3, 2, 2 b, 2 b, 2]: to x and y last
        self.symbols, rows = F.pad(symbols, (1,) * 4), F.pad(rows.long(), (1,) * 4)
        self.factor = F.pad(factor[:, 0], (1,) * 4, value=1)
        self.others, self.prices = others.unflatten(1, (-1, 2)), prices
        self.quarters = [self._quarter(functions, rows, top, left) for top in (0, 1) for left in (0, 1)]

    def _quarter(self, functions: Tensor, rows: Tensor, top: int, left: int) -> "_Quarter":
        """Blocks in every second row from ``top`` and every second column from ``left`` on."""
        (h, w), clips, device = self.size, len(self.at), self.at.device
        ranges = (0, clips, 1), (top, h, 2), (left, w, 2)
        grid = torch.meshgrid(*(torch.arange(*r, device=device) for r in ranges), indexing="ij")
        n, i, j = (index.flatten() for index in grid)
        around = torch.arange(9, device=device)
        near = n[:, None], i[:, None] + around // 3, j[:, None] + around % 3
        return _Quarter(
            n=n,
            i=i,
            j=j,
            near=near,
            factors=self.factor[near][..., None],
            inside=((near[1] <= h) & (near[2] <= w))[..., None],
            prices=self.prices[near[0][..., None], rows[near[0], :, near[1], near[2]]],
            functions=functions[n, (i > 0).int() + (i == h - 1), (j > 0).int() + (j == w - 1)],
            bounds=[b[n] for b in self.bounds],
            target=self._tiles(self.target, top, left).flatten(0, 2)[:, None],
            weight=self._tiles(self.weight, top, left).flatten(0, 2)[:, None],
            at=self._tiles(self.at, top, left),
        )

    def improve(self, blocks: "_Quarter", radius: int) -> None:
        """Lower J by a quarter of all blocks, which try ``radius`` steps in each direction."""
        near, factor = self.symbols[blocks.near[0], :, *blocks.near[1:]], blocks.factors[:, _OWN, None]
        own, at = near[:, _OWN, None], blocks.at.flatten(0, 2)[:, None]

        def best(tried: Tensor) -> Tensor:
            """Of motion [B, K, 2] that with the least J [B, 1, 2], the first if it is hardly worse."""
            places, moved = at, (tried - own)[..., None, None, None]
            for k in (0, 1):
                places = torch.addcmul(places, moved[:, :, k], blocks.functions[:, None, k])
            places = torch.clamp(places, *blocks.bounds).view(1, -1, self.reach, 2)
            seen = F.grid_sample(self.reference, places, padding_mode="border", align_corners=False)
            cost = (seen.view(*tried.shape[:2], self.reach, self.reach) - blocks.target).square_()
            cost = cost.mul_(blocks.weight).sum((2, 3)) + blocks.price(tried, near)
            least = torch.where(cost[:, 0] * (1 - 1e-5) <= cost.amin(1), 0, cost.argmin(1))
            return tried.gather(1, least[:, None, None].expand(-1, 1, 2))

        told = median(*(near[:, k, None] for k in _TELLING), factor)
        beside = torch.floor(near[:, constant(_BESIDE, blocks.n)] / factor) * factor
        others = self.others[blocks.n, :, :, blocks.i, blocks.j]
        found = best(torch.cat((own, told, beside, others), dim=1))
        found = best(found + constant(_STEPS, factor) * (radius * factor))
        self.symbols[blocks.n, :, blocks.i + 1, blocks.j + 1] = found[:, 0]
        shift = ((found - own)[:, 0, :, None, None, None] * blocks.functions).sum(1)
        blocks.at.add_(shift.view(blocks.at.shape))

    def _tiles(self, plane: Tensor, top: int, left: int) -> Tensor:
        """[N, H + b, W + b, ...] -> the pixels of each second block [N, lines, columns, 2 b, 2 b, ...], a view."""
        for dim, first, count in ((2, left, self.size[1]), (1, top, self.size[0])):
            tiles = len(range(first, count, 2))
            first, size = first * self.reach // 2, tiles * self.reach
            plane = plane.narrow(dim, first, size).unflatten(dim, (tiles, self.reach))
        return plane.transpose(2, 3)


@dataclass(frozen=True)
class _Quarter:
    """B blocks that can move at once, and what does not change about them.

    ``n``, ``i``, ``j`` [B]: clip, row, column; ``near``: those of a block and those around it in planes with a border,
    each [B, 9]; of these ``factors`` [B, 9, 1], whether they are ``inside`` the picture [B, 9, 1] and their ``prices``
    [B, 9, 2, magnitudes]. ``functions`` [B, 2, 2 b, 2 b, 2]; ``bounds`` of places [B, 1, 1, 1, 2]; of the pixels they
    reach ``target`` and ``weight`` [B, 1, 2 b, 2 b], and where they are taken from ``at``
    [N, lines, columns, 2 b, 2 b, 2], a view that is written to.
    """

    n: Tensor
    i: Tensor
    j: Tensor
    near: tuple[Tensor, Tensor, Tensor]
    factors: Tensor
    inside: Tensor
    prices: Tensor
    functions: Tensor
    bounds: list[Tensor]
    target: Tensor
    weight: Tensor
    at: Tensor

    def price(self, tried: Tensor, near: Tensor) -> Tensor:
        """[B, K], of all symbols in whose price a block has a part, were it ``tried`` [B, K, 2].

        ``near`` [B, 9, 2] are those around it.
        """
        near = near[:, None].repeat(1, tried.shape[1], 1, 1)
        near[:, :, _OWN] = tried
        priced, told = constant(_PRICED, self.n), (near[:, :, constant(k, self.n)] for k in _TOLD)
        factors, prices = self.factors[:, None, priced], self.prices[:, None, priced]
        magnitude = ((near[:, :, priced] - median(*told, factors)).abs() / factors).clamp(max=prices.shape[-1] - 1)
        prices = prices.expand(-1, tried.shape[1], -1, -1, -1).gather(4, magnitude.long()[..., None])[..., 0]
        return (prices * self.inside[:, None, priced]).sum((2, 3))


def refine(radii: tuple[int, ...], **problem: Tensor) -> Tensor:
    """Better symbols [N, 2, h, w] for the arguments of :class:`Blocks`; no result is waited for.

    ``radii`` are the steps that each round tries. As they were, where something is not finite.
    """
    finite = torch.stack([x.isfinite().all() for x in problem.values()]).all()
    blocks = Blocks(**{name: torch.nan_to_num(x, posinf=0, neginf=0) for name, x in problem.items()})
    for radius in radii:
        for quarter in blocks.quarters:
            blocks.improve(quarter, radius)
    return torch.where(finite, blocks.symbols[:, :, 1:-1, 1:-1], problem["symbols"])
