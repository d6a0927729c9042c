"""Fixtures shared by all tests."""

import os
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

# Threads that wait in turns for a core that another process holds make both many times slower; and in a container the
# number of cores that the system tells may be many times that which may be used. Set before PyTorch is imported, and
# handed on to the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.postgres import find_postgres, postgres_server


class Running:
    """Says now and then which tests are running, where none has ended for long: the log then tells what hangs."""

    QUIET = 120.0  # seconds

    def __init__(self):
        self._started: dict[str, float] = {}
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._started[nodeid] = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._started.pop(nodeid, None)
        self._ended.set()

    def _watch(self) -> None:
        while True:
            if not self._ended.wait(self.QUIET) and self._started:
                tests = [f"{test} ({time.monotonic() - t:.0f} s)" for test, t in list(self._started.items())]
                print(f"\nno test has ended for {self.QUIET:.0f} s; running: {', '.join(tests)}", file=sys.__stderr__)
            self._ended.clear()


def pytest_configure(config: pytest.Config) -> None:
    if "gpu" not in config.option.markexpr.replace("not gpu", ""):
        # Promises to the last bit are a CPU's: the commands that tests run would take the GPU where there is one.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["TRITON_INTERPRET"] = "1"  # the few kernels of Triton run in NumPy; read when Triton is imported
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Running())


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    """Folder of real clips that may lie beside the project; tests that need it skip where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "clips"
    folder = Path(os.environ.get("PVC_SHARED", beside))
    if not folder.is_dir():
        pytest.skip("no shared clips beside the project (set PVC_SHARED to their folder)")
    return folder


@pytest.fixture(scope="module")
def postgres_url():
    """Address of a PostgreSQL database that a module's tests share; skips where there are no programs of it."""
    programs = find_postgres()
    if programs is None:
        pytest.skip("no PostgreSQL programs")
    with postgres_server(programs) as url:
        yield url


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def gpu(request):
    """Name of a CUDA device: of one that is not there (:mod:`tests.pretend_gpu`), and of a real one if there is one."""
    import torch

    from tests.pretend_gpu import pretend_gpu

    if request.param == "real" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    with pretend_gpu() if request.param == "pretended" else nullcontext():
        yield "cuda"


@pytest.fixture(scope="session")
def interruptible():
    """subprocess.Popen for processes that Ctrl-C reaches even where the tests themselves run in the background.

    A shell starts background jobs with SIGINT ignored, and their children inherit that.
    """

    def popen(command: list, **kwargs) -> subprocess.Popen:
        return subprocess.Popen(["env", "--default-signal=INT", *command], **kwargs)

    return popen
