"""Several devices: what one process trains with a batch, two train with half of it each; one log, one checkpoint."""

import csv
import math
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from pvc.data.sampler import ShareSampler
from pvc.losses.rate_distortion import RateDistortion
from tests.training.test_cpvc_training import SMALL as CPVC
from tests.training.test_cpvc_training import made  # noqa: F401 (a fixture)

multiprocessing.get_context("forkserver").set_forkserver_preload(
    ["pvc.training.run", "pvc.training.module", "pvc.training.cpvc", "pvc.data.module", "pvc.train"]
)

SSF = [
    "experiment=tiny",
    "data=synthetic",
    "data.source.names=[cat-on-grass,garage,cafe]",  # to validate on: two for one process, one for the other
    "data.source.size=[64,64]",
    "data.val_frames=2",
    "data.crop=32",
    "data.frames=2",
    "data.workers=0",
    "model.width=8",
    "model.latent=16",
    "model.motion_latent=4",
    "model.hyper=4",
    "training.scheduler.warmup=1",
    "trainer.max_steps=4",
    "trainer.val_check_interval=4",
]
BOTH = ["trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.log_every_n_steps=1", "page=null"]
BOTH += ["keep_checkpoints=1", "pictures_every=0"]


def train(out: Path, processes: int, *overrides: str, before: Callable | None = None) -> list[str]:
    """A run whose processes are started as Slurm's srun does, with a batch of 4 in all; what each of them has said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {"SLURM_NTASKS": processes, "SLURM_NTASKS_PER_NODE": processes, "SLURM_NNODES": 1, "SLURM_NODEID": 0}
    job |= {"SLURM_JOB_ID": 1, "SLURM_JOB_NAME": "train", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    own = [*overrides, *BOTH, f"out={out}", f"data.batch_size={4 // processes}", f"trainer.devices={processes}"]
    started = []
    for rank in range(processes):
        task = job | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank} if processes > 1 else {}
        said = out.with_name(f"{out.name}-{rank}.txt")
        context = multiprocessing.get_context("forkserver")
        started.append((said, context.Process(target=_task, args=(own, task, said, before))))
    try:
        for _, process in started:
            process.start()
        until = time.monotonic() + 240
        while running := [process for _, process in started if process.exitcode is None]:
            if time.monotonic() > until or any(process.exitcode for _, process in started):
                break  # where one fails, another may wait for it
            running[0].join(0.2)
        assert [process.exitcode for _, process in started] == [0] * processes, "".join(
            f.read_text() for f, _ in started
        )
    finally:
        for _, process in started:
            process.kill()
    return [said.read_text() for said, _ in started]


def _task(overrides: list[str], environment: dict[str, int], said: Path, before: Callable | None) -> None:
    from pvc.train import main

    file = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update({name: str(value) for name, value in environment.items()})
    rank_zero_only.rank = int(environment.get("SLURM_PROCID", 0))  # srun gives it before Lightning is imported
    sys.argv = ["pvc train", *overrides]
    if before is not None:
        before()
    main()


def second_step_goes_wrong() -> None:
    """The loss of step 2 is not a number; where there are two processes, that of the second one alone."""
    forward, calls = RateDistortion.forward, []

    def wrong(self, x, *rest):
        parts = forward(self, x, *rest)
        calls.append(x)
        if len(calls) == 2 and os.environ.get("SLURM_PROCID", "1") == "1":
            parts["loss"] = parts["loss"] * math.nan
        return parts

    RateDistortion.forward = wrong


def weights(out: Path) -> dict[str, torch.Tensor]:
    (file,) = (out / "checkpoints").iterdir()
    return {k: v.float() for k, v in torch.load(file, weights_only=True)["state_dict"].items() if v.numel()}


def logged(out: Path, part: str) -> dict[str, list[float]]:
    """The columns of the only log whose names begin with ``part``."""
    (file,) = (out / "logs").rglob("metrics.csv")
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0] if name.startswith(part)}


@pytest.fixture(scope="module", params=["ssf", "cpvc"])
def runs(request, tmp_path_factory, made):  # noqa: F811
    """One run by one process and one by two; folders and what the processes said."""
    overrides, before = SSF, second_step_goes_wrong
    if request.param == "cpvc":  # with its discriminator; validation is on one clip at two QPs, one for each process
        overrides = [*CPVC, *made, "trainer.max_steps=3", "trainer.val_check_interval=3"]
        overrides, before = [*overrides, "trainer.strategy=ddp_find_unused_parameters_true"], None
    folder = tmp_path_factory.mktemp(request.param)
    return [(folder / str(n), train(folder / str(n), n, *overrides, before=before)) for n in (1, 2)]


def test_two_processes_train_what_one_trains_with_twice_the_batch(runs):
    alone, two = (weights(out) for out, _ in runs)
    assert alone.keys() == two.keys()
    for name, expected in alone.items():
        # Adam makes steps of up to 5e-4 of gradients however small, rounding errors among them.
        assert torch.allclose(two[name], expected, rtol=1e-5, atol=2e-5), name
        assert (two[name] - expected).abs().mean() < 1e-6, name


def test_the_log_has_the_means_over_both(runs):
    alone, two = (logged(out, "train/") for out, _ in runs)
    assert alone.keys() == two.keys()
    for name in alone.keys() - {"train/psnr"}:  # a mean of logarithms there, the logarithm of a mean here
        assert two[name] == pytest.approx(alone[name], rel=1e-4, abs=1e-6, nan_ok=True), name


def test_validation_counts_every_clip_once(runs):
    alone, two = (logged(out, "val/") for out, _ in runs)
    assert alone and alone.keys() == two.keys()
    for name, expected in alone.items():
        assert two[name] == pytest.approx(expected, rel=1e-4), name


def test_one_process_writes_for_both(runs):
    _, (out, (first, second)) = runs
    release = str(out / "model.safetensors")
    assert release in first.splitlines() and release not in second
    assert Path(release).is_file() and not list(out.rglob("*.partial"))


def test_a_step_that_goes_wrong_in_one_process_is_skipped_by_all(runs):
    skipped = [logged(out, "train/skipped")["train/skipped"] for out, _ in runs]
    expected = [0, 1, 1, 1] if len(skipped[0]) == 4 else [0, 0, 0]  # the wrong step is one of the ssf runs'
    assert skipped == [expected, expected]


@pytest.mark.parametrize("processes, clips", [(1, 3), (2, 3), (3, 3), (4, 6), (8, 6), (8, 1)])
def test_shares_are_of_one_length_and_hold_each_clip_once(processes, clips):
    shares = [list(ShareSampler(clips, rank, processes)) for rank in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(i for share in shares for i in share if i < clips) == list(range(clips))
