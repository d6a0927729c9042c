"""What a study consists of, as it stands in ``study.json``."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from pvc.errors import ConfigError

FORMAT = 1


@dataclass(frozen=True)
class Side:
    """One video of a pair: ``file`` in the folder ``videos``; ``kbps`` of the encode, None where it is not known."""

    codec: str
    file: str
    kbps: float | None


@dataclass(frozen=True)
class Pair:
    """Two encodes of ``video`` that are compared. ``better`` is the codec that has to win a sanity pair, else None."""

    id: str
    video: str
    sides: tuple[Side, Side]
    width: int
    height: int
    fps: str
    frames: int
    better: str | None = None

    @property
    def seconds(self) -> float:
        """Duration of either video."""
        return float(self.frames / Fraction(self.fps))


@dataclass(frozen=True)
class Rules:
    """Whose answers do not count; the keys of ``rules`` in ``configs/study.yaml``.

    Raises:
        ConfigError: a value is out of range.
    """

    sanity_errors: int = 0
    unfinished: str = "exclude"
    same_side: int | None = 10

    def __post_init__(self) -> None:
        if self.unfinished not in ("exclude", "include"):
            raise ConfigError(f"rules.unfinished={self.unfinished} is neither exclude nor include")
        for name, low in (("sanity_errors", 0), ("same_side", 2)):
            value = getattr(self, name)
            if not ((isinstance(value, int) and value >= low) or (value is None and name == "same_side")):
                raise ConfigError(f"rules.{name}={value} is no whole number from {low} on")


@dataclass(frozen=True)
class Study:
    """A study: its pairs, and what its answers are judged by.

    Attributes:
        id: Tells it from others in the same database.
        codecs: Names of what is compared, the baseline last.
        settings: The configuration that it was made with.
    """

    id: str
    title: str
    question: str
    codecs: tuple[str, ...]
    pairs: tuple[Pair, ...]
    per_participant: int | None = None
    rules: Rules = field(default_factory=Rules)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def baseline(self) -> str:
        """What all other codecs are compared with."""
        return self.codecs[-1]

    @property
    def tests(self) -> list[Pair]:
        """The pairs that are asked about."""
        return [pair for pair in self.pairs if pair.better is None]

    @property
    def sanity(self) -> list[Pair]:
        """The pairs whose answer is known."""
        return [pair for pair in self.pairs if pair.better is not None]

    def pair(self, id: str) -> Pair:
        """The pair of this id.

        Raises:
            ConfigError: the study has no such pair; it was changed after people had taken part.
        """
        found = next((pair for pair in self.pairs if pair.id == id), None)
        if found is None:
            raise ConfigError(f"the database has answers to pair {id}, which study.json lacks; put the pair back")
        return found

    def save(self, folder: Path) -> None:
        """Write ``study.json``."""
        (folder / "study.json").write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> "Study":
        """The study in ``folder``.

        Raises:
            ConfigError: there is none, it is damaged, or of a newer pvc.
        """
        path = Path(folder) / "study.json"
        if not path.is_file():
            raise ConfigError(f"{folder} holds no study (no study.json); make one with pvc study new")
        try:
            found = json.loads(path.read_text())
            if found.pop("format") != FORMAT:
                raise ConfigError(f"{path} was written by another version of pvc; use that one")
            found["pairs"] = tuple(_pair(pair) for pair in found["pairs"])
            found["rules"] = Rules(**found["rules"])
            return cls(**(found | {key: tuple(found[key]) for key in ("codecs", "notes")}))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"{path} is damaged ({type(error).__name__}: {error}); mend it or make it anew") from None


def _pair(found: dict[str, Any]) -> Pair:
    first, second = found.pop("sides")
    return Pair(**found, sides=(Side(**first), Side(**second)))


def rate_note(pair: Pair, tolerance: float) -> str | None:
    """One line if the rates of the two sides differ by more than ``tolerance``, a share; None if not, or not known."""
    first, second = pair.sides
    if first.kbps is None or second.kbps is None or abs(first.kbps / second.kbps - 1) <= tolerance:
        return None
    more = first.kbps / second.kbps - 1
    return f"{pair.video}: {first.codec} has {first.kbps:.1f} kbit/s, {more:+.1%} of {second.codec}'s {second.kbps:.1f}"


def say_unknown(pairs: Sequence[Pair]) -> str | None:
    """One line if the rates of encodes are not known, so that nobody can say whether they are equal."""
    unknown = sorted({side.codec for pair in pairs for side in pair.sides if side.kbps is None})
    if not unknown:
        return None
    return f"the rate of {', '.join(unknown)} is not known (lossless files of decoded frames); make sure it is equal"
