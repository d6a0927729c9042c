"""Fixtures shared by all tests."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

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

    def popen(*args, **kwargs) -> subprocess.Popen:
        return subprocess.Popen(*args, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **kwargs)

    return popen
