"""The search for motion as one kernel: what the loop finds, on a GPU or, where there is none, interpreted by Triton."""

import subprocess
import sys
from unittest import mock

import pytest
import torch

from pvc.models import motion_blocks, motion_search
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


@pytest.mark.parametrize("what", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["flow", "target", "prices"])
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
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
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
