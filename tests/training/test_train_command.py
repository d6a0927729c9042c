"""`pvc train` as a user runs it: what a run leaves, and what cannot go on is refused in one line."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pvc.models.checkpoint import load_model, read_model_info
from tests import processes

SMALL = [
    "experiment=tiny",
    "data=synthetic",
    "data.crop=32",
    "data.batch_size=2",
    "data.workers=0",
    "model.width=8",
    "model.latent=16",
    "model.motion_latent=8",
    "model.hyper=4",
    "trainer.max_steps=6",
    "+trainer.limit_val_batches=0",
    "trainer.log_every_n_steps=1",
    "checkpoint_every=2",
    "pictures_every=3",
]


def run(*overrides: str) -> subprocess.CompletedProcess:
    return processes.run("pvc.train", *SMALL, *overrides)


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
    assert len([row for row in rows if row["train/loss"]]) == len([row for row in rows if row["lr-Adam"]]) == 6
    assert {"train/loss", "train/bpp", "train/psnr", "train/grad_norm"} <= set(rows[0])
    assert {p.name for p in (unbroken / "pictures").iterdir()} == {"step=3.png", "step=6.png"}


def test_checkpoints_load_without_pickle(unbroken):
    newest = unbroken / "checkpoints" / "step=6.ckpt"
    assert torch.load(newest, weights_only=True)["global_step"] == 6


def test_a_damaged_checkpoint_is_named(unbroken, tmp_path):
    folder = tmp_path / "damaged" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "step=4.ckpt").write_bytes((unbroken / "checkpoints" / "step=6.ckpt").read_bytes()[:5000])
    command = [sys.executable, "-m", "pvc.train", *SMALL, f"out={folder.parent}", "resume=true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "step=4.ckpt is damaged" in done.stderr and "delete it" in done.stderr


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


def test_another_architecture_cannot_resume_it(unbroken, tmp_path):
    shutil.copytree(unbroken / "checkpoints", tmp_path / "checkpoints")
    done = run(f"out={tmp_path}", "resume=true", "model.width=16", "trainer.max_steps=8")
    assert done.returncode == 2 and "another architecture" in done.stderr.strip().splitlines()[-1]


def test_the_bar_of_a_resumed_epoch_ends_where_the_run_ends(unbroken, tmp_path):
    out = tmp_path / "run"
    few = [f"out={out}", "trainer.val_check_interval=100", "evaluate=null"]  # null: nothing of it, as by default
    assert run(*few, "trainer.max_steps=4").returncode == 0
    done = run(*few, "trainer.max_steps=7", "resume=true")
    assert done.returncode == 0 and " 7/7 " in done.stdout


@pytest.mark.parametrize(
    "override, words",
    [
        ("data.root=/nowhere", "/nowhere"),
        ("model.beta=5", "beta"),
        ("warm_start=nothing", "nothing"),
        ("experiment=unknown", "unknown"),
        ("trainer.nonsense=1", "nonsense"),
        ("loss=null", "one of loss has to be chosen"),
    ],
)
def test_bad_input_is_one_line(override, words, tmp_path):
    extra = ["data=clips"] if "root" in override else []
    done = run(*extra, override, f"out={tmp_path / 'run'}")
    assert done.returncode == 2
    assert words in done.stderr.strip().splitlines()[-1] and "Traceback" not in done.stderr
