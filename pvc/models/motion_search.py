"""Motion by rate and distortion; an encoder's matter alone.

What a network makes of two frames says nothing of what motion costs to send. An encoder that knows lowers

    J(symbols) = sum_p w_p |x_p - prediction_p|^2 + lambda bits(symbols)

over the mean motion of each block, one block after the other, all others as they are (iterated conditional modes:
Besag, "On the statistical analysis of dirty pictures", 1986). Where the picture has no gradient, or counts little, a
block takes the motion that its neighbours tell and costs next to nothing; elsewhere it moves on to what predicts
better. Tried are the motion of the blocks around, of the frame before, none, and a step in each direction.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from pvc.importance import distortion_weight
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

    ``bit`` [N], on the CPU, is what a bit counts in squared error, 3 beta; ``transforms`` makes the context that the
    encoder's run in, or another. The loop runs on the CPU, in as many threads as PyTorch has; a GPU is waited for.
    Where something is not finite, as in a training step that goes wrong, symbols stay as they are.
    """

    branch: Branch
    condition: Condition
    aim: MotionAim
    bit: Tensor
    transforms: Callable[[], AbstractContextManager]

    @torch.compiler.disable
    @torch.no_grad()
    def __call__(self, symbols: Tensor, mean: Tensor, step: Tensor | int, level: Tensor) -> Tensor:
        """Better symbols [N, M, h, w]: the first two channels change, the mean motion of a block."""
        aim, q, e = self.aim, self.condition.q, self.condition.e
        with self.transforms():
            motion = aim.decode(symbols * step + mean).float()
        # blurred where it lies, not where it is taken from: one plane in place of a space of them
        still = torch.cat((torch.zeros_like(motion[:, :2]), motion[:, 2:]), dim=1)
        reference = aim.predict(_lightness(aim.reference), still)[0]
        weight = torch.ones_like(reference) if q is None else distortion_weight(q)
        gain = self.branch.gain(e)
        told = [torch.zeros_like(mean)] if aim.before is None else [torch.zeros_like(mean), aim.before * gain]
        others = torch.cat([torch.round((t - mean) / step)[:, :2] * step for t in told], dim=1)
        factor = torch.as_tensor(step, device=mean.device).expand(len(mean), 1, *mean.shape[-2:])
        prices = (LAGRANGE * self.bit).view(-1, 1, 1) * self.branch.prior.bits(MAGNITUDES).cpu()
        functions = self.branch.decoder.linear.weight[:2, :2] / gain[:, :2, :, :, None]
        better = _refine(
            torch.cat((_lightness(aim.target), reference, weight, motion[:, :2]), dim=1),
            torch.cat(((symbols * step)[:, :2], factor, level[:, :2].clamp(min=0), others), dim=1),
            with_borders(functions.expand(len(mean), -1, -1, -1, -1)),
            prices,
        )
        if better is None:
            return symbols
        return torch.cat((better.to(symbols) / step, symbols[:, 2:]), dim=1)


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


def _refine(pixels: Tensor, blocks: Tensor, functions: Tensor, prices: Tensor) -> Tensor | None:
    """:func:`pvc.models.motion_loop.refine` for each clip of a batch; better symbols [N, 2, h, w], int32.

    ``pixels`` [N, 5, H, W] are target, reference, weight and flow; ``blocks`` [N, 5 + 2 n, h, w] are symbols, factor,
    rows and other motion; all of a kind together, as what leaves a GPU is waited for. None where something is not
    finite.
    """
    from pvc.models import motion_loop  # not before: it takes seconds where it has to be compiled

    made = [x.float().cpu().contiguous().numpy() for x in (pixels, blocks, functions, prices)]
    if not all(np.isfinite(x).all() for x in made):
        return None
    pixels, blocks, functions, prices = made
    blocks, clips = blocks.astype(np.int32), []
    for seen, told, shapes, costs in zip(pixels, blocks, functions, prices, strict=True):
        symbols, factor, rows, others = told[:2], told[2], told[3:5], told[5:].reshape(-1, 2, *told.shape[1:])
        left = shapes, symbols, others, factor, rows, costs, np.zeros_like(factor)
        clips.append(partial(motion_loop.refine, *seen[:3], seen[3:], *left))
    strips, borders = _strips(blocks.shape[-2])
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for number in range(1, ROUNDS + 1):
            for rows_of in (strips, borders):
                list(pool.map(lambda job, number=number: job[0](number, *job[1]), product(clips, rows_of)))
    return torch.from_numpy(blocks[:, :2])


def _strips(height: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """First and last rows of blocks that can be searched at once, and of those between them, afterwards.

    Blocks two rows apart know nothing of each other, so what is found does not hang on the number of threads.
    """
    ends = range(STRIP, height, STRIP)
    starts = [0, *ends]
    return list(zip(starts, [end - 1 for end in ends] + [height])), [(end - 1, end) for end in ends]
