"""Sanity pairs: one side is obviously better, so that who prefers the other was not looking."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pvc.errors import ConfigError
from pvc.study.encodes import Encode, Encodes, from_file
from pvc.study.playable import convert

GOOD, BAD = "good", "bad"
"""What the sides of a sanity pair are called."""
_SCALES = (1, 2, 4, 8, 16, 32)


def made(encodes: Mapping[str, Encode], folder: Path, settings: Mapping[str, Any]) -> Encodes:
    """Sanity pairs of ``settings["count"]`` videos, spread over all: the encode of a video (by its name) against the
    same after far too strong compression, which is written into ``folder``.

    It is coded at ``settings["crf"]``, at its size and then at ever smaller ones, until its PSNR against the better
    side is no higher than ``settings["psnr"]``.

    Raises:
        ConfigError: there are fewer videos, or one is so plain that nothing makes it bad enough.
    """
    count = settings["count"]
    if count > len(encodes):
        raise ConfigError(f"sanity.count={count} needs as many videos and there are {len(encodes)}; set it lower")
    names = list(encodes)
    found: Encodes = {}
    for number in range(count):
        video = names[(2 * number + 1) * len(names) // (2 * count)]
        good = encodes[video]
        found[video] = {GOOD: good, BAD: _worse(video, good, folder / f"{number}.mp4", settings)}
    return found


def _worse(video: str, good: Encode, target: Path, settings: Mapping[str, Any]) -> Encode:
    for scale in _SCALES:
        if min(good.width, good.height) < 16 * scale:
            break
        with TemporaryDirectory(dir=target.parent) as temporary:
            small = _coded(_resized(good, scale), Path(temporary) / "small.mp4", settings["crf"])
            bad = replace(good, name=f"{video}, bad", path=None, read=lambda small=small: _enlarged(small, good))
            if psnr(good, bad) <= settings["psnr"]:
                convert(bad, target, {"crf": 12, "preset": "medium"})
                return from_file(target)
    raise ConfigError(
        f"{video}: no compression brings it to {settings['psnr']} dB against itself; give sanity pairs with --sanity"
    )


def _resized(encode: Encode, scale: int) -> Encode:
    width, height = (max(2 * round(side / scale / 2), 16) for side in (encode.width, encode.height))

    def read() -> Iterator[Tensor]:
        for frame in encode.read():
            yield _resize(frame, height, width)

    return replace(encode, width=width, height=height, read=read)


def _coded(encode: Encode, target: Path, crf: float) -> Encode:
    convert(encode, target, {"crf": crf, "preset": "veryfast"})
    return from_file(target)


def _enlarged(small: Encode, like: Encode) -> Iterator[Tensor]:
    for frame in small.read():
        yield _resize(frame, like.height, like.width)


def _resize(frame: Tensor, height: int, width: int) -> Tensor:
    if tuple(frame.shape[1:]) == (height, width):
        return frame
    resized = F.interpolate(frame[None].float(), (height, width), mode="bilinear", antialias=True)[0]
    return resized.round().clamp(0, 255).to(torch.uint8)


def psnr(first: Encode, second: Encode) -> float:
    """Mean over frames of the RGB PSNR of one encode against the other, in dB; at most 100."""
    values = []
    for a, b in zip(first.read(), second.read(), strict=True):
        error = ((a.float() - b.float()) ** 2).mean().item() / 255**2
        values.append(-10 * torch.log10(torch.tensor(max(error, 1e-10))).item())
    return sum(values) / len(values)
