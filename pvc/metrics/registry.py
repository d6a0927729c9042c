"""Metric families by name: the files of ``configs/metric``."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from pvc.errors import ConfigError
from pvc.metrics.base import Scores
from pvc.paths import config_dir


class Metric(Protocol):
    """A metric family; ``names`` are the values it can give."""

    names: Sequence[str]

    def __call__(self, reference: Tensor, decoded: Tensor, importance: Tensor | None = None) -> Scores:
        """Score ``decoded`` against ``reference`` (uint8 ``[T, 3, H, W]``), by the mask (``[T, 1, H, W]``)."""
        ...


def metric_names() -> list[str]:
    """Names of the metric families that there are."""
    return sorted(p.stem for p in (config_dir() / "metric").glob("*.yaml"))


def load_metrics(names: Iterable[str]) -> list[Metric]:
    """The metric families called ``names``. Raises ``ConfigError`` where one does not exist, listing those that do."""
    metrics = []
    for name in names:
        if name not in metric_names():
            raise ConfigError(f"no metric is called {name!r}; there are: {', '.join(metric_names())}")
        metrics.append(instantiate(OmegaConf.load(config_dir() / "metric" / f"{name}.yaml"), _convert_="all"))
    if not metrics:
        raise ConfigError(f"metrics is an empty list; give at least one of {', '.join(metric_names())}")
    return metrics


def measure(metrics: Iterable[Metric], reference: Tensor, decoded: Tensor, importance: Tensor | None) -> Scores:
    """Scores of all ``metrics`` on one pair of clips."""
    return Scores.merge(metric(reference, decoded, importance) for metric in metrics)
