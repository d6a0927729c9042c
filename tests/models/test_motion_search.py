"""An encoder's search for better motion lowers what it says it lowers, and the decoder need not know."""

import itertools
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pvc.data.synthetic import Synthetic
from pvc.entropy import spatial
from pvc.errors import ConfigError
from pvc.importance import distortion_weight, weighted_mask
from pvc.models import motion_blocks, motion_loop, motion_search
from pvc.models.branch import Condition
from pvc.models.checkpoint import load_model
from pvc.models.motion import motion_hints
from pvc.models.motion_search import MotionAim, MotionSearch
from pvc.models.patch import flow_decoder_basis
from pvc.models.rows import BlockSynthesis
from pvc.models.ssf import ScaleSpaceFlow
from pvc.models.warp import half_pixels, warp
from pvc.paths import find_checkpoints
from tests.models.conftest import make

LINES, COLUMNS, UNIT = 4, 6, 0.5


class Problem:
    """A picture whose content moves by (3, -2) pixels on the left and (-2, 1) on the right, and an encoder's start.

    Blocks of 16x16 or, ``fine``, of 8x8 in a reference of twice the size.
    """

    def __init__(self, seed=0, factor=1, size=(LINES, COLUMNS), fine=False):
        generator = torch.Generator().manual_seed(seed)
        texture = torch.rand(1, 1, *(3 * n + 2 for n in size), generator=generator)
        block = 8 if fine else 16
        self.reference = F.interpolate(texture, [block * n for n in size], mode="bicubic").contiguous()
        self.reference = half_pixels(self.reference) if fine else self.reference
        self.true = torch.zeros(1, 2, *size, dtype=torch.int32)
        self.true[:, 0, :, :3], self.true[:, 1, :, :3] = 6, -4
        self.true[:, 0, :, 3:], self.true[:, 1, :, 3:] = -4, 2
        self.functions = BlockSynthesis(2, 2, 2 * block, block).requires_grad_(False)
        self.functions.weight.copy_(UNIT * flow_decoder_basis(block)[:, :2])
        self.target = self.moved(self.true)
        self.weight = torch.ones_like(self.target)
        self.rows = torch.zeros(2, *size, dtype=torch.int32)
        self.prices = 0.002 * (1 + 2 * torch.arange(64.0).add(1).log2())[None]
        self.factor = torch.full(size, factor, dtype=torch.int32)
        noise = torch.randint(-1, 2, self.true.shape, generator=generator, dtype=torch.int32)
        self.start = (self.true + noise) // factor * factor

    def flow(self, symbols):
        """[1, 2, H, W]; the border's own motion repeats, as in the decoder."""
        return self.functions(symbols.float())

    def moved(self, symbols):
        flow = self.flow(symbols)
        return warp([self.reference], flow, torch.zeros_like(flow[:, :1]))

    def total(self, symbols):
        """Weighted squared error, and what the bits cost."""
        error = (self.target - self.moved(symbols)).square() * self.weight
        coded = spatial.differences(symbols.float(), (0, 1), self.factor.float()) / self.factor
        return (error.sum() + self.prices[0][coded.abs().long()].sum()).item()

    def posed(self, start=None, others=()):
        """Arguments of both searches."""
        start = self.start if start is None else start
        return {
            "target": self.target,
            "reference": self.reference,
            "weight": self.weight,
            "flow": self.flow(start),
            "symbols": start.float(),
            "factor": self.factor.float()[None, None],
            "others": torch.cat([torch.zeros_like(start), *others], dim=1).float(),
            "rows": self.rows.float()[None],
            "prices": self.prices[None],
            "functions": motion_search.with_borders(self.functions.weight[None]),
        }

    def loop(self, rounds=1, parts=((0, LINES),), anew=False):
        """What the loop finds where rows are shared out otherwise."""
        posed = {k: v[0].numpy() for k, v in self.posed().items()}
        symbols, changed = self.start[0].clone().numpy(), np.zeros_like(self.factor.numpy())
        others, flow = np.zeros_like(symbols)[None], posed["flow"].copy()
        planes = [posed[k][0] for k in ("target", "reference", "weight")]
        told = flow, posed["functions"], symbols, others, self.factor.numpy(), self.rows.numpy(), posed["prices"]
        for number, (first, last) in itertools.product(range(1, rounds + 1), parts):
            motion_loop.refine(*planes, *told, changed, number, 1, not anew, 0, first, last)
        found = torch.from_numpy(symbols)[None]
        assert (torch.from_numpy(flow) - self.flow(found)).abs().max() < 1e-4
        return found


@pytest.fixture(params=["loop", "blocks"])
def search(request):
    """(problem, radii or rounds of 1, start, others) -> symbols [1, 2, h, w], by the search for a CPU or for a GPU."""
    refine = {"loop": motion_search.refine_by_loop, "blocks": motion_blocks.refine}[request.param]

    def found(problem, radii=1, **posed):
        return refine((1,) * radii if isinstance(radii, int) else radii, **problem.posed(**posed)).int()

    return found


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("factor", [1, 2])
def test_every_round_lowers_the_total(search, factor, fine):
    problem = Problem(factor=factor, fine=fine)
    totals = [problem.total(search(problem, n)) for n in range(4)]
    assert all(b <= a * 1.0001 for a, b in itertools.pairwise(totals)), totals
    assert totals[2] < 0.5 * totals[0]
    assert not (search(problem, 2) % factor).any()


def test_a_block_takes_the_motion_of_one_beside_it_that_predicts_better(search):
    problem = Problem()
    start = problem.true.clone()
    start[:, :, 2, 1] = 40  # far from the truth
    found = search(problem, 2, start=start)
    assert (found - problem.true)[:, :, 2, 1].abs().max() <= 2 and problem.total(found) < 0.1 * problem.total(start)


def test_motion_that_others_tell_is_tried(search):
    problem = Problem()
    nowhere = torch.zeros_like(problem.true)
    found = search(problem, start=nowhere, others=[problem.true])
    assert problem.total(found) < 0.4 * problem.total(search(problem, start=nowhere))


@pytest.mark.parametrize("blind", ["target", "weight"])
def test_where_nothing_is_to_be_seen_or_nothing_counts_motion_costs_least(search, blind):
    problem = Problem()
    if blind == "target":
        problem.target, problem.reference = torch.full_like(problem.target, 0.5), torch.full_like(problem.target, 0.5)
    else:
        problem.weight *= 0
    even = torch.full_like(problem.true, 3)
    start = even.clone()
    start[:, 0, 1, 1], start[:, 1, 2, 4] = 5, -2
    assert torch.equal(search(problem, start=start), even)


def test_many_blocks_at_once_are_as_well_searched_as_one_after_the_other():
    for seed, fine in itertools.product(range(3), (False, True)):
        problem = Problem(seed, fine=fine)
        one, many = (
            problem.total(refine((2, 1, 1), **problem.posed()))
            for refine in (motion_search.refine_by_loop, motion_blocks.refine)
        )
        assert many < one + 0.1 * (problem.total(problem.start) - one)


def test_a_long_step_finds_what_short_ones_do_not(search):
    """In fine texture only the true motion, 4 steps from where all blocks are told to be, looks like anything."""
    problem = Problem()
    problem.reference = torch.rand(problem.reference.shape, generator=torch.Generator().manual_seed(3))
    problem.target = problem.moved(problem.true)
    start = problem.true + torch.tensor([4, 0]).view(1, 2, 1, 1)
    far, near = (problem.total(search(problem, radii, start=start)) for radii in ((4, 4, 4, 1), (1, 1, 1, 1)))
    assert far < 0.5 * near


@pytest.mark.parametrize("fine", [False, True])
def test_many_blocks_at_once_know_where_their_pixels_are_taken_from(fine):
    problem = Problem(fine=fine)
    posed = problem.posed()
    blocks = motion_blocks.Blocks(**posed)
    for quarter, radius in itertools.product(blocks.quarters, (1, 2)):
        blocks.improve(quarter, radius)
    found = blocks.symbols[:, :, 1:-1, 1:-1]
    assert not torch.equal(found, posed["symbols"])
    anew = motion_blocks.Blocks(**posed | {"symbols": found, "flow": problem.flow(found)})
    side = 4 if fine else 8
    assert (blocks.at - anew.at)[:, side:-side, side:-side].abs().max() < 1e-6


def test_clips_of_a_batch_are_searched_apart(search):
    problems = [Problem(seed, factor) for seed, factor in ((0, 1), (1, 2), (2, 1))]
    problems[2].prices = problems[2].prices * 3
    alone = torch.cat([search(p, 2) for p in problems])
    posed = [p.posed() for p in problems]
    batch = {k: torch.cat([p[k] for p in posed]) for k in posed[0]}
    together = SimpleNamespace(posed=lambda: batch)
    assert torch.equal(search(together, 2), alone)


@pytest.mark.parametrize("size", [(2, 2), (2, 5), (3, 2)])
def test_pictures_of_few_blocks(search, size):
    problem = Problem(size=size)
    assert problem.total(search(problem, 4)) < problem.total(problem.start)


@pytest.mark.parametrize("fine", [False, True])
def test_a_model_leaves_motion_as_it_is_where_a_pixel_is_not_finite(clip, fine):
    model = make("patch", fine_motion=fine)
    aim = MotionAim(clip[:, 1], clip[:, 0], model.motion.decoder, model.predict, model.magnified, None)
    aim.target[..., 5, 5] = torch.nan
    symbols = torch.randint(-3, 4, (1, 8, 6, 8)).float()
    symbols[:, 2:] = symbols[:, 2:] * fine
    search = MotionSearch(model.motion, Condition(), aim, torch.tensor([1e-3]), nullcontext)
    aim, padded = search.aim, [model.pad(x) for x in (search.aim.target, search.aim.reference)]
    search = replace(search, aim=replace(aim, target=padded[0], reference=padded[1]))
    assert torch.equal(search(symbols, torch.zeros_like(symbols), 1, torch.full_like(symbols, 5)), symbols)


@pytest.mark.parametrize("name", ["target", "flow", "rows", "prices", "others"])
def test_symbols_stay_where_something_is_not_finite(search, name):
    problem = Problem()
    posed = problem.posed()
    posed[name] = posed[name].contiguous()
    posed[name].view(-1)[-1] = torch.nan
    assert torch.equal(search(SimpleNamespace(posed=lambda: posed)), problem.start)


def test_what_is_found_does_not_hang_on_how_rows_are_shared_out():
    """Rows two apart know nothing of each other."""
    problem = Problem()
    together, reverse = problem.loop(parts=((0, 1), (2, 4), (1, 2))), problem.loop(parts=((2, 4), (0, 1), (1, 2)))
    assert torch.equal(together, reverse)


def test_blocks_that_are_left_out_would_not_have_changed():
    problem = Problem()
    for rounds in range(1, 6):
        assert torch.equal(problem.loop(rounds=rounds), problem.loop(rounds=rounds, anew=True))


def test_rows_are_shared_out_once():
    for height in range(1, 40):
        strips, borders = motion_search._strips(height)
        assert sorted(row for part in strips + borders for row in range(*part)) == list(range(height))
        assert all(b[0] - a[1] == 1 for a, b in itertools.pairwise(strips))


@pytest.mark.parametrize("size", [(4, 6), (3, 5)])
def test_a_larger_block_moves_as_those_in_it_do_together(size):
    problem = Problem(size=size, fine=True)
    larger = motion_search._of_larger_blocks(problem.posed())
    lines, columns = larger["symbols"].shape[-2:]
    moves = torch.randint(-3, 4, (1, 2, lines, columns), generator=torch.Generator().manual_seed(1)).float()
    together = problem.flow(motion_search._split(moves, problem.factor.float()[None, None]))
    apart = torch.zeros(1, 2, 16 * lines + 16, 16 * columns + 16)  # with a border of half a block
    for i, j in itertools.product(range(lines), range(columns)):
        own = larger["functions"][0, 2 if i == lines - 1 else min(i, 1), 2 if j == columns - 1 else min(j, 1)]
        apart[..., 16 * i : 16 * i + 32, 16 * j : 16 * j + 32] += torch.einsum("k,kcyx->cyx", moves[0, :, i, j], own)
    apart = apart[..., 8 : 8 + 8 * size[0], 8 : 8 + 8 * size[1]]  # the last larger block may reach beyond the picture
    assert torch.allclose(apart, together, atol=1e-5)


@pytest.mark.parametrize("factor", [1, 3])
def test_larger_blocks_that_reach_beyond_the_picture_are_searched_as_others(search, factor):
    problem = Problem(size=(3, 5), fine=True, factor=factor)
    larger = motion_search._of_larger_blocks(problem.posed(start=torch.zeros_like(problem.true)))
    found = search(SimpleNamespace(posed=lambda: larger), (2, 1, 1)).float()
    finer = problem.factor.float()[None, None]
    before, after = (problem.total(motion_search._split(x, finer)) for x in (larger["symbols"], found))
    assert after < before


def searched(model, reference, flow, start, bit):
    """Error and bits of what is found from the motion ``start``; the target is ``reference`` moved by ``flow``."""
    target, _ = model.predict(reference, flow)

    def decode(latent):
        return model.motion.decoder(model.motion.scale_back(latent, Condition()))

    aim = MotionAim(target, reference, decode, model.predict, model.magnified, None)
    search = MotionSearch(model.motion, Condition(), aim, torch.tensor([bit]), nullcontext)
    level = torch.full_like(start, 20)
    found = search(start, torch.zeros_like(start), 1, level)
    seen, _ = model.predict(reference, decode(found))
    coded = model.motion.prior.differences(found, 1).abs().long().clamp(max=63)
    return (seen - target).square().sum(), model.motion.prior.bits(64)[20, coded].sum()


def test_quarters_find_what_blocks_that_move_as_one_cannot(monkeypatch):
    """Left and right of a line through the middle of blocks there is other motion."""
    model = make("patch", fine_motion=True)
    texture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    reference = F.interpolate(texture, (96, 96), mode="bicubic").clamp(0, 1)
    flow, errors = torch.zeros(1, 3, 96, 96), []
    flow[:, 0, :, :40], flow[:, 0, :, 40:] = 3, -2
    for quarters in ((), motion_search.RADII[-1]):
        monkeypatch.setattr(motion_search, "RADII", (*motion_search.RADII[:-1], quarters))
        errors.append(searched(model, reference, flow, torch.zeros(1, 8, 6, 6), 1e-4)[0])
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize(("fine", "bit"), [(False, 1e-3), (True, 1e-2)])
def test_squares_of_blocks_find_what_no_block_finds_alone(monkeypatch, fine, bit):
    """A network tells motion that is wrong in each block, and right on the whole."""
    model, generator = make("patch", fine_motion=fine), torch.Generator().manual_seed(0)
    texture = torch.rand(1, 3, 24, 32, generator=generator)
    reference = F.interpolate(texture, (192, 256), mode="bicubic").clamp(0, 1)
    flow = torch.zeros(1, 3, 192, 256)
    flow[:, 0] = 8
    gain = model.motion.gain(None)[:, :2].max().item()
    start, means = torch.zeros(1, 8, 12, 16), 8 if fine else 2
    start[:, : means // 2] = 8 * gain
    start[:, :means] += (10 * gain * torch.randn(1, 2, 12, 16, generator=generator)).repeat_interleave(means // 2, 1)
    costs = []
    for radii in motion_search.RADII[2:], motion_search.RADII:
        monkeypatch.setattr(motion_search, "radii_of", lambda _, radii=radii: radii if fine else radii[:-1])
        error, bits = searched(model, reference, flow, start.round(), bit)
        costs.append(error + motion_search.LAGRANGE * bit * bits)
    assert costs[1] < 0.8 * costs[0]


def moving_objects(seed):
    """Motion of quarters [1, 8, 8, 12]: a still background and six objects of 24x24 pixels that go their own ways."""
    generator = torch.Generator().manual_seed(seed)
    own = torch.zeros(1, 2, 16, 24)
    for _ in range(6):
        i, j = (torch.randint(0, n - 3, (1,), generator=generator).item() for n in own.shape[-2:])
        own[:, :, i : i + 3, j : j + 3] = torch.randint(-40, 41, (1, 2, 1, 1), generator=generator).float()
    return spatial.put_back(torch.zeros(1, 8, 8, 12), own, tuple(range(8)), 2)


@pytest.mark.parametrize("bit", [1e-4, 1e-3, 1e-2])
def test_small_objects_that_a_network_has_seen_are_not_lost_among_larger_blocks(bit):
    model = make("patch", fine_motion=True)
    for seed in range(3):
        texture = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(seed))
        reference = F.interpolate(texture, (128, 192), mode="bicubic").clamp(0, 1)
        true = moving_objects(seed)
        flow = model.motion.decoder(model.motion.scale_back(true, Condition()))
        error, bits = searched(model, reference, flow, true, bit)
        cost = motion_search.LAGRANGE * bit
        told = model.motion.prior.bits(64)[20, model.motion.prior.differences(true, 1).abs().long().clamp(max=63)].sum()
        assert error + cost * bits < 1.02 * cost * told


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (96, 160), (288, 64)])
@pytest.mark.parametrize("fine", [False, True])
def test_a_model_searches_batches_of_any_size_with_any_map(monkeypatch, fine, size, gpu):
    """Squares of blocks reach beyond odd grids and hold blocks of other steps; clips have betas of their own."""
    if gpu:
        monkeypatch.setattr(motion_search, "refine_by_loop", motion_blocks.refine)
    model = make("patch", multirate=True, fine_motion=fine)
    generator = torch.Generator().manual_seed(0)
    reference = F.interpolate(torch.rand(2, 3, size[0] // 8, size[1] // 8, generator=generator), size, mode="bicubic")
    reference, flow, betas = reference.clamp(0, 1), torch.zeros(2, 3, *size), torch.tensor([1e-4, 1e-2])
    flow[:, 0], flow[:, 1] = 5, -3
    target, grid = model.predict(reference, flow)[0], (2, 8, size[0] // 16, size[1] // 16)
    places = torch.randint(0, 5, (2, 1, *grid[2:]), generator=generator)
    step = torch.tensor(model.motion.prior.factors)[places].float()
    condition = Condition(model.embed(betas, 2, torch.device("cpu")), torch.rand(2, 1, *size, generator=generator))
    symbols = torch.randint(-9, 10, grid, generator=generator).float()
    mean, level = torch.randn(grid, generator=generator), torch.randint(0, 64, grid, generator=generator).float()

    def search(clips):
        own = Condition(condition.e[clips], condition.q[clips])

        def decode(latent):
            return model.motion.decoder(model.motion.scale_back(latent, own), own.e)

        aim = MotionAim(target[clips], reference[clips], decode, model.predict, model.magnified, None)
        problem = symbols[clips], mean[clips], step[clips], level[clips]
        found = MotionSearch(model.motion, own, aim, 3 * betas[clips], nullcontext)(*problem)
        errors = []
        for tried in (symbols[clips], found):
            seen = model.predict(reference[clips], decode(tried * step[clips] + mean[clips]))[0]
            errors.append(((seen - target[clips]).square() * distortion_weight(own.q)).sum((1, 2, 3)))
        assert torch.equal(found, found.round()) and (errors[1] < errors[0]).all()
        return found

    together = search(slice(None))
    if not gpu:  # one picture below the other: places there are rounded otherwise
        assert torch.equal(together, torch.cat([search(slice(n, n + 1)) for n in (0, 1)]))


@pytest.fixture(scope="module")
def released():
    return load_model(find_checkpoints("mr-md-ssf-tiny")[0])


@pytest.fixture(scope="module")
def scene():
    """Frames [3, 3, H, W] and mask [3, 1, H, W] of 18 rows of blocks."""
    (sequence,) = Synthetic(names=["garage"], size=(288, 96)).eval()
    return sequence.read(0, 3).float() / 255, sequence.read_mask(0, 3).float()


def coded(model, frames, maps, beta):
    """Streams and what the decoder has after each."""
    past = previous = None
    out = []
    for frame, q in zip(model.pad(frames), model.pad(maps)):
        data, past = model.encode_frame(frame[None], beta, q[None], past, model.hint(frame[None], previous), rdoq=1)
        previous = frame[None]
        out.append((data, past))
    return out


@pytest.mark.parametrize("u_alpha", [1.0, 0.2])
def test_a_clip_takes_fewer_bits_for_a_like_picture(released, scene, monkeypatch, u_alpha):
    frames, maps = scene[0], weighted_mask(scene[1], u_alpha)

    def cost(out):
        error = torch.cat([past.reference for _, past in out]) - released.pad(frames)
        error = error.square() * distortion_weight(released.pad(maps))
        return (error.sum() + 3 * 1.6e-3 * 8 * sum(len(data) for data, _ in out)).item()

    searched = coded(released, frames, maps, 1.6e-3)
    with monkeypatch.context() as without:
        without.setattr(ScaleSpaceFlow, "motion_searchable", False)
        plain = coded(released, frames, maps, 1.6e-3)
    sizes = [sum(len(data) for data, _ in out[1:]) for out in (searched, plain)]
    assert sizes[0] < 0.97 * sizes[1] and cost(searched) < cost(plain)


@pytest.mark.parametrize("moves", [True, False])
def test_what_is_told_beside_mean_motion_stays_where_it_is_worth_its_bits(moves):
    model, generator = make("patch"), torch.Generator().manual_seed(0)
    reference = F.interpolate(torch.rand(1, 3, 14, 20, generator=generator), (64, 96), mode="bicubic").clamp(0, 1)
    flow = torch.zeros(1, 3, 64, 96)
    flow[:, 0] = 3.0

    def decode(latent):  # the third latent moves all
        return flow * latent[:, 2].mean()

    target = model.predict(reference, flow * moves)[0]
    aim = MotionAim(target, reference, decode, model.predict, model.magnified, None)
    search = MotionSearch(model.motion, Condition(), aim, torch.tensor([3e-4]), nullcontext)
    symbols = torch.zeros(1, 8, 4, 6)
    symbols[:, 2] = 1
    found = search(symbols, torch.zeros_like(symbols), 1, torch.zeros_like(symbols))
    assert torch.equal(found[:, 2:], symbols[:, 2:] * moves)


def test_a_motion_network_that_goes_astray_costs_little(scene, monkeypatch):
    """As where motion is faster than any that it was trained on."""
    model = make("patch", multirate=True, roi=True)
    model.update()
    with torch.no_grad():
        model.motion.encoder.body[-1].bias[2:] += 4
    found = coded(model, scene[0], scene[1], 1.6e-3)
    monkeypatch.setattr(MotionSearch, "_worth", lambda self, symbols, *_: torch.tensor(True))
    astray = coded(model, scene[0], scene[1], 1.6e-3)
    sizes = [sum(len(data) for data, _ in out[1:]) for out in (found, astray)]
    assert sizes[0] < 0.6 * sizes[1]


def test_any_number_of_threads_finds_the_same(released, scene):
    streams, threads = [], torch.get_num_threads()
    try:
        for n in (1, 4):
            torch.set_num_threads(n)
            streams.append([data for data, _ in coded(released, scene[0], scene[1], 1.6e-3)])
    finally:
        torch.set_num_threads(threads)
    assert streams[0] == streams[1]


def test_a_network_without_spatial_prediction_says_that_it_cannot():
    model = ScaleSpaceFlow(width=8, latent=8)
    with pytest.raises(ConfigError, match="motion_search needs a model with spatial_prediction"):
        model(torch.zeros(1, 2, 3, 64, 64), motion_search=True)


@pytest.mark.parametrize(("wrong", "value"), [("pixel", torch.nan), ("pixel", torch.inf), ("levels", torch.nan)])
def test_what_is_not_finite_is_left_to_those_who_skip_such_steps(wrong, value):
    model = make("patch").train()
    frames = torch.rand(1, 3, 3, 64, 64)
    if wrong == "pixel":
        frames[0, 1, 0, 5, 5] = value
    else:
        model.motion.prior.scale_head[-1].bias.data[0] = value
    out = model(frames, motion_search=True)
    assert not (out.x_hat.isfinite().all() and out.bits.isfinite().all())
    (out.x_hat.sum() + out.bits.sum()).backward()
    assert not all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_compiled_model_searches_as_any_other(clip):
    model = make("patch").train()
    frames = clip[:, :2, :, :64, :64]
    torch.manual_seed(0)
    plain = model(frames, hints=(hints := motion_hints(frames)), motion_search=True)
    torch.manual_seed(0)
    compiled = torch.compile(model.forward, backend="eager")(frames, hints=hints, motion_search=True)
    assert torch.equal(plain.x_hat, compiled.x_hat) and torch.equal(plain.bits, compiled.bits)


def test_in_training_gradients_pass_motion_that_stays(released, scene):
    frames = scene[0][None, :, :, 64:192]
    loss = []
    for search in (True, False):
        out = released(frames, torch.tensor([1.6e-3]), motion_search=search)
        loss.append((out.x_hat - frames).square().sum() + 3 * 1.6e-3 * out.bits.sum())
    assert loss[0] < loss[1]
    out = released.train()(frames, torch.tensor([1.6e-3]), motion_search=True)
    released.eval()
    (out.x_hat - frames).square().mean().backward()
    moved = released.motion.encoder.body[-1].weight.grad
    assert moved.isfinite().all() and moved.abs().sum() > 0
    released.zero_grad()
