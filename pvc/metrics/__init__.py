"""Metrics: one file a family. Each is called with (reference, decoded, importance) and returns :class:`Scores`."""

from pvc.metrics.base import Scores
from pvc.metrics.registry import Metric, load_metrics, measure, metric_names

__all__ = ["Metric", "Scores", "load_metrics", "measure", "metric_names"]
