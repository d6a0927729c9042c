"""Metrics: one file a family.

A :class:`Metric` starts an :class:`Accumulator` for each clip, which takes (reference, decoded, importance) a few
frames at a time and gives :class:`Scores`. Where something that a family needs is missing, its values are unavailable
and have a reason instead.
"""

from pvc.metrics.base import Accumulator, Metric, Scores
from pvc.metrics.registry import check_available, load_metrics, measure, metric_names

__all__ = ["Accumulator", "Metric", "Scores", "check_available", "load_metrics", "measure", "metric_names"]
