"""Runs codecs over data sets and turns the records into BD-rate tables, plots and a report."""

from pvc.evaluation.bd_rate import BdRate, Settings, bd_rate
from pvc.evaluation.comparison import Row, compare
from pvc.evaluation.publish import publish
from pvc.evaluation.records import Record, RecordFile, load_runs
from pvc.evaluation.run import Outcome, evaluate

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
    "publish",
]
