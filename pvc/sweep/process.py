"""One run of a sweep in a process of its own, which starts the processes of its other devices itself."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from pvc.errors import PvcError, TrainingError
from pvc.hydra_entry import environment_as_given, message
from pvc.training.signals import STOPPING

OUTPUT = "output.txt"
"""What a run prints that is not alone on the terminal, in its folder."""
COMMAND = [sys.executable, "-m", "pvc.train"]
_PARENT, _REASON = "PVC_SWEEP_PROCESS", "PVC_SWEEP_REASON"


def run_apart(overrides: Sequence[str], out: Path, quiet: bool, environment: Mapping[str, str]) -> None:
    """Run ``pvc train OVERRIDES`` and wait for it; signals that end the sweep are passed on.

    Args:
        overrides: of this run; they make ``out`` its folder.
        environment: variables beside those of this process.
        quiet: whether what it prints goes to ``out/output.txt`` and not to this process's own output.

    Raises:
        TrainingError: the run failed; the message is the run's own.
        KeyboardInterrupt, SystemExit: the run has ended after a signal that this process has got.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.NamedTemporaryFile("r", prefix="pvc-") as reason,
        open(out / OUTPUT if quiet else os.devnull, "a") as log,
    ):
        to = {"stdout": log, "stderr": subprocess.STDOUT} if quiet else {}
        env = {**environment_as_given(), **environment, _PARENT: str(os.getpid()), _REASON: reason.name}
        with _passed_on() as (received, started):
            process = subprocess.Popen([*COMMAND, *overrides], env=env, **to)
            started.append(process)
            for number in received:  # while it was being started
                process.send_signal(number)
            code = _wait(process, with_parent=quiet)
        said = reason.read().strip()
    if received:
        before = signal.getsignal(received[0]) if received[0] in (signal.SIGUSR1, signal.SIGUSR2) else None
        if callable(before):  # submitit's, which queues the job again
            before(received[0], None)
        if received[0] != signal.SIGINT:
            raise SystemExit(128 + received[0])
    if received or code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if code < 0:
        raise TrainingError(said or f"its process was ended by {signal.Signals(-code).name}")
    if code:
        raise TrainingError(said or f"its process ended with {code}; {_where(out, quiet)}")


@contextmanager
def reasons_to_parent() -> Iterator[None]:
    """In a run of a sweep: leave the reason why it fails to the sweep, and end when the sweep's process is gone."""
    parent, reason = os.environ.pop(_PARENT, None), os.environ.pop(_REASON, None)
    if parent is not None:
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    try:
        yield
    except (PvcError, HydraException, OmegaConfBaseException) as error:
        if reason is not None:
            Path(reason).write_text(message(error, "train"))
        raise


def started_from_outside() -> bool:
    """Whether srun or torchrun has started a process for each device, of which this is one; told as Lightning does."""
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return ("SLURM_NTASKS" in os.environ and not interactive) or "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def _passed_on() -> Iterator[tuple[list[int], list[subprocess.Popen]]]:
    """While active, signals that end this process go to those of the second list; the first says which came."""
    received: list[int] = []
    started: list[subprocess.Popen] = []

    def handle(number: int, _: object) -> None:
        received.append(number)
        for process in started:
            process.send_signal(number)  # nothing where it has ended

    if threading.current_thread() is not threading.main_thread():
        yield received, started
        return
    before = {s: signal.getsignal(s) for s in STOPPING}
    for s, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(s, handle)
    try:
        yield received, started
    finally:
        for s, handler in before.items():
            if handler is not None:
                signal.signal(s, handler)


def _wait(process: subprocess.Popen, with_parent: bool) -> int:
    """How ``process`` ended; ``with_parent``, it is stopped when this one, a launcher's worker, loses its parent."""
    parent = os.getppid()
    while True:
        try:
            return process.wait(1 if with_parent else None)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                process.terminate()
                return process.wait()


def _end_with(parent: int) -> None:
    """Stop this process, as a kill does, when ``parent`` is gone: nobody would know of it any more."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _where(out: Path, quiet: bool) -> str:
    return f"its output is in {out / OUTPUT}" if quiet else "its output is above"
