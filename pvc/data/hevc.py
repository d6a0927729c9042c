"""The 16 HEVC test sequences of classes B to E, known by their names, anywhere below a folder.

Raw ``.yuv``, other clips, or folders of pictures; each class is a data set of its own in tables, as papers show them.
Source: Bossen, "Common test conditions and software reference configurations", JCTVC-L1100, 2013.
"""

import os
import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from pvc.data.cache import FrameCache
from pvc.data.clips import IMAGE_SUFFIXES, VIDEO_SUFFIXES, ClipFolder, ClipSequence, by_name, with_masks
from pvc.errors import DataError

SEQUENCES = {
    "HEVC class B": {"Kimono": 24, "ParkScene": 24, "Cactus": 50, "BasketballDrive": 50, "BQTerrace": 60},
    "HEVC class C": {"BasketballDrill": 50, "BQMall": 60, "PartyScene": 50, "RaceHorses": 30},
    "HEVC class D": {"BasketballPass": 50, "BQSquare": 60, "BlowingBubbles": 50, "RaceHorses": 30},
    "HEVC class E": {"FourPeople": 60, "Johnny": 60, "KristenAndSara": 60},
}
"""Frames a second of each sequence, by class."""

_SUFFIXES = {".yuv", *VIDEO_SUFFIXES}


class Hevc(ClipFolder):
    """HEVC test sequences: ``BasketballPass_416x240_50.yuv``, a folder ``BasketballPass`` of pictures, ...

    Args:
        root: the folder; it is searched with all its sub-folders.
        classes: letters of the classes to use.
        only, val, cache, cache_gb, on_error: see :class:`~pvc.data.clips.ClipFolder`.

    Raises:
        DataError: none of the sequences is there, an unknown class, or two clips of one name.
    """

    def __init__(
        self,
        root: str | Path,
        classes: Iterable[str] = "BCDE",
        only: Iterable[str] | None = None,
        val: Iterable[str] | int | None = None,
        cache: str | Path | None = None,
        cache_gb: float = 100.0,
        on_error: str = "raise",
    ) -> None:
        self.classes = [f"HEVC class {letter}" for letter in classes]
        if unknown := [name for name in self.classes if name not in SEQUENCES]:
            raise DataError(f"data.source.classes: there is no {', '.join(unknown)}; give some of B, C, D, E")
        super().__init__(root, val=val, only=only, cache=cache, cache_gb=cache_gb, on_error=on_error)

    def _find(self) -> dict[str, tuple[Path, Path | None]]:
        clips, masks = [], []
        for folder, folders, files in os.walk(self.root):
            entries = [*(Path(folder, d) for d in sorted(folders)), *(Path(folder, f) for f in sorted(files))]
            here = [p for p in entries if sequence_name(p) and (p.suffix.lower() in _SUFFIXES or _has_images(p))]
            clips += [p for p in here if not _is_mask(p)]
            masks += [p for p in here if _is_mask(p)]
            folders[:] = [d for d in folders if Path(folder, d) not in here]
        found = with_masks(by_name(clips), masks)
        found = {name: paths for name, paths in found.items() if dataset_of(paths[0]) in self.classes}
        if not found:
            raise DataError(
                f"no HEVC test sequence of {', '.join(self.classes)} is below {self.root}; files and folders of "
                "pictures are known by names such as BasketballPass_416x240_50.yuv or BasketballPass"
            )
        return found

    def _options(self, path: Path) -> dict:
        return {"fps": Fraction(SEQUENCES[dataset_of(path)][sequence_name(path)])} if path.is_dir() else {}

    def _sequence(self, name: str, cache: FrameCache | None) -> ClipSequence:
        sequence = super()._sequence(name, cache)
        sequence.dataset = dataset_of(sequence.path)
        return sequence


def sequence_name(path: Path) -> str | None:
    """``BasketballPass`` for ``BasketballPass_416x240_50.yuv``; None for what is none of the sequences."""
    word = re.match(r"[A-Za-z]*", path.name)[0]
    return next((name for own in SEQUENCES.values() for name in own if name.lower() == word.lower()), None)


def dataset_of(path: Path) -> str:
    """The class of a sequence. RaceHorses is in C and in D: the name or the folders above it say which."""
    name = sequence_name(path)
    classes = [dataset for dataset, own in SEQUENCES.items() if name in own]
    if len(classes) == 1:
        return classes[0]
    small = re.search(r"416x240|class[ _-]?d|hevc[ _-]?d", str(path.absolute()), re.IGNORECASE)
    return classes[1] if small else classes[0]


def _is_mask(path: Path) -> bool:
    return (path.name if path.is_dir() else path.stem).endswith(".mask")


def _has_images(path: Path) -> bool:
    return path.is_dir() and any(p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir())
