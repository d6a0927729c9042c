"""Scenes made on the spot: photographs under a moving camera, things moving before them, and their exact masks.

Needs no files and no network; see :mod:`pvc.data.scenes`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pvc.data.render import Renderer
from pvc.data.scenes import SCENES, Scene, random_scene
from pvc.data.sequence import Box, Sequence
from pvc.data.source import Source
from pvc.errors import ConfigError


@dataclass
class SyntheticSequence(Sequence):
    """A scene, rendered when it is read."""

    scene: Scene
    renderer: Renderer = field(init=False)

    def __post_init__(self) -> None:
        self.renderer = Renderer(self.scene, self.height, self.width)

    @property
    def has_mask(self) -> bool:
        return any(actor.roi for actor in self.scene.actors)

    def _read(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        frames = np.stack([self.renderer.frame(t)[0] for t in range(start, start + count * step, step)])
        frames = torch.from_numpy(frames).permute(0, 3, 1, 2)
        return (frames if box is None else box.cut(frames)).contiguous()

    def _read_mask(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        masks = np.stack([self.renderer.frame(t)[1] for t in range(start, start + count * step, step)])
        masks = torch.from_numpy(masks).unsqueeze(1)
        return masks if box is None else box.cut(masks)


class Synthetic(Source):
    """The synthetic set: random scenes to train on, named ones to validate and evaluate.

    Args:
        root: not used; there are no files.
        size: ``(height, width)`` of the frames.
        frames: of each scene.
        fps: frames a second.
        names: named scenes, of :data:`pvc.data.scenes.SCENES`; None for all.
        train_scenes: number of random scenes.
        seed: the random scenes are numbers ``seed`` to ``seed + train_scenes - 1``.
        on_error: see :class:`~pvc.data.source.Source`.

    Raises:
        ConfigError: an unknown scene, or sizes that make no clip.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        size: tuple[int, int] = (256, 448),
        frames: int = 48,
        fps: float = 25,
        names: Iterable[str] | None = None,
        train_scenes: int = 64,
        seed: int = 1000,
        on_error: str = "raise",
    ) -> None:
        super().__init__(None, on_error)
        self.names = list(SCENES) if names is None else [names] if isinstance(names, str) else list(names)
        if unknown := [n for n in self.names if n not in SCENES]:
            raise ConfigError(f"no synthetic scene is called {', '.join(unknown)}; there are {', '.join(SCENES)}")
        if min(*size, frames, train_scenes) < 1 or min(size) < 16 or fps <= 0:
            raise ConfigError(
                f"synthetic scenes of {size[1]}x{size[0]}, {frames} frames at {fps} a second, {train_scenes} to train "
                "on: sizes must be 16 or more, numbers 1 or more"
            )
        self.size, self.frames, self.fps = tuple(size), frames, Fraction(fps).limit_denominator(1001)
        self.train_scenes, self.seed = train_scenes, seed

    def train(self) -> list[Sequence]:
        return [self.make(f"random-{s}", random_scene(s)) for s in range(self.seed, self.seed + self.train_scenes)]

    def val(self) -> list[Sequence]:
        return [self.make(name, SCENES[name]) for name in self.names]

    def make(self, name: str, scene: Scene) -> SyntheticSequence:
        """A sequence of this set's size and length from any scene."""
        return SyntheticSequence("synthetic", name, self.frames, *self.size, self.fps, scene)
