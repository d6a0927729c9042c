"""Motion by rate and distortion; an encoder's matter alone.

What a network makes of two frames says nothing of what motion costs to send. An encoder that knows lowers

    J(symbols) = sum_p w_p |x_p - prediction_p|^2 + lambda bits(symbols)

over the mean motion of each block, one block after the other, all others as they are (iterated conditional modes:
Besag, "On the statistical analysis of dirty pictures", 1986). Where the picture has no gradient, or counts little, a
block takes the motion that its neighbours tell and costs next to nothing; elsewhere it moves on to what predicts
better. Tried are the motion of the blocks around, of the frame before, none, and a few steps in each direction. First
move squares of several blocks, then one block after the other, and then quarters where they have a motion: so an object
that the network's motion has lost is found as a whole, in one step. What is told beside the mean motion of blocks is
left out of a frame where J is lower without.
"""

import functools
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from pvc.entropy import spatial
from pvc.importance import distortion_weight
from pvc.models import motion_blocks
from pvc.models.branch import Branch, Condition
from pvc.models.warp import warp

# lambda = 3 beta (see ``ScaleSpaceFlow``) times this: the residual codes much of what a prediction lacks. Chosen on
# training clips (benchmarks/rdoq.py).
LAGRANGE = 3.0
# Steps of each round over all blocks, for blocks of 64, 32 and 16 pixels on a side and for quarters of the last: the
# best of a few schedules in streams of held-out training scenes (docs/speed.md).
RADII = ((4,), (4,), (4, 2, 1), (2, 1, 1))
# Rows of blocks that a thread searches at a time.
STRIP = 8
# Magnitudes whose price is told; more of them cost as much as the last.
MAGNITUDES = 64


def radii_of(fine: bool) -> tuple[tuple[int, ...], ...]:
    """Of the rounds over each size of blocks, for a model with ``fine_motion`` or without."""
    return RADII if fine else RADII[:-1]


@dataclass(frozen=True)
class MotionAim:
    """What motion is coded for: ``reference`` moved by ``decode`` of it should look like ``target``, each [N, 3, H, W].

    ``decode``: latent, still with its gain, [N, M, h, w] -> flow x and y in pixels and scale [N, 3, H, W]; ``predict``:
    reference [N, C, H, W] and these -> prediction and flow; ``magnified``: reference as it is interpolated, itself or
    several times the size. ``before``: decoded motion of the frame before [N, M, h, w], None after an I-frame.
    """

    target: Tensor
    reference: Tensor
    decode: Callable[[Tensor], Tensor]
    predict: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    magnified: Callable[[Tensor], Tensor]
    before: Tensor | None


@dataclass(frozen=True)
class MotionSearch:
    """What an entropy model asks before it writes motion (:data:`pvc.entropy.conditional.Choose`).

    ``bit`` [N] is what a bit counts in squared error, 3 beta; ``transforms`` makes the context that the encoder's run
    in, or another. On a CPU a compiled loop goes from block to block, in as many threads as PyTorch has; elsewhere many
    blocks are searched at once (:func:`search_of_gpu`), which finds nearly the same, and nothing is waited for. Where
    something is not finite, as in a training step that goes wrong, symbols stay as they are.
    """

    branch: Branch
    condition: Condition
    aim: MotionAim
    bit: Tensor
    transforms: Callable[[], AbstractContextManager]

    @torch.compiler.disable
    @torch.no_grad()
    def __call__(self, symbols: Tensor, mean: Tensor, step: Tensor | int, level: Tensor) -> Tensor:
        """Better symbols [N, M, h, w]: those of mean motion change, of blocks or their quarters; others go or stay."""
        aim, prior, q = self.aim, self.branch.prior, self.condition.q
        told, fold = prior.neighbours, prior.fold
        target = _lightness(aim.target)
        weight = torch.ones_like(target) if q is None else distortion_weight(q)
        bit = self.bit.to(mean.device, torch.float32, non_blocking=True)
        prices = (LAGRANGE * bit).view(-1, 1, 1) * prior.bits(MAGNITUDES)
        rest, rows = symbols[:, len(told) :], level.clamp(min=0).float()
        # in training what is dropped would learn nothing; a GPU would be waited for
        if rest.shape[1] and not self.branch.training and (mean.device.type != "cpu" or rest.any()):
            rest = torch.where(self._worth(symbols, mean, step, rows, prices, target, weight), rest, 0)
            symbols = torch.cat((symbols[:, : len(told)], rest), dim=1)
        motion = self._motion(symbols * step + mean)
        # blurred where it lies, not where it is taken from: one plane in place of a space of them
        still = torch.cat((torch.zeros_like(motion[:, :2]), motion[:, 2:]), dim=1)
        reference = aim.magnified(aim.predict(_lightness(aim.reference), still)[0])
        gain = self.branch.gain(self.condition.e)
        before = [torch.zeros_like(mean)] if aim.before is None else [torch.zeros_like(mean), aim.before * gain]
        known = [torch.round((t - mean) / step) for t in before]
        own, *others = (spatial.planes(t * step, told, fold) for t in (symbols, *known))
        functions = self.branch.decoder.linear.weight[:2, :2] / gain[:, : len(told) : fold**2, :, :, None]
        factor = torch.ones_like(mean[:, :1]) * step
        problem = {
            "target": target,
            "reference": reference,
            "weight": weight,
            "flow": motion[:, :2],
            "symbols": own,
            "factor": spatial.unfolded(factor, fold),
            "others": torch.cat(others, dim=1),
            "rows": spatial.planes(rows, told, fold),
            "prices": prices,
            "functions": with_borders(functions.expand(len(mean), -1, -1, -1, -1)),
        }

        def put_back(own: Tensor) -> Tensor:
            return spatial.put_back(symbols * step, own.to(symbols.dtype), told, fold)

        return torch.where(_finite(problem), put_back(self._by_sizes(problem, put_back, mean)) / step, symbols)

    def _by_sizes(self, problem: dict[str, Tensor], put_back: Callable[[Tensor], Tensor], mean: Tensor) -> Tensor:
        """Better symbols of ``problem``, searched by blocks of several sizes, the largest first.

        Each size goes on, square by square, from what larger blocks found or from the motion that the network has,
        whichever is cheaper: a small object is lost among larger blocks, a large one in a field of errors.
        """
        refine = refine_by_loop if mean.device.type == "cpu" else search_of_gpu()
        radii = radii_of(self.branch.prior.fold > 1)
        problem = problem | {"others": torch.cat((problem["others"], problem["symbols"]), dim=1)}
        sizes = [problem]
        while len(sizes) < len(radii) and min(sizes[-1]["symbols"].shape[-2:]) > 2:
            sizes.append(_of_larger_blocks(sizes[-1]))

        def latent(own: Tensor, size: int) -> Tensor:
            for finer in reversed(sizes[:size]):
                own = _split(own, finer["factor"])
            return put_back(own) + mean

        found, rest = None, problem["flow"] - self._flow(latent(problem["symbols"], 0))  # what the network adds
        for size in range(len(sizes) - 1, -1, -1):
            start = sizes[size] | {"flow": rest + self._flow(latent(sizes[size]["symbols"], size))}
            if found is not None:
                found = _split(found, start["factor"])
                found = _cheaper(start | {"symbols": found, "flow": rest + self._flow(latent(found, size))}, start)
                moved = latent(found, size)
                if size == 0:
                    rest = self._motion(moved)[:, :2] - self._flow(moved)
                start |= {"symbols": found, "flow": rest + self._flow(moved)}
            found = refine(radii[-1 - size], **start).to(mean)
        return found

    def _flow(self, latent: Tensor) -> Tensor:
        """What a latent moves by itself, without the network [N, 2, H, W]."""
        fold, y = self.branch.prior.fold, latent / self.branch.gain(self.condition.e)
        y = y if fold == 1 else F.pixel_shuffle(y[:, : 2 * fold**2], fold)
        with self.transforms():
            return self.branch.decoder.linear(y)[:, :2].float()

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
        told = len(self.branch.prior.neighbours)
        plain = torch.cat((symbols[:, :told], torch.zeros_like(symbols[:, told:])), dim=1)
        errors = []
        for tried in (plain, symbols):
            seen = self.aim.predict(_lightness(self.aim.reference), self._motion(tried * step + mean))[0]
            errors.append(((seen - target).square() * weight).sum((1, 2, 3), keepdim=True))
        rows = torch.nan_to_num(rows[:, told:]).clamp(max=prices.shape[1] - 1).long()
        magnitude = torch.nan_to_num(symbols[:, told:]).abs().clamp(max=MAGNITUDES - 1).long()
        clip = torch.arange(len(prices), device=prices.device).view(-1, 1, 1, 1)
        cost = (prices[clip, rows, magnitude] - prices[clip, rows, 0]).sum((1, 2, 3), keepdim=True)
        return ~(errors[1] + cost >= errors[0])  # also where something is not finite


def with_borders(functions: Tensor) -> Tensor:
    """Functions [N, ..., 2 b, 2 b] of blocks of b x b -> those of the borders too [N, 3, 3, ..., 2 b, 2 b].

    First, middle and last row and column of blocks: at a border the motion is repeated outside (``BlockSynthesis``).
    """
    half = functions.shape[-1] // 4
    for dim, place in ((-2, 1), (-1, 2)):
        first, last = functions.clone(), functions.clone()
        first.narrow(dim, half, half).add_(functions.narrow(dim, 3 * half, half))
        last.narrow(dim, 2 * half, half).add_(functions.narrow(dim, 0, half))
        functions = torch.stack((first, functions, last), dim=place)
    return functions


def _of_larger_blocks(problem: dict[str, Tensor]) -> dict[str, Tensor]:
    """The search for one motion in each 2 x 2 blocks of ``problem``; at the border, in those that there are.

    What it costs is what its first block costs: the others are told by it.
    """
    functions, factor = problem["functions"], problem["factor"][..., ::2, ::2]
    half = functions.shape[-1] // 4
    whole = functions.new_zeros(*functions.shape[:-2], 8 * half, 8 * half)
    for place, parts in enumerate(((0, 1), (1, 1), (1, 2))):
        for other, others in enumerate(((0, 1), (1, 1), (1, 2))):
            for (i, y), (j, x) in product(enumerate(parts), enumerate(others)):
                part = whole[:, place, other].narrow(-2, (1 + 2 * i) * half, 4 * half)
                part.narrow(-1, (1 + 2 * j) * half, 4 * half).add_(functions[:, y, x])
    own, others = (F.avg_pool2d(problem[k], 2, ceil_mode=True) for k in ("symbols", "others"))
    own, others = (torch.round(x / factor) * factor for x in (own, others))
    first = {"factor": factor, "rows": problem["rows"][..., ::2, ::2]}
    return problem | first | {"symbols": own, "others": others, "functions": whole}


def _split(own: Tensor, factor: Tensor) -> Tensor:
    """Motion [N, 2, h, w] -> that of the blocks of half the size, multiples of their ``factor`` [N, 1, h', w']."""
    own = spatial.unfolded(own, 2)[..., : factor.shape[-2], : factor.shape[-1]]
    return torch.round(own / factor) * factor


def _cheaper(one: dict[str, Tensor], other: dict[str, Tensor]) -> Tensor:
    """Of the symbols of two problems that differ in ``symbols`` and ``flow``, in each 2 x 2 blocks those of lower J."""
    costs, size = [], one["functions"].shape[-1]
    for problem in (one, other):
        symbols, flow = problem["symbols"], problem["flow"]
        seen = warp([problem["reference"]], flow, torch.zeros_like(flow[:, :1]))
        error = (seen - problem["target"]).square() * problem["weight"]
        coded = (symbols - spatial.predict(symbols, problem["factor"])).abs() / problem["factor"]
        clip = torch.arange(len(symbols), device=symbols.device).view(-1, 1, 1, 1)
        rows, magnitude = (torch.nan_to_num(x).long() for x in (problem["rows"], coded.clamp(max=MAGNITUDES - 1)))
        bits = problem["prices"][clip, rows, magnitude].sum(1, keepdim=True)
        costs.append(sum(F.avg_pool2d(x, n, ceil_mode=True, divisor_override=1) for x, n in ((error, size), (bits, 2))))
    first = spatial.unfolded(costs[0] <= costs[1], 2)[..., : symbols.shape[-2], : symbols.shape[-1]]
    return torch.where(first, one["symbols"], other["symbols"])


def _finite(problem: dict[str, Tensor]) -> Tensor:
    return torch.stack([x.isfinite().all() for x in problem.values()]).all()


def _lightness(x: Tensor) -> Tensor:
    """[N, 3, H, W] -> [N, 1, H, W], of which a squared error counts as one of all three colours that are grey."""
    return x.float().sum(1, keepdim=True) * 3**-0.5


@functools.cache
def search_of_gpu() -> Callable[..., Tensor]:
    """:func:`pvc.models.motion_kernel.refine`, or where Triton does not work, :func:`pvc.models.motion_blocks.refine`.

    The second takes several times as long, and a warning says so.
    """
    try:
        from pvc.models import motion_kernel  # not before: not every machine has Triton

        motion_kernel.check()
    except Exception as error:  # Triton has no kind of its own for what it lacks
        reason = " ".join(str(error).split())
        warnings.warn(
            f"Triton does not work here ({reason}); the search for motion takes several times as long", stacklevel=2
        )
        return motion_blocks.refine
    return motion_kernel.refine


def refine_by_loop(radii: tuple[int, ...], **problem: Tensor) -> Tensor:
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
    moved = problem["functions"].flatten(0, 4).any(0)
    edge = int(torch.minimum(moved.any(0).int().argmax(), moved.any(1).int().argmax()))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for number, radius in enumerate(radii, 1):
            how = number, radius, number > 1 and radius == radii[number - 2], edge
            for part in (strips, borders):
                list(pool.map(lambda job, how=how: motion_loop.refine(*job[0], *how, *job[1]), product(clips, part)))
    return symbols


def _strips(height: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """First and last rows of blocks that can be searched at once, and of those between them, afterwards.

    Blocks two rows apart know nothing of each other, so what is found does not hang on the number of threads.
    """
    ends = range(STRIP, height, STRIP)
    starts = [0, *ends]
    return list(zip(starts, [end - 1 for end in ends] + [height])), [(end - 1, end) for end in ends]
