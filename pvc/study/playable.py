"""Encodes as videos that every browser plays: H.264, 4:2:0, 8 bits, in mp4."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import torch.nn.functional as F
from torch import Tensor

from pvc.errors import VideoError
from pvc.study.encodes import Encode
from pvc.video import VideoWriter

_CONTAINERS = (".mp4", ".mov", ".mkv")


def can_be_copied(encode: Encode) -> bool:
    """Whether every browser plays the coded pictures as they are."""
    if encode.path is None or encode.path.suffix.lower() not in _CONTAINERS:
        return False
    with av.open(str(encode.path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"


def copy(encode: Encode, target: Path) -> None:
    """The coded pictures of ``encode``, bit for bit, in an mp4 without sound or anything else.

    Raises:
        VideoError: the file cannot be read, or its packets do not fit into an mp4.
    """
    try:
        with (
            av.open(str(encode.path)) as source,
            av.open(str(target), "w", options={"movflags": "+faststart"}) as sink,
        ):
            stream = source.streams.video[0]
            out = sink.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.dts is None:
                    continue  # what the demuxer ends with
                packet.stream = out
                sink.mux(packet)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"{encode.path}: cannot be copied into an mp4 ({error})") from error


def convert(encode: Encode, target: Path, settings: Mapping[str, Any]) -> None:
    """The decoded pictures of ``encode`` coded again, near lossless. Odd sizes gain the last row or column once more.

    Args:
        settings: ``crf`` (0 to 16) and ``preset`` of x264.

    Raises:
        VideoError: the frames cannot be read, or are of another number than said.
    """
    width, height = encode.width + encode.width % 2, encode.height + encode.height % 2
    options = {"crf": str(settings["crf"]), "preset": str(settings["preset"]), "movflags": "+faststart"}
    with VideoWriter(target, width=width, height=height, fps=encode.fps, options=options) as writer:
        count = 0
        for frame in encode.read():
            writer.write(_even(frame))
            count += 1
        if count != encode.frames:
            raise VideoError(f"{encode.name} decodes to {count} frames, not the {encode.frames} that it should have")


def _even(frame: Tensor) -> Tensor:
    height, width = frame.shape[1:]
    if not (height % 2 or width % 2):
        return frame
    return F.pad(frame[None].float(), (0, width % 2, 0, height % 2), "replicate")[0].to(frame.dtype)
