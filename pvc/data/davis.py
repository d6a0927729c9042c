"""DAVIS 2016 and 2017 in their public layouts, with the annotations as importance maps.

``JPEGImages/480p/NAME/00000.jpg``, ``Annotations/480p/NAME/00000.png`` and a list of ``ImageSets``:
``2016/val.txt`` or ``2017/val.txt`` (a name a line) or ``480p/val.txt`` (a pair of files a line).
Source: Perazzi et al., CVPR 2016; Pont-Tuset et al., "The 2017 DAVIS challenge on video object segmentation".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from pvc.data.pictures import PictureSequence, read_list
from pvc.data.sequence import Box, Sequence
from pvc.data.source import Source
from pvc.errors import ConfigError, DataError, ImportanceError
from pvc.importance.annotation import read_annotation
from pvc.video.images import image_size, list_images


@dataclass
class DavisSequence(PictureSequence):
    """One sequence; its mask is 1 where one of the chosen objects (None: any) is."""

    files: list[Path]
    masks: list[Path]
    objects: tuple[int, ...] | None = None

    @property
    def has_mask(self) -> bool:
        return bool(self.masks)

    def frame_file(self, i: int) -> Path:
        return self.files[i]

    def _read_mask(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        files = self.masks[start : start + count * step : step]
        return self._stack(files, lambda p: read_annotation(p, self.objects), box)


class Davis(Source):
    """DAVIS.

    Args:
        root: folder that holds ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        year: 2016 or 2017, whose lists are used; None takes those that are there (2017 before 2016).
        resolution: ``480p``, ``1080p`` (2016) or ``Full-Resolution`` (2017).
        train_split, val_split: names of lists; validation and evaluation use the second.
        objects: numbers of the objects that make the region of interest (2017); None merges all.
        fps: frames a second; the pictures do not say.
        on_error: see :class:`~pvc.data.source.Source`.

    Raises:
        DataError: the folder is not laid out like this, a sequence of the list is missing, or an object is not there.
        ImportanceError: another number of annotations than of frames.
    """

    def __init__(
        self,
        root: str | Path,
        year: int | None = None,
        resolution: str = "480p",
        train_split: str = "train",
        val_split: str = "val",
        objects: Iterable[int] | None = None,
        fps: float = 24,
        on_error: str = "raise",
    ) -> None:
        super().__init__(root, on_error)
        if year not in (None, 2016, 2017):
            raise ConfigError(f"data.source.year = {year}: must be 2016, 2017 or null")
        self.year, self.resolution, self.splits = year, resolution, (train_split, val_split)
        self.objects = None if objects is None else tuple(int(o) for o in objects)
        self.fps = Fraction(fps).limit_denominator(1001)
        if not (self.root / "JPEGImages" / resolution).is_dir():
            have = ", ".join(sorted(p.name for p in self.root.glob("JPEGImages/*"))) or "no JPEGImages at all"
            raise DataError(
                f"{self.root} has no JPEGImages/{resolution} (there are: {have}); set data.source.resolution"
            )

    def train(self) -> list[Sequence]:
        return self._collect(self._names(self.splits[0]), self._sequence)

    def val(self) -> list[Sequence]:
        return self._collect(self._names(self.splits[1]), self._sequence)

    def _names(self, split: str) -> list[str]:
        folders = [str(self.year)] if self.year else ["2017", "2016"]
        if self.year != 2017:
            folders += [self.resolution, "480p"]
        lists = [self.root / "ImageSets" / folder / f"{split}.txt" for folder in folders]
        found = next((p for p in lists if p.is_file()), None)
        if found is None:
            raise DataError(f"{self.root} has no list {' or '.join(str(p.relative_to(self.root)) for p in lists)}")
        first = (line.split()[0] for line in read_list(found))
        return list(dict.fromkeys(Path(entry).parent.name if "/" in entry else entry for entry in first))

    def _sequence(self, name: str) -> DavisSequence:
        frames, masks = (self.root / kind / self.resolution / name for kind in ("JPEGImages", "Annotations"))
        if not frames.is_dir():
            raise DataError(f"{frames} is in the list of {self.root} but not there")
        files = list_images(frames)
        annotations = list_images(masks) if masks.is_dir() else []
        # The challenge sets come with the first annotation only; they have no mask to measure with.
        if len(annotations) == 1 < len(files):
            annotations = []
        if annotations and len(annotations) != len(files):
            raise ImportanceError(f"{masks} has {len(annotations)} annotations but {frames} has {len(files)} frames")
        if annotations and self.objects is not None and not read_annotation(annotations[0], self.objects).any():
            raise DataError(f"{annotations[0]} has none of the objects {list(self.objects)} (data.source.objects)")
        width, height = image_size(files[0])
        return DavisSequence("davis", name, len(files), height, width, self.fps, files, annotations, self.objects)
