"""A clip made ready for painting: a folder with everything that the page and the encoder need."""

import json
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from pvc.errors import DataError

FACTS = "clip.json"
"""Written last: a folder without it is not ready."""


@dataclass(frozen=True)
class Clip:
    """What ``clip.json`` says.

    Attributes:
        folder: where its files lie: ``source.mkv`` (raw 4:2:0, what is coded), ``source.mp4`` and ``baseline.mp4``
            (what a browser plays), ``edges/NNNNN.png``, ``flow.bin``, ``baseline-error.npy``.
        name: of the clip, unique in its folder.
        width, height, frames, fps: of the clip as it is coded.
        map: ``{"width", "height"}`` of the painted map in cells.
        target_kbps: the bitrate that everybody paints for, which is what the baseline takes.
        asked_kbps: what the encoder was asked for to give that.
        baseline: ``{"kbps", "psnr", "reached", "stream"}``: mean over frames of the RGB PSNR in dB, whether that is the
            one asked for (a clip that is too easy or too hard has what comes nearest), and the file of the real stream.
        codec: the settings it was coded with. propagate: those of the strokes.
        made_from: the original file, and the settings; who finds others prepares the clip anew.
    """

    folder: Path
    name: str
    width: int
    height: int
    frames: int
    fps: tuple[int, int]
    map: dict[str, int]
    target_kbps: float
    asked_kbps: float
    baseline: dict[str, Any]
    codec: dict[str, Any]
    propagate: dict[str, Any]
    made_from: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> "Clip":
        """The clip in ``folder``.

        Raises:
            DataError: it is not prepared, or its ``clip.json`` is damaged.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            return cls(folder=folder, **{**facts, "fps": tuple(facts["fps"])})
        except FileNotFoundError:
            raise DataError(f"{folder} holds no prepared clip; run pvc annotate prepare") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{folder / FACTS} cannot be read ({error}); delete it and prepare the clip again"
            ) from None

    def save(self) -> None:
        """Write ``clip.json``, whole or not at all."""
        facts = {key: value for key, value in asdict(self).items() if key != "folder"}
        partial = self.folder / f".{FACTS}.partial"
        partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.folder / FACTS)

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        return Fraction(*self.fps)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Shape of its map: frames, rows, columns."""
        return self.frames, self.map["height"], self.map["width"]

    @property
    def public(self) -> dict[str, Any]:
        """What the page is told; nothing of the machine."""
        keys = ("name", "width", "height", "frames", "fps", "map", "target_kbps", "propagate")
        about = {key: getattr(self, key) for key in keys}
        baseline = {key: self.baseline[key] for key in ("kbps", "psnr")}
        return {**about, "baseline": baseline, "codec": self.codec["name"]}


def load_clips(work: str | Path) -> list[Clip]:
    """All clips that are prepared in ``work``, by name.

    Raises:
        DataError: there are none.
    """
    clips = [Clip.load(facts.parent) for facts in sorted(Path(work).glob(f"clips/*/{FACTS}"))]
    if not clips:
        raise DataError(f"{work} holds no prepared clips; run pvc annotate prepare")
    return clips
