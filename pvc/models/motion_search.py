"""Motion by rate and distortion; an encoder's matter alone.

What a network makes of two frames says nothing of what motion costs to send. An encoder that knows lowers

    J(symbols) = sum_p w_p |x_p - prediction_p|^2 + lambda bits(symbols)

over the mean motion of each block, one block after the other, all others as they are (iterated conditional modes:
Besag, "On the statistical analysis of dirty pictures", 1986). Where the picture has no gradient, or counts little, a
block takes the motion that its neighbours tell and costs next to nothing; elsewhere it moves on to what predicts
better. Tried are the motion of the blocks around, of the frame before, none, and a step in each direction. What is told
beside the mean motion of blocks is left out of a frame where J is lower without.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from pvc.importance import distortion_weight
from pvc.models import motion_blocks
from pvc.models.branch import Branch, Condition

# lambda = 3 beta (see ``ScaleSpaceFlow``) times this: the residual codes much of what a prediction lacks. Chosen on
# training clips (benchmarks/rdoq.py).
LAGRANGE = 3.0
# Rounds over all blocks after which hardly anything changes (benchmarks/rdoq.py).
ROUNDS = 4
# Rows of blocks that a thread searches at a time.
STRIP = 8
# Magnitudes whose price is told; more of them cost as much as the last.
MAGNITUDES = 64


@dataclass(frozen=True)
class MotionAim:
    """What motion is coded for: ``reference`` moved by ``decode`` of it should look like ``target``, each [N, 3, H, W].

    ``decode``: latent, still with its gain, [N, M, h, w] -> flow x and y in pixels and scale [N, 3, H, W]; ``predict``:
    reference [N, C, H, W] and these -> prediction and flow. ``before``: decoded motion of the frame before
    [N, M, h, w], None after an I-frame.
    """

    target: Tensor
    reference: Tensor
    decode: Callable[[Tensor], Tensor]
    predict: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    before: Tensor | None


@dataclass(frozen=True)
class MotionSearch:
    """What an entropy model asks before it writes motion (:data:`pvc.entropy.conditional.Choose`).

    ``bit`` [N] is what a bit counts in squared error, 3 beta; ``transforms`` makes the context that the encoder's run
    in, or another. On a CPU a compiled loop goes from block to block, in as many threads as PyTorch has; elsewhere many
    blocks are searched at once (:mod:`pvc.models.motion_blocks`), which finds nearly the same, and nothing is waited
    for. Where something is not finite, as in a training step that goes wrong, symbols stay as they are.
    """

    branch: Branch
    condition: Condition
    aim: MotionAim
    bit: Tensor
    transforms: Callable[[], AbstractContextManager]

    @torch.compiler.disable
    @torch.no_grad()
    def __call__(self, symbols: Tensor, mean: Tensor, step: Tensor | int, level: Tensor) -> Tensor:
        """Better symbols [N, M, h, w]: the first two channels, a block's mean motion, change; the others go or stay."""
        aim, q, e = self.aim, self.condition.q, self.condition.e
        target = _lightness(aim.target)
        weight = torch.ones_like(target) if q is None else distortion_weight(q)
        bit = self.bit.to(mean.device, torch.float32, non_blocking=True)
        prices = (LAGRANGE * bit).view(-1, 1, 1) * self.branch.prior.bits(MAGNITUDES)
        rest, rows = symbols[:, 2:], level.clamp(min=0).float()
        # in training what is dropped would learn nothing; a GPU would be waited for
        if not self.branch.training and (mean.device.type != "cpu" or rest.any()):
            rest = torch.where(self._worth(symbols, mean, step, rows, prices, target, weight), rest, 0)
            symbols = torch.cat((symbols[:, :2], rest), dim=1)
        motion = self._motion(symbols * step + mean)
        # blurred where it lies, not where it is taken from: one plane in place of a space of them
        still = torch.cat((torch.zeros_like(motion[:, :2]), motion[:, 2:]), dim=1)
        reference = aim.predict(_lightness(aim.reference), still)[0]
        gain = self.branch.gain(e)
        told = [torch.zeros_like(mean)] if aim.before is None else [torch.zeros_like(mean), aim.before * gain]
        others = torch.cat([torch.round((t - mean) / step)[:, :2] * step for t in told], dim=1)
        factor = torch.ones_like(mean[:, :1]) * step
        functions = self.branch.decoder.linear.weight[:2, :2] / gain[:, :2, :, :, None]
        refine = refine_by_loop if mean.device.type == "cpu" else motion_blocks.refine
        better = refine(
            ROUNDS,
            target=target,
            reference=reference,
            weight=weight,
            flow=motion[:, :2],
            symbols=(symbols * step)[:, :2],
            factor=factor,
            others=others,
            rows=rows[:, :2],
            prices=prices,
            functions=with_borders(functions.expand(len(mean), -1, -1, -1, -1)),
        )
        return torch.cat((better.to(symbols.dtype) / step, rest), dim=1)

    def _motion(self, latent: Tensor) -> Tensor:
        """Flow and scale [N, 3, H, W]."""
        with self.transforms():
            return self.aim.decode(latent).float()

    def _worth(
        self,
        symbols: Tensor,
        mean: Tensor,
        step: Tensor | int,
        rows: Tensor,
        prices: Tensor,
        target: Tensor,
        weight: Tensor,
    ) -> Tensor:
        """Whether what is told beside the mean motion of blocks is worth its bits [N, 1, 1, 1].

        Where motion is faster than all that a network has seen, what it makes of it is not.
        """
        plain = torch.cat((symbols[:, :2], torch.zeros_like(symbols[:, 2:])), dim=1)
        errors = []
        for tried in (plain, symbols):
            seen = self.aim.predict(_lightness(self.aim.reference), self._motion(tried * step + mean))[0]
            errors.append(((seen - target).square() * weight).sum((1, 2, 3), keepdim=True))
        rows = torch.nan_to_num(rows[:, 2:]).clamp(max=prices.shape[1] - 1).long()
        magnitude = torch.nan_to_num(symbols[:, 2:]).abs().clamp(max=MAGNITUDES - 1).long()
        clip = torch.arange(len(prices), device=prices.device).view(-1, 1, 1, 1)
        cost = (prices[clip, rows, magnitude] - prices[clip, rows, 0]).sum((1, 2, 3), keepdim=True)
        return ~(errors[1] + cost >= errors[0])  # also where something is not finite


def with_borders(functions: Tensor) -> Tensor:
    """Functions [N, ..., 32, 32] of blocks of 16x16 -> those of the borders too [N, 3, 3, ..., 32, 32].

    First, middle and last row and column of blocks: at a border the motion is repeated outside (``BlockSynthesis``).
    """
    for dim, place in ((-2, 1), (-1, 2)):
        first, last = functions.clone(), functions.clone()
        first.narrow(dim, 8, 8).add_(functions.narrow(dim, 24, 8))
        last.narrow(dim, 16, 8).add_(functions.narrow(dim, 0, 8))
        functions = torch.stack((first, functions, last), dim=place)
    return functions


def _lightness(x: Tensor) -> Tensor:
    """[N, 3, H, W] -> [N, 1, H, W], of which a squared error counts as one of all three colours that are grey."""
    return x.float().sum(1, keepdim=True) * 3**-0.5


def refine_by_loop(rounds: int, **problem: Tensor) -> Tensor:
    """:func:`pvc.models.motion_blocks.refine` by :func:`pvc.models.motion_loop.refine`, int32."""
    from pvc.models import motion_loop  # not before: it takes seconds where it has to be compiled

    symbols = problem["symbols"].int().contiguous()
    if not all(x.isfinite().all() for x in problem.values()):
        return symbols
    others, changed = problem["others"].unflatten(1, (-1, 2)), torch.zeros_like(symbols[:, 0])
    pixels = [problem[k][:, 0] for k in ("target", "reference", "weight")] + [problem["flow"].clone()]
    told = [x.int() for x in (others, problem["factor"][:, 0], problem["rows"])]
    arguments = [*pixels, problem["functions"], symbols, *told, problem["prices"], changed]
    clips = list(zip(*(x.contiguous().numpy() for x in arguments), strict=True))
    strips, borders = _strips(symbols.shape[-2])
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for number, part in product(range(1, rounds + 1), (strips, borders)):
            list(
                pool.map(lambda job, number=number: motion_loop.refine(*job[0], number, *job[1]), product(clips, part))
            )
    return symbols


def _strips(height: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """First and last rows of blocks that can be searched at once, and of those between them, afterwards.

    Blocks two rows apart know nothing of each other, so what is found does not hang on the number of threads.
    """
    ends = range(STRIP, height, STRIP)
    starts = [0, *ends]
    return list(zip(starts, [end - 1 for end in ends] + [height])), [(end - 1, end) for end in ends]
