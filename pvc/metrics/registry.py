"""Metric families by name: the files of ``configs/metric``."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from pvc.errors import ConfigError
from pvc.metrics.base import Metric, Scores
from pvc.paths import config_dir


def metric_names() -> list[str]:
    """Names of the metric families that there are."""
    return sorted(p.stem for p in (config_dir() / "metric").glob("*.yaml"))


def load_metrics(names: Iterable[str | Mapping[str, Mapping[str, Any]]], **settings: Any) -> list[Metric]:
    """The metric families called ``names``.

    Args:
        names: Files of ``configs/metric``; ``{"lpips": {"net": "vgg"}}`` instead of ``"lpips"`` changes settings of it.
        settings: For every family that has a setting of this name (``device``, ``weights_dir``); None leaves it alone.

    Raises:
        ConfigError: a family or a setting does not exist, or two families give the same value.
    """
    metrics: list[Metric] = []
    for name in names:
        metric = _load(*next(iter(name.items()))) if isinstance(name, Mapping) and name else _load(name, {})
        own = {field.name for field in fields(metric)}
        metric = replace(metric, **{k: v for k, v in settings.items() if k in own and v is not None})
        if twice := {value for m in metrics for value in m.names} & set(metric.names):
            raise ConfigError(f"metrics gives {', '.join(sorted(twice))} twice; name each family once")
        metrics.append(metric)
    if not metrics:
        raise ConfigError(f"metrics is an empty list; give at least one of {', '.join(metric_names())}")
    return metrics


def _load(name: str, changes: Mapping[str, Any]) -> Metric:
    if name not in metric_names():
        raise ConfigError(f"no metric is called {name!r}; there are: {', '.join(metric_names())}")
    config = OmegaConf.load(config_dir() / "metric" / f"{name}.yaml")
    own = [key for key in config if key != "_target_"]
    if unknown := [key for key in changes if key not in own]:
        raise ConfigError(f"metric {name} has no setting {', '.join(unknown)}; it has {', '.join(own) or 'none'}")
    try:
        return instantiate(OmegaConf.merge(config, dict(changes)), _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ConfigError):  # a family's own word about a setting
            raise error.__cause__ from None
        raise


def check_available(metrics: Iterable[Metric], load: bool = False) -> dict[str, str]:
    """Values that cannot be had on this machine, each with what is missing or damaged.

    Args:
        load: Load what is there, which finds damaged and wrong files, too; else they are only looked for.
    """
    reasons = [(metric, metric.fault() if load else metric.missing()) for metric in metrics]
    return {name: reason for metric, reason in reasons if reason for name in metric.names}


def measure(metrics: Iterable[Metric], reference: Tensor, decoded: Tensor, importance: Tensor | None) -> Scores:
    """Scores of all ``metrics`` on one pair of whole clips."""
    return Scores.merge(metric(reference, decoded, importance) for metric in metrics)
