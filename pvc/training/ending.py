"""How a run ends: what it says, with which exit code, and what becomes of its other processes and of its Slurm job."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightning import Trainer

from pvc.errors import TrainingError
from pvc.training.checkpoint_io import newest_checkpoint
from pvc.training.checkpoints import Stopped
from pvc.training.signals import Signals
from pvc.training.slurm import requeue, wants_requeue

_FIRST = "PVC_FIRST_PROCESS"
"""Variable that tells the others who started them: it may be gone before they could ask."""
_LONGEST_END = 60.0
"""Seconds that the other processes of a run have to end by themselves."""


@contextmanager
def ending(trainer: Trainer, checkpoints: Path, signals: Signals) -> Iterator[None]:
    """A block in which ``trainer`` fits. What all processes raise alike is told by the first one alone.

    Raises:
        SystemExit: a signal stopped the run; 128 + its number.
        TrainingError: as in the block; names the last checkpoint in addition.
    """
    signals.at_once = lambda: _kill(trainer)
    if any(argument.startswith("hydra.job.name=train_ddp_process_") for argument in sys.argv):  # Lightning started it
        threading.Thread(target=_end_with, args=(int(os.environ.get(_FIRST, os.getppid())),), daemon=True).start()
    else:
        os.environ[_FIRST] = str(os.getpid())
    try:
        yield
    except Stopped:
        _wait(trainer)
        _stop(trainer, checkpoints, signals)
    except TrainingError as error:
        _wait(trainer)
        if not trainer.is_global_zero:
            raise SystemExit(0) from None
        raise TrainingError(f"{error}; {_last(checkpoints)}") from None
    except SystemExit:  # Lightning's answer to Ctrl-C before the first step
        if not trainer.interrupted:
            raise
        print(f"pvc: {_last(checkpoints)}", file=sys.stderr)
        raise KeyboardInterrupt from None
    except BaseException:
        _kill(trainer)  # they would wait for this process
        raise
    finally:
        signals.restore()


def _stop(trainer: Trainer, checkpoints: Path, signals: Signals) -> None:
    """Say that a signal stopped the run, have the job queued again where it should be, and exit."""
    received = signals.received or signal.SIGTERM  # None: only another process of the run was sent one
    before = signals.before[received] if received in (signal.SIGUSR1, signal.SIGUSR2) else None
    if trainer.is_global_zero:
        how = "resume=true goes on from it"
        if not callable(before) and wants_requeue(received):
            how = f"{requeue()}; {how}"
        print(f"pvc: {received.name} after step {trainer.global_step}: {_last(checkpoints)}; {how}", file=sys.stderr)
    if callable(before):  # submitit's, which queues the job again
        before(received, None)
    raise SystemExit(128 + received if trainer.is_global_zero else 0)


def _last(checkpoints: Path) -> str:
    newest = newest_checkpoint(checkpoints)
    return "there is no checkpoint yet" if newest is None else f"the last good checkpoint is {newest}"


def _others(trainer: Trainer) -> list[subprocess.Popen]:
    """The processes that Lightning has started for the other devices of this machine."""
    return [p for p in getattr(trainer.strategy.launcher, "procs", ()) if isinstance(p, subprocess.Popen)]


def _end_with(parent: int) -> None:
    """End at once when the first process is gone: waiting for it in NCCL, this one would keep its GPU for long."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _kill(trainer: Trainer) -> None:
    for process in _others(trainer):
        process.kill()


def _wait(trainer: Trainer) -> None:
    for process in _others(trainer):
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LONGEST_END)
    _kill(trainer)
