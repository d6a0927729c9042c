"""A DataLoader whose workers can be forked from a process that has decoded video."""

import gc
from collections.abc import Iterator

from torch.utils.data import DataLoader


class ClipLoader(DataLoader):
    """A DataLoader that leaves the parent's garbage to the parent.

    A decoder that waits for the garbage collector when workers are forked would be collected in the worker, which
    then waits for ever for the decoder's threads: those exist in the parent only.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"worker_init_fn": _freeze, **kwargs})

    def __iter__(self) -> Iterator:
        gc.collect()
        return super().__iter__()

    def state_dict(self) -> dict:
        """Nothing: where to go on is in the state of the data module. Lightning asks before it warns of a restart."""
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        """See :meth:`state_dict`."""


def _freeze(_: int) -> None:
    gc.freeze()  # whatever was inherited is never collected here
