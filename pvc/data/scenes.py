"""Synthetic scenes: what is in them and how it moves.

Lengths are in frame heights, times in frames, angles in degrees.
"""

from dataclasses import dataclass

import numpy as np

Pair = tuple[float, float]


@dataclass(frozen=True)
class Actor:
    """A cut-out that moves: a straight line plus a swaying, turning, growing and shrinking.

    Attributes:
        cutout: a name of :data:`pvc.data.photos.CUTOUTS`.
        start: position ``(x, y)`` of its centre at frame 0, from the centre of the frame.
        velocity: ``(x, y)`` a frame.
        size: its height.
        sway: amplitude ``(x, y)`` of a sine of ``period`` frames, ``phase`` of a turn ahead at frame 0.
        spin: turn a frame; swing: amplitude of a sine on top.
        pulse: relative amplitude of its size.
        roi: whether it belongs to the region of interest; otherwise it is in the way.
    """

    cutout: str
    start: Pair
    velocity: Pair = (0.0, 0.0)
    size: float = 0.5
    sway: Pair = (0.0, 0.0)
    period: float = 40.0
    phase: float = 0.0
    spin: float = 0.0
    swing: float = 0.0
    pulse: float = 0.0
    roi: bool = True

    def pose(self, t: float) -> tuple[float, float, float, float]:
        """``(x, y, angle, relative size)`` at time t."""
        wave = np.sin(2 * np.pi * (t / self.period + self.phase))
        slow = np.cos(2 * np.pi * (t / (1.7 * self.period) + self.phase))
        x, y = (self.start[i] + self.velocity[i] * t + self.sway[i] * (wave, slow)[i] for i in (0, 1))
        return x, y, self.spin * t + self.swing * slow, 1 + self.pulse * wave


@dataclass(frozen=True)
class Scene:
    """A background under a moving camera and actors before it, the nearest last.

    Attributes:
        background: a photograph of :func:`pvc.data.photos.photo`.
        span: its height.
        look: where on it the camera looks at frame 0, ``(x, y)`` from its centre.
        pan: motion of the camera ``(x, y)`` a frame; the actors move against the frame, not the ground.
        zoom: relative growth a frame; roll: turn a frame; shake: amplitude of the hand's tremor.
        light: relative amplitude of the changing light; noise: standard deviation of the sensor's noise in 8-bit steps.
        shutter: share of a frame's time that the shutter is open.
        seed: of tremor and noise.
    """

    background: str
    actors: tuple[Actor, ...]
    span: float = 1.6
    look: Pair = (0.0, 0.0)
    pan: Pair = (0.0, 0.0)
    zoom: float = 0.0
    roll: float = 0.0
    shake: float = 0.002
    light: float = 0.03
    noise: float = 1.0
    shutter: float = 0.5
    seed: int = 0


SCENES = {
    "cat-on-grass": Scene(
        "grass",
        (Actor("cat", (-0.35, 0.08), (0.009, 0.0), 0.62, sway=(0.02, 0.04), period=30, swing=8, pulse=0.05),),
        span=2.2, look=(-0.4, 0.1), pan=(0.012, 0.0), seed=1,
    ),
    "cup-on-bricks": Scene(
        "brick",
        (
            Actor("cup", (-0.1, -0.05), (0.002, 0.0), 0.55, sway=(0.25, 0.08), period=48, spin=1.5, pulse=0.12),
            Actor("motorcycle", (1.2, 0.3), (-0.028, 0.0), 0.4, roi=False),
        ),
        span=2.0, pan=(0.004, 0.006), roll=0.12, seed=2,
    ),
    "planet-and-stars": Scene(
        "hubble_deep_field",
        (
            Actor("planet", (0.3, -0.05), (-0.004, 0.001), 0.5, spin=0.6, pulse=0.03),
            Actor("astronaut", (-0.5, 0.15), (0.01, -0.003), 0.5, period=60, swing=12, spin=-0.4),
        ),
        span=2.4, pan=(-0.002, 0.001), zoom=0.002, shake=0.0, noise=1.5, seed=3,
    ),
    "garage": Scene(
        "motorcycle",
        (
            Actor("photographer", (-0.55, 0.22), (0.006, 0.0), 0.62, sway=(0.0, 0.012), period=14),
            Actor("cup", (0.75, 0.38), (-0.03, 0.0), 0.3, spin=4.0, roi=False),
        ),
        span=1.35, look=(-0.1, 0.0), pan=(0.003, 0.0), zoom=0.001, shake=0.004, seed=4,
    ),
    "moto-on-gravel": Scene(
        "gravel",
        (
            Actor("motorcycle", (-0.3, 0.0), (0.006, 0.0), 0.55, sway=(0.03, 0.02), period=18, swing=3),
            Actor("cat", (0.95, 0.35), (-0.035, 0.0), 0.35, roi=False),
        ),
        span=2.4, pan=(0.03, 0.0), shake=0.003, seed=5,
    ),
    "cafe": Scene(
        "coffee",
        (Actor("astronaut", (0.35, 0.2), (-0.004, 0.0), 0.75, sway=(0.02, 0.01), period=36, swing=3, pulse=0.02),),
        span=1.5, look=(-0.12, 0.0), pan=(0.003, 0.0), shake=0.0015, seed=6,
    ),
}  # fmt: skip
"""Scenes with names, for demonstrations, tests and evaluation."""

_BACKGROUNDS = (
    "grass", "brick", "gravel", "hubble_deep_field", "motorcycle", "coffee", "immunohistochemistry", "rocket",
)  # fmt: skip
_ACTORS = ("cup", "cat", "planet", "astronaut", "motorcycle", "photographer")


def random_scene(seed: int) -> Scene:
    """A scene drawn from ``seed``: one to three actors, at times something in the way, and any camera motion."""
    rng = np.random.default_rng(seed)

    def pair(limit: float) -> Pair:
        return tuple(float(v) for v in rng.uniform(-limit, limit, 2))

    def actor(roi: bool) -> Actor:
        fast = float(rng.choice([0.004, 0.012, 0.03]))
        return Actor(
            str(rng.choice(_ACTORS)), pair(0.45), pair(fast), float(rng.uniform(0.25, 0.7)), sway=pair(0.15),
            period=float(rng.uniform(15, 60)), phase=float(rng.uniform()), spin=float(rng.normal() * 1.5),
            swing=float(rng.uniform(0, 12)), pulse=float(rng.uniform(0, 0.15)), roi=roi,
        )  # fmt: skip

    actors = [actor(True) for _ in range(rng.integers(1, 4))] + [actor(False)] * int(rng.uniform() < 0.4)
    return Scene(
        str(rng.choice(_BACKGROUNDS)), tuple(actors), span=float(rng.uniform(1.4, 2.6)), look=pair(0.2),
        pan=pair(float(rng.choice([0.001, 0.006, 0.02]))), zoom=float(rng.normal() * 0.002),
        roll=float(rng.normal() * 0.15), shake=float(rng.uniform(0, 0.004)), light=float(rng.uniform(0, 0.06)),
        noise=float(rng.uniform(0.3, 2.0)), shutter=float(rng.uniform(0.1, 0.8)), seed=seed,
    )  # fmt: skip
