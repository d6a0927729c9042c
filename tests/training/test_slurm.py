"""Runs and sweeps on a cluster of Slurm that is this machine; skipped where its programs are not installed."""

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from safetensors.torch import load_file

from pvc.training.checkpoint_io import newest_checkpoint
from tests.processes import LONGEST, ROOT, run
from tests.slurm import of_cluster, slurm_cluster, why_not
from tests.training.test_sweep import RUN

MISSING = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=f"needs Slurm: {MISSING}")]


@pytest.fixture(scope="module")
def cluster():
    with slurm_cluster() as environment:
        yield environment


def test_nothing_outlives_a_cluster(tmp_path):
    with slurm_cluster() as environment:
        ask(environment, "sbatch", "--array=1-2", "--output=/dev/null", "--wrap", "exec sleep 600")
        folder = Path(environment["SLURM_CONF"]).parent
        until(lambda: any("600" in p.cmdline() for p in of_cluster(folder)), environment, tmp_path / "none")
    assert not of_cluster(folder)


def ask(cluster: dict[str, str], *command: object) -> str:
    """What a command of Slurm says."""
    asked = list(map(str, command))
    return subprocess.run(asked, env=os.environ | cluster, capture_output=True, text=True, check=True).stdout


def until(what, cluster: dict[str, str], said: Path) -> None:
    """Wait for it."""
    end = time.monotonic() + LONGEST
    while not what():
        told = said.read_text() if said.exists() else ""
        assert time.monotonic() < end, f"{ask(cluster, 'squeue')}\n{told}"
        time.sleep(0.5)


def test_a_job_that_is_told_its_end_goes_on_where_it_was(cluster, tmp_path):
    """Two nodes; USR1 comes in the midst of the run, as from ``sbatch --signal``; what is trained is as in one go."""
    words = [*RUN, "trainer.num_nodes=2", "trainer.max_steps=200", "checkpoint_every=200"]
    script = f"""#!/bin/sh
#SBATCH --nodes=2 --ntasks-per-node=1 --requeue --open-mode=append --output={tmp_path}/said
export MASTER_ADDR=127.0.0.1 PYTHONPATH={ROOT} OMP_NUM_THREADS=1
cd {tmp_path}
exec srun {sys.executable} -m pvc.train {" ".join(f"'{word}'" for word in words)} "out=$1"
"""
    (tmp_path / "job.sh").write_text(script)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    said = tmp_path / "said"
    job = ask(cluster, "sbatch", "--parsable", tmp_path / "job.sh", broken).strip()
    log = broken / "logs" / "version_0" / "metrics.csv"
    until(lambda: log.exists() and len(log.read_text().splitlines()) > 2, cluster, said)
    ask(cluster, "scancel", "--signal=USR1", job)
    until(lambda: f"job {job} is queued again" in said.read_text(), cluster, said)
    until(lambda: "JobState=PENDING" in ask(cluster, "scontrol", "show", "job", job), cluster, said)
    ask(cluster, "scontrol", "update", f"JobId={job}", "StartTime=now")  # not after two minutes
    until((broken / "model.safetensors").exists, cluster, said)
    assert newest_checkpoint(broken / "checkpoints") is not None
    ask(cluster, "sbatch", "--wait", tmp_path / "job.sh", whole)
    one, two = (load_file(out / "model.safetensors") for out in (whole, broken))
    assert one.keys() == two.keys() and all((one[k] == two[k]).all() for k in one), said.read_text()


@pytest.mark.skipif(find_spec("hydra_plugins.hydra_submitit_launcher") is None, reason="needs pvc[launchers]")
def test_a_sweep_is_done_by_jobs_and_not_again(cluster, tmp_path):
    out = tmp_path / "sweep"
    own = ["model.beta=1e-4,4e-4", "hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null"]
    own += ["hydra.launcher.cpus_per_task=1", "resume=true", f"out={out}"]
    made = []
    for jobs in (2, 4):  # those of the second command find nothing to do
        done = run("pvc.train", "-m", *RUN, *own, **cluster, PYTHONPATH=str(ROOT))
        assert done.returncode == 0, done.stderr
        made.append({path.parent.name: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")})
        assert len(list((out / ".submitit").glob("*_submitted.pkl"))) == jobs
    assert made[0] == made[1] and set(made[0]) == {"model.beta=0.0001", "model.beta=0.0004"}
