"""A clip coded again at its bitrate by a painted map."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pvc.annotate.clip import Clip
from pvc.annotate.coders import load_coder
from pvc.annotate.maps import read_values
from pvc.annotate.quality import inside_and_outside, measure

_CODING = 0.75  # share of the progress that is shown; the rest is measuring


class Cancelled(Exception):
    """Nobody waits for this any more."""


@dataclass(frozen=True)
class EncodeResult:
    """What came of a coding.

    Attributes:
        kbps, target_kbps: of the stream (all of its bits, without container and SEI), and of the baseline.
        psnr: mean over frames of the RGB PSNR in dB. psnr_painted, psnr_elsewhere: of the cells that the map raises (by
            4 levels of 255 or more) and of all others; gain_painted, gain_elsewhere: against the baseline. None where
            there are no such cells.
        seconds: of the clock, all told. asked_kbps: what the encoder was asked for at last.
        stream: name of the file with the real stream, beside the one that a browser plays, or that one.
    """

    kbps: float
    target_kbps: float
    psnr: float
    psnr_painted: float | None
    psnr_elsewhere: float | None
    gain_painted: float | None
    gain_elsewhere: float | None
    seconds: float
    asked_kbps: float
    stream: str

    @property
    def as_dict(self) -> Mapping[str, Any]:
        """For JSON."""
        return asdict(self)


def reencode(
    clip: Clip,
    map_path: str | Path,
    out_path: str | Path,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
    ask: float | None = None,
) -> EncodeResult:
    """Code ``clip`` by the map in ``map_path`` into ``out_path``, an mp4 that a browser plays.

    Args:
        map_path: importance file of the clip's grid. on_progress: is told the share done, from 0 to 1.
        cancelled: is asked before each frame. ask: kbit/s to ask the encoder for at first; else what gave the baseline.

    Raises:
        Cancelled: ``cancelled()`` was true; nothing is written then.
        ImportanceError, VideoError: the map does not fit, or the clip cannot be coded.
    """
    start = time.monotonic()
    out = Path(out_path)

    def step(share: float) -> None:
        if cancelled():
            raise Cancelled
        on_progress(share)

    step(0.0)
    values = read_values(map_path, clip.grid)
    source = clip.folder / "source.mkv"
    coder = load_coder(clip.codec, source, clip.rate, clip.frames)
    done = coder.code(
        out,
        clip.target_kbps,
        values,
        ask or clip.asked_kbps,
        clip.codec["tolerance"],
        lambda share: step(_CODING * share),
    )
    try:
        quality = measure(source, done.decoded, clip.grid, lambda share: step(_CODING + (1 - _CODING) * share))
    except Cancelled:
        for file in (out, done.stream):
            file.unlink(missing_ok=True)
        raise
    finally:
        done.forget()
    return EncodeResult(
        kbps=done.kbps,
        target_kbps=clip.target_kbps,
        psnr=quality.psnr,
        **inside_and_outside(quality, np.load(clip.folder / "baseline-error.npy", mmap_mode="r"), values),
        seconds=time.monotonic() - start,
        asked_kbps=done.asked,
        stream=done.stream.name,
    )
