"""A folder that a command fills over several runs."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pvc.errors import ConfigError

KEEP_FREE = 2**30
"""Bytes that are left free on the disk."""


@contextmanager
def alone(folder: Path, command: str, wait: float = 0) -> Iterator[None]:
    """Keep other writers away; the lock ends with the process, however it ends.

    Args:
        folder: which is there.
        command: what its writers are called.
        wait: seconds for which another one may still be ending.

    Raises:
        ConfigError: another process holds it.
    """
    until = time.monotonic() + wait
    with (folder / ".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > until:
                    raise ConfigError(f"another {command} is at work in {folder}; wait, or give another out") from None
            time.sleep(0.2)
        yield
