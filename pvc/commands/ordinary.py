"""The part of ``pvc encode`` that writes an ordinary video (mp4, mkv) with ``--codec``, for comparison."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from rich.progress import Progress
from torch import Tensor

from pvc.codecs import codec_names, load_codec
from pvc.codecs.avcodec import AvCodec, repeatable
from pvc.codecs.delta_qp import attach
from pvc.codecs.spool import Spool
from pvc.codecs.svtav1 import SvtAv1
from pvc.codecs.two_pass import two_pass
from pvc.console import progress
from pvc.errors import ConfigError, VideoError
from pvc.importance import ALPHA_MAX, u_from_alpha
from pvc.video import VideoInfo, VideoWriter

OrdinaryCodec = AvCodec | SvtAv1


class _Item(NamedTuple):
    """A frame, uint8 RGB ``[3, H, W]``, and the quantiser offsets of its blocks."""

    frame: Tensor
    offsets: np.ndarray | None


def check_options(args: argparse.Namespace) -> None:
    """Options that belong to models are refused, not ignored, and ``--alpha`` is filled in where the codec has its own.

    The rule ``linear`` takes maps as they are, which is alpha = 60 (q = m).

    Raises:
        ConfigError: the options do not go together.
    """
    codec = _codec(args)
    if args.beta is not None:
        raise ConfigError(f"--beta needs --model; the rate of {args.codec} is set by --crf or --bitrate")
    for name, value in (("--qp", args.qp), ("--base", args.base)):
        if value is not None:
            raise ConfigError(f"{name} is for a --model with a base layer; the rate of {args.codec} is set by --crf")
    if args.rdoq is not None:
        raise ConfigError(f"--rdoq needs --model; {args.codec} decides itself what symbols are worth")
    if args.precision is not None:
        raise ConfigError(f"--precision needs --model; {args.codec} has none to choose")
    if args.crf is not None and args.bitrate is not None:
        raise ConfigError("--crf and --bitrate both set the rate; give one of them")
    if args.bitrate is not None and not isinstance(codec, AvCodec):
        raise ConfigError(f"--bitrate is for models, x264 and x265; the rate of {args.codec} is set by --crf")
    if args.crf is None and args.bitrate is None:
        either = " or --bitrate, such as --bitrate 300" if isinstance(codec, AvCodec) else ""
        raise ConfigError(f"--codec {args.codec} needs --crf, such as --crf 32{either}")
    if Path(args.output).suffix.lower() not in (".mp4", ".mkv"):
        raise ConfigError(f"{args.output}: --codec {args.codec} writes .mp4 or .mkv")
    if args.importance is not None and args.alpha is None and codec.delta_qp.rule == "linear":
        args.alpha = ALPHA_MAX


def _codec(args: argparse.Namespace) -> OrdinaryCodec:
    """The codec of ``--codec``; with a map, its variant that takes maps."""
    names = codec_names()
    plain = load_codec(args.codec, gop=args.gop) if args.codec in names else None
    if not isinstance(plain, OrdinaryCodec):
        raise ConfigError(f"--codec {args.codec} is none of x264, x265, svtav1 and their presets in configs/codec")
    if args.importance is None or plain.supports_importance:
        return plain
    if f"{args.codec}-roi" not in names:
        able = " or ".join(name.removesuffix("-roi") for name in names if name.endswith("-roi"))
        raise ConfigError(f"{args.codec} takes no importance map; use {able}, or leave --importance out")
    return load_codec(f"{args.codec}-roi", gop=args.gop)


def encode_ordinary(
    args: argparse.Namespace,
    info: VideoInfo,
    frames: Iterator[Tensor],
    count: int | None,
    alpha: float,
    maps: Iterator[Tensor] | None,
) -> None:
    """``args.output`` with the options of ``configs/codec``, frame by frame; at a bitrate in two passes.

    Args:
        info: of the clip. frames: uint8 RGB ``[3, H, W]``, ``count`` of them, or as many as a pipe gives (None).
        alpha: weight of the ROI. maps: q, float32 ``[1, H, W]`` for each frame; None codes every pixel alike.
    """
    codec = _codec(args)
    # FFmpeg would clip a crf out of range without a word.
    (point,) = codec.points({"crf": args.crf, "bitrate": args.bitrate, "u_alpha": u_from_alpha(alpha)})
    items = _items(codec, frames, alpha, maps, count)
    options = codec.meta["options"]
    with progress() as bars:
        if "bitrate" in point:
            _write_at_bitrate(args, codec, info, items, count, point["bitrate"], bars)
        else:
            shown = bars.track(items, total=count, description=args.codec)
            _write(args.output, codec, info, shown, _at_crf(options, point["crf"]))


def _items(
    codec: OrdinaryCodec, frames: Iterable[Tensor], alpha: float, maps: Iterator[Tensor] | None, count: int | None
) -> Iterator[_Item]:
    for frame in frames:
        yield _Item(frame, None if maps is None else codec.delta_qp.blocks(next(maps), alpha))
    if maps is not None and count is None:
        next(maps, None)  # says so if there are more maps than frames


def _write(
    path: str | Path, codec: OrdinaryCodec, info: VideoInfo, items: Iterable[_Item], options: Mapping[str, str]
) -> None:
    """The video of ``items`` with these encoder options."""
    # 4:2:0 streams of H.264 and H.265 have even sizes.
    odd = (info.width % 2 or info.height % 2) and isinstance(codec, AvCodec)
    offsets = None

    def prepare(picture: av.VideoFrame) -> None:
        if offsets is not None:
            attach(picture, offsets)

    with VideoWriter(
        path,
        width=info.width,
        height=info.height,
        fps=info.fps,
        matrix=info.matrix,
        full_range=info.full_range,
        codec=codec.meta["encoder"],
        pix_fmt="yuv444p" if odd else codec.meta["pix_fmt"],
        options=repeatable(codec.meta["encoder"], options),
        prepare=prepare,
    ) as writer:
        for frame, offsets in items:  # noqa: B007 prepare reads the offsets
            writer.write(frame)


def _write_at_bitrate(
    args: argparse.Namespace,
    codec: AvCodec,
    info: VideoInfo,
    items: Iterable[_Item],
    count: int | None,
    kbps: float,
    bars: Progress,
) -> None:
    """``args.output`` by two passes; frames and attempts wait on disk, the latter beside the output."""
    target = Path(args.output)
    if target.is_dir():
        raise VideoError(f"{target} is a folder; name a file to write")
    if not target.parent.is_dir():
        raise VideoError(f"{target} cannot be written: there is no folder {target.parent}")
    rates: dict[int, float] = {}
    with Spool() as spool, tempfile.TemporaryDirectory(prefix=".pvc-passes-", dir=target.parent) as folder:

        def attempt(number: int) -> Path:
            return Path(folder) / f"{number}{target.suffix}"

        def code(options: Mapping[str, str], number: int) -> float:
            what = f"{args.codec} pass {min(number, 1) + 1}"
            source = bars.track(spool if number else spool.keep(items), total=count, description=what)
            try:
                _write(attempt(number), codec, info, source, options)
            except VideoError as error:
                raise VideoError(str(error).replace(str(attempt(number)), str(target))) from error
            with av.open(str(attempt(number))) as video:
                size = sum(packet.size for packet in video.demux(video=0))
            rates[number] = 8 * size * float(info.fps) / 1000 / len(spool)
            return rates[number]

        best = two_pass(codec.meta["encoder"], codec.meta["options"], kbps, code)
        os.replace(attempt(best), target)
    print(f"{target}: {rates[best]:.1f} kbit/s, {rates[best] / kbps - 1:+.1%} of {kbps:g}", file=sys.stderr)


def _at_crf(options: dict[str, str], crf: float) -> dict[str, str]:
    """Encoder options with the crf. SVT-AV1's goes into its parameters: by FFmpeg's own option 0 means its default."""
    if "svtav1-params" in options:
        return options | {"svtav1-params": f"{options['svtav1-params']}:crf={crf:g}"}
    return options | {"crf": f"{crf:g}"}
