"""Which GPUs of this machine a run of a sweep uses: ones that no other of its runs does."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA calls them; found without CUDA, which takes seconds to load."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    return [str(i) for i, _ in enumerate(_DRIVER.iterdir())] if _DRIVER.is_dir() else []


@contextmanager
def own_gpus(count: object, folder: Path) -> Iterator[dict[str, str]]:
    """A block with ``count`` GPUs of its own; yields the environment that names them. Waits until so many are free.

    Empty, and no wait, where there are no more GPUs than ``count``, or it is no number ("auto").

    Args:
        count: of devices that the run asks for.
        folder: of the sweep; GPUs in use are noted there by locks, which end with their process.
    """
    have = gpus()
    if fcntl is None or isinstance(count, bool) or not isinstance(count, int) or not 1 <= count < len(have):
        yield {}
        return
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        with ExitStack() as stack:
            taken = []
            for name in have:
                lock = _take(folder / f"{os.uname().nodename}-{name}") if len(taken) < count else None
                if lock is not None:
                    stack.enter_context(lock)
                    taken.append(name)
            if len(taken) == count:
                yield {VISIBLE: ",".join(taken)}
                return
        time.sleep(1)


def _take(file: Path) -> IO | None:
    """The file, locked; None where another process has it."""
    opened = file.open("w")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        opened.close()
        return None
    return opened
