"""``pvc importance``: the importance map of a clip as a file, and a picture of it to look at."""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image
from torch import Tensor
from yaml import YAMLError

from pvc.commands.files import default_device, keep_inputs, parse_fps, replacing
from pvc.console import progress
from pvc.errors import ConfigError, VideoError
from pvc.importance import check_map
from pvc.importance.composite import Composite
from pvc.importance.overlay import overlay, sheet
from pvc.importance.registry import load_source
from pvc.importance.source import Source
from pvc.video import MapWriter, VideoReader, VideoWriter, open_video
from pvc.video.pipe import is_pipe
from pvc.video.stream import count_frames

_VIDEOS = (".mp4", ".mkv")
_SHEET = 12  # pictures


def importance(args: argparse.Namespace) -> None:
    """Write the map that ``args.source`` finds for ``args.input`` to ``args.output``, and then ``args.overlay``.

    Raises:
        PvcError: clip, source or output cannot be used; what was there before is as it was.
    """
    _check_outputs(args)
    source = _source(args)
    with _open(args) as reader:
        info = reader.info
        total = args.frames or (None if is_pipe(args.input) else info.frames or count_frames(Path(args.input)))
        like = torch.empty((1, 3, info.height, info.width), device="meta")
        with (
            MapWriter(args.output, width=info.width, height=info.height, fps=info.fps) as writer,
            progress() as bars,
        ):
            done, bar = 0, bars.add_task(source.name, total=total)
            for q in source.maps(_frames(reader, args)):
                check_map(q[None], like, map_name=f"the map of {source.name}", clip_name=args.input)
                writer.write(q)
                done += 1
                bars.update(bar, completed=done)
    if args.overlay:
        _overlay(args, done)


def _check_outputs(args: argparse.Namespace) -> None:
    """What can be known to fail before the work is done."""
    if is_pipe(args.output):
        raise ConfigError("-o -: a map does not go through a pipe; name a .mkv file or a folder")
    keep_inputs(args.output, args.input)
    if args.overlay is None:
        return
    keep_inputs(args.overlay, args.input)
    suffix = Path(args.overlay).suffix.lower()
    if suffix not in (*_VIDEOS, ".png"):
        raise ConfigError(f"--overlay {args.overlay}: name a video ({', '.join(_VIDEOS)}) or a picture (.png)")
    if is_pipe(args.input):
        raise ConfigError("--overlay reads the clip a second time, which standard input does not allow; name a file")
    if Path(args.overlay).resolve() == Path(args.output).resolve():
        raise ConfigError(f"--overlay {args.overlay} is the map's own file; name another")
    if not Path(args.overlay).absolute().parent.is_dir():
        raise VideoError(f"{args.overlay}: there is no folder {Path(args.overlay).parent}; make it first")


def _source(args: argparse.Namespace) -> Source:
    """The source of the options: one, or several and what is done to their maps as one."""
    names = [name for given in args.source or ["spectral"] for name in given.split(",")]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"--source names {', '.join(sorted(twice))} twice; name each once")
    settings = _settings(args.set or [], names)
    places = {"device": default_device(args.device), "weights_dir": args.weights_dir}
    steps = [
        {"threshold": {"level": args.threshold}},
        {"dilate": {"radius": args.dilate}},
        {"smooth": {"decay": args.smooth}},
        {"normalise": {"mean": args.mean}},
    ]
    steps = [step for step in steps if None not in next(iter(step.values())).values()]
    if len(names) == 1 and not steps:
        return load_source(names[0], **places, **settings[names[0]])
    sources = tuple({name: settings[name]} for name in names)
    return Composite("+".join(names), sources, args.combine, steps=tuple(steps), **places)


def _settings(given: list[str], names: list[str]) -> dict[str, dict[str, Any]]:
    """``KEY=VALUE`` or, of several sources, ``NAME.KEY=VALUE``: settings by source."""
    settings: dict[str, dict[str, Any]] = {name: {} for name in names}
    for item in given:
        key, equals, _ = item.partition("=")
        name, dot, own = key.partition(".")
        if dot and name in names:
            item = item.removeprefix(f"{name}.")
        elif len(names) == 1:
            name, own = names[0], key
        else:
            raise ConfigError(f"--set {item}: which source? Write NAME.KEY=VALUE with one of {', '.join(names)}")
        if not (equals and all(part.isidentifier() for part in own.split("."))):
            raise ConfigError(f"--set {item} is no KEY=VALUE")
        try:
            settings[name] = OmegaConf.to_container(OmegaConf.merge(settings[name], OmegaConf.from_dotlist([item])))
        except (OmegaConfBaseException, YAMLError) as error:
            raise ConfigError(f"--set {item} cannot be understood: {str(error).splitlines()[0]}") from None
    return settings


def _open(args: argparse.Namespace) -> VideoReader:
    width, height = args.size or (None, None)
    raw = {"pix_fmt": args.pix_fmt, "matrix": args.matrix, "full_range": args.full_range}
    return open_video(args.input, width=width, height=height, fps=parse_fps(args.fps), **raw)


def _frames(reader: VideoReader, args: argparse.Namespace) -> Iterator[Tensor]:
    """The clip's frames, or the first ``--frames`` of them. Raises ``VideoError`` at the end if they are fewer."""
    done = 0
    for frame in islice(reader, args.frames):
        yield frame
        done += 1
    if args.frames and done < args.frames:
        raise VideoError(f"{args.input} has {done} frames, not the {args.frames} of --frames")


def _overlay(args: argparse.Namespace, count: int) -> None:
    """The clip under the map that was just written: a video, or a sheet of pictures spread over it."""
    with _open(args) as reader, VideoReader(args.output, grey=True) as maps, progress() as bars:
        pairs = bars.track(zip(reader, maps), total=count, description="overlay")
        if Path(args.overlay).suffix.lower() == ".png":
            wanted = {round(i * (count - 1) / max(min(_SHEET, count) - 1, 1)) for i in range(min(_SHEET, count))}
            picture = sheet([overlay(frame, q) for i, (frame, q) in enumerate(pairs) if i in wanted])
            with replacing(Path(args.overlay)) as file:
                Image.fromarray(picture.permute(1, 2, 0).numpy()).save(file, "png")
            return
        info = reader.info
        about = {"fps": info.fps, "matrix": info.matrix, "full_range": info.full_range}
        with VideoWriter(args.overlay, width=info.width, height=info.height, **about) as writer:
            for frame, q in pairs:
                writer.write(overlay(frame, q))
