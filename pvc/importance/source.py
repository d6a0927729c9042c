"""What an importance source is: it takes the frames of a clip one by one and gives a map for each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor

from pvc.weights import find_weights, sha256


@runtime_checkable
class Source(Protocol):
    """Where maps come from.

    Attributes:
        name: What the source is called in ``configs/importance``.
        meta: All that decides its maps, JSON-able: settings, and weights by their SHA-256. Nothing of the machine.
    """

    name: str

    @property
    def meta(self) -> dict[str, Any]: ...

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """The importance of each frame of one clip, in order. Each call starts anew.

        Args:
            frames: uint8 RGB ``[3, H, W]``, read as they are needed; those ahead of the map at hand are few and their
                number does not grow with the clip.

        Returns:
            float32 ``[1, H, W]`` in [0, 1] on the CPU, one for each frame.

        Raises:
            ImportanceError: the source has no map for one of the frames. PvcError: the frames' own errors.
        """
        ...


class Settings:
    """What sources that are frozen dataclasses of their settings have in common."""

    name: str
    unrecorded: ClassVar[frozenset[str]] = frozenset({"weights_dir", "device"})
    """Settings that do not decide the maps."""

    @property
    def meta(self) -> dict[str, Any]:
        """See :class:`Source`."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.unrecorded}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in own.items()}


class WeightsSettings(Settings):
    """Settings of a source with pretrained weights, which are looked for when it is made and loaded when it is used."""

    unrecorded = frozenset({"weights", "weights_dir", "device"})  # what counts is the file's content
    weights_dir: str | None
    device: str
    files: str | Sequence[str]
    """Name of the weights file, or of several one of which will do; each source says its own."""

    @property
    def path(self) -> Path:
        """The weights file. Raises ``MissingWeights`` where there is none."""
        return find_weights(self.files, self.weights_dir)

    @property
    def meta(self) -> dict[str, Any]:
        """See :class:`Source`."""
        path = self.path
        return {**super().meta, "weights_sha256": {path.name: sha256(path)}}
