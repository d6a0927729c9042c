"""``pvc blur``: a clip blurred by its importance, to be coded by whatever one likes."""

import argparse
from itertools import islice, tee

from pvc.commands.files import default_device, keep_inputs, parse_fps
from pvc.console import progress
from pvc.errors import ConfigError, VideoError
from pvc.importance import u_from_alpha, weighted_mask
from pvc.importance.blur import blurred, load_blur
from pvc.importance.registry import load_source
from pvc.video import VideoWriter, open_video


def blur(args: argparse.Namespace) -> None:
    """Blur ``args.input`` by the maps of ``args.importance`` or ``args.source`` into ``args.output``, frame by frame.

    Raises:
        PvcError: the clip or its maps cannot be read or do not fit; the output is left as it was.
    """
    keep_inputs(args.output, args.input, args.importance)
    if args.sigma is not None and args.strength != "strong":
        raise ConfigError(f"--sigma is that of --strength strong; {args.strength} has none")
    strength = load_blur(args.strength, **({} if args.sigma is None else {"largest": args.sigma}))
    u_alpha = u_from_alpha(args.alpha)
    if args.importance is not None:
        source = load_source("annotation", path=args.importance, length="cut" if args.frames else "exact")
    else:
        source = load_source(args.source, default_device(args.device), args.weights_dir)
    width, height = args.size or (None, None)
    raw = {"pix_fmt": args.pix_fmt, "matrix": args.matrix, "full_range": args.full_range}
    with open_video(args.input, width=width, height=height, fps=parse_fps(args.fps), **raw) as reader:
        info = reader.info
        frames, ahead = tee(islice(reader, args.frames))  # what the source has read ahead waits for its map
        maps = source.maps(ahead)
        size = {"width": info.width, "height": info.height, "fps": info.fps}
        with (
            VideoWriter(args.output, **size, matrix=info.matrix, full_range=info.full_range) as writer,
            progress() as bars,
        ):
            done, bar = 0, bars.add_task("blur", total=args.frames or info.frames)
            for frame in blurred(frames, (weighted_mask(m, u_alpha) for m in maps), strength):
                writer.write(frame)
                done += 1
                bars.update(bar, completed=done)
            next(maps, None)  # a source that counts them now says whether there are maps for more frames
            if args.frames and done < args.frames:
                raise VideoError(f"{args.input} has {done} frames, not the {args.frames} of --frames")
