"""Vimeo-90k septuplets in the public layout: ``sequences/00001/0001/im1.png`` ... ``im7.png``, ``sep_trainlist.txt``,
``sep_testlist.txt``.

Source: Xue et al., "Video enhancement with task-oriented flow", IJCV 2019; training set of the WACV 2023 paper.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from pvc.data.pictures import PictureSequence, read_list
from pvc.data.sequence import Sequence
from pvc.data.source import Source
from pvc.errors import DataError
from pvc.video.images import image_size

_FRAMES = 7


@dataclass
class Septuplet(PictureSequence):
    """Seven frames of one shot."""

    folder: str

    def frame_file(self, i: int) -> Path:
        return Path(self.folder, f"im{i + 1}.png")


class Vimeo90k(Source):
    """Vimeo-90k.

    Sizes are those of the first septuplet (448x256) and files are opened when they are needed, so that 90,000
    septuplets are listed in a second; a missing or broken file is reported, by its name, when it is drawn.

    Args:
        root: folder that holds ``sequences`` and the lists.
        val: how many septuplets of the test list to validate on, spread evenly over it; None for all.
        on_error: see :class:`~pvc.data.source.Source`.

    Raises:
        DataError: the folder is not laid out like this.
    """

    def __init__(self, root: str | Path, val: int | None = 32, on_error: str = "raise") -> None:
        super().__init__(root, on_error)
        self.val_count = val
        if not (self.root / "sequences").is_dir():
            raise DataError(f"{self.root} has no folder 'sequences'; data.root of vimeo90k is the folder that holds it")

    def train(self) -> list[Sequence]:
        return self._list("sep_trainlist.txt")

    def val(self) -> list[Sequence]:
        everything = self.eval()
        count = len(everything) if self.val_count is None else min(self.val_count, len(everything))
        return [everything[i] for i in np.linspace(0, len(everything) - 1, count).round().astype(int)]

    def eval(self) -> list[Sequence]:
        """All septuplets of the test list."""
        return self._list("sep_testlist.txt")

    def _list(self, name: str) -> list[Sequence]:
        names = read_list(self.root / name)
        folders = [str(self.root / "sequences" / n) for n in names]
        first = next((p for p in (Path(f, "im1.png") for f in folders) if p.is_file()), None)
        if first is None:
            raise DataError(
                f"none of the {len(names)} septuplets of {self.root / name} is there ({folders[0]}/im1.png)"
            )
        width, height = image_size(first)
        return [
            Septuplet("vimeo90k", n, _FRAMES, height, width, Fraction(30), folder=f)
            for n, f in zip(names, folders, strict=True)
        ]
