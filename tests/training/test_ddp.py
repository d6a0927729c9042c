"""Several devices: what one process trains with a batch, two train with half of it each; one log, one checkpoint."""

import csv
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pvc.data.sampler import ShareSampler
from pvc.losses.rate_distortion import RateDistortion
from tests.training.processes import trained_by
from tests.training.test_cpvc_training import SMALL as CPVC
from tests.training.test_cpvc_training import made  # noqa: F401 (a fixture)

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
    "model.motion_latent=8",
    "model.hyper=4",
    "training.scheduler.warmup=1",
    "trainer.max_steps=4",
    "trainer.val_check_interval=4",
]
BOTH = ["trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.log_every_n_steps=1", "page=null"]
BOTH += ["keep_checkpoints=1", "pictures_every=0"]


def train(out: Path, processes: int, *overrides: str, before: Callable | None = None) -> list[str]:
    """A run with a batch of 4 in all."""
    own = [*overrides, *BOTH, f"data.batch_size={4 // processes}"]
    return trained_by(processes, out, *own, before=before)


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
