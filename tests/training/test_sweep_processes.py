"""A run of a sweep in a process of its own: how it ends, what it may use, and what becomes of signals."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

import pvc.sweep.process as process
from pvc.errors import TrainingError
from pvc.sweep.devices import VISIBLE, own_gpus
from pvc.sweep.process import OUTPUT, run_apart


def run(monkeypatch, tmp_path, code: str, quiet: bool = True) -> None:
    monkeypatch.setattr(process, "COMMAND", [sys.executable, "-c", code])
    run_apart(["a=1"], tmp_path / "run", quiet, {"GIVEN": "yes"})


def test_a_run_gets_its_overrides_and_its_output_is_kept(monkeypatch, tmp_path):
    run(monkeypatch, tmp_path, "import os, sys; print(sys.argv[1:], os.environ['GIVEN'])")
    run(monkeypatch, tmp_path, "print('again')")
    assert (tmp_path / "run" / OUTPUT).read_text() == "['a=1'] yes\nagain\n"


@pytest.mark.parametrize(
    "code, words",
    [
        ("raise SystemExit(3)", "its process ended with 3; its output is in"),
        ("import os; os.kill(os.getpid(), 9)", "its process was ended by SIGKILL"),
        (
            "from pvc.sweep.process import reasons_to_parent; from pvc.errors import DataError\n"
            "with reasons_to_parent(): raise DataError('no clips in here')",
            "no clips in here",
        ),
    ],
)
def test_a_run_that_fails_says_why(monkeypatch, tmp_path, code, words):
    with pytest.raises(TrainingError, match=words):
        run(monkeypatch, tmp_path, code)


WAITING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("told to end", flush=True), os._exit(143)))
print("ready", flush=True)
time.sleep(240)
"""


def test_a_signal_to_the_sweep_reaches_the_run_and_ends_the_sweep(monkeypatch, tmp_path):
    def when_ready() -> None:
        output, deadline = tmp_path / "run" / OUTPUT, time.monotonic() + 200
        while not (output.exists() and "ready" in output.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=when_ready, daemon=True).start()
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, tmp_path, WAITING)
    assert ended.value.code == 128 + signal.SIGTERM
    assert "told to end" in (tmp_path / "run" / OUTPUT).read_text()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_that_comes_while_a_run_is_being_started_ends_it_as_well(monkeypatch, tmp_path):
    popen = subprocess.Popen

    def signalled(*args, **kwargs) -> subprocess.Popen:
        started = popen(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGTERM)
        return started

    monkeypatch.setattr(process.subprocess, "Popen", signalled)
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, tmp_path, WAITING)
    assert ended.value.code == 128 + signal.SIGTERM


def test_a_run_ends_when_its_sweep_is_gone():
    child = (
        "import time; from pvc.sweep.process import reasons_to_parent\n"
        "with reasons_to_parent(): print('ready', flush=True); time.sleep(240)"
    )
    sweep = (
        "import os, subprocess, sys, time\n"
        f"env = os.environ | {{'PVC_SWEEP_PROCESS': str(os.getpid())}}\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], env=env); time.sleep(240)"
    )
    parent = subprocess.Popen([sys.executable, "-c", sweep], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout.readline() == "ready\n"
        (run,) = psutil.Process(parent.pid).children()
    finally:
        parent.kill()
        parent.wait(60)
    assert not psutil.wait_procs([run], timeout=120)[1]


def test_runs_side_by_side_have_gpus_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setenv(VISIBLE, "4,5,6")
    with own_gpus(1, tmp_path) as one, own_gpus(2, tmp_path) as other:
        assert {one[VISIBLE], other[VISIBLE]} == {"4", "5,6"}
        waiting = threading.Thread(target=lambda: own_gpus(1, tmp_path).__enter__(), daemon=True)
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()  # there is none
    with own_gpus(1, tmp_path) as again:
        assert again[VISIBLE] in ("4", "5", "6")
    for all_of_them in (3, 4, "auto", 0):
        with own_gpus(all_of_them, tmp_path) as shared:
            assert shared == {}
