"""Frames and exact masks of a synthetic scene. Any frame can be rendered on its own, always with the same result."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pvc.data.photos import cut, scaled
from pvc.data.scenes import Actor, Scene

_SUBFRAMES = (-1 / 3, 0.0, 1 / 3)  # of the time the shutter is open; their mean is the motion blur
_SHADOW = 0.3


class Renderer:
    """Renders a scene at one size.

    Args:
        scene: what is there and how it moves.
        height, width: of the frames in pixels.
    """

    def __init__(self, scene: Scene, height: int, width: int) -> None:
        self.scene, self.height, self.width = scene, height, width
        rng = np.random.default_rng(scene.seed)
        # Hands tremble at several rates, none of them a multiple of another.
        self._tremor = [(rate, rng.uniform(0, 2 * np.pi, 3)) for rate in (1 / 23, 1 / 11.3, 1 / 5.7)]

    def frame(self, t: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Frame t, RGB ``[H, W, 3]``, and its mask ``[H, W]``: 1 where actors of interest cover half of it or more."""
        canvas = np.zeros((self.height, self.width, 3), np.float32)
        cover = np.zeros(canvas.shape[:2], np.float32)
        for part in _SUBFRAMES:
            picture, seen = self._instant(t + part * self.scene.shutter)
            canvas += picture / len(_SUBFRAMES)
            cover += seen / len(_SUBFRAMES)
        canvas *= 1 + self.scene.light * np.sin(2 * np.pi * t / 37 + self.scene.seed)
        rng = np.random.default_rng([self.scene.seed, t])
        canvas += rng.normal(0, 1, canvas.shape).astype(np.float32) * self.scene.noise
        return np.rint(canvas).clip(0, 255).astype(np.uint8), (cover >= 0.5).astype(np.float32)

    def _instant(self, t: float) -> tuple[NDArray, NDArray]:
        s = self.scene
        tremor = [s.shake * sum(np.sin(2 * np.pi * rate * t + p[i]) for rate, p in self._tremor) for i in range(3)]
        canvas = self._background(t, tremor)
        cover = np.zeros(canvas.shape[:2], np.float32)
        for actor in s.actors:
            colours, alpha = self._actor(actor, t, tremor)
            reach = max(3, round(0.03 * self.height))
            shadow = cv2.blur(alpha, (reach, reach))[: -(reach // 2), : -(reach // 2)]
            canvas[reach // 2 :, reach // 2 :] *= 1 - _SHADOW * shadow[..., None]
            canvas += alpha[..., None] * (colours - canvas)
            cover = cover * (1 - alpha) + (alpha if actor.roi else 0)
        return canvas, cover

    def _background(self, t: float, tremor: list[float]) -> NDArray:
        s, h = self.scene, self.height
        image = scaled(s.background, s.span * h / _rows(s.background))
        grow = (1 + s.zoom) ** t
        x, y = ((s.look[i] + s.pan[i] * t + tremor[i]) * h for i in (0, 1))
        centre = (image.shape[1] / 2 + x, image.shape[0] / 2 + y)
        matrix = self._placed(centre, s.roll * t + 20 * tremor[2], grow, (0.0, 0.0))
        return self._warp(image, matrix, cv2.BORDER_REFLECT_101).astype(np.float32)

    def _actor(self, actor: Actor, t: float, tremor: list[float]) -> tuple[NDArray, NDArray]:
        x, y, angle, size = actor.pose(t)
        colours, alpha = cut(actor.cutout, max(8, round(actor.size * self.height)))
        centre = (alpha.shape[1] / 2, alpha.shape[0] / 2)
        matrix = self._placed(centre, angle, size, (x - tremor[0], y - tremor[1]))
        return self._warp(colours, matrix, cv2.BORDER_REPLICATE), self._warp(alpha, matrix, cv2.BORDER_CONSTANT)

    def _placed(self, centre: tuple[float, float], angle: float, scale: float, at: tuple[float, float]) -> NDArray:
        """Matrix that turns and scales about ``centre`` and puts it ``at`` (from the middle of the frame)."""
        matrix = cv2.getRotationMatrix2D(centre, angle, scale)
        matrix[:, 2] += (
            self.width / 2 + at[0] * self.height - centre[0],
            self.height / 2 + at[1] * self.height - centre[1],
        )
        return matrix

    def _warp(self, image: NDArray, matrix: NDArray, border: int) -> NDArray:
        return cv2.warpAffine(image, matrix, (self.width, self.height), flags=cv2.INTER_LINEAR, borderMode=border)


def _rows(name: str) -> int:
    return scaled(name, 1.0).shape[0]
