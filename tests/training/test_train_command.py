"""`pvc train` as a user runs it: a killed run resumes to the same weights; what cannot go on is refused in one line."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pvc.models.checkpoint import load_model, read_model_info

SMALL = [
    "experiment=tiny",
    "data=synthetic",
    "data.crop=64",
    "data.batch_size=2",
    "data.workers=0",
    "model.width=8",
    "model.latent=16",
    "model.motion_latent=4",
    "model.hyper=4",
    "trainer.max_steps=6",
    "+trainer.limit_val_batches=0",
    "trainer.log_every_n_steps=1",
    "checkpoint_every=2",
    "pictures_every=3",
]


def command(*overrides: str) -> list[str]:
    return [sys.executable, "-m", "pvc.train", *SMALL, *overrides]


def run(*overrides: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(*overrides), capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("train") / "unbroken"
    done = run(f"out={out}")
    assert done.returncode == 0, done.stderr
    return out


def test_a_run_leaves_a_model_logs_and_pictures(unbroken):
    model = load_model(unbroken / "model.safetensors")
    assert model.multirate and model.roi
    assert read_model_info(unbroken / "model.safetensors")["meta"]["steps"] == 6
    with next((unbroken / "logs").rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and {"train/loss", "train/bpp", "train/psnr", "train/grad_norm"} <= set(rows[0])
    assert {p.name for p in (unbroken / "pictures").iterdir()} == {"step=3.png", "step=6.png"}


def test_checkpoints_load_without_pickle(unbroken):
    newest = unbroken / "checkpoints" / "step=6.ckpt"
    assert torch.load(newest, weights_only=True)["global_step"] == 6


def test_a_killed_run_resumes_to_the_same_weights(unbroken, tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen(command(f"out={out}", "trainer.max_steps=100000"), stderr=subprocess.DEVNULL)
    deadline = time.time() + 240
    while not list((out / "checkpoints").glob("step=2.ckpt")) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for late in (out / "checkpoints").glob("*.ckpt"):  # the kill may come after more checkpoints than one
        if late.name != "step=2.ckpt":
            late.unlink()
    again = run(f"out={out}", "resume=true")
    assert again.returncode == 0, again.stderr
    expected, got = load_file(unbroken / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(torch.equal(got[k], v) for k, v in expected.items())


def test_two_processes_train_one_model(tmp_path):
    """DistributedDataParallel over gloo: one model, one log, one checkpoint."""
    out = tmp_path / "two"
    done = run(f"out={out}", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_steps=2")
    assert done.returncode == 0, done.stderr
    assert read_model_info(out / "model.safetensors")["meta"]["steps"] == 2
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step=2.ckpt"]
    assert len(list((out / "logs").rglob("metrics.csv"))) == 1


def test_a_sweep_trains_every_value_in_a_folder_of_its_own(tmp_path):
    sweep = ["model.beta=1e-4,4e-4", "trainer.max_steps=1", f"out={tmp_path}", "-m"]
    done = subprocess.run(command(*sweep), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    models = sorted(tmp_path.rglob("model.safetensors"))
    assert [read_model_info(m)["config"]["beta"] for m in models] == [1e-4, 4e-4]
    assert len({m.parent for m in models}) == 2


def test_a_damaged_checkpoint_is_named(unbroken, tmp_path):
    folder = tmp_path / "damaged" / "checkpoints"
    folder.mkdir(parents=True)
    whole = (unbroken / "checkpoints" / "step=6.ckpt").read_bytes()
    for name, data in (("step=2.ckpt", whole[:5000]), ("step=4.ckpt", b"garbage")):
        (folder / name).write_bytes(data)
        done = run(f"out={folder.parent}", "resume=true")
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert f"{name} is damaged" in done.stderr and "delete it" in done.stderr


def test_mixed_precision_trains(tmp_path):
    out = tmp_path / "mixed"
    done = run(
        f"out={out}", "trainer.precision=bf16-mixed", "trainer.max_steps=2", "logger=wandb", "logger.wandb.offline=true"
    )
    assert done.returncode == 0, done.stderr
    assert load_model(out / "model.safetensors").config["width"] == 8
    assert list((out / "wandb").glob("offline-run-*"))


def test_a_finished_run_is_not_overwritten(unbroken):
    before = (unbroken / "model.safetensors").read_bytes()
    done = run(f"out={unbroken}")
    assert done.returncode == 2
    assert "resume=true" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert (unbroken / "model.safetensors").read_bytes() == before


def test_another_architecture_cannot_resume_it(unbroken):
    done = run(f"out={unbroken}", "resume=true", "model.width=16", "trainer.max_steps=8")
    assert done.returncode == 2 and "another architecture" in done.stderr.strip().splitlines()[-1]


def test_ctrl_c_is_one_line_and_keeps_the_checkpoint(tmp_path, interruptible):
    out = tmp_path / "interrupted"
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = interruptible(
        command(f"out={out}", "trainer.max_steps=100000"), stderr=subprocess.PIPE, text=True, env=env
    )
    deadline = time.time() + 240
    while not list((out / "checkpoints").glob("*.ckpt")) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors and "resume=true" in errors
    assert list((out / "checkpoints").glob("*.ckpt"))


@pytest.mark.parametrize(
    "override, words",
    [
        ("data.root=/nowhere", "/nowhere"),
        ("model.beta=5", "beta"),
        ("warm_start=nothing", "nothing"),
        ("experiment=unknown", "unknown"),
        ("trainer.nonsense=1", "nonsense"),
    ],
)
def test_bad_input_is_one_line(override, words, tmp_path):
    extra = ["data=clips"] if "root" in override else []
    done = run(*extra, override, f"out={tmp_path / 'run'}")
    assert done.returncode == 2
    assert words in done.stderr.strip().splitlines()[-1] and "Traceback" not in done.stderr
