"""The CSV log of a run, which loses nothing to a kill and stops nothing on a full disk."""

import csv
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from pvc.training.checkpoint_io import PARTIAL

log = logging.getLogger(__name__)
_failing: set[str] = set()


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """A block that writes what a run can do without: an error of the disk is a warning, once until it works again."""
    try:
        yield
        _failing.discard(what)
    except OSError as error:
        if what not in _failing:
            _failing.add(what)
            log.warning("pvc: %s cannot be written (%s); the run goes on without", what, error.strerror or error)


class RunLog(CSVLogger):
    """Lightning's CSV logger, but for how it writes: see :class:`_Writer`."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer, made when it is first asked for."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        return self._experiment


class _Writer(ExperimentWriter):
    """Adds rows to ``metrics.csv``; with a new column the whole is written anew beside it and takes its place.

    Rows that cannot be written are kept and tried again with the next ones.
    """

    def save(self) -> None:
        """Write the rows that were logged since the last time."""
        if not self.metrics:
            return
        path, columns = (
            Path(self.metrics_file_path),
            sorted({*self.metrics_keys, *(k for r in self.metrics for k in r)}),
        )
        with going_on(str(path)):
            if columns == self.metrics_keys:
                _append(path, columns, self.metrics)
            else:
                before = list(csv.DictReader(path.open(newline=""))) if path.is_file() else []
                _replace(path, columns, before + self.metrics)
            self.metrics_keys, self.metrics = columns, []


def _append(path: Path, columns: list[str], rows: list[dict]) -> None:
    text = io.StringIO()
    csv.DictWriter(text, columns).writerows(rows)
    data = text.getvalue().encode()
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while data:  # the last room of a disk takes a part
                data = data[file.write(data) :]
        except OSError:
            file.truncate(size)
            raise


def _replace(path: Path, columns: list[str], rows: list[dict]) -> None:
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
