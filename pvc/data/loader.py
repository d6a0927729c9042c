"""A DataLoader whose workers can be forked from a process that has decoded video."""

import gc
import signal
from collections.abc import Iterator

from torch.utils.data import DataLoader

from pvc.memory import keep_freed_memory


class ClipLoader(DataLoader):
    """A DataLoader that leaves the parent's garbage to the parent.

    A decoder that waits for the garbage collector when workers are forked would be collected in the worker, which
    then waits for ever for the decoder's threads: those exist in the parent only.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"worker_init_fn": _prepare_worker, **kwargs})

    def __iter__(self) -> Iterator:
        if self.num_workers:
            gc.collect()
        return super().__iter__()

    def state_dict(self) -> dict:
        """Nothing: where to go on is in the state of the data module. Lightning asks before it warns of a restart."""
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        """See :meth:`state_dict`."""


def _prepare_worker(_: int) -> None:
    keep_freed_memory()
    gc.freeze()  # whatever was inherited is never collected here
    # Slurm, a terminal and others send a signal to all processes of a run. The training process decides when it ends; a
    # worker that is killed before would be an error in the middle of a step. It notices when its parent is gone.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(each, signal.SIG_IGN)
