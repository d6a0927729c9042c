"""A folder that a command fills over several runs."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pvc.errors import ConfigError

KEEP_FREE = 2**30
"""Bytes that are left free on the disk."""


@contextmanager
def alone(folder: Path, command: str) -> Iterator[None]:
    """Keep other writers away; the lock ends with the process, however it ends.

    Raises:
        ConfigError: another process holds it.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"another {command} is at work in {folder}; wait, or give another out") from None
        yield
