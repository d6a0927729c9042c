"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    """Folder of real clips that may lie beside the project; tests that need it skip where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "clips"
    folder = Path(os.environ.get("PVC_SHARED", beside))
    if not folder.is_dir():
        pytest.skip("no shared clips beside the project (set PVC_SHARED to their folder)")
    return folder
