"""Making a study: a folder of videos that browsers play, with the pairs that are to be compared."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from itertools import combinations, count
from pathlib import Path
from typing import Any

from pvc.errors import ConfigError, VideoError
from pvc.study import sanity
from pvc.study.encodes import Encode, Encodes, check_alike, from_file
from pvc.study.plan import Pair, Rules, Side, Study, rate_note, say_unknown
from pvc.study.playable import can_be_copied, convert, copy
from pvc.web.access import new_id


def make(
    folder: Path,
    encodes: Encodes,
    settings: Mapping[str, Any],
    *,
    title: str,
    sanity_pairs: Encodes | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Study:
    """Write a study of every two codecs on every video into ``folder``, whole or not at all.

    Args:
        encodes: By video and codec, the codecs of every video in the same order, the baseline last.
        settings: ``configs/study.yaml``.
        sanity_pairs: Sanity pairs as ``encodes``, of the codecs ``good`` and ``bad``; None: they are made.
        progress: Called with how many videos are written, of how many.

    Raises:
        ConfigError: the folder is not empty, a setting is out of range, or there is nothing to compare.
        VideoError: encodes of a video differ in size, rate or length, or cannot be read.
    """
    check_new(folder)
    _check(encodes, settings)
    for video, own in [*encodes.items(), *(sanity_pairs or {}).items()]:
        check_alike(video, own)
    codecs = tuple(next(iter(encodes.values())))
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (unfinished / "videos").mkdir()
        known = sanity_pairs or {}
        made = settings["sanity"]["count"] if sanity_pairs is None else 0
        total = len(encodes) * len(codecs) + 2 * len(known) + made
        writer = _Writer(unfinished, settings["playable"], lambda done: progress(done, total))
        tests = [pair for video, own in encodes.items() for pair in writer.pairs(video, own)]
        with tempfile.TemporaryDirectory(dir=unfinished) as worse:
            if sanity_pairs is None:
                # Of what was written: a neural codec need not decode again.
                good = {video: writer.written(own[codecs[-1]]) for video, own in encodes.items()}
                known = sanity.made(good, Path(worse), settings["sanity"])
            checks = [pair for video, own in known.items() for pair in writer.pairs(video, own, better=sanity.GOOD)]
        tolerance = settings["rate_tolerance"]
        notes = [note for pair in tests if (note := rate_note(pair, tolerance))]
        notes += [note] if (note := say_unknown(tests)) else []
        study = Study(
            id=new_id(),
            title=title,
            question=settings["question"],
            codecs=codecs,
            pairs=(*tests, *checks),
            per_participant=settings["per_participant"],
            rules=Rules(**settings["rules"]),
            settings=dict(settings),
            notes=tuple(notes),
        )
        study.save(unfinished)
        unfinished.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()  # an empty one
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return study


class _Writer:
    """Writes the videos of pairs, each encode once."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], progress: Callable[[int], None]) -> None:
        self._folder, self._settings, self._progress = folder, settings, progress
        self._files: dict[Encode, str] = {}
        self._numbers, self._names = count(1), count(1)

    def pairs(self, video: str, encodes: dict[str, Encode], better: str | None = None) -> list[Pair]:
        """A pair of every two codecs. All encodes are copied, or all are coded anew: no side gains by it."""
        copied = all(map(can_be_copied, encodes.values()))
        # The rate of a side that is bad on purpose says nothing.
        rates = {codec: encode.kbps if better is None else None for codec, encode in encodes.items()}
        sides = {codec: Side(codec, self._write(encode, copied), rates[codec]) for codec, encode in encodes.items()}
        first = next(iter(encodes.values()))
        size = {"width": first.width + first.width % 2, "height": first.height + first.height % 2}
        found = []
        for one, other in combinations(encodes, 2):
            about = {"fps": str(first.fps), "frames": first.frames, "better": better}
            found.append(Pair(f"p{next(self._numbers):03d}", video, (sides[one], sides[other]), **size, **about))
        return found

    def _write(self, encode: Encode, copied: bool) -> str:
        if encode not in self._files:
            name = f"{next(self._names):03d}.mp4"
            target = self._folder / "videos" / name
            if copied:
                copy(encode, target)
            else:
                convert(encode, target, self._settings)
            self._files[encode] = name
            self._progress(int(name[:-4]))
        return self._files[encode]

    def written(self, encode: Encode) -> Encode:
        """``encode`` as it was written; a pair that has it on a side uses that file."""
        again = from_file(self._folder / "videos" / self._files[encode])
        self._files[again] = self._files[encode]
        return again


def check_new(folder: Path) -> None:
    """Make sure that a study may be written to ``folder``.

    Raises:
        ConfigError: something is there.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already; name a new folder for the study")


def _check(encodes: Encodes, settings: Mapping[str, Any]) -> None:
    if not encodes or any(len(own) < 2 for own in encodes.values()):
        raise ConfigError("a study needs videos with encodes of at least two codecs")
    ranges = {
        "sanity.count": (0, 1000, settings["sanity"]["count"]),
        "sanity.crf": (40, 51, settings["sanity"]["crf"]),
        "sanity.psnr": (15, 30, settings["sanity"]["psnr"]),
        "playable.crf": (0, 16, settings["playable"]["crf"]),
        "rate_tolerance": (0, 1, settings["rate_tolerance"]),
        "per_participant": (1, 1000, 1 if settings["per_participant"] is None else settings["per_participant"]),
    }
    for name, (low, high, value) in ranges.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ConfigError(f"{name}={value} lies outside [{low}, {high}]")
    for name in ("sanity.count", "per_participant"):
        if not isinstance(ranges[name][2], int):
            raise ConfigError(f"{name}={ranges[name][2]} is no whole number")
    Rules(**settings["rules"])
    for what in {codec for own in encodes.values() for codec in own}:
        if what in (sanity.GOOD, sanity.BAD):
            raise VideoError(f"a codec cannot be called {what}, as the sides of sanity pairs are")
