"""Telling whether a file ends too early where FFmpeg's demuxer just stops."""

from pathlib import Path

import av

from pvc.video.color import planes_of

_SEGMENT = bytes.fromhex("18538067")  # Matroska (RFC 9559): the element that holds everything else


def is_cut(path: Path, container: av.container.InputContainer) -> bool:
    """True if a Matroska, WebM or y4m file is shorter than it says; False for other kinds (FFmpeg tells)."""
    if "matroska" in container.format.name:
        return _matroska_is_cut(path)
    if container.format.name == "yuv4mpegpipe":
        return _y4m_is_cut(path, container)
    return False


def _matroska_is_cut(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    at = head.find(_SEGMENT) + len(_SEGMENT)
    if at < len(_SEGMENT) or not head[at : at + 1] or not head[at]:
        return False
    length = 9 - head[at].bit_length()  # EBML number: as many leading zeros as bytes follow the first
    size = int.from_bytes(head[at : at + length], "big") & ((1 << 7 * length) - 1)
    unknown = size == (1 << 7 * length) - 1  # a live recording does not say
    return not unknown and path.stat().st_size < at + length + size


def _y4m_is_cut(path: Path, container: av.container.InputContainer) -> bool:
    context = container.streams.video[0].codec_context
    frame = sum(p.nbytes for p in planes_of(av.VideoFrame(context.width, context.height, context.pix_fmt)))
    end = path.stat().st_size
    with path.open("rb") as file:
        file.readline()
        while file.tell() < end:
            file.readline()  # FRAME and its parameters
            file.seek(frame, 1)
        return file.tell() > end
