"""`pvc train -m` as a user runs it: a killed sweep goes on, what is finished stays, what fails is named; one table."""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from hydra import compose, initialize_config_dir

from pvc.commands.table import runs_in
from pvc.errors import ConfigError
from pvc.evaluation import load_runs
from pvc.evaluation.curves import curve_keys
from pvc.models.checkpoint import read_model_info
from pvc.paths import config_dir
from pvc.sweep import process
from pvc.training.checkpoint_io import newest_checkpoint
from pvc.training.finished import finished
from tests.processes import Command, run

RUN = [
    "experiment=ssf_tiny",
    "data=synthetic",
    "data.source.names=[garage]",
    "data.source.size=[64,64]",
    "data.crop=32",
    "data.frames=2",
    "data.batch_size=1",
    "data.workers=0",
    "model.width=8",
    "model.latent=16",
    "model.motion_latent=8",
    "model.hyper=4",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "trainer.precision=32-true",
    "trainer.max_steps=40",
    "trainer.val_check_interval=1000",
    "checkpoint_every=5",
    "pictures_every=0",
    "page=null",
]
SWEEP = [
    *RUN,
    "model.beta=1e-4,4e-4,5",  # there is no 5
    "evaluate=val",
    "evaluate.anchors=[x264]",
    "evaluate.crf=[20,26,32,38]",
    "evaluate.frames=2",
    "evaluate.jobs=1",
    "resume=true",
]


TASK = {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
"""One task of Slurm's, where runs need no processes of their own."""


WAITING_RUN = """
import sys
from pvc.train import main
from tests.processes import pause_after
if any("beta=0.0004" in argument for argument in sys.argv):
    pause_after("pvc.training.module:CodecModule", "training_step", 7)
main()
"""


def second_run_waits() -> None:
    """The run of beta = 4e-4 waits amid its seventh step, after a checkpoint."""
    process.COMMAND = [sys.executable, "-c", WAITING_RUN]


@pytest.fixture(scope="module")
def gone_on(tmp_path_factory) -> tuple[Path, bytes, int, str]:
    """A sweep that was killed in its second run and started again: its folder, its first release as it was when it was
    killed, exit code and output of the second start."""
    out = tmp_path_factory.mktemp("sweep") / "ssf"
    arguments = ["-m", *SWEEP, f"out={out}"]
    with Command("pvc.train", arguments, out.with_name("killed.txt"), before=second_run_waits) as sweep:
        sweep.reached()
        assert newest_checkpoint(out / "model.beta=0.0004" / "checkpoints").name == "step=5.ckpt"
        started = psutil.Process(sweep.pid).children(recursive=True)
        sweep.send(signal.SIGKILL)
        sweep.go()
    _, alive = psutil.wait_procs(started, timeout=120)  # the run ends as nobody would know of it any more
    assert started and not alive
    release = (out / "model.beta=0.0001" / "model.safetensors").read_bytes()
    with Command("pvc.train", arguments, out.with_name("said.txt"), **TASK) as sweep:
        return out, release, sweep.code(), sweep.said


def test_a_killed_sweep_goes_on_and_repeats_nothing(gone_on):
    out, release, _, said = gone_on
    assert f"{out / 'model.beta=0.0001'} is finished" in said
    assert (out / "model.beta=0.0001" / "model.safetensors").read_bytes() == release
    assert len(list((out / "model.beta=0.0001" / "logs").iterdir())) == 1
    assert f"{out / 'model.beta=0.0004' / 'model.safetensors'}" in said.splitlines()
    for beta in (1e-4, 4e-4):
        info = read_model_info(out / f"model.beta={beta:g}" / "model.safetensors")
        assert info["config"]["beta"] == beta and info["meta"]["steps"] == 40


def test_a_run_that_fails_leaves_the_others_going_and_is_named(gone_on):
    out, _, code, said = gone_on
    assert code == 1
    last = said.splitlines()[-1]
    assert "1 of 3 runs failed" in last and f"{out / 'model.beta=5'} (" in last and "beta" in last.split("(")[1]
    assert "Traceback" not in said


def test_runs_of_several_rates_are_one_curve_beside_anchors_that_were_coded_once(gone_on):
    out, *_ = gone_on
    records = load_runs(runs_in(out))
    assert {key.label for key in curve_keys(records)} == {"x264", "ssf_tiny"}
    assert sorted(r.point["beta"] for r in records if r.codec == "ssf_tiny") == [1e-4, 4e-4]
    assert len((out / "anchors" / "results.jsonl").read_text().splitlines()) == 4


def configured(*overrides: str):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", ["name=x", "model.beta=1e-4", *RUN, "resume=true", *overrides])


def test_a_finished_run_is_known_by_its_configuration(gone_on):
    out, *_ = gone_on
    folder = out / "model.beta=0.0001"
    assert finished(configured("pictures_every=7", "data.workers=3"), folder) is not None
    assert finished(configured("trainer.max_steps=300"), folder) is None  # the same, and longer
    for other in ("training.whole_share=0.9", "seed=1", "trainer.max_steps=30"):
        key, value = other.split("=")
        with pytest.raises(ConfigError, match=rf"finished with another configuration \({key}: .* there, {value} here"):
            finished(configured(other), folder)
    with pytest.raises(ConfigError, match="resume=true to keep it"):
        finished(configured("resume=false"), folder)
    assert finished(configured(), out) is None


@pytest.mark.skipif(find_spec("hydra_plugins.hydra_submitit_launcher") is None, reason="needs pvc[launchers]")
def test_a_run_of_a_sweep_has_several_devices_whatever_launches_it(tmp_path):
    own = [*RUN, "trainer.devices=2", "trainer.max_steps=2", "hydra/launcher=submitit_local", f"out={tmp_path}"]
    own += ["model.beta=choice(1e-4)", "trainer.log_every_n_steps=1"]
    done = run("pvc.train", "-m", *own)
    assert done.returncode == 0, done.stderr
    (release,) = tmp_path.rglob("model.safetensors")
    assert read_model_info(release)["meta"]["steps"] == 2
    said = (release.parent / "output.txt").read_text()
    assert said.count(str(release)) == 1
    assert len(list(release.parent.rglob("metrics.csv"))) == 1


@pytest.mark.skipif(find_spec("hydra_plugins.hydra_submitit_launcher") is None, reason="needs pvc[launchers]")
def test_what_slurm_is_asked_for(tmp_path):
    """A job for each run, on as many nodes and devices as the trainer has; what Slurm says of it is told."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        (commands / name).write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/script\necho invalid partition >&2\nexit 1\n')
        (commands / name).chmod(0o755)
    own = [
        "model.beta=1e-4,4e-4",
        "trainer.devices=4",
        "trainer.num_nodes=2",
        "hydra/launcher=slurm",
        f"out={tmp_path}",
    ]
    own += ["hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=90", "hydra.launcher.signal_delay_s=60"]
    done = run("pvc.train", "-m", *RUN, *own, PATH=f"{commands}:{os.environ['PATH']}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "pvc: error: the jobs could not be queued: invalid partition"
    lines = (tmp_path / "script").read_text().splitlines()
    asked = dict(line.removeprefix("#SBATCH --").split("=", 1) for line in lines if line.startswith("#SBATCH --"))
    expected = {"nodes": "2", "ntasks-per-node": "4", "gpus-per-node": "4", "array": "0-1%2", "partition": "gpu"}
    assert asked.items() >= (expected | {"time": "90", "signal": "USR2@60"}).items()
    assert any(line.startswith("srun ") and "submitit.core._submit" in line for line in lines)
