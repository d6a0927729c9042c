"""Maps from files: what people have drawn, DAVIS' annotations, or any map that was made before."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pvc.errors import ConfigError, DataError, ImportanceError, VideoError
from pvc.importance.source import Settings
from pvc.video import VideoReader
from pvc.video.images import SUFFIXES, list_images, read_grey
from pvc.weights import sha256

_VOID = 255  # of numbered annotations: belongs to nothing
_LENGTHS = ("exact", "cut", "repeat")


@dataclass(frozen=True)
class Annotation(Settings):
    """The maps of a file or folder, one for each frame.

    A picture or clip in grey is a map by its values (8 or 16 bits, divided by the largest). A PNG with a coloured
    palette, as DAVIS 2017 has them, holds object numbers: 0 is background, 255 nothing. Where ``objects`` are chosen,
    grey values are object numbers too, and one unnumbered object (0 and 255, DAVIS 2016) is number 1.

    Attributes:
        name: What it is called in ``configs/importance``.
        path: A folder of pictures, one picture, or a clip.
        objects: Numbers of the objects that count, or their importance by number (``{1: 1.0, 2: 0.4}``); None: all.
        resize: Fit maps of another size to the frames (bilinear, by area where they shrink) instead of an error.
        length: ``exact``: as many maps as frames; ``cut``: maps beyond the last frame are left out; ``repeat``: that,
            and the last map stays to the end.
    """

    name: str = "annotation"
    path: str | None = None
    objects: tuple[int, ...] | Mapping[int, float] | None = None
    resize: bool = False
    length: str = "exact"

    unrecorded = frozenset({"path"})  # what counts is what is there

    def __post_init__(self) -> None:
        if self.path is None:
            raise ConfigError(f"{self.name} needs the file or folder of its maps: give path=MAP")
        if self.length not in _LENGTHS:
            raise ConfigError(f"{self.name}.length = {self.length}: must be {', '.join(_LENGTHS)}")
        if self.objects is not None:
            self._weights()

    @property
    def meta(self) -> dict[str, Any]:
        """See :class:`pvc.importance.source.Source`; with the SHA-256 of the file, or of the pictures together."""
        path = Path(self.path)
        if not path.exists():
            raise VideoError(f"{path}: no such file or folder")
        files = list_images(path) if path.is_dir() else [path]
        content = hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest() if path.is_dir() else sha256(path)
        return {**super().meta, "sha256": content}

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :class:`pvc.importance.source.Source`.

        Raises:
            ImportanceError: size or number of the maps do not fit, or no frame has a chosen object.
            DataError, VideoError: a file cannot be read.
        """
        found, last, seen = self._read(), None, False
        for i, frame in enumerate(frames):
            if (q := next(found, None)) is None:
                if last is None or self.length != "repeat":
                    raise ImportanceError(
                        f"{self.path} has {i} maps but the clip has more frames; "
                        "give one for each, or length=repeat of the source annotation"
                    )
                q = last
            last, seen = q, seen or bool(q.any())
            yield self._fit(q, frame.shape[-2:])
        if self.objects is not None and last is not None and not seen:
            raise ImportanceError(f"{self.path} has none of the objects {self.objects} in any frame; choose others")
        if self.length == "exact" and next(found, None) is not None:
            raise ImportanceError(f"{self.path} has more maps than the clip has frames; give length=cut to ignore them")

    def _read(self) -> Iterator[Tensor]:
        path, weights = Path(self.path), None if self.objects is None else self._weights()
        if path.is_dir() or path.suffix.lower() in SUFFIXES:
            return (_picture(file, weights) for file in list_images(path))
        return _clip(path, weights)

    def _weights(self) -> dict[int, float]:
        """Importance of each chosen object."""
        pairs = self.objects.items() if isinstance(self.objects, Mapping) else ((o, 1.0) for o in self.objects)
        weights = {int(number): float(q) for number, q in pairs}
        if not weights or any(not (1 <= number < _VOID and 0 <= q <= 1) for number, q in weights.items()):
            raise ConfigError(
                f"{self.name}.objects = {self.objects}: must be numbers from 1 to 254, or {{number: q in [0, 1]}}"
            )
        return weights

    def _fit(self, q: Tensor, size: tuple[int, int]) -> Tensor:
        (height, width), (h, w) = q.shape[-2:], size
        if (height, width) == (h, w):
            return q
        if not self.resize:
            raise ImportanceError(
                f"{self.path} is {width}x{height} but the clip is {w}x{h}; "
                "fit it by resize=true of the source annotation"
            )
        smaller = h < height or w < width
        return F.interpolate(q[None], (h, w), mode="bilinear", antialias=smaller, align_corners=False)[0].clamp(0, 1)


def read_annotation(file: Path, objects: tuple[int, ...] | None = None) -> Tensor:
    """A mask ``[1, H, W]``, 1 where one of the objects (None: any of them) is.

    Annotations with one unnumbered object (0 and 255, DAVIS 2016) count as object 1.

    Raises:
        DataError: the file is missing or broken.
    """
    numbers = _numbers(file)
    if objects is not None:
        return _chosen(numbers, dict.fromkeys(objects, 1.0))
    return torch.from_numpy(((numbers > 0) & (numbers != _VOID)).astype(np.float32))[None]


def _picture(file: Path, weights: Mapping[int, float] | None) -> Tensor:
    """The map of one picture, ``[1, H, W]``."""
    if weights is not None:
        return _chosen(_numbers(file), weights)
    return read_annotation(file) if _has_coloured_palette(file) else read_grey(file)


def _clip(path: Path, weights: Mapping[int, float] | None) -> Iterator[Tensor]:
    with VideoReader(path, grey=True) as reader:
        for q in reader:
            yield q if weights is None else _chosen(_one_object(np.rint(q[0].numpy() * 255)), weights)


def _numbers(file: Path) -> np.ndarray:
    """Object numbers ``[H, W]`` of a picture."""
    try:
        with Image.open(file) as image:
            numbered = image.mode == "P"
            index = np.array(image if numbered else image.convert("L"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{file}: cannot read the annotation ({getattr(error, 'strerror', None) or error})") from error
    return index if numbered else _one_object(index)


def _one_object(index: np.ndarray) -> np.ndarray:
    return (index > 0).astype(np.uint8) if set(np.unique(index)) <= {0, _VOID} else index


def _chosen(numbers: np.ndarray, weights: Mapping[int, float]) -> Tensor:
    table = np.zeros(256, np.float32)
    table[list(weights)] = list(weights.values())
    return torch.from_numpy(table[numbers.astype(np.uint8)])[None]


def _has_coloured_palette(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            if image.mode != "P":
                return False
            used = np.array(image.getpalette("RGB")).reshape(-1, 3)[np.unique(np.array(image))]
    except (UnidentifiedImageError, OSError, SyntaxError):
        return False  # who reads it says what is wrong
    return bool((used != used[:, :1]).any())
