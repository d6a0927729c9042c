"""Several sources as one: their maps combined, then changed step by step."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import tee
from typing import Any

from torch import Tensor

from pvc.errors import ConfigError
from pvc.importance import compose
from pvc.importance.registry import load_source
from pvc.importance.source import Source

STEPS: dict[str, Callable[..., Iterator[Tensor]]] = {
    "threshold": compose.threshold,
    "dilate": compose.dilate,
    "smooth": compose.smooth,
    "normalise": compose.normalise,
}
"""What may be done to maps: functions of :mod:`pvc.importance.compose`, whose arguments are the steps' settings."""


@dataclass(frozen=True)
class Composite:
    """Sources that look at the same frames.

    Attributes:
        name: What it is called in ``configs/importance``.
        sources: Names of sources, or ``{name: {setting: value}}``.
        combine: ``max`` or ``mean`` of their maps.
        weights: One for each source, for ``mean``; None: all alike.
        steps: What is done to the result, in order: ``{name of STEPS: {argument: value}}``.
        weights_dir: Folder with the sources' weights, searched before the usual places.
        device: Where their networks run.
    """

    name: str
    sources: tuple[str | Mapping[str, Mapping[str, Any]], ...]
    combine: str = "max"
    weights: tuple[float, ...] | None = None
    steps: tuple[Mapping[str, Mapping[str, Any]], ...] = ()
    weights_dir: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.combine not in ("max", "mean"):
            raise ConfigError(f"{self.name}.combine = {self.combine}: must be max or mean")
        if self.weights is not None and self.combine != "mean":
            raise ConfigError(f"{self.name}.weights are for combine: mean, not {self.combine}")
        loaded = [self._load(*_pair(s, f"{self.name}.sources", {})) for s in self.sources]
        object.__setattr__(self, "_sources", loaded)
        self._composed([iter(()) for _ in loaded])  # settings that are wrong are told at once

    @property
    def meta(self) -> dict[str, Any]:
        """See :class:`pvc.importance.source.Source`."""
        steps = [{name: dict(arguments)} for name, arguments in self._steps()]
        own = {"name": self.name, "combine": self.combine, "steps": steps}
        weights = {} if self.weights is None else {"weights": list(self.weights)}
        return {**own, **weights, "sources": [source.meta for source in self._sources]}

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :class:`pvc.importance.source.Source`."""
        copies = tee(frames, len(self._sources))  # they go forward together, so that it holds few frames
        return self._composed([source.maps(copy) for source, copy in zip(self._sources, copies)])

    def _load(self, name: str, settings: Mapping[str, Any]) -> Source:
        return load_source(name, self.device, self.weights_dir, **settings)

    def _steps(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [_pair(step, f"{self.name}.steps", STEPS) for step in self.steps]

    def _composed(self, streams: list[Iterator[Tensor]]) -> Iterator[Tensor]:
        if self.combine == "mean":
            maps = compose.mean(*streams, weights=self.weights)
        else:
            maps = compose.maximum(*streams)
        for name, arguments in self._steps():
            try:
                maps = partial(STEPS[name], **arguments)(maps)
            except TypeError as error:
                raise ConfigError(f"{self.name}.steps: {name}: {error}") from None
        return maps


def _pair(entry: str | Mapping[str, Any], key: str, known: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and settings of ``name`` or ``{name: {setting: value}}``. Raises ``ConfigError`` for anything else."""
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, Mapping) or len(entry) != 1 or not isinstance(next(iter(entry.values())), Mapping):
        raise ConfigError(f"{key}: {entry} is not understood; write name or {{name: {{setting: value}}}}")
    name, settings = next(iter(entry.items()))
    if known and name not in known:
        raise ConfigError(f"{key}: there is no {name}; there are: {', '.join(known)}")
    return name, settings
