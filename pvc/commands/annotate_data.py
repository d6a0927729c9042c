"""What ``pvc annotate`` does before and after people paint: prepare, export, average, agreement, validate, video."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from pvc.annotate.agreement import agreement as agreement_of
from pvc.annotate.average import encode_mean, means, write_mean
from pvc.annotate.clip import Clip, load_clips
from pvc.annotate.config import load_settings
from pvc.annotate.export import csv_text, new_folder, session_row
from pvc.annotate.export import export as export_all
from pvc.annotate.maps import NEUTRAL, Values, at_clip_size, read_values
from pvc.annotate.records import Painted, open_collection, read_painted
from pvc.annotate.validate import flags
from pvc.commands.annotate import show_preparing, work_folder
from pvc.commands.files import keep_inputs, replacing
from pvc.console import progress
from pvc.errors import ConfigError, DataError
from pvc.importance.overlay import overlay
from pvc.video import VideoReader, VideoWriter

_LEVEL = (NEUTRAL + 4) / 255  # from which a line goes around what was painted


def prepare(args: argparse.Namespace) -> None:
    """Make the clips of ``args.folder`` ready, without serving them.

    Raises:
        DataError: there are no clips, or some cannot be prepared. ConfigError: a setting is wrong.
    """
    settings, work = load_settings(args.set or []), work_folder(args.folder, args.out)
    if not Path(args.folder).is_dir():
        raise DataError(f"{args.folder} is no folder; give a folder of clips")
    with work.alone():
        clips = show_preparing(args.folder, work, settings)
    for clip in clips:
        asked = f"{settings.prepare.kbps:g} kbit/s" if settings.prepare.kbps else f"{settings.prepare.psnr:g} dB"
        far = "" if clip.baseline["reached"] else f" (asked: {asked}, which this clip cannot have)"
        size = f"{clip.frames} frames of {clip.width}x{clip.height}"
        print(f"{clip.name}: {size}, {clip.target_kbps:.1f} kbit/s, {clip.baseline['psnr']:.2f} dB{far}")


def export(args: argparse.Namespace) -> None:
    """Write everything that was painted in ``args.work`` to ``args.output``.

    Raises:
        DataError: nothing was collected, or the output is there already.
    """
    with _painted(args) as painted, progress("sessions") as bars:
        task = bars.add_task("export", total=len(painted))
        numbers = export_all(
            painted,
            args.output,
            _rules(args),
            workers=args.workers,
            step=lambda share: bars.update(task, completed=round(share * len(painted))),
        )
    print(f"{args.output}: " + ", ".join(f"{count} {what}" for what, count in numbers.items()))


def average(args: argparse.Namespace) -> None:
    """Write the mean map of each clip and, with ``args.encode``, the clip coded by it.

    Raises:
        DataError: no session counts, or the output is there already.
    """
    with new_folder(args.output) as out:
        with _painted(args) as painted:
            found = means(painted, _rules(args))
        (out / "clips").mkdir()
        rows = []
        with progress("clips") as bars:
            for name, mean in bars.track(found.items(), total=len(found), description="average"):
                write_mean(mean, out / "clips")
                print(f"{name}: {mean.people} maps", end="" if args.encode else "\n")
                if args.encode:
                    for folder in ("painted", "baseline"):
                        (out / folder).mkdir(exist_ok=True)
                    result = encode_mean(mean, out / "painted", out / "baseline", lambda share: None)
                    rows.append({"clip": name, "maps": mean.people, **result.as_dict})
                    gains = (("painted", result.gain_painted), ("elsewhere", result.gain_elsewhere))
                    said = ", ".join(f"{gain:+.2f} dB {where}" for where, gain in gains if gain is not None)
                    print(f", {result.kbps:.1f} kbit/s ({result.kbps / result.target_kbps - 1:+.1%}), {said}")
        if rows:
            (out / "encodes.csv").write_text(csv_text(rows), encoding="utf-8")


def agreement(args: argparse.Namespace) -> None:
    """Print how much people agree on each clip, and write the numbers of each to ``args.json``.

    Raises:
        DataError: no clip was painted by two people whose sessions count.
    """
    rules, by_clip = _rules(args), {}
    with _painted(args) as painted:
        for one in painted:
            values = one.values()
            if values is not None and not flags(one, values, rules):
                by_clip.setdefault(one.clip.name, []).append((one.participant, values))
    found = {name: (ids, agreement_of(maps)) for name, (ids, maps) in _unzipped(by_clip) if len(maps) > 1}
    if not found:
        raise DataError("no clip was painted by two people whose sessions count; pvc annotate validate says which do")
    print("clip: people, leave-one-out correlation (the standard), pairwise correlation")
    for name, (_, one) in found.items():
        print(f"{name}: {one.people}, {_said(one.mean_leave_one_out)}, {_said(one.mean_pairwise)}")
    if args.json:
        whole = {
            name: {
                "participants": ids,
                "leave_one_out": one.leave_one_out,
                "mean_leave_one_out": one.mean_leave_one_out,
                "pairwise": [[None if v != v else v for v in row] for row in one.pairwise.tolist()],
                "mean_pairwise": one.mean_pairwise,
            }
            for name, (ids, one) in found.items()
        }
        with replacing(Path(args.json)) as file:
            file.write(json.dumps(whole, indent=1).encode() + b"\n")


def validate(args: argparse.Namespace) -> None:
    """Print which sessions do not count and by which rule, and write all of them to ``args.csv``."""
    rules = _rules(args)
    with _painted(args) as painted:
        rows = [session_row(one, values := one.values(), flags(one, values, rules)) for one in painted]
    for row in rows:
        if row["flags"]:
            print(f"{row['session']} ({row['clip']}, participant {row['participant']}): {row['flags']}")
    print(f"{sum(not row['flags'] for row in rows)} of {len(rows)} sessions count")
    if args.csv:
        with replacing(Path(args.csv)) as file:
            file.write(csv_text(rows).encode())


def video(args: argparse.Namespace) -> None:
    """Write a clip under one of its maps as ``args.output``: red where it was raised, blue where it was lowered.

    Raises:
        ConfigError: no such session, clip or map, or the output is no video.
    """
    if Path(args.output).suffix.lower() not in (".mp4", ".mkv"):
        raise ConfigError(f"{args.output}: name a video, .mp4 or .mkv")
    keep_inputs(args.output, args.map)
    clip, values = _chosen(args)
    with (
        VideoReader(clip.folder / "source.mkv") as frames,
        VideoWriter(args.output, width=clip.width, height=clip.height, fps=clip.rate) as writer,
        progress("frames") as bars,
    ):
        pairs = zip(frames, values, strict=True)
        for frame, plane in bars.track(pairs, total=clip.frames, description=clip.name):
            q = torch.from_numpy(at_clip_size(plane, (clip.height, clip.width))).float()[None] / 255
            writer.write(overlay(frame, q, level=_LEVEL, neutral=NEUTRAL / 255))


def _chosen(args: argparse.Namespace) -> tuple[Clip, Values]:
    """The clip and the map that the options name."""
    if (args.session is None) == (args.clip is None):
        raise ConfigError("which map? Give --session ID, --clip NAME (the mean map), or --clip NAME --map FILE")
    if args.map:
        if args.clip is None:
            raise ConfigError("--map needs --clip NAME, the clip that it is of")
        clip = _named({clip.name: clip for clip in load_clips(args.work)}, args.clip, "--clip")
        return clip, read_values(args.map, clip.grid)
    with _painted(args) as painted:
        if args.clip is not None:
            of_clip = [one for one in painted if one.clip.name == args.clip]
            _named({one.clip.name: one for one in painted}, args.clip, "--clip")
            mean = means(of_clip, _rules(args))[args.clip]
            return mean.clip, mean.values
        one = _named({one.id: one for one in painted}, args.session, "--session")
    files = {int(file.stem.removeprefix("map-")): file for file in one.maps}
    number = args.number or max(files, default=0)
    if number not in files:
        raise ConfigError(f"session {one.id} has no map {number or ''}; it has {len(files)}")
    return one.clip, read_values(files[number], one.clip.grid)


def _named(among: dict, name: str, option: str) -> Any:
    if name not in among:
        have = ", ".join(list(among)[:10]) or "none"
        raise ConfigError(f"{option} {name}: there is no such one; there are {have}{', ...' * (len(among) > 10)}")
    return among[name]


@contextmanager
def _painted(args: argparse.Namespace) -> Iterator[list[Painted]]:
    sessions = open_collection(args.work, args.database)
    try:
        yield read_painted(args.work, sessions)
    finally:
        sessions.engine.dispose()


def _rules(args: argparse.Namespace) -> dict:
    return OmegaConf.to_container(load_settings(args.set or []).validate)


def _unzipped(by_clip: dict[str, list[tuple[str, Values]]]) -> Iterator[tuple[str, tuple[list[str], list[Values]]]]:
    for name, pairs in by_clip.items():
        ids, maps = zip(*pairs, strict=True)
        yield name, (list(ids), list(maps))


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
