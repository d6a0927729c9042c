"""Files through codecs: what ``pvc encode``, ``pvc decode`` and ``pvc info`` do."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from pvc.codecs import Codec, load_codec
from pvc.console import progress
from pvc.entropy import container
from pvc.errors import ConfigError, VideoError
from pvc.importance import check_map, u_from_alpha, weighted_mask
from pvc.paths import find_checkpoints
from pvc.video import VideoReader, VideoWriter, open_video, probe, read_map

PAPER_ALPHA = 26.5  # u_alpha = 0.2, the operating point that the spatial-control paper's figure 3 shows


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file beside ``path`` that takes its place when the block ends without an error, and vanishes else."""
    if not path.parent.is_dir():
        raise VideoError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise VideoError(f"{path} is a folder; name a file to write")
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def default_device(device: str | None) -> str:
    """``device``, checked to be there, or the best one of this machine.

    Raises:
        ConfigError: no such device.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise ConfigError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def encode(args: argparse.Namespace) -> None:
    """Code ``args.input`` into ``args.output`` with ``args.model`` (a ``.pvc`` stream) or ``args.codec`` (an mp4)."""
    _check_options(args)
    fps = _fps(args.fps)
    width, height = args.size or (None, None)
    with open_video(
        args.input,
        width=width,
        height=height,
        fps=fps,
        pix_fmt=args.pix_fmt,
        matrix=args.matrix,
        full_range=args.full_range,
    ) as reader:
        if args.codec:
            _encode_ordinary(args, reader)
        else:
            _encode_neural(args, reader)


def _check_options(args: argparse.Namespace) -> None:
    """Options that belong to the other kind of codec are refused, not ignored."""
    if args.codec:
        for name in ("beta", "alpha", "importance"):
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name} needs --model: {args.codec} codes every part of the picture alike")
        if args.crf is None:
            raise ConfigError(f"--codec {args.codec} needs --crf, such as --crf 32")
        if Path(args.output).suffix.lower() not in (".mp4", ".mkv"):
            raise ConfigError(f"{args.output}: --codec {args.codec} writes .mp4 or .mkv")
    else:
        if args.crf is not None:
            raise ConfigError("--crf needs --codec; the rate of a model is set by --beta")
        if args.beta is None:
            raise ConfigError("--model needs --beta, such as --beta 1e-3")
        if args.alpha not in (None, 1) and args.importance is None:
            raise ConfigError("--alpha weighs the region of interest: it needs --importance MAP")
        if Path(args.output).suffix.lower() != ".pvc":
            raise ConfigError(f"{args.output}: a model writes .pvc streams; name the file OUT.pvc")


def _fps(text: str | None) -> Fraction | None:
    try:
        fps = None if text is None else Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"--fps {text} is not a number such as 50 or 30000/1001") from None
    if fps is not None and fps <= 0:
        raise ConfigError(f"--fps {text} must be above 0")
    return fps


def _frames(reader: VideoReader, name: str, count: int | None, label: str) -> Iterator[Tensor]:
    """The reader's first ``count`` frames (uint8 ``[3, H, W]``), with a progress bar.

    Raises:
        VideoError: the clip has no frame, or fewer than ``count``.
    """
    known = reader.info.frames
    total = count if known is None else min(known, count or known)
    done = 0
    with progress() as bars:
        bar = bars.add_task(label, total=total)
        for frame in reader:
            yield frame
            done += 1
            bars.advance(bar)
            if done == count:
                break
        bars.update(bar, total=done)
    if done < (count or 1):
        raise VideoError(f"{name} has {done} frames" + (f", not the {count} of --frames" if count else ""))


def _encode_ordinary(args: argparse.Namespace, reader: VideoReader) -> None:
    """An ordinary video with the options of ``configs/codec``, frame by frame."""
    codec = load_codec(args.codec, gop=args.gop)
    (point,) = codec.points({"crf": args.crf})  # FFmpeg would clip a crf out of range without a word
    meta, info = codec.meta, reader.info
    odd = info.width % 2 or info.height % 2  # 4:2:0 streams of these codecs have even sizes
    with VideoWriter(
        args.output,
        width=info.width,
        height=info.height,
        fps=info.fps,
        matrix=info.matrix,
        full_range=info.full_range,
        codec=meta["encoder"],
        pix_fmt="yuv444p" if odd else meta["pix_fmt"],
        options=meta["options"] | {"crf": f"{point['crf']:g}"},
    ) as writer:
        for frame in _frames(reader, args.input, args.frames, args.codec):
            writer.write(frame)
    _say_size(Path(args.output))


def _encode_neural(args: argparse.Namespace, reader: VideoReader) -> None:
    import torch

    codec = load_model(args.model, args.gop, args.device)
    if args.importance is not None and not codec.supports_importance:
        raise ConfigError(f"{codec.name} takes no importance map; use a model with ROI, or leave --importance out")
    alpha = args.alpha if args.alpha is not None else PAPER_ALPHA if args.importance is not None else 1.0
    u_alpha = u_from_alpha(alpha)
    clip = torch.stack(list(_frames(reader, args.input, args.frames, "read")))
    importance = None
    if args.importance is not None:
        mask = read_map(args.importance, count=args.frames)
        check_map(mask, clip, map_name=args.importance, clip_name=args.input)
        importance = weighted_mask(mask, u_alpha) if alpha > 1 else None
    with replacing(Path(args.output)) as file, progress() as bars:
        bar = bars.add_task(codec.name, total=None)
        file.write(codec.encode(clip, {"beta": args.beta, "alpha": alpha}, importance, fps=reader.info.fps))
        bars.update(bar, total=len(clip), completed=len(clip))
    _say_size(Path(args.output), len(clip), clip.shape[-2] * clip.shape[-1])


def load_model(name: str, gop: int = 12, device: str | None = None) -> Codec:
    """The trained codec ``name`` (a checkpoint's name, the common name of several, or a path).

    Raises:
        CheckpointError: there is no such checkpoint; an ordinary codec's name is none either.
    """
    find_checkpoints(name)
    return load_codec(name, gop=gop, device=default_device(device))


def _say_size(path: Path, frames: int | None = None, pixels: int | None = None) -> None:
    size = path.stat().st_size
    rate = f", {8 * size / (frames * pixels):.4f} bits per pixel" if frames and pixels else ""
    print(f"{path}: {size} bytes{rate}", file=sys.stderr)


def decode(source: str, target: str, model: str | None = None, device: str | None = None) -> None:
    """Decode the ``.pvc`` stream ``source`` into the clip ``target`` (.mkv, .mp4, .y4m or a folder of PNG)."""
    data = _read(source)
    header = container.read_header(data)
    codec = load_model(model or header["model"], device=device)
    with progress() as bars:
        bar = bars.add_task(codec.name, total=None)
        clip = codec.decode(data)
        bars.update(bar, total=len(clip), completed=len(clip))
        height, width = clip.shape[-2:]
        bar = bars.add_task("write", total=len(clip))
        with VideoWriter(target, width=width, height=height, fps=Fraction(header["fps"])) as writer:
            for frame in clip:
                writer.write(frame)
                bars.advance(bar)


def info(source: str, *, as_json: bool = False) -> None:
    """Print the header of a ``.pvc`` stream, or what a clip says of itself."""
    if Path(source).suffix.lower() == ".pvc":
        data = _read(source)
        found: dict[str, Any] = {"file": source, "bytes": len(data), **container.read_header(data)}
    else:
        found = {"file": source, **asdict(probe(source))}
    if as_json:
        print(json.dumps(found, default=str))
    else:
        width = max(map(len, found))
        for key, value in found.items():
            print(f"{key:<{width}}  {value}")


def _read(source: str) -> bytes:
    path = Path(source)
    if not path.is_file():
        raise VideoError(f"{source} does not exist" if not path.exists() else f"{source} is a folder, not a .pvc file")
    return path.read_bytes()
