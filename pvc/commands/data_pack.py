"""``pvc data pack``: put the clips of a data set into shards once, in parallel, and go on where it was stopped."""

import shutil
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from pvc.console import progress
from pvc.data import sequences
from pvc.data.sequence import Sequence
from pvc.data.shard_writer import PackWriter, raw_bytes, writer_module
from pvc.errors import ConfigError, DataError, JobsFailed
from pvc.evaluation.workers import Failed, Workers, worker_count
from pvc.folder import KEEP_FREE, alone
from pvc.hydra_entry import hydra_entry


def store(writer: PackWriter, shard: int) -> None:
    """:meth:`PackWriter.store`, to be found by its name in another process."""
    writer.store(shard)


def pack(cfg: DictConfig) -> None:
    """Write the pack that ``cfg`` (``configs/data_pack.yaml``) describes.

    Raises:
        ConfigError: a value is out of range, or the folder holds something else or another pack.
        DataError: the disk is too small.
        JobsFailed: some shards could not be written; all others are there.
    """
    if cfg.frames not in ("png", "raw"):
        raise ConfigError(f"frames={cfg.frames}: must be png or raw")
    if not isinstance(cfg.shard_mb, int | float) or cfg.shard_mb <= 0:
        raise ConfigError(f"shard_mb={cfg.shard_mb}: must be a number above 0")
    writer_module()
    jobs, out = worker_count(cfg.jobs), Path(cfg.out).expanduser()
    clips, splits = _clips(cfg)
    writer = PackWriter(out, clips, splits, cfg.frames, cfg.shard_mb * 1e6)
    writer.check()
    out.mkdir(parents=True, exist_ok=True)
    with alone(out, "pvc data pack"):
        writer.begin()
        missing = [n for n in range(len(writer.shards)) if not writer.is_there(n, cfg.verify)]
        _check_space(writer, missing)
        failed = _work(writer, missing, jobs)
        if failed:
            raise JobsFailed(f"{len(failed)} of {len(writer.shards)} shards are missing in {out}; {failed[0]}")
        size = writer.finish()
    frames, raw = sum(s.frames for s in clips), sum(map(raw_bytes, clips))
    print(
        f"{out}: {len(clips)} clips, {frames} frames in {len(writer.shards)} shards, {_size(size)} ({_size(raw)} of "
        f"pixels); train by data=shards data.root={out}"
    )


def _clips(cfg: DictConfig) -> tuple[list[Sequence], dict[str, list[int]]]:
    """All clips of the splits, each once, and their numbers by split."""
    names = list(cfg.splits) if OmegaConf.is_list(cfg.splits) else [cfg.splits]
    if not names or len({*names}) < len(names):
        raise ConfigError(f"splits={names} must name different ones of train, val and eval")
    numbers: dict[tuple[str, str], int] = {}
    clips: list[Sequence] = []
    splits: dict[str, list[int]] = {}
    for split in names:
        found = sequences(cfg.data, split)
        for s in found:
            if (s.dataset, s.name) not in numbers:
                numbers[s.dataset, s.name] = len(clips)
                clips.append(s)
        splits[split] = [numbers[s.dataset, s.name] for s in found]
    if not clips:
        raise DataError("there is no clip to pack")
    return clips, splits


def _work(writer: PackWriter, missing: list[int], jobs: int) -> list[str]:
    """Store the ``missing`` shards; what failed, one line each."""
    total, failed, done = len(writer.shards), [], 0
    if len(missing) < total:
        print(f"{total - len(missing)} of {total} shards are there already", file=sys.stderr)
    with Workers(jobs, writer, [__name__]) as workers, progress(plain="shards") as bar:
        task = bar.add_task("packing", total=len(missing))
        for shard, result in workers.map(store, list(missing)):
            if isinstance(result, Failed):
                failed.append(f"shard {shard}: {result.reason}")
            done += 1
            bar.update(task, completed=done)
    return failed


def _check_space(writer: PackWriter, missing: list[int]) -> None:
    """How much PNG makes of frames is not known before; raw ones have to fit before the first is written."""
    pixels = sum(raw_bytes(writer.clips[i]) for n in missing for i in writer.shards[n])
    free = shutil.disk_usage(writer.out).free
    most = "at most about " if writer.coding == "png" else ""
    print(f"{most}{_size(pixels)} to write into {writer.out}, {_size(free)} are free", file=sys.stderr)
    if writer.coding == "raw" and pixels + KEEP_FREE > free:
        raise DataError(
            f"the shards take {_size(pixels)} more and {writer.out} has {_size(free)} free, of which 1 GB must stay "
            "so; give another out, or frames=png"
        )


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


@hydra_entry("data_pack")
def main(cfg: DictConfig) -> None:
    """Entry point of ``pvc data pack``."""
    pack(cfg)
