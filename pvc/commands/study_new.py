"""``pvc study new``: a study out of pairs of encodes."""

import argparse
import sys
from pathlib import Path

from omegaconf import OmegaConf

from pvc.console import progress
from pvc.errors import ConfigError
from pvc.study import sanity
from pvc.study.encodes import Encodes, from_folders
from pvc.study.make import check_new, make
from pvc.study.painted import from_average, is_average
from pvc.study.runs import from_run
from pvc.web.settings import load_settings


def new(args: argparse.Namespace) -> None:
    """Write the study ``args.study``.

    Raises:
        PvcError: the encodes cannot be read or compared, or a setting is out of range; there is no study then.
    """
    settings = OmegaConf.to_container(load_settings("study", args.set or [], "sanity.count=2"))
    folder, given = Path(args.study), None
    check_new(folder)
    if args.sanity:
        given = from_folders([(name, Path(f)) for name, f in zip((sanity.GOOD, sanity.BAD), args.sanity)])
    encodes = _baseline_last(_encodes(args), args.baseline)
    with progress("videos") as bars:
        task = bars.add_task("videos")

        def say(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        made = make(folder, encodes, settings, title=args.title or folder.name, sanity_pairs=given, progress=say)
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)
    asked = f"{len(made.tests)} pairs of {', '.join(made.codecs[:-1])} and {made.baseline}"
    print(f"{folder}: {asked}, {len(made.sanity)} sanity pairs; next: pvc study serve {folder}")


def _encodes(args: argparse.Namespace) -> Encodes:
    """What ``--pairs`` names: a run of ``pvc eval``, encodes by average maps, or folders of encodes."""
    first = Path(args.pairs[0])
    if len(args.pairs) == 1 and (first / "results.jsonl").is_file():
        return from_run(first, args.codecs or (), args.kbps)
    for option in ("codecs", "kbps"):
        if getattr(args, option) is not None:
            raise ConfigError(f"--{option} is for a folder that pvc eval wrote; name other folders with NAME=FOLDER")
    if len(args.pairs) == 1 and is_average(first):
        return from_average(first)
    if len(args.pairs) == 1:
        raise ConfigError(
            f"--pairs {first} is neither a folder of pvc eval nor one of pvc annotate average --encode; "
            "of folders of encodes name at least two"
        )
    named = [_named(item) for item in args.pairs]
    names = [name for name, _ in named]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two folders are called {twice[0]}; name them: --pairs NAME=FOLDER NAME=FOLDER")
    return from_folders(named)


def _named(item: str) -> tuple[str, Path]:
    name, equals, folder = item.partition("=")
    return (name, Path(folder)) if equals and not Path(item).is_dir() else (Path(item).resolve().name, Path(item))


def _baseline_last(encodes: Encodes, baseline: str | None) -> Encodes:
    """The codecs in their order, with ``baseline`` (as it is: the last one) at the end."""
    names = list(next(iter(encodes.values())))
    if baseline is not None and baseline not in names:
        raise ConfigError(f"--baseline {baseline} is none of {'; '.join(names)}")
    order = [name for name in names if name != baseline] + ([baseline] if baseline else [])
    return {video: {name: own[name] for name in order} for video, own in encodes.items()}
