"""What people painted, as files for research: importance files at the clips' size, logs and statistics.

    OUT/average/NAME.mkv, NAME.mask.mkv                  clips with the mean map of all sessions that count
    OUT/annotators/PARTICIPANT/NAME.mkv, NAME.mask.mkv   clips with one person's final map
    OUT/baseline/NAME.mp4                                what people saw first
    OUT/maps/SESSION/map-NNNNNN.mkv                      every map on the way, on its grid
    OUT/strokes.jsonl  encodes.csv  maps.csv  sessions.csv  participants.csv  clips.json  README.md

``average`` and each folder in ``annotators`` are what ``data=clips data.root=`` reads, for ``pvc eval`` and training.
"""

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pvc.annotate.agreement import average
from pvc.annotate.clip import FACTS, Clip
from pvc.annotate.maps import Values, at_clip_size
from pvc.annotate.movies import pictures_of, write_lossless
from pvc.annotate.records import Painted
from pvc.annotate.validate import active, flags, share_painted
from pvc.errors import DataError
from pvc.video import MapWriter

Step = Callable[[float], None]
README = """\
# Importance painted with pvc annotate

- `average/NAME.mask.mkv`: the mean map of all sessions that count, `average/NAME.mkv` its clip (lossless, 4:2:0).
- `annotators/PARTICIPANT/`: the same for each participant's own maps, sessions that do not count included.
- Maps are grey FFV1 of the clip's size and length; value / 255 is the importance q in [0, 1], 127 is neutral.
  `pvc eval data=clips data.root=average ...`, `pvc encode CLIP --importance MAP` and training with `data=clips` read
  them. `pvc eval` takes what lies above neutral (q >= 0.5) for the ROI. As the mean stays neutral, that is also what
  was left alone, where more was erased than painted.
- `maps/SESSION/`: every map that was sent on the way, on the grid that was painted on; `maps.csv` says when, and of how
  many items of the log each is made.
- `strokes.jsonl`: one item of a stroke log a line. With `clips/NAME/flow.bin` of the collection it gives the map back.
- `encodes.csv`: every re-encode: bitrate, PSNR, and what was gained where it was painted and elsewhere.
- `sessions.csv`: one line a session, with the rules that it breaks (`flags`); those with flags are not in the average.
- `baseline/`: the clip at the same bitrate without a map.

Participants are random ids.
"""


def export(
    painted: Sequence[Painted],
    out: str | Path,
    rules: Mapping[str, Any],
    *,
    workers: bool = False,
    step: Step | None = None,
) -> dict[str, Any]:
    """Write all of ``painted`` to the folder ``out``, which appears when it is whole; the numbers of what is in it.

    Args:
        rules: ``validate`` of ``configs/annotate.yaml``. workers: with the recruiter's names of the participants.
        step: is told the share done.

    Raises:
        DataError: ``out`` is there and not empty, or its parent folder is not there.
        ImportanceError, VideoError: a file of the collection is damaged; the message names it.
    """
    with new_folder(out) as partial:
        return _fill(partial, painted, rules, workers, step or (lambda share: None))


@contextmanager
def new_folder(out: str | Path) -> Iterator[Path]:
    """A folder to fill, which is ``out`` when the block has ended without an error, and gone otherwise.

    Raises:
        DataError: ``out`` is there and not empty, or its parent folder is not there.
    """
    out = Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise DataError(f"{out} is there already; name a new folder")
    if not out.absolute().parent.is_dir():
        raise DataError(f"there is no folder {out.absolute().parent}; make it first")
    partial = out.absolute().with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if out.is_dir():
            out.rmdir()
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(out: Path, painted: Sequence[Painted], rules: Mapping[str, Any], workers: bool, step: Step) -> dict[str, Any]:
    clips = {one.clip.name: one.clip for one in painted}
    counted: dict[str, list[Values]] = {name: [] for name in clips}
    rows = []
    for folder in ("average", "annotators", "baseline", "maps"):
        (out / folder).mkdir()
    for name, clip in clips.items():
        write_source(clip, out / "average" / f"{name}.mkv")
        shutil.copy(clip.folder / "baseline.mp4", out / "baseline" / f"{name}.mp4")
        if (stream := clip.baseline["stream"]) != "baseline.mp4":
            shutil.copy(clip.folder / stream, out / "baseline" / f"{name}{stream.removeprefix('baseline')}")
    for number, one in enumerate(painted):
        step(number / len(painted))
        values = one.values()
        broken = flags(one, values, rules)
        rows.append(session_row(one, values, broken))
        if values is None:
            continue
        if not broken:
            counted[one.clip.name].append(values)
        own = out / "annotators" / one.participant
        own.mkdir(exist_ok=True)
        _same(out / "average" / f"{one.clip.name}.mkv", own / f"{one.clip.name}.mkv")
        write_mask(one.clip, values, own / f"{one.clip.name}.mask.mkv")
        (out / "maps" / one.id).mkdir()
        for file in one.maps:
            shutil.copy(file, out / "maps" / one.id)
    for name, maps in counted.items():
        if maps:
            write_mask(clips[name], average(maps), out / "average" / f"{name}.mask.mkv")
        else:  # without a map it would be taken for a clip that matters equally everywhere
            (out / "average" / f"{name}.mkv").unlink()
    _write_tables(out, painted, rows, clips, workers)
    return {
        "clips": len(clips),
        "sessions": len(painted),
        "counted": sum(map(len, counted.values())),
        "flagged": sum(bool(row["flags"]) for row in rows),
        "maps": sum(len(one.maps) for one in painted),
        "strokes": sum(len(one.log) for one in painted),
        "encodes": sum(len(one.encodes) for one in painted),
    }


def _write_tables(
    out: Path, painted: Sequence[Painted], rows: Sequence[Mapping], clips: Mapping[str, Clip], workers: bool
) -> None:
    with (out / "strokes.jsonl").open("w", encoding="utf-8") as file:
        for one in painted:
            for seq, (item, received) in enumerate(zip(one.log, one.received, strict=True), start=1):
                about = {"session": one.id, "seq": seq, "received": received}
                file.write(json.dumps({**about, **item}, separators=(",", ":")) + "\n")
    (out / "encodes.csv").write_text(csv_text([row for one in painted for row in one.encodes]), encoding="utf-8")
    (out / "maps.csv").write_text(csv_text([row for one in painted for row in one.map_rows]), encoding="utf-8")
    (out / "sessions.csv").write_text(csv_text(rows), encoding="utf-8")
    people: dict[str, dict[str, Any]] = {}
    for one, row in zip(painted, rows, strict=True):
        person = people.setdefault(
            one.participant, {"participant": one.participant, "sessions": 0, "finished": 0, "counted": 0}
        )
        person["sessions"] += 1
        person["finished"] += one.finished is not None
        person["counted"] += not row["flags"]
        if workers:
            person["worker"] = one.worker
    (out / "participants.csv").write_text(csv_text(list(people.values())), encoding="utf-8")
    facts = {name: json.loads((clip.folder / FACTS).read_text(encoding="utf-8")) for name, clip in clips.items()}
    (out / "clips.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(README, encoding="utf-8")


def session_row(one: Painted, values: Values | None, broken: Sequence[str]) -> dict[str, Any]:
    done = [row for row in one.encodes if row["state"] == "done"]
    return {
        "session": one.id,
        "participant": one.participant,
        "clip": one.clip.name,
        "position": one.position,
        "started": one.started,
        "finished": one.finished,
        "seconds": round(one.seconds, 1),
        "items": len(one.log),
        "maps": len(one.maps),
        "encodes": len(done),
        "painted": round(share_painted(values), 5) if values is not None else None,
        "active": round(active(one), 3),
        "flags": "; ".join(broken),
    }


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table with the keys of the first row as columns; empty without rows."""
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def write_source(clip: Clip, path: Path) -> None:
    """The clip as it is coded: the same 4:2:0 pictures, lossless."""
    write_lossless(path, pictures_of(clip.folder / "source.mkv"), clip.rate)


def write_mask(clip: Clip, values: Values, path: Path) -> None:
    """A painted map (uint8 on its grid) as importance file of the clip's size, as the encoder got it."""
    with MapWriter(path, width=clip.width, height=clip.height, fps=clip.rate) as writer:
        for plane in values:
            writer.write(torch.from_numpy(at_clip_size(plane, (clip.height, clip.width))).float()[None] / 255)


def _same(source: Path, target: Path) -> None:
    """Another name for a file, or a copy where the disk cannot do that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
