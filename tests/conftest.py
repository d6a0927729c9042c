"""Fixtures shared by all tests."""

import os
import subprocess
from pathlib import Path

import pytest

# Test processes beside each other share the cores: threads that wait in turns for a core that another holds make both
# many times slower. Set before PyTorch is imported, and handed on to the processes that tests start.
if processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(processes))))

from tests.postgres import find_postgres, postgres_server


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


@pytest.fixture(scope="session")
def interruptible():
    """subprocess.Popen for processes that Ctrl-C reaches even where the tests themselves run in the background.

    A shell starts background jobs with SIGINT ignored, and their children inherit that.
    """

    def popen(command: list, **kwargs) -> subprocess.Popen:
        return subprocess.Popen(["env", "--default-signal=INT", *command], **kwargs)

    return popen
