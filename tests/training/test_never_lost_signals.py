"""Signals end a training when its step is done, with a checkpoint of it; Slurm queues its job again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pvc.training.checkpoint_io import newest_checkpoint
from pvc.training.slurm import requeue, slurm_job, wants_requeue, was_requeued
from tests.processes import LONGEST, Command
from tests.training.processes import RUN, VALIDATED, Training, finish, pausing, steps

RARELY = "checkpoint_every=100"
"""Only signals and the validation make checkpoints."""
JOB = {
    "SLURM_JOB_ID": "71",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}
PREEMPTED = "2026-03-01T12:00:00"


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    with Training(tmp_path_factory.mktemp("runs") / "unbroken") as run:
        assert run.code() == 0, run.said
    return run.out


@pytest.fixture
def scontrol(tmp_path) -> dict[str, str]:
    """Environment with a Slurm that notes what it is asked; preempted jobs are those of whose number it is told."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    program = folder / "scontrol"
    program.write_text(
        f"""#!/bin/sh
        echo "$@" >> {folder}/asked
        [ "$2" = 404 ] && echo "Invalid job id specified" >&2 && exit 1
        [ "$1" = show ] && echo "JobId=$3\n   PreemptEligibleTime={PREEMPTED} PreemptTime=$PREEMPT_TIME"
        exit 0
        """
    )
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "PREEMPT_TIME": "None"}


def asked(environment: dict[str, str]) -> str:
    """What Slurm was asked for."""
    log = Path(environment["PATH"].split(":")[0]) / "asked"
    return log.read_text() if log.exists() else ""


def stop(run: Training, number: signal.Signals, code: int) -> str:
    """Send the signal amid a step; the one line that pvc says."""
    run.reached()
    run.send(number)
    run.go()
    assert run.code() == code, run.said
    assert "Traceback" not in run.said
    (line,) = run.lines
    newest = newest_checkpoint(run.out / "checkpoints")
    assert line.startswith(f"pvc: {number.name} after step {steps(run.out)}: the last good checkpoint is {newest}; ")
    return line


def with_a_handler_of_another() -> None:
    """What submitit does: its handler queues the job again and exits."""
    pausing()

    def handler(number: int, frame: object) -> None:
        print("pvc test: queued by another", flush=True)
        sys.exit(255)

    signal.signal(signal.SIGUSR2, handler)


def stopping_amid_validation() -> None:
    from pvc.training.module import CodecModule

    step = CodecModule.validation_step

    def stopped(self, batch, index):
        os.kill(os.getpid(), signal.SIGTERM)
        step(self, batch, index)

    CodecModule.validation_step = stopped


def test_signals_leave_a_checkpoint_of_the_step_they_came_in(unbroken, scontrol, tmp_path):
    """One run, stopped by one signal after the other, ends as an unbroken one."""
    out = tmp_path / "run"
    with Training(out, RARELY, "data.workers=2", before=pausing) as run:
        run.reached()
        loaders = psutil.Process(run.process.pid).children()
        assert loaders
        for loader in loaders:  # Slurm and others signal all processes of a run
            for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):
                loader.send_signal(number)
        assert stop(run, signal.SIGTERM, 143).endswith("; resume=true goes on from it") and steps(out) == 1
    with Training(out, RARELY, before=pausing, **JOB, **scontrol) as run:
        assert "; job 71 is queued again; " in stop(run, signal.SIGUSR1, 138) and steps(out) == 2
    assert asked(scontrol) == "requeue 71\n"
    with Training(out, RARELY, "resume=false", before=pausing, **JOB, **scontrol, SLURM_RESTART_COUNT="1") as run:
        stop(run, signal.SIGINT, 130)
    assert steps(out) == 3
    with Training(out, RARELY, before=with_a_handler_of_another, **JOB, **scontrol) as run:
        run.reached()
        run.send(signal.SIGUSR2)
        run.go()
        assert run.code() == 255 and steps(out) == 4
    assert run.lines[0].startswith("pvc: SIGUSR2 after step 4") and run.lines[1] == "pvc test: queued by another"
    assert asked(scontrol) == "requeue 71\n"
    with Training(out, RARELY, before=stopping_amid_validation) as run:
        assert run.code() == 143, run.said
    assert steps(out) == VALIDATED
    finish(out, unbroken)
    columns = [p.read_text().splitlines()[0] for p in sorted(out.rglob("metrics.csv"))]
    assert ["val/" in c for c in columns] == [False] * 5 + [True]  # the validation was done all the same


def test_a_second_signal_ends_at_once(tmp_path):
    with Training(tmp_path, before=pausing) as run:
        run.reached()
        for _ in range(int(LONGEST / 0.1)):  # those that come soon after the first are taken for the same
            if run.process.is_alive():
                run.send(signal.SIGTERM)
                run.process.join(0.1)
        assert run.code() == -signal.SIGTERM
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    "number, preempted, again",
    [
        (signal.SIGUSR1, "None", True),
        (signal.SIGUSR2, "None", True),
        (signal.SIGTERM, "None", False),  # scancel
        (signal.SIGTERM, PREEMPTED, True),
        (signal.SIGINT, PREEMPTED, False),
    ],
)
def test_a_job_is_queued_again_when_its_time_ends_and_not_when_it_is_cancelled(
    number, preempted, again, scontrol, monkeypatch
):
    for name, value in (JOB | scontrol | {"PREEMPT_TIME": preempted}).items():
        monkeypatch.setenv(name, value)
    assert wants_requeue(number) is again
    monkeypatch.delenv("SLURM_JOB_ID")
    assert not wants_requeue(number)


def test_slurms_answers(scontrol, monkeypatch):
    for name, value in (JOB | scontrol).items():
        monkeypatch.setenv(name, value)
    assert not was_requeued()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert was_requeued()
    monkeypatch.setenv("SLURM_JOB_ID", "404")
    assert requeue() == "job 404 could not be queued again (Invalid job id specified)"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "70")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert slurm_job() == "70_3" and requeue() == "job 70_3 is queued again"
    monkeypatch.setenv("PATH", "/nowhere")
    assert "could not be queued again" in requeue() and not wants_requeue(signal.SIGTERM)
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert slurm_job() is None and not was_requeued()


def waiting_for_the_first() -> None:
    from pvc.training.ending import ending
    from pvc.training.signals import Signals

    with ending(None, Path(), Signals()):
        time.sleep(LONGEST)


def test_a_process_ends_whose_first_one_was_gone_before_it_looked(tmp_path):
    """It has another parent by now."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    first = {"before": waiting_for_the_first, "PVC_FIRST_PROCESS": str(gone.pid)}
    with Command("pvc.train", ["hydra.job.name=train_ddp_process_1"], tmp_path / "said", **first) as other:
        assert other.code() == 1 and not other.said


@pytest.mark.slow
def test_a_signal_to_one_process_of_two_ends_both_with_one_checkpoint(tmp_path):
    """DistributedDataParallel: the first process writes and speaks, and waits for the other."""
    out, errors = tmp_path / "run", tmp_path / "errors"
    command = [sys.executable, "-m", "pvc.train", *RUN, "trainer.devices=2", "trainer.max_steps=100000", f"out={out}"]
    with errors.open("w") as file, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file) as process:
        try:
            deadline = time.monotonic() + LONGEST
            while not steps(out) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            others = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            assert process.wait(LONGEST) == 143, errors.read_text()
            _, alive = psutil.wait_procs(others, LONGEST)
            assert others and not alive
        finally:
            process.kill()
    (line,) = [line for line in errors.read_text().splitlines() if line.startswith("pvc")]
    assert f"SIGTERM after step {steps(out)}" in line and "Traceback" not in errors.read_text()
    assert not list(out.rglob("*.partial"))
