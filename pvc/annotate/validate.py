"""Rules by which a session does not count: who only waited, or did next to nothing.

Source: Pergament et al., 2022, section IV.B: data of users who just waited for the button, or annotated only a small
part in one frame, were disqualified; section V wishes for that to be done automatically.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

import numpy as np

from pvc.annotate.maps import Values, strokes_that_stand
from pvc.annotate.records import Painted
from pvc.errors import ConfigError

STRETCH = 15.0  # seconds
LEVELS = 4  # of 255 from which a cell is taken for painted

Rule = Callable[[Painted, Values | None, Any], str | None]


def flags(painted: Painted, values: Values | None, rules: Mapping[str, Any]) -> list[str]:
    """Why the session does not count, one phrase for each of ``rules`` that it breaks; empty if it counts.

    Args:
        values: its map. rules: ``validate`` of ``configs/annotate.yaml``; None switches one off.

    Raises:
        ConfigError: there is no such rule, or its limit is no number.
    """
    found = []
    for name, limit in rules.items():
        if name not in RULES:
            raise ConfigError(f"validate.{name} is no rule; there are {', '.join(RULES)}")
        if limit is None or limit is False:
            continue
        if not isinstance(limit, int | float) or limit < 0:
            raise ConfigError(f"validate.{name}={limit} is no number from 0")
        if said := RULES[name](painted, values, limit):
            found.append(f"{name}: {said}")
    return found


def active(painted: Painted) -> float:
    """Share of the session's stretches of 15 s in which something was done, 0 to 1."""
    stretches = max(ceil(painted.seconds / STRETCH), 1)
    at = {min(int((t - painted.started) / STRETCH), stretches - 1) for t in painted.received if t >= painted.started}
    return len(at) / stretches


def share_painted(values: Values) -> float:
    """Share of the cells that differ from the map's median by 4 levels or more: normalising shifts all alike."""
    return float((np.abs(values.astype(np.int16) - int(np.median(values))) >= LEVELS).mean())


def _finished(painted: Painted, values: Values | None, limit: bool) -> str | None:
    return None if painted.finished else "'Next video' was never pressed"


def _strokes(painted: Painted, values: Values | None, limit: int) -> str | None:
    count = len(strokes_that_stand(painted.log))
    return f"{count} strokes stand, not {limit}" if count < limit else None


def _frames(painted: Painted, values: Values | None, limit: int) -> str | None:
    frames = {stroke["frame"] for stroke in strokes_that_stand(painted.log)}
    return f"strokes in {len(frames)} frame{'s' * (len(frames) != 1)}, not {limit}" if len(frames) < limit else None


def _share(painted: Painted, values: Values | None, limit: float) -> str | None:
    share = share_painted(values) if values is not None else 0.0
    return f"{share:.2%} of the map is painted, not {limit:.2%}" if share < limit else None


def _active(painted: Painted, values: Values | None, limit: float) -> str | None:
    share = active(painted)
    return f"something was done in {share:.0%} of the time, not {limit:.0%}" if share < limit else None


RULES: dict[str, Rule] = {
    "finished": _finished,
    "min_strokes": _strokes,
    "min_frames": _frames,
    "min_painted": _share,
    "min_active": _active,
}
