"""Rate-distortion optimised quantisation (RDOQ) where errors do not count alike; an encoder's matter alone.

A dead zone treats all symbols alike. An encoder that has the source knows more: what each symbol costs, and what an
error in each pixel counts. In rounds it lowers

    J(symbols) = sum_p w_p |x_p - x_hat_p|^2 + lambda bits(symbols)

for one latent, its hyper latent as it is. The picture is taken as linear in the latent near where it is, by the
decoder's block transform L. Where w differs inside a block, L' w L couples its symbols; the largest w of the block
times the square of each function of L takes its place, and J falls apart into single symbols (surrogate functionals
as in iterative thresholding: Daubechies, Defrise and De Mol, 2004). So in a block at the border of a region of
interest the pixels outside hardly count, however coarse the grid of blocks is.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pvc.entropy.skip import skipped
from pvc.importance import distortion_weight
from pvc.models.branch import Branch, Condition
from pvc.models.rows import BlockSynthesis, shuffle

# lambda = 3 beta (see ``ScaleSpaceFlow``) times this. An error costs less than it seems to where the next frames code
# what is left of it; the first frame serves all that follow. Chosen on training clips (benchmarks/rdoq.py).
LAGRANGE = {"intra": 1.5, "residual": 2.0}
# Squared norm that a function of the block transform is taken to have at least: what a network makes of a weaker one is
# not known.
LEAST_NORM = 0.25

# Rounds after which hardly anything changes (benchmarks/rdoq.py).
ROUNDS = 3
# Magnitudes whose price is told; more of them cost as much as the last.
MAGNITUDES = 32


@dataclass(frozen=True)
class Aim:
    """What a latent is coded for: ``decode`` of it, still with its gain, [N, M, h, w], should look like ``target``."""

    target: Tensor
    decode: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Search:
    """What an entropy model asks before it writes (:data:`pvc.entropy.conditional.Choose`).

    ``lagrange`` is what a bit may cost in squared error, [N] where clips differ; ``transforms`` makes the context that
    the encoder's run in, or another. Latents that their neighbours tell stay as they are.
    """

    branch: Branch
    condition: Condition
    aim: Aim
    lagrange: float | Tensor
    rounds: int
    transforms: Callable[[], AbstractContextManager]

    @torch.compiler.disable
    @torch.no_grad()
    def __call__(self, symbols: Tensor, mean: Tensor, step: Tensor | int, level: Tensor) -> Tensor:
        """Better symbols; those that the coder skips stay zero."""
        with self.transforms():
            error = self.aim.target - self.aim.decode(symbols * step + mean)
        q, e = self.condition.q, self.condition.e
        weight = None if q is None else distortion_weight(q)
        lagrange = self.lagrange.view(-1, 1, 1) if isinstance(self.lagrange, Tensor) else self.lagrange
        prices, rows = lagrange * self.branch.prior.bits(MAGNITUDES)[None], torch.nan_to_num(level.clamp(min=0))
        gain, synthesis = self.branch.gain(e), self.branch.decoder.linear
        better = refine(symbols, step, gain, rows, prices, error, weight, synthesis, self.rounds)
        for k in self.branch.prior.neighbours:
            better[:, k] = symbols[:, k]  # each would change what those behind it cost
        return better.masked_fill(skipped(level, symbols)[0], 0)


def refine(
    symbols: Tensor,
    step: Tensor | int,
    gain: Tensor,
    rows: Tensor,
    prices: Tensor,
    error: Tensor,
    weight: Tensor | None,
    synthesis: BlockSynthesis,
    rounds: int,
) -> Tensor:
    """Better symbols [N, M, h, w], whole numbers in float.

    Args:
        symbols: to start from [N, M, h, w], in steps.
        step: of the quantiser, [N, 1, h, w] or 1. gain: of the latent, [N or 1, M, 1, 1].
        rows: of ``prices`` for each symbol [N, M, h, w], whole numbers.
        prices: [N or 1, rows, magnitudes] lambda times the bits of a magnitude.
        error: [N, C, H, W], what the picture made of ``symbols`` lacks.
        weight: of a squared error [N, 1, H, W]; None is 1 everywhere.
        synthesis: the decoder's block transform, whose first M functions count.
    """
    functions, block = synthesis.weight[: symbols.shape[1]].float(), synthesis.block
    scale = step / gain  # of a symbol in the latent
    norm = functions.square().sum((1, 2, 3))[None, :, None, None].clamp(min=LEAST_NORM)
    curvature = norm if weight is None else norm * F.max_pool2d(weight, block)
    back, curvature = 1 / (curvature * scale), curvature * scale**2
    clip = torch.arange(len(prices), device=prices.device).view(-1, 1, 1, 1)
    rows = (rows.long() + clip * prices.shape[1]) * prices.shape[2]
    for left in reversed(range(rounds)):
        slope = F.conv2d(error if weight is None else error * weight, functions, stride=block)
        wanted = slope.mul_(back).add_(symbols)
        chosen = _cheapest(wanted.abs(), curvature, rows, prices).copysign_(wanted)
        if left:
            changed = ((chosen - symbols) * scale).permute(0, 2, 3, 1) @ functions.flatten(1)
            error = error - shuffle(changed.permute(0, 3, 1, 2), block)
        symbols = chosen
    return symbols


def _cheapest(wanted: Tensor, curvature: Tensor, rows: Tensor, prices: Tensor) -> Tensor:
    """Of the nearest whole number to each magnitude, the one below it and zero, that with the least J."""

    def total(magnitude: Tensor) -> Tensor:
        price = prices.take(rows + magnitude.clamp(max=prices.shape[2] - 1).long())
        return (wanted - magnitude).square_().mul_(curvature).add_(price)

    best = torch.round(wanted)
    least = total(best)
    for other in ((best - 1).clamp_(min=0), torch.zeros_like(best)):
        cost = total(other)
        best, least = torch.where(cost < least, other, best), torch.minimum(cost, least)
    return best
