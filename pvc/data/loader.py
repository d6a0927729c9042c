"""A DataLoader whose workers can be forked from a process that has decoded video."""

import atexit
import gc
import multiprocessing
import os
import signal
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from torch.utils.data import DataLoader

from pvc.memory import keep_freed_memory

# Slurm, a terminal and others send a signal to all processes of a run. The training process decides when it ends; a
# worker that is killed before would be an error in the middle of a step. It notices when its parent is gone.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

_iterators: weakref.WeakSet[Iterator] = weakref.WeakSet()


class ClipLoader(DataLoader):
    """A DataLoader that leaves the parent's garbage to the parent.

    A decoder that waits for the garbage collector when workers are forked would be collected in the worker, which
    then waits for ever for the decoder's threads: those exist in the parent only.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"worker_init_fn": _prepare_worker, **kwargs})

    def __iter__(self) -> Iterator:
        if not self.num_workers:
            return super().__iter__()
        gc.collect()
        with _held_back():  # from a worker until it ignores them
            if (self.multiprocessing_context or multiprocessing).get_start_method() != "fork":
                # Comes with the first worker otherwise, and lets two of them through to all.
                resource_tracker.ensure_running()
                signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            iterator = super().__iter__()
        if not _iterators:  # at exit Python ends workers by a signal, which they ignore, and waits for them
            atexit.unregister(_end_workers)
            atexit.register(_end_workers, os.getpid())
        _iterators.add(iterator)
        return iterator

    def state_dict(self) -> dict:
        """Nothing: where to go on is in the state of the data module. Lightning asks before it warns of a restart."""
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        """See :meth:`state_dict`."""


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals wait; processes that are started meanwhile inherit that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_workers(process: int) -> None:
    """What iterators do when they go, for those that are there when their process ends."""
    if os.getpid() == process:
        for iterator in list(_iterators):
            iterator._shutdown_workers()


def _prepare_worker(_: int) -> None:
    keep_freed_memory()
    gc.freeze()  # whatever was inherited is never collected here
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
