"""The search for motion as one kernel: what the loop finds, on a GPU or, where there is none, interpreted by Triton."""

import itertools
import subprocess
import sys
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from pvc.entropy import spatial
from pvc.models import motion_blocks, motion_search
from pvc.models.warp import warp
from tests.models.test_motion_search import Problem

pytest.importorskip("triton", reason="PyTorch for a CPU alone brings no Triton")

SIZE = 3, 4


@pytest.fixture(params=["interpreted", pytest.param("cuda", marks=pytest.mark.gpu)])
def search(request):
    """(radii, **problem) -> symbols, by the kernel."""
    from triton.runtime import interpreter

    from pvc.models import motion_kernel

    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
        yield lambda radii, **posed: motion_kernel.refine(radii, **{k: v.cuda() for k, v in posed.items()}).cpu()
        return
    whole, done = interpreter._patch_lang, set()

    def patch(fn):
        """For the kernel, and once for a module that it calls; at each call it takes most of the time."""
        if fn.__name__ == "improve" or id(fn.__globals__) not in done:
            done.add(None if fn.__name__ == "improve" else id(fn.__globals__))
            return whole(fn)

    with mock.patch.object(interpreter, "_patch_lang", patch):
        yield motion_kernel.refine


@pytest.mark.parametrize(("seed", "factor", "fine"), [(0, 1, False), (1, 2, False), (2, 1, True), (3, 2, True)])
def test_it_finds_as_much_as_others(search, seed, factor, fine):
    problem = Problem(seed, factor, SIZE, fine)
    others = motion_search.refine_by_loop, motion_blocks.refine
    loop, blocks, kernel = (refine((2, 1), **problem.posed()) for refine in (*others, search))
    assert kernel.dtype == torch.int32 and not (kernel % factor).any()
    assert problem.total(kernel) <= 1.001 * max(problem.total(loop), problem.total(blocks))
    assert problem.total(kernel) < 0.2 * problem.total(problem.start)


def test_it_knows_where_pixels_are_taken_from(search):
    """Two rounds find what a round finds that goes on from another's symbols."""
    problem = Problem(size=SIZE, fine=True)
    first = search((1,), **problem.posed())
    assert torch.equal(search((1, 1), **problem.posed()), search((1,), **problem.posed(start=first)))
    assert not torch.equal(first, problem.start)


def test_motion_that_others_tell_is_tried(search):
    problem = Problem(size=(2, 2))
    nowhere = torch.zeros_like(problem.true)
    found, alone = (search((1,), **problem.posed(start=nowhere, others=o)) for o in ([problem.true], []))
    assert problem.total(found) < 0.4 * problem.total(alone)


def test_clips_are_searched_apart(search):
    problems = [Problem(seed, factor, (2, 3)) for seed, factor in ((0, 1), (1, 2))]
    problems[1].prices = problems[1].prices * 3
    posed = [p.posed() for p in problems]
    together = search((1,), **{k: torch.cat([p[k] for p in posed]) for k in posed[0]})
    assert torch.equal(together, torch.cat([search((1,), **p) for p in posed]))


def test_the_last_blocks_may_end_outside(search):
    problem = Problem(size=(3, 3), fine=True)
    posed = problem.posed()
    small = {k: posed[k][..., :-5, :-3].contiguous() for k in ("target", "weight", "flow")}
    small |= {"reference": posed["reference"][..., :-10, :-6].contiguous()}
    kernel, blocks = (refine((1,), **posed | small) for refine in (search, motion_blocks.refine))
    assert torch.equal(kernel, blocks.int())


class Random:
    """A problem in which everything differs from everything: clips, borders, components, rows of prices, factors."""

    def __init__(self, reach: int, times: int, seed: int):
        self.generator, self.reach = torch.Generator().manual_seed(seed), reach
        clips, lines, columns, block = 2, 3, 4, reach // 2
        height, width = lines * block - block // 3, columns * block - block // 4
        factor = torch.randint(1, 4, (clips, 1, lines, columns), generator=self.generator).float()
        coarse = self.rand(clips, 1, 3 * lines, 3 * columns)
        self.posed = {
            "target": F.interpolate(coarse, (height, width), mode="bicubic"),
            "reference": F.interpolate(coarse, (times * height, times * width), mode="bicubic"),
            "weight": self.rand(clips, 1, height, width),
            "flow": 3 * self.rand(clips, 2, height, width) - 1.5,
            "symbols": torch.randint(-3, 4, (clips, 2, lines, columns), generator=self.generator) * factor,
            "factor": factor,
            "others": torch.randint(-3, 4, (clips, 4, lines, columns), generator=self.generator) * factor,
            "rows": torch.randint(0, 3, (clips, 2, lines, columns), generator=self.generator).float(),
            "prices": self.rand(clips, 3, 6).cumsum(2) * (height * width) / 300,
            "functions": self.rand(clips, 3, 3, 2, 2, reach, reach) - 0.3,
        }

    def rand(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator)

    def total(self, clip: int, symbols: torch.Tensor) -> float:
        """J of ``symbols`` [2, h, w] of a clip, all of it anew in float64."""
        part = {k: v[clip].double() for k, v in self.posed.items()}
        (lines, columns), (height, width) = symbols.shape[1:], part["target"].shape[1:]
        flow, half, quarter = part["flow"].clone(), self.reach // 2, self.reach // 4
        whole = torch.zeros(2, (lines + 1) * half, (columns + 1) * half, dtype=torch.float64)
        for i, j in itertools.product(range(lines), range(columns)):
            functions = part["functions"][(i > 0) + (i == lines - 1), (j > 0) + (j == columns - 1)]
            change = symbols[:, i, j] - part["symbols"][:, i, j]
            place = whole[:, i * half : i * half + self.reach, j * half : j * half + self.reach]
            place += (change[:, None, None, None] * functions).sum(0)
        flow += whole[:, quarter : quarter + height, quarter : quarter + width]
        seen = warp([part["reference"][None]], flow[None], torch.zeros(1, 1, height, width, dtype=torch.float64))
        error = ((seen[0] - part["target"]).square() * part["weight"]).sum()
        coded = (symbols - spatial.predict(symbols[None], part["factor"][None])[0]).abs() / part["factor"]
        return (error + part["prices"][part["rows"].long(), coded.long().clamp(max=5)].sum()).item()

    def searched(self, clip: int, radius: int) -> torch.Tensor:
        """What one round finds: each block of a quarter takes the best of what is tried, one after the other."""
        found, (lines, columns) = self.posed["symbols"][clip].double(), self.posed["symbols"].shape[2:]
        others = self.posed["others"][clip].unflatten(0, (2, 2)).double()
        for top, left in itertools.product((0, 1), repeat=2):
            for i, j in itertools.product(range(top, lines, 2), range(left, columns, 2)):
                factor = self.posed["factor"][clip, 0, i, j].item()
                told = spatial.predict(found[None], self.posed["factor"][clip][None].double())[0, :, i, j]
                beside = F.pad(found, (1, 1, 1, 1))[:, i : i + 3, j : j + 3]
                near = [beside[:, a, b].div(factor).floor() * factor for a, b in ((1, 0), (0, 1), (1, 2), (2, 1))]
                steps = [torch.tensor(s) * radius * factor for s in ((-1.0, 0.0), (0.0, -1.0), (1.0, 0.0), (0.0, 1.0))]
                best, least = found[:, i, j].clone(), self.total(clip, found)
                for tried in (told, *near, *steps, *others[:, :, i, j]):
                    value = best + tried if any(tried is s for s in steps) else tried
                    found[:, i, j] = value
                    if (cost := self.total(clip, found)) < least:
                        best, least = value.clone(), cost
                    found[:, i, j] = best
        return found


@pytest.mark.parametrize(("reach", "times", "radius"), [(16, 1, 1), (16, 2, 2), (32, 2, 1), (64, 1, 4), (128, 2, 4)])
def test_each_block_takes_the_best_of_what_is_tried(search, reach, times, radius):
    problem = Random(reach, times, seed=reach + times)
    expected = torch.stack([problem.searched(clip, radius) for clip in (0, 1)])
    assert (expected != problem.posed["symbols"]).float().mean() > 0.2
    assert torch.equal(search((radius,), **problem.posed), expected.int())


@pytest.mark.parametrize("what", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["flow", "target", "prices", "rows", "factor", "symbols"])
def test_what_is_no_number_does_no_harm(search, what, where):
    """Symbols of a training step that went wrong are left alone by the caller; here nothing is read outside."""
    posed = Problem(size=(2, 2)).posed()
    posed[where] = torch.full_like(posed[where], what)
    assert search((1,), **posed).shape == (1, 2, 2, 2)


COMPILE = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from pvc.models.motion_kernel import WARPS, improve
whole = ("symbols", "factors", "others", "rows")
kinds = {name: "i32" for name in improve.arg_names} | {name: "*fp32" for name in improve.arg_names[:4]}
kinds |= {name: "*fp32" for name in ("prices", "functions")} | {name: "*i32" for name in whole}
kinds |= {name: "constexpr" for name in ("REACH", "TILE")}
for reach, warps in WARPS.items():
    source = triton.compiler.ASTSource(improve, kinds, {"REACH": reach, "TILE": 128 * warps})
    made = triton.compile(source, GPUTarget("cuda", int(sys.argv[1]), 32), {"num_warps": warps})
    assert made.asm["cubin"] and made.metadata.shared < 1024
"""


@pytest.mark.slow
@pytest.mark.parametrize("capability", [75, 80, 90])
def test_it_compiles_for_a_gpu_that_is_not_there(capability, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    done = subprocess.run([sys.executable, "-c", COMPILE, str(capability)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_where_triton_finds_no_gpu_another_search_is_taken_and_it_is_said():
    with pytest.warns(UserWarning, match="Triton does not work here .* takes several times as long"):
        assert motion_search.search_of_gpu.__wrapped__() is motion_blocks.refine


def test_prices_of_neighbours_count(search):
    """Where nothing is to be seen, what costs least is taken."""
    problem = Problem()
    problem.weight *= 0
    even = torch.full_like(problem.true, 3)
    start = even.clone()
    start[:, 0, 1, 1], start[:, 1, 2, 4] = 5, -2
    assert torch.equal(search((1,), **problem.posed(start=start)), even)
