"""A step waits for no GPU, and what makes it faster does not change what is learnt."""

from functools import lru_cache

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch._subclasses.fake_tensor import FakeTensorMode

from pvc import constants
from pvc.entropy.noise import of_samples
from pvc.errors import ConfigError, TrainingError
from pvc.losses.rate_distortion import RateDistortion
from pvc.models.checkpoint import load_state
from pvc.paths import config_dir
from pvc.training.guard import StepGuard
from pvc.training.module import CodecModule
from pvc.training.run import train
from tests.models.conftest import make
from tests.training.reads import CountReads, Reads, on_a_gpu
from tests.training.test_train_command import SMALL

COUNTING = "+trainer.profiler={_target_: tests.training.reads.CountReads}"
HERE = ["name=test", "page=null", "trainer.accelerator=cpu", "trainer.precision=32-true", "pictures_every=0"]
KINDS = {
    "conv": ("conv", {"multirate": True, "roi": True}, {}),
    "tiny": ("patch", {"multirate": True, "roi": True, "step_map": True}, {}),
    "tiny with searches": ("patch", {"multirate": True, "roi": True}, {"motion_search": True, "symbol_search": True}),
    "fine with searches": ("fine", {"multirate": True, "roi": True}, {"motion_search": True, "symbol_search": True}),
    "single-rate with searches": ("patch", {}, {"motion_search": True, "symbol_search": True}),
}


def configured(*overrides: str):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", [*SMALL, *HERE, *overrides])


def test_only_steps_that_are_logged_read_values(tmp_path):
    """The whole of a step: draws, model, loss, gradients, guard, optimiser, schedule, progress bar and log."""
    train(configured("trainer.log_every_n_steps=5", "checkpoint_every=5", "trainer.max_steps=5", COUNTING), tmp_path)
    assert CountReads.found == {"steps": 3}


def test_only_an_optimiser_that_is_not_fused_has_the_norm_read():
    layer, found = torch.nn.Linear(3, 2), {}
    for fused in (False, True):
        optimizer, guard = torch.optim.SGD(layer.parameters(), lr=1.0, fused=fused), StepGuard(2, every=100)
        layer(torch.ones(3)).sum().backward()
        with Reads() as reads:
            guard(optimizer, layer.parameters(), 1.0, 0)
            optimizer.step()
        found[fused] = dict(reads.found)
    assert found == {False: {"aten._local_scalar_dense": 1}, True: {}}


@pytest.mark.parametrize("kind", KINDS)
def test_model_and_loss_wait_for_no_gpu(kind, monkeypatch):
    """On a GPU that is not there: shapes alone are computed, and what would need a value is an error."""
    monkeypatch.setattr(constants, "_constant", lru_cache(constants._constant.__wrapped__))
    transform, extra, how = KINDS[kind]
    model, loss = make(transform, **extra).train(), RateDistortion()
    with FakeTensorMode(), torch.device("cuda:7"):
        on_a_gpu(model)
        frames, q = torch.rand(2, 3, 3, 96, 96), torch.rand(2, 3, 1, 96, 96)
        hints = torch.zeros(2, 2, 2, 96, 96) if model.motion_hint else None
        for _ in range(2):  # tables are made in the first
            with Reads() as reads, of_samples(0, torch.arange(2)):
                coded = model(frames, torch.rand(2), q, hints, **how)
                loss(frames, coded.x_hat, coded.bits, torch.rand(2), q)
        assert coded.x_hat.device.type == "cuda" and not reads.found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_step_on_a_gpu_does_not_synchronise(gpu, kind, precision):
    transform, extra, how = KINDS[kind]
    model = make(transform, **extra).train().cuda().to(memory_format=torch.channels_last)
    loss, guard = RateDistortion(), StepGuard(2, every=1000)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, fused=True)
    frames, q = torch.rand(2, 3, 3, 96, 96).cuda(), torch.rand(2, 3, 1, 96, 96).cuda()
    beta, index = torch.full((2,), 1e-3).cuda(), torch.arange(2).cuda()
    hints = torch.zeros(2, 2, 2, 96, 96).cuda() if model.motion_hint else None
    for i in range(4):
        torch.cuda.set_sync_debug_mode("error" if i else "default")
        try:
            with of_samples(0, index):
                with torch.autocast("cuda", precision, enabled=precision != torch.float32):
                    coded = model(frames, beta, q, hints, **how)
                loss(frames, coded.x_hat.float(), coded.bits, beta, q)["loss"].backward()
            guard(optimizer, parameters, 1.0, i)
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert guard.skipped == 0


def test_a_fused_optimiser_skips_steps_that_are_not_finite_and_they_are_counted_when_it_is_time():
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
    guard = StepGuard(max_skipped=2, every=4)

    def step(value: float, number: int) -> None:
        for p in layer.parameters():
            p.grad = torch.full_like(p, value)
        guard(optimizer, layer.parameters(), 1.0, number)
        optimizer.step()

    step(1.0, 0)
    before = [p.clone() for p in layer.parameters()] + [v.clone() for s in optimizer.state.values() for v in s.values()]
    for number in (1, 2, 3):  # the third is one in a row too many, and number 3 is the one that reads
        if number == 3:
            with pytest.raises(TrainingError, match="3 steps in a row"):
                step(float("nan"), number)
        else:
            step(float("inf"), number)
    after = [*layer.parameters(), *(v for s in optimizer.state.values() for v in s.values())]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert guard.skipped == guard.in_a_row == 3
    step(1.0, 4)
    assert guard.in_a_row == 0 and not torch.equal(layer.weight, before[0])


def test_steps_in_a_row_between_two_readings_count_though_a_good_one_followed():
    layer = torch.nn.Linear(1, 1)
    optimizer, guard = torch.optim.Adam(layer.parameters(), fused=True), StepGuard(max_skipped=1, every=4)
    with pytest.raises(TrainingError, match="2 steps in a row"):
        for number, value in enumerate((float("nan"), float("nan"), 1.0, 1.0)):
            for p in layer.parameters():
                p.grad = torch.full_like(p, value)
            guard(optimizer, layer.parameters(), None, number)


def test_a_compiled_run_learns_the_same_and_resumes_without(tmp_path):
    """Traced by Dynamo and run as it is; a checkpoint knows nothing of it."""
    short = ["data.frames=2", "trainer.max_steps=2", "training.optimizer.lr=1e-3"]
    plain = load_state(train(configured(*short), tmp_path / "plain"))
    torch.compiler.reset()
    traced = load_state(train(configured(*short, "training.compile=eager"), tmp_path / "traced"))
    assert all(torch.equal(traced[k], v) for k, v in plain.items())
    state = torch.load(tmp_path / "traced" / "checkpoints" / "step=2.ckpt", weights_only=True)["state_dict"]
    assert state.keys() == torch.load(tmp_path / "plain" / "checkpoints" / "step=2.ckpt")["state_dict"].keys()
    train(configured(*short, "trainer.max_steps=3", "resume=true"), tmp_path / "traced")


def test_an_unknown_way_to_compile_is_named():
    with pytest.raises(ConfigError, match=r"training\.compile=fast is not known; give true, false, reduce-overhead"):
        CodecModule(make("patch"), RateDistortion(), torch.optim.Adam, compile="fast")
