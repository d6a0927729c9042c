"""``pvc encode``: a clip into a ``.pvc`` stream, or into an ordinary video for comparison."""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from torch import Tensor

from pvc.codecs import codec_names, load_codec
from pvc.codecs.delta_qp import attach
from pvc.commands.files import load_model, parse_fps, replacing, say_size
from pvc.console import progress
from pvc.errors import ConfigError, ImportanceError, VideoError
from pvc.importance import check_map, u_from_alpha, weighted_mask
from pvc.video import VideoReader, VideoWriter, open_video, probe

PAPER_ALPHA = 26.5  # u_alpha = 0.2, the operating point that the spatial-control paper's figure 3 shows


def encode(args: argparse.Namespace) -> None:
    """Code ``args.input`` into ``args.output`` with ``args.model`` (a ``.pvc`` stream) or ``args.codec`` (an mp4)."""
    _check_options(args)
    fps = parse_fps(args.fps)
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
        if args.beta is not None:
            raise ConfigError(f"--beta needs --model; the rate of {args.codec} is set by --crf")
        if args.importance is not None and not _has_roi(args.codec):
            able = " or ".join(filter(_has_roi, codec_names()))
            raise ConfigError(f"{args.codec} takes no importance map; use {able}, or leave --importance out")
        if args.crf is None:
            raise ConfigError(f"--codec {args.codec} needs --crf, such as --crf 32")
        if Path(args.output).suffix.lower() not in (".mp4", ".mkv"):
            raise ConfigError(f"{args.output}: --codec {args.codec} writes .mp4 or .mkv")
    else:
        if args.crf is not None:
            raise ConfigError("--crf needs --codec; the rate of a model is set by --beta")
        if Path(args.output).suffix.lower() != ".pvc":
            raise ConfigError(f"{args.output}: a model writes .pvc streams; name the file OUT.pvc")
    if args.alpha not in (None, 1) and args.importance is None:
        raise ConfigError("--alpha weighs the region of interest: it needs --importance MAP")


def _has_roi(codec: str) -> bool:
    """Whether an ordinary codec has a variant that takes maps."""
    return f"{codec}-roi" in codec_names()


def _frames(reader: VideoReader, name: str, count: int | None) -> Iterator[Tensor]:
    """The reader's first ``count`` frames (uint8 ``[3, H, W]``).

    Raises:
        VideoError: the clip has no frame, or fewer than ``count``.
    """
    done = 0
    for frame in islice(reader, count):
        yield frame
        done += 1
    if done < (count or 1):
        raise VideoError(f"{name} has {done} frames" + (f", not {count}" if count else ""))


def _count(args: argparse.Namespace, reader: VideoReader) -> int:
    """How many frames to code, which a stream's header says first. Raises VideoError if the clip has not so many."""
    found = reader.info.frames or probe(args.input).frames
    if args.frames and args.frames > found:
        raise VideoError(f"{args.input} has {found} frames, not the {args.frames} of --frames")
    return args.frames or found


def _masks(path: str, clip: str, shape: tuple[int, int], count: int, whole: bool) -> Iterator[Tensor]:
    """The map of each of ``count`` frames of ``shape`` (H, W), float32 ``[1, H, W]``; ``whole``: there may be no more.

    Raises:
        ImportanceError: another size or length than the clip.
    """
    import torch

    like = torch.empty((1, 3, *shape), device="meta")
    with VideoReader(path, grey=True) as reader:
        for i in range(count):
            mask = next(reader, None)
            if mask is None:
                raise ImportanceError(f"{path} has {i} frames but {clip} has {count}; give one map for each frame")
            check_map(mask[None], like, map_name=path, clip_name=clip)
            if whole and i == count - 1 and next(reader, None) is not None:
                raise ImportanceError(f"{path} has more than the {count} frames of {clip}; give one map for each frame")
            yield mask


def _importance(args: argparse.Namespace, shape: tuple[int, int], count: int) -> tuple[float, Iterator[Tensor] | None]:
    """alpha, and q (float32 ``[1, H, W]``) of each of ``count`` frames of ``shape``; None where all weighs alike.

    Raises:
        ImportanceError: alpha is out of range, or the map does not fit the clip.
    """
    alpha = args.alpha if args.alpha is not None else PAPER_ALPHA if args.importance is not None else 1.0
    u_alpha = u_from_alpha(alpha)
    if args.importance is None:
        return alpha, None
    masks = _masks(args.importance, args.input, shape, count, whole=args.frames is None)
    if alpha > 1:
        return alpha, (weighted_mask(mask, u_alpha) for mask in masks)
    for _ in masks:  # weighs all alike, which is coding without a map; one that does not fit is an error all the same
        pass
    return alpha, None


def _encode_ordinary(args: argparse.Namespace, reader: VideoReader) -> None:
    """An ordinary video with the options of ``configs/codec``, frame by frame."""
    codec = load_codec(args.codec if args.importance is None else f"{args.codec}-roi", gop=args.gop)
    meta, info = codec.meta, reader.info
    # 4:2:0 streams of H.264 and H.265 have even sizes.
    odd = (info.width % 2 or info.height % 2) and meta["encoder"] in ("libx264", "libx265")
    count = _count(args, reader)
    alpha, maps = _importance(args, (info.height, info.width), count)
    # FFmpeg would clip a crf out of range without a word.
    (point,) = codec.points({"crf": args.crf, "u_alpha": u_from_alpha(alpha)})
    offsets = None if maps is None else (lambda picture: attach(picture, codec.delta_qp.blocks(next(maps), alpha)))
    with (
        VideoWriter(
            args.output,
            width=info.width,
            height=info.height,
            fps=info.fps,
            matrix=info.matrix,
            full_range=info.full_range,
            codec=meta["encoder"],
            pix_fmt="yuv444p" if odd else meta["pix_fmt"],
            options=_at_crf(meta["options"], point["crf"]),
            prepare=offsets,
        ) as writer,
        progress() as bars,
    ):
        for frame in bars.track(_frames(reader, args.input, count), total=count, description=args.codec):
            writer.write(frame)
    say_size(args.output, count, info.width * info.height)


def _at_crf(options: dict[str, str], crf: float) -> dict[str, str]:
    """Encoder options with the crf. SVT-AV1's goes into its parameters: by FFmpeg's own option 0 means its default."""
    if "svtav1-params" in options:
        return options | {"svtav1-params": f"{options['svtav1-params']}:crf={crf:g}"}
    return options | {"crf": f"{crf:g}"}


def _encode_neural(args: argparse.Namespace, reader: VideoReader) -> None:
    """A ``.pvc`` stream, frame by frame."""
    codec = load_model(args.model, args.gop, args.device)
    if args.importance is not None and not codec.supports_importance:
        raise ConfigError(f"{codec.name} takes no importance map; use a model with ROI, or leave --importance out")
    count, shape = _count(args, reader), (reader.info.height, reader.info.width)
    alpha, maps = _importance(args, shape, count)
    beta = args.beta
    if beta is None and (codec.betas is None or len(codec.betas) > 1):
        raise ConfigError(f"--model {args.model} codes at several rates; give --beta, such as --beta 1e-3")
    point = {"beta": codec.betas[0] if beta is None else beta, "alpha": alpha}
    parts = codec.encode_frames(
        _frames(reader, args.input, count), point, maps, fps=reader.info.fps, count=count, size=shape
    )
    with replacing(Path(args.output)) as file, progress() as bars:
        bar = bars.add_task(codec.name, total=count)
        for frames, part in enumerate(parts):  # the header comes first
            file.write(part)
            bars.update(bar, completed=frames)
    say_size(args.output, count, shape[0] * shape[1])
