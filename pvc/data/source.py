"""A data set as a source of sequences for training, validation and evaluation."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path

from pvc.data.sequence import Sequence
from pvc.errors import ConfigError, DataError, PvcError

log = logging.getLogger(__name__)


class Source(ABC):
    """One data set in its own layout.

    Args:
        root: folder of the data set (None for one that needs no files).
        on_error: ``"raise"`` stops at the first broken or missing file, ``"skip"`` counts it and goes on.

    Raises:
        DataError: the folder does not exist.
    """

    def __init__(self, root: str | Path | None, on_error: str = "raise") -> None:
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"on_error = {on_error!r}: must be 'raise' or 'skip'")
        self.on_error = on_error
        self.skipped: list[str] = []
        """What was left out, one message each."""
        if root is not None:
            self.root = Path(root).expanduser()
            if not self.root.is_dir():
                raise DataError(f"data.root = {root} is not a folder")

    @abstractmethod
    def train(self) -> list[Sequence]:
        """Sequences to train on."""

    @abstractmethod
    def val(self) -> list[Sequence]:
        """Sequences to validate on while training; none of them is in :meth:`train`."""

    def eval(self) -> list[Sequence]:
        """Sequences for evaluation."""
        return self.val()

    def _collect(self, items: Iterable, make: Callable[..., Sequence]) -> list[Sequence]:
        """``make(item)`` of every item; what fails is raised or counted, as ``on_error`` says."""
        sequences = []
        for item in items:
            try:
                sequences.append(make(item))
            except PvcError as error:
                if self.on_error == "raise":
                    raise
                self.skipped.append(str(error))
                log.warning("skipped: %s", error)
        return sequences
