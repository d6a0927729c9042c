"""The baseline of a clip: coded without map at the bitrate that gives the PSNR asked for."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pvc.annotate.coders import Coder, Step, load_coder
from pvc.annotate.maps import NEUTRAL
from pvc.annotate.quality import measure
from pvc.errors import ConfigError, VideoError
from pvc.video import VideoReader

NEAR = 0.1  # dB
TRIES = 14
LOW, HIGH = 4.0, 200_000.0  # kbit/s


@dataclass(frozen=True)
class Trial:
    """A coding: kbit/s that were asked for and that came of it, its PSNR in dB, and ``coded``, the coder's account."""

    asked: float
    kbps: float
    psnr: float
    coded: Any = None


def find_baseline(psnr: float, guess: float, code: Callable[[float], Trial]) -> Trial:
    """The coding that comes nearest to ``psnr``: within 0.1 dB but for clips that cannot have it.

    A clip that is better at the worst quantiser, or worse at the best, gets that; at some tens of kbit/s, what comes
    out moves in steps of 0.2 dB. Bisection of ln(kbit/s), where the line through the nearest codings on either side
    says where to look; a bitrate that the encoder refuses is too low.

    Args:
        guess: kbit/s to begin with. code: codes at so many kbit/s.

    Raises:
        VideoError: the encoder refuses all that was tried.
    """
    low, high = math.log(LOW), math.log(HIGH)
    x, below, above, refusal = math.log(min(max(guess, LOW), HIGH)), None, None, None
    trials: list[Trial] = []
    for _ in range(TRIES):
        try:
            trial = code(math.exp(x))
        except VideoError as error:
            refusal, low, below = error, x, None
        else:
            trials.append(trial)
            if abs(trial.psnr - psnr) <= NEAR:
                break
            if trial.psnr < psnr:
                low, below = x, trial
            else:
                high, above = x, trial
        if high - low < 0.02:
            break
        x = _next(psnr, below, above, low, high)
    if not trials:
        raise refusal
    return min(trials, key=lambda trial: abs(trial.psnr - psnr))


def _next(psnr: float, below: Trial | None, above: Trial | None, low: float, high: float) -> float:
    """Where to look between ``low`` and ``high``."""
    if below and above:
        span = math.log(above.asked / below.asked)
        share = (psnr - below.psnr) / (above.psnr - below.psnr)
        x = math.log(below.asked) + min(max(share, 0.1), 0.9) * span
    else:
        near = below or above
        x = math.log(near.asked) + (psnr - near.psnr) / 3 if near else (low + high) / 2
    return x if low < x < high else (low + high) / 2


def write_baseline(
    folder: Path,
    settings: Mapping[str, Any],
    fps: Fraction,
    grid: tuple[int, int, int],
    step: Step,
) -> tuple[Trial, NDArray[np.float32]]:
    """Write ``baseline.mp4`` of the clip in ``folder``, and the real stream where that is another file.

    Args:
        settings: ``prepare`` and ``codec`` of ``configs/annotate.yaml``. grid: of the map: frames, rows, columns.

    Returns:
        the coding, and its error as :class:`pvc.annotate.quality.Quality` has it.
    """
    source, asked, codec = folder / "source.mkv", settings["prepare"], settings["codec"]
    coder, number = load_coder(codec, source, fps, grid[0]), 0
    errors: dict[Path, NDArray[np.float32]] = {}

    def code(kbps: float) -> Trial:
        nonlocal number
        out, done, share_of_rest = folder / f"trial{number}.mp4", 1 - 0.7**number, 0.3 * 0.7**number
        number += 1  # nobody knows how many it will take
        close = codec["tolerance"] if asked["kbps"] else 1.0
        coded = coder.code(out, kbps, None, None, close, lambda share: step(done + share_of_rest * share))
        quality = measure(source, coded.decoded, grid)
        coded.forget()
        errors[out] = quality.cells
        return Trial(coded.asked, coded.kbps, quality.psnr, (out, coded))

    best = code(asked["kbps"]) if asked["kbps"] else find_baseline(asked["psnr"], _guess(source, fps), code)
    out, coded = best.coded
    kept = {file: folder / f"baseline{file.name.removeprefix(out.stem)}" for file in {out, coded.stream}}
    for file, name in kept.items():
        file.replace(name)
    if not coder.neutral:
        _check_reach(coder, folder / "trial.mp4", best.kbps, grid, codec, step)
    for file in folder.glob("trial*"):
        file.unlink()
    return replace(best, coded=coded._replace(stream=kept[coded.stream])), errors[out]


def _check_reach(
    coder: Coder, out: Path, kbps: float, grid: tuple[int, int, int], codec: Mapping[str, Any], step: Step
) -> None:
    """Make sure that the bitrate can be had with a map as well.

    A map takes weight away from most of the picture, which a model has to make up for with a smaller beta.

    Raises:
        ConfigError: it cannot.
    """
    values = np.full(grid, NEUTRAL, np.uint8)
    got = coder.code(out, kbps, values, None, codec["tolerance"], lambda share: step(0.97))
    got.forget()
    if abs(got.kbps / kbps - 1) > codec["tolerance"]:
        raise ConfigError(
            f"{codec['name']} has {got.kbps:.1f} kbit/s with a map at alpha {codec['alpha']:g}, not the {kbps:.1f} of "
            "the baseline, with the betas there are; give a smaller codec.alpha or a lower prepare.psnr"
        )


def _guess(source: Path, fps: Fraction) -> float:
    """kbit/s at which clips have something like 25 dB."""
    with VideoReader(source) as reader:
        return 0.015 * reader.info.height * reader.info.width * float(fps) / 1000
