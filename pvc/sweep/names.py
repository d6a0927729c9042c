"""What the runs of a sweep are called: by what differs between them."""

import math
import re
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

EXCLUDE = "hydra.job.config.override_dirname.exclude_keys"
_RATE_KEYS = ("model.beta", "model.qps")


def only_what_is_swept(arguments: Sequence[str], excluded: Iterable[str]) -> list[str]:
    """``arguments`` of a command line with an override that keeps what all runs of a sweep share out of their names.

    Without ``-m``, ``arguments`` as they are.

    Args:
        arguments: of the command line.
        excluded: keys that are kept out in any case, but where they are swept.
    """
    given = [a for a in arguments if not a.startswith("-") and ("=" in a or a.startswith("~"))]
    if not {"-m", "--multirun"} & set(arguments) or not given or any(EXCLUDE in a for a in given):
        return list(arguments)
    try:
        overrides = OverridesParser.create().parse_overrides(given)
    except HydraException:  # Hydra itself will say so
        return list(arguments)
    swept = {o.key_or_group for o in overrides if o.is_sweep_override()}
    fixed = {o.key_or_group for o in overrides if not o.is_hydra_override()} - swept
    keys = sorted({*excluded, *fixed} - swept)
    last = max(i for i, a in enumerate(arguments) if a is given[-1]) + 1  # Hydra wants its overrides side by side
    return [*arguments[:last], f"{EXCLUDE}=[{','.join(map(_quoted, keys))}]", *arguments[last:]]


def run_name(name: str, differences: str) -> str:
    """Name of one run: ``name``, its ``differences`` (``a=1,b=2``) from the other runs and, at the end, its rate.

    So single-rate models have the names by which several are one codec: ``ssf-1e-4``, ``ssf-4e-4``.
    """
    parts = dict(part.split("=", 1) for part in split(differences))
    rate = next((rate for key in _RATE_KEYS if (rate := _rate(parts.get(key, "")))), None)
    said = ("model", *(key for key in _RATE_KEYS if rate))  # by the name itself, and at its end
    others = [f"{key.lstrip('+')}={value}" for key, value in parts.items() if key not in said]
    label = ",".join([name, *others]).replace("/", "_")
    return label if rate is None else f"{label}-{rate}"


def _rate(value: str) -> str | None:
    """``0.0004`` and ``4e-4`` -> ``4e-4``, ``[29]`` -> ``29``; None for what is no single number."""
    try:
        number = float(re.sub(r"^\[(.*)\]$", r"\1", value))
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    digits, exponent = f"{number:e}".split("e")
    return f"{number:g}" if number >= 1 else f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def split(overrides: str) -> list[str]:
    """``a=1,b=[2,3]`` -> ``["a=1", "b=[2,3]"]``."""
    return re.split(r",(?=[^,\[\]{}=]+=)", overrides) if overrides else []


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "\\'") + "'"


def assign(key: str, value: str) -> str:
    """The override that gives ``key`` the string ``value``, whatever is in it."""
    return f"{key}={_quoted(value)}"
