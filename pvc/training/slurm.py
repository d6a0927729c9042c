"""What a run asks Slurm for: to be put back into the queue."""

import os
import re
import signal
import subprocess

from lightning.fabric.plugins.environments import SLURMEnvironment


def slurm_job() -> str | None:
    """The Slurm job that this process is in, as ``scontrol`` calls it; None outside and in an interactive shell."""
    if SLURMEnvironment.job_id() is None:
        return None
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def was_requeued() -> bool:
    """Whether Slurm has started this job before: after a requeue, a preemption or the failure of a node."""
    return slurm_job() is not None and int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0


def wants_requeue(received: signal.Signals) -> bool:
    """Whether what ``received`` announces is the end of the job's time and not of the job.

    SIGUSR1 and SIGUSR2 are what ``sbatch --signal`` asks for some time before the end. SIGTERM comes from ``scancel``,
    and from a preemption, after which Slurm does not queue a job again that ends by itself within its grace time.
    """
    job = slurm_job()
    if job is None or received not in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
        return False
    return received != signal.SIGTERM or re.search(r"\bPreemptTime=\d", _scontrol("show", "job", job)[1]) is not None


def requeue() -> str:
    """Ask Slurm to queue this job again; says in a few words what came of it."""
    job = slurm_job()
    code, answer = _scontrol("requeue", job)
    return f"job {job} is queued again" if code == 0 else f"job {job} could not be queued again ({answer})"


def _scontrol(*arguments: str) -> tuple[int, str]:
    """Exit code and answer of ``scontrol``; its complaint, in one line, where it failed."""
    try:
        done = subprocess.run(["scontrol", *arguments], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout if done.returncode == 0 else " ".join(done.stderr.split())
