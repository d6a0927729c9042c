"""Whatever ends a training, the same command with resume=true ends with the weights of one that nothing happened to."""

import os
import random
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest

from pvc.models.checkpoint import read_model_info
from pvc.training.checkpoint_io import check_readable, newest_checkpoint
from tests.processes import pause
from tests.training.processes import STEPS, Training, finish, steps


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    with Training(tmp_path_factory.mktemp("runs") / "unbroken") as run:
        assert run.code() == 0, run.said
    return run.out


def pausing_amid_a_checkpoint() -> None:
    fsync, calls = os.fsync, []

    def slow(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:  # a file and its folder for each checkpoint
            os.ftruncate(handle, 1000)
            pause()
        fsync(handle)

    os.fsync = slow


def pausing_before_a_deletion() -> None:
    unlink = Path.unlink

    def slow(self: Path, missing_ok: bool = False) -> None:
        if self.name == "step=3.ckpt":
            pause()
        unlink(self, missing_ok=missing_ok)

    Path.unlink = slow


def test_a_run_killed_again_and_again_ends_as_an_unbroken_one(unbroken, tmp_path):
    """Ended and prolonged; killed amid a checkpoint, before the deletion of an old one, and whenever it happens."""
    with Training(tmp_path, "trainer.max_steps=2") as run:
        assert run.code() == 0, run.said
    assert read_model_info(tmp_path / "model.safetensors")["meta"]["steps"] == 2
    kills = {
        pausing_amid_a_checkpoint: {"step=2.ckpt", "step=3.ckpt", ".step=4.ckpt.partial"},
        pausing_before_a_deletion: {"step=3.ckpt", "step=4.ckpt", "step=5.ckpt"},
    }
    for before, there in kills.items():
        with Training(tmp_path, before=before) as run:
            run.reached()
            run.send(signal.SIGKILL)
            run.code()
        assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == there
        check_readable(newest_checkpoint(tmp_path / "checkpoints"))
    with Training(tmp_path) as run:
        run.until(lambda: steps(tmp_path) > 5)
        time.sleep(random.random() / 4)
        run.send(signal.SIGKILL)
        run.code()
    check_readable(newest_checkpoint(tmp_path / "checkpoints"))
    finish(tmp_path, unbroken)


def limited(size: int) -> None:
    """No file of this process may be larger, from its first step on: a disk that is nearly full, or a quota."""
    from lightning import Trainer

    fit = Trainer.fit

    def limited_fit(self, *args, **kwargs):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        fit(self, *args, **kwargs)

    Trainer.fit = limited_fit


def room_for_nothing() -> None:
    limited(6000)  # but for what it says


def room_for_checkpoints() -> None:
    from pvc.training import run

    save = run.save_model

    def cramped(*args) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
        save(*args)

    run.save_model = cramped


def test_a_full_disk_stops_a_run_in_one_line_and_room_lets_it_go_on(unbroken, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    newest, release = out / "checkpoints" / f"step={STEPS}.ckpt", (out / "model.safetensors").read_bytes()
    longer = f"trainer.max_steps={STEPS + 1}"
    with Training(out, longer, "pictures_every=1", before=room_for_nothing) as run:
        assert run.code() == 2, run.said
    picture, error = run.lines
    assert picture.startswith(f"pvc: pictures in {out}/pictures cannot be written (File too large); the run goes on")
    assert error.startswith(
        f"pvc: error: {out}/checkpoints/step={STEPS + 1}.ckpt cannot be written: File too large; it takes"
    )
    assert error.endswith(f"the last good checkpoint is {newest}") and "Traceback" not in run.said
    assert newest_checkpoint(out / "checkpoints") == newest
    with Training(out, longer, before=room_for_checkpoints) as run:
        assert run.code() == 2, run.said
    assert "model.safetensors cannot be written" in run.lines[-1] and "resume=true" in run.lines[-1]
    assert (out / "model.safetensors").read_bytes() == release and not list(out.rglob("*.partial"))
    with Training(out, longer) as run:
        assert run.code() == 0, run.said
    assert read_model_info(out / "model.safetensors")["meta"]["steps"] == STEPS + 1


def going_wrong_after_three_steps() -> None:
    from pvc.losses.rate_distortion import RateDistortion

    forward, calls = RateDistortion.forward, []

    def wrong(self, *args, **kwargs):
        parts = forward(self, *args, **kwargs)
        calls.append(None)
        return parts | {"loss": parts["loss"] * (float("nan") if len(calls) > 3 else 1)}

    RateDistortion.forward = wrong


def test_losses_that_are_not_finite_stop_a_run_before_they_reach_a_checkpoint(tmp_path):
    most = ["training.max_skipped=2", "trainer.precision=bf16-mixed"]
    with Training(tmp_path, *most, before=going_wrong_after_three_steps) as run:
        assert run.code() == 2, run.said
    (error,) = run.lines
    assert "3 steps in a row had a loss or gradient that is not finite" in error and "another seed" in error
    assert error.endswith(f"the last good checkpoint is {tmp_path}/checkpoints/step=3.ckpt")
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {"step=2.ckpt", "step=3.ckpt"}
