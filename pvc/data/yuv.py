"""Raw test sequences (HEVC-CTC, UVG, JVET): ``.yuv`` files anywhere below a folder, with masks beside them.

Size, rate and format come from the names (``BasketballPass_416x240_50.yuv``) or from the arguments.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from pvc.data.clips import IMAGE_SUFFIXES, VIDEO_SUFFIXES, ClipFolder, by_name, with_masks
from pvc.errors import DataError


class YuvFolder(ClipFolder):
    """A folder of raw sequences.

    Args:
        root: the folder; sub-folders (``ClassD/``) are searched too.
        width, height, fps, pix_fmt: of files whose names do not say; they override the names.
        matrix: ``bt601``, ``bt709`` or ``bt2020``; None: BT.601 below 720 lines and BT.709 from there.
        full_range: True where luma spans 0 to 255.
        only, val, cache, cache_gb, on_error: see :class:`~pvc.data.clips.ClipFolder`.

    Raises:
        DataError: there are no ``.yuv`` files, or two of one name.
        VideoError: size or rate of a file are unknown.
    """

    def __init__(
        self,
        root: str | Path,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        pix_fmt: str | None = None,
        matrix: str | None = None,
        full_range: bool | None = None,
        only: Iterable[str] | None = None,
        val: Iterable[str] | int | None = None,
        cache: str | Path | None = None,
        cache_gb: float = 100.0,
        on_error: str = "raise",
    ) -> None:
        given = dict(width=width, height=height, pix_fmt=pix_fmt, matrix=matrix, full_range=full_range)
        given["fps"] = None if fps is None else Fraction(fps).limit_denominator(1001)
        self.given = {k: v for k, v in given.items() if v is not None}
        super().__init__(root, val=val, only=only, cache=cache, cache_gb=cache_gb, on_error=on_error)

    def _find(self) -> dict[str, tuple[Path, Path | None]]:
        clips = by_name(sorted(self.root.rglob("*.yuv")))
        if not clips:
            raise DataError(f"{self.root} has no .yuv files; for other clips use data=clips")
        masks = sorted(p for p in self.root.rglob("*.mask*") if _is_mask(p))
        return with_masks(clips, masks)

    def _options(self, path: Path) -> dict:
        return self.given


def _is_mask(path: Path) -> bool:
    if path.is_dir():
        return path.suffix == ".mask" and any(p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir())
    return path.stem.endswith(".mask") and path.suffix.lower() in VIDEO_SUFFIXES
