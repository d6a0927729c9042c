"""Encodes by what people painted: out of a folder that ``pvc annotate average --encode`` wrote."""

import csv
from dataclasses import replace
from pathlib import Path

from pvc.errors import ConfigError
from pvc.study.encodes import Encodes, from_file

PAINTED, PLAIN = "importance", "baseline"


def is_average(folder: Path) -> bool:
    """Whether the folder is such a one."""
    return (folder / "encodes.csv").is_file() and (folder / "painted").is_dir()


def from_average(folder: Path) -> Encodes:
    """Each clip coded by the mean map of all annotators, against the encode without a map (the paper's section IV.C).

    Rates are those of the real streams, which are other files where a browser does not play the codec.

    Raises:
        ConfigError: the table of the encodes is damaged.
        VideoError: an encode is missing or cannot be read.
    """
    table = folder / "encodes.csv"
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rates = {row["clip"]: (float(row["kbps"]), float(row["target_kbps"])) for row in csv.DictReader(file)}
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{table} is damaged ({error!r}); write it anew with pvc annotate average --encode") from None
    return {
        name: {
            PAINTED: replace(from_file(folder / "painted" / f"{name}.mp4"), kbps=kbps),
            PLAIN: replace(from_file(folder / "baseline" / f"{name}.mp4"), kbps=plain),
        }
        for name, (kbps, plain) in rates.items()
    }
