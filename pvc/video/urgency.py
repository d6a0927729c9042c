"""Encoders that take more of the machine than they are given."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def as_urgent_as_before() -> Iterator[None]:
    """A block in which an encoder is opened; undoes what SVT-AV1 does there where root runs it.

    It makes the thread that opens it, and its own, real-time ones (SCHED_FIFO). What is started later inherits that,
    and all else on the machine has to wait.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, priority, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        for thread in {0, *(_threads() - before)}:
            with suppress(ProcessLookupError, PermissionError):  # it has ended; nobody may, so nobody did
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, priority)


def _threads() -> set[int]:
    """The threads of this process, where Linux tells."""
    tasks = Path("/proc/self/task")
    return {int(thread.name) for thread in tasks.iterdir()} if tasks.is_dir() else set()
