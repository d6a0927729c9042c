"""What metrics that need pretrained weights have in common."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from pvc.errors import MissingWeights
from pvc.metrics.base import Accumulator, Metric, Unavailable
from pvc.weights import find_weights, sha256


class WeightsMetric(Metric):
    """A family that needs weights files; without them its values are unavailable, and the reason says where they go.

    Subclasses are dataclasses with the settings ``threshold`` (where they know regions), ``weights_dir`` (a folder to
    look in first) and ``device`` (where the network runs).
    """

    weights_dir: str | None
    device: str
    unrecorded = frozenset({"weights", "weights_dir", "device"})  # what counts is the files' content

    @property
    @abstractmethod
    def files(self) -> tuple[str | tuple[str, ...], ...]:
        """Names (or, for each, several of which one will do) of the files it needs."""

    @abstractmethod
    def _start(self, *paths: Path) -> Accumulator:
        """A fresh accumulator with the networks of :attr:`files`, found at ``paths``."""

    def start(self) -> Accumulator:
        """See :class:`pvc.metrics.Metric`. Networks are loaded once a process."""
        if reason := self.missing():
            return Unavailable(self.names, reason)
        try:
            return self._start(*(find_weights(file, self.weights_dir) for file in self.files))
        except MissingWeights as error:
            return Unavailable(self.names, str(error))

    def missing(self) -> str | None:
        """Which files are not there, and where they go."""
        reasons = []
        for file in self.files:
            try:
                find_weights(file, self.weights_dir)
            except MissingWeights as error:
                reasons.append(str(error))
        return "; ".join(reasons) or None

    @property
    def identity(self) -> dict[str, Any]:
        """The settings, and the SHA-256 of each file in ``weights_sha256``, which is absent where one is missing."""
        if self.missing():
            return super().identity
        paths = [find_weights(file, self.weights_dir) for file in self.files]
        return {**super().identity, "weights_sha256": {path.name: sha256(path) for path in paths}}
