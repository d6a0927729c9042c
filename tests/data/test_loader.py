"""Workers of a loader, and what others do to them."""

import os
import signal
import subprocess
import sys
from multiprocessing import resource_tracker
from pathlib import Path

import pytest
from torch.utils.data._utils import signal_handling

from pvc.data.loader import _SIGNALS, ClipLoader


@pytest.mark.parametrize("number", _SIGNALS)
def test_a_worker_that_is_sent_a_signal_while_it_starts_goes_on(monkeypatch, number):
    """PyTorch's worker first installs a handler that lets SIGTERM end it."""
    install = signal_handling._set_worker_signal_handlers

    def signalled() -> None:
        os.kill(os.getpid(), number)
        install()
        os.kill(os.getpid(), number)

    monkeypatch.setattr(signal_handling, "_set_worker_signal_handlers", signalled)
    assert [batch.tolist() for batch in ClipLoader(range(4), batch_size=2, num_workers=2)] == [[0, 1], [2, 3]]


class Signalled:
    """Numbers up to 4, for a process that is sent all signals while it starts, and again at each number."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        for number in _SIGNALS:
            os.kill(os.getpid(), number)
        return index

    def __setstate__(self, state: dict) -> None:
        self[0]

    def __getstate__(self) -> dict:
        return {"there is": "one"}


def spawned() -> None:
    """What a process does that has none of the helpers of Python's yet which come with the first worker."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    loader = ClipLoader(Signalled(), batch_size=2, num_workers=2, multiprocessing_context="spawn")
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3]]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    os.kill(resource_tracker._resource_tracker._pid, signal.SIGHUP)
    assert resource_tracker._resource_tracker._check_alive()


def run(code: str) -> subprocess.CompletedProcess:
    command, root = [sys.executable, "-c", f"from tests.data.test_loader import *; {code}"], Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)


def test_workers_that_are_not_forked_go_on_too():
    """As on macOS, where starting such a helper lets signals through."""
    done = run("spawned()")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_do_not_keep_their_process(method):
    """A run that ends while there is an iterator, as one that is stopped amid a validation."""
    kind = f"num_workers=2, persistent_workers=True, multiprocessing_context={method!r}"
    done = run(f"loader = ClipLoader(range(9), {kind}); next(iter(loader)); print('on', flush=True); sys.exit(7)")
    assert (done.returncode, done.stdout) == (7, "on\n"), done.stderr
