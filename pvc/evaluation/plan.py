"""Which jobs an evaluation has, what each is recorded as being made by, and which of them are done already."""

import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pvc.codecs import Codec, Point
from pvc.data import Sequence as Clip
from pvc.evaluation.job import Job
from pvc.evaluation.records import (
    Failure,
    Record,
    check_codec,
    check_ground,
    check_maps,
    check_same,
    has_roi,
    job_key,
)
from pvc.evaluation.workers import Failed


def plan(
    asked: Sequence[tuple[Codec, Point, int]],
    clips: Sequence[Clip],
    grounds: Mapping[int, dict[str, Any] | Failed],
    done: Mapping[tuple, Record],
    path: Path,
    unusable: set[str],
    importance: dict[str, Any] | None,
    lost: Set[tuple] = frozenset(),
) -> dict[tuple, Job | Record | Failure]:
    """Every job on the clips of ``grounds`` by its key: to be run, there already, or failed as its clip cannot be read.

    Args:
        asked: Codec, point and place of the clip of every job.
        grounds: What all results on a clip have in common in their ``made_by``, or why it cannot be read.
        done: The records of ``path``.
        unusable: Values that cannot be measured on this machine.
        importance: Identity of the source of maps, None for the data set's masks.
        lost: Keys of done jobs whose streams are wanted and not there; they are run again.

    Raises:
        ConfigError: a record was made in another way.
    """
    here = {(clips[index].dataset, clips[index].name): ground for index, ground in grounds.items()}
    codecs = {codec.name: as_read_back(codec.meta) for codec, _, _ in asked}
    for old in done.values():
        ground = here.get((old.dataset, old.sequence))
        if isinstance(ground, dict):
            check_ground(old, ground, "this run", path)
            check_maps(old, importance, path)
        if old.codec in codecs:
            check_codec(old, codecs[old.codec], path)
    planned: dict[tuple, Job | Record | Failure] = {}
    for codec, point, index in asked:
        if index not in grounds:
            continue
        clip, ground = clips[index], grounds[index]
        key = job_key(codec.name, point, clip.dataset, clip.name)
        if isinstance(ground, Failed):
            planned[key] = Failure(codec.name, point, clip.dataset, clip.name, ground.reason)
            continue
        steered = {"importance": importance} if importance is not None and has_roi(point) else {}
        made_by = {"codec": codecs[codec.name], **ground, **steered}
        planned[key] = Job(codec.name, point, index, made_by)
        if key in done:
            old = done[key]
            check_same(old, Record(**{**vars(old), "meta": {"made_by": made_by}}), path)
            if key not in lost and set(old.meta.get("missing", [])) <= unusable:  # else a metric has become available
                planned[key] = old
    return planned


def as_read_back(value: dict[str, Any]) -> dict[str, Any]:
    """``value`` as a record will give it: lists for tuples, strings for keys."""
    return json.loads(json.dumps(value))
