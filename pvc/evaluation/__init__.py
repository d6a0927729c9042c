"""Runs codecs over data sets and compares the records; :mod:`pvc.evaluation.publish` draws, and is slower to import."""

from pvc.evaluation.comparison import Row, compare
from pvc.evaluation.records import Record, RecordFile, load_runs
from pvc.evaluation.run import Outcome, evaluate
from pvc.metrics.bd_rate import BdRate, Settings, bd_rate

__all__ = [
    "BdRate",
    "Outcome",
    "Record",
    "RecordFile",
    "Row",
    "Settings",
    "bd_rate",
    "compare",
    "evaluate",
    "load_runs",
]
