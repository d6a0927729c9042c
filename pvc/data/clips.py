"""Any folder of clips: ``NAME.mp4`` (mkv, webm, y4m, ...) or a folder ``NAME`` of frames, with masks beside them.

The mask of a clip is ``NAME.mask.mkv`` (any readable clip) or a folder ``NAME.mask``, of the clip's size and length.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from pvc.data.cache import FrameCache
from pvc.data.sequence import Box, Sequence
from pvc.data.source import Source, log
from pvc.errors import DataError, ImportanceError
from pvc.video import VideoReader, probe, read_clip, read_map

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".y4m", ".ts"}
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}


@dataclass
class ClipSequence(Sequence):
    """A clip in a file or a folder of frames; with a cache its decoded frames are kept on disk."""

    path: Path
    mask_path: Path | None = None
    cache: FrameCache | None = None
    options: dict = field(default_factory=dict)
    """What :func:`pvc.video.open_video` has to be told about a raw file."""
    _opened: dict[Path, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def has_mask(self) -> bool:
        return self.mask_path is not None

    def _read(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        if self.cache:
            return _part(self._cached(self.path, **self.options), start, count, box, step)
        frames = read_clip(self.path, start, (count - 1) * step + 1, **self.options)[::step]
        return frames if box is None else box.cut(frames)

    def _read_mask(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        if self.cache:
            return _part(self._cached(self.mask_path, grey=True), start, count, box, step).float() / 255
        mask = read_map(self.mask_path, start, (count - 1) * step + 1)[::step]
        return mask if box is None else box.cut(mask)

    def _cached(self, path: Path, **how: object) -> np.ndarray:
        """The frames of a clip or mask; looked up once a process, as that costs as much as reading a crop."""
        if path not in self._opened:
            self._opened[path] = self.cache.load(path, **how)
        return self._opened[path]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": {}}  # other processes map the file themselves

    def _stream(self, count: int) -> Iterator[Tensor]:
        if self.cache:
            yield from super()._stream(count)
        else:
            with VideoReader(self.path, **self.options) as reader:  # in one go: no seeking
                yield from islice(reader, count)

    def _stream_mask(self, count: int) -> Iterator[Tensor]:
        if self.cache:
            yield from super()._stream_mask(count)
        else:
            with VideoReader(self.mask_path, grey=True) as reader:
                yield from islice(reader, count)


class ClipFolder(Source):
    """A folder of clips.

    Args:
        root: the folder.
        val: scenes to validate on: names (all must be there), or a number (about so many from the end by name), or
            None: those of ``default_val`` that are there, else the last tenth by name. With a number, clips of one
            source video (``NAME-0``, ``NAME-1``) stay on one side where that leaves something to train on.
        default_val: names of scenes of a known folder.
        only: names of the clips to use; None for all.
        fps: frames a second of folders of pictures, which do not say (None: 25).
        cache: folder for decoded frames, ``"auto"`` (the user's cache folder) or None (decode each time).
        cache_gb: most gigabytes of decoded frames that this folder may take there.
        on_error: see :class:`~pvc.data.source.Source`.

    Raises:
        DataError: no clips, a layout that belongs to another source, two clips of one name, unknown names.
    """

    def __init__(
        self,
        root: str | Path,
        val: Iterable[str] | int | None = None,
        default_val: Iterable[str] = (),
        only: Iterable[str] | None = None,
        fps: float | None = None,
        cache: str | Path | None = "auto",
        cache_gb: float = 100.0,
        on_error: str = "raise",
    ) -> None:
        super().__init__(root, on_error)
        self.cache = None if cache is None else FrameCache(cache)
        self.cache_gb, self.fps = cache_gb, fps
        self.clips = self._find()
        if only is not None:
            self.clips = {n: self.clips[n] for n in self._existing(only, "only")}
        self.val_names = self._existing(val, "val") if isinstance(val, Iterable) else self._choose(val, default_val)

    def train(self) -> list[Sequence]:
        names = [n for n in self.clips if n not in self.val_names]
        if not names:
            log.warning("all scenes of %s are for validation: they are trained on as well", self.root)
            names = list(self.clips)
        return self._sequences(names, self.cache)

    def val(self) -> list[Sequence]:
        return self._sequences(self.val_names, self.cache)

    def eval(self) -> list[Sequence]:
        """All clips of the folder, read without the cache."""
        return self._sequences(list(self.clips), None)

    def _find(self) -> dict[str, tuple[Path, Path | None]]:
        return find_clips(self.root)

    def _options(self, path: Path) -> dict:
        """What :func:`pvc.video.open_video` has to be told about this clip."""
        return {"fps": Fraction(self.fps).limit_denominator(1001)} if self.fps and path.is_dir() else {}

    def _existing(self, names: Iterable[str], key: str) -> list[str]:
        names = [names] if isinstance(names, str) else list(names)
        if missing := [n for n in names if n not in self.clips]:
            raise DataError(f"data.source.{key} names clips that are not in {self.root}: {', '.join(missing)}")
        return names

    def _choose(self, count: int | None, default: Iterable[str]) -> list[str]:
        names = list(self.clips)
        if count is None:
            if known := [n for n in default if n in self.clips]:
                return known
            count = max(1, len(names) // 10)
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(re.sub(r"-\d+$", "", name), []).append(name)
        chosen: list[str] = []
        while len(chosen) < count and groups:
            chosen = groups.popitem()[1] + chosen
        return chosen if groups or not count else names[-count:]

    def _sequences(self, names: list[str], cache: FrameCache | None) -> list[Sequence]:
        self._cached_bytes = 0
        new = [n for n in names if cache and not cache.info(self.clips[n][0])]
        if new:
            log.info("decoding %d clips of %s once, into %s", len(new), self.root, cache.folder)
        bar = track(
            names, f"decoding {len(new)} clips once", console=Console(stderr=True), transient=True, disable=not new
        )
        return self._collect(bar, lambda name: self._sequence(name, cache))

    def _sequence(self, name: str, cache: FrameCache | None) -> ClipSequence:
        path, mask = self.clips[name]
        options = self._options(path)
        *size, fps = self._info(path, cache, False, options)
        if mask is not None:
            *mask_size, _ = self._info(mask, cache, True, {})
            if mask_size != size:
                (t, h, w), (mt, mh, mw) = size, mask_size
                raise ImportanceError(
                    f"mask {mask} is {mw}x{mh} with {mt} frames but its clip {path} is {w}x{h} with {t}; "
                    "give a mask of the clip's size and length"
                )
        return ClipSequence(self.root.name, name, *size, fps, path, mask, cache, options)

    def _info(self, path: Path, cache: FrameCache | None, grey: bool, options: dict) -> tuple:
        """``(frames, height, width, fps)``; with a cache the clip is in it afterwards."""
        if not cache:
            info = probe(path, **options)
            return info.frames, info.height, info.width, info.fps
        if cache.info(path, grey) is None:
            cache.load(path, grey, **options)
        info = cache.info(path, grey)
        frames, _, height, width = info["shape"]
        self._cached_bytes += int(np.prod(info["shape"]))
        if self._cached_bytes > self.cache_gb * 1e9:
            raise DataError(
                f"the decoded frames of {self.root} take more than {self.cache_gb:g} GB in {cache.folder}; raise "
                "data.source.cache_gb or decode each time with data.source.cache=null"
            )
        return frames, height, width, options.get("fps", info["fps"])


def find_clips(root: Path) -> dict[str, tuple[Path, Path | None]]:
    """Name -> (clip, mask or None) of a folder, sorted by name.

    Raises:
        DataError: no clips, a layout that belongs to another source, two clips of one name, or a mask without a clip.
    """
    for marker, source in (
        ("JPEGImages", "davis"),
        ("sep_trainlist.txt", "vimeo90k"),
        ("sep_testlist.txt", "vimeo90k"),
    ):
        if (root / marker).exists():
            raise DataError(f"{root} holds {marker}: that is the layout of data={source}, not a folder of clips")
    entries = sorted(p for p in root.iterdir() if not p.name.startswith("."))
    if any(p.suffix.lower() in IMAGE_SUFFIXES for p in entries):
        raise DataError(f"{root} holds pictures: give the folder above it, in which each folder of frames is a clip")
    usable = [p for p in entries if (_has_images(p) if p.is_dir() else p.suffix.lower() in VIDEO_SUFFIXES)]
    clips = by_name([p for p in usable if not _name(p).endswith(".mask")])
    if not clips:
        hint = "; for raw YUV use data=yuv" if any(root.glob("*.yuv")) else ""
        raise DataError(f"{root} has no clips ({', '.join(sorted(VIDEO_SUFFIXES))} or folders of PNG or JPEG){hint}")
    return with_masks(clips, [p for p in usable if _name(p).endswith(".mask")])


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Clips by their name without the suffix; two of one name are a DataError."""
    clips: dict[str, Path] = {}
    for path in paths:
        if (other := clips.setdefault(_name(path), path)) != path:
            raise DataError(f"{other} and {path} have the same name; keep one of them")
    return clips


def with_masks(clips: dict[str, Path], masks: Iterable[Path]) -> dict[str, tuple[Path, Path | None]]:
    """Each clip with the mask of its name; a mask without a clip is a DataError."""
    found = {name.removesuffix(".mask"): path for name, path in by_name(masks).items()}
    if lonely := [str(path) for name, path in found.items() if name not in clips]:
        raise DataError(
            f"no clip for the mask {', '.join(lonely)}; the clip of NAME.mask.mkv is NAME.mp4, NAME.mkv, ..."
        )
    return {name: (path, found.get(name)) for name, path in sorted(clips.items())}


def _name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _has_images(folder: Path) -> bool:
    return any(p.suffix.lower() in IMAGE_SUFFIXES for p in folder.iterdir())


def _part(frames: np.ndarray, start: int, count: int, box: Box | None, step: int) -> Tensor:
    part = frames[start : start + count * step : step]
    return torch.from_numpy(np.array(part if box is None else box.cut(part)))
