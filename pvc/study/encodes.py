"""What a study is made of: the encodes of each video by each codec, whatever they are kept in."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from torch import Tensor

from pvc.errors import ConfigError, VideoError
from pvc.video import VideoInfo, open_video, probe

SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".y4m", ".avi", ".ts")
_LOSSLESS = {"ffv1", "rawvideo", "png", "huffyuv", "ffvhuff", "utvideo", "wrapped_avframe"}


@dataclass(frozen=True, eq=False)
class Encode:
    """One video by one codec.

    Attributes:
        name: What messages call it.
        width, height, fps, frames: Of what it decodes to.
        kbps: Its rate; None if not known.
        read: Gives its frames, uint8 RGB ``[3, H, W]`` each, from the first, anew at each call.
        path: The file, where it is one that may be copied as it is; None if only its frames are to be had.
    """

    name: str
    width: int
    height: int
    fps: Fraction
    frames: int
    kbps: float | None
    read: Callable[[], Iterator[Tensor]]
    path: Path | None = None


Encodes = dict[str, dict[str, Encode]]
"""By video and codec."""


def from_folders(folders: Sequence[tuple[str, Path]]) -> Encodes:
    """Folders of encodes, one a codec: ``NAME.mp4`` (or another container) in each is an encode of the video NAME.

    Args:
        folders: Name of the codec and its folder.

    Raises:
        ConfigError: a folder is missing or holds no video, or they hold other videos than each other.
        VideoError: a file cannot be read.
    """
    files = {codec: _videos(folder) for codec, folder in folders}
    first, *others = files
    for codec in others:
        if apart := sorted(files[first].keys() ^ files[codec].keys()):
            where = next(path for path, own in zip(folders, files.values()) if apart[0] not in own)
            raise ConfigError(f"{where[1]} has no encode of {apart[0]}; every video needs one of each codec")
    return {
        video: {codec: from_file(files[codec][video]) for codec in files} for video in sorted(files[first])
    }  # fmt: skip


def from_file(path: Path) -> Encode:
    """The encode in a video file, its rate counted from its packets."""
    info = probe(path)

    def read() -> Iterator[Tensor]:
        with open_video(path) as reader:
            yield from reader

    return Encode(str(path), info.width, info.height, info.fps, info.frames, _kbps(path, info), read, path)


def check_alike(video: str, encodes: dict[str, Encode]) -> None:
    """Make sure that all encodes of a video have one size, rate and number of frames.

    Raises:
        VideoError: they do not; the message names two that differ.
    """
    (codec, first), *others = encodes.items()
    for name, other in others:
        for what, key in (("size", lambda e: f"{e.width}x{e.height}"), ("frame rate", lambda e: f"{e.fps}")):
            if key(first) != key(other):
                raise VideoError(
                    f"{video}: {what} is {key(first)} by {codec} and {key(other)} by {name} ({other.name}); "
                    "a pair must not differ in it"
                )
        if first.frames != other.frames:
            raise VideoError(
                f"{video}: {codec} has {first.frames} frames and {name} {other.frames} ({other.name}); cut both alike"
            )


def _videos(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder of encodes")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or path.stem.endswith(".mask"):
            continue
        if path.stem in found:
            raise ConfigError(f"{folder} has both {found[path.stem].name} and {path.name}; keep one encode a video")
        found[path.stem] = path
    if not found:
        raise ConfigError(f"{folder} holds no encode ({', '.join(SUFFIXES)})")
    return found


def _kbps(path: Path, info: VideoInfo) -> float | None:
    """1000 bits a second of the coded pictures, without container and sound; None for a lossless file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name in _LOSSLESS:
            return None
        size = sum(packet.size for packet in container.demux(stream))
    return 8 * size * float(info.fps) / info.frames / 1000
