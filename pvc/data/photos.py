"""Photographs that scikit-image's wheel carries (no download), and things to cut out of them.

Terms: NASA and CC0 pictures, and the Middlebury motorcycle; see ``skimage.data``. None is copied into pvc.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cutout:
    """A thing in a photograph: its outline, in fractions of the photograph's width and height."""

    photo: str
    outline: Points


def _ellipse(x: float, y: float, rx: float, ry: float) -> Points:
    return tuple((x + rx * np.cos(a), y + ry * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 48, endpoint=False))


def _grid(*points: tuple[int, int]) -> Points:
    """Outlines are written in 320ths of the width and 240ths of the height."""
    return tuple((x / 320, y / 240) for x, y in points)


CUTOUTS = {
    "cup": Cutout("coffee", _ellipse(148 / 320, 128 / 240, 106 / 320, 112 / 240)),
    "cat": Cutout("chelsea", _ellipse(150 / 320, 122 / 240, 112 / 320, 112 / 240)),
    "planet": Cutout("retina", _ellipse(0.5, 0.5, 0.47, 0.47)),
    "astronaut": Cutout(
        "astronaut",
        _grid(
            (102, 22), (118, 10), (140, 6), (165, 10), (182, 30), (184, 52), (172, 70), (184, 92), (205, 118),
            (222, 150), (222, 165), (192, 180), (178, 205), (180, 239), (6, 239), (16, 200), (20, 170), (40, 130),
            (76, 108), (84, 84), (106, 66), (96, 44),
        ),
    ),
    "motorcycle": Cutout(
        "motorcycle",
        _grid(
            (36, 98), (60, 92), (64, 78), (88, 78), (110, 88), (140, 64), (172, 60), (206, 56), (216, 38), (232, 40),
            (244, 70), (240, 92), (254, 120), (278, 138), (292, 180), (284, 210), (262, 206), (244, 180), (218, 160),
            (196, 178), (140, 196), (104, 190), (84, 176), (62, 172), (50, 150), (54, 126), (62, 106),
        ),
    ),
    "photographer": Cutout(
        "camera",
        _grid(
            (94, 44), (104, 32), (124, 32), (140, 48), (168, 54), (190, 50), (192, 72), (160, 76), (150, 88), (132, 84),
            (120, 104), (112, 150), (98, 200), (96, 239), (2, 239), (4, 180), (24, 130), (46, 92), (78, 70),
        ),
    ),
}  # fmt: skip

TINTS = {
    "brick": (1.25, 0.85, 0.72),
    "grass": (0.72, 1.0, 0.48),
    "gravel": (1.1, 1.0, 0.88),
    "camera": (1.0, 0.95, 0.88),
}
"""Colours for the grey photographs."""


@cache
def photo(name: str) -> NDArray[np.uint8]:
    """A photograph, uint8 RGB ``[H, W, 3]``."""
    image = skimage.data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(skimage.data, name)()
    if image.ndim == 2:
        image = (image[..., None] * np.float32(TINTS[name])).clip(0, 255).round().astype(np.uint8)
    return np.ascontiguousarray(image[..., :3])


@lru_cache(maxsize=64)
def scaled(name: str, factor: float) -> NDArray[np.uint8]:
    """A photograph scaled by ``factor``, without aliasing."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(photo(name), None, fx=factor, fy=factor, interpolation=how)


@lru_cache(maxsize=64)
def cut(name: str, height: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A cut-out of ``height`` pixels: colours ``[h, w, 3]`` and coverage ``[h, w]`` in [0, 1], with an empty margin."""
    item = CUTOUTS[name]
    h, w = photo(item.photo).shape[:2]
    top, bottom = (edge([y for _, y in item.outline]) * h for edge in (min, max))
    colours = scaled(item.photo, height / (bottom - top))
    points = np.float32(item.outline) * np.float32(colours.shape[1::-1])
    # Drawn four times as large and averaged, for a smooth edge.
    large = np.zeros((colours.shape[0] * 4, colours.shape[1] * 4), np.uint8)
    cv2.fillPoly(large, [np.round(points * 4).astype(np.int32)], 255)
    coverage = cv2.resize(large, colours.shape[1::-1], interpolation=cv2.INTER_AREA)
    x, y, w, h = cv2.boundingRect(coverage)
    inside = np.s_[y : y + h, x : x + w]
    pad = ((2, 2), (2, 2))
    return np.pad(colours[inside], (*pad, (0, 0)), mode="edge"), np.pad(coverage[inside], pad).astype(np.float32) / 255
