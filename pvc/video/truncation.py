"""Telling whether a file ends too early where FFmpeg's demuxer just stops."""

from pathlib import Path

import av

from pvc.video.color import planes_of
from pvc.video.pipe import Pipe

_SEGMENT = bytes.fromhex("18538067")  # Matroska (RFC 9559): the element that holds everything else


def is_cut(source: Path | Pipe, container: av.container.InputContainer) -> bool:
    """True if a Matroska, WebM or y4m file is shorter than it says; False for other kinds (FFmpeg tells)."""
    if "matroska" in container.format.name:
        if isinstance(source, Pipe):
            return _matroska_is_cut(source.head, source.taken)
        with source.open("rb") as file:
            return _matroska_is_cut(file.read(4096), source.stat().st_size)
    if container.format.name == "yuv4mpegpipe":
        context = container.streams.video[0].codec_context
        frame = sum(p.nbytes for p in planes_of(av.VideoFrame(context.width, context.height, context.pix_fmt)))
        return _y4m_pipe_is_cut(source, frame) if isinstance(source, Pipe) else _y4m_is_cut(source, frame)
    return False


def _matroska_is_cut(head: bytes, end: int) -> bool:
    at = head.find(_SEGMENT) + len(_SEGMENT)
    if at < len(_SEGMENT) or not head[at : at + 1] or not head[at]:
        return False
    length = 9 - head[at].bit_length()  # EBML number: as many leading zeros as bytes follow the first
    size = int.from_bytes(head[at : at + length], "big") & ((1 << 7 * length) - 1)
    unknown = size == (1 << 7 * length) - 1  # a live recording does not say
    return not unknown and end < at + length + size


def _y4m_is_cut(path: Path, frame: int) -> bool:
    end = path.stat().st_size
    with path.open("rb") as file:
        file.readline()
        while file.tell() < end:
            file.readline()  # FRAME and its parameters
            file.seek(frame, 1)
        return file.tell() > end


def _y4m_pipe_is_cut(pipe: Pipe, frame: int) -> bool:
    """What went through a pipe cannot be looked at again: all frames are taken to have the first one's parameters."""
    header = pipe.head.find(b"\n") + 1
    line = pipe.head.find(b"\n", header) + 1 - header
    return bool((pipe.taken - header) % (line + frame))
