"""Checkpoints on the disk: whole or not there at all, and never with a weight that is not finite."""

import contextlib
import errno
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from torch import Tensor

from pvc.errors import CheckpointError, TrainingError

PARTIAL = ".partial"
"""How the name of a file ends that is still being written."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MUST_BE_FINITE = ("state_dict", "current_model_state", "optimizer_states")  # the second: beside averaged weights


def all_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints ``step=N.ckpt`` in ``folder``, fewest steps first."""
    return sorted(folder.glob("step=*.ckpt"), key=lambda p: int(p.stem.split("=")[1].split("-")[0]))


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps in ``folder``, or None."""
    return (all_checkpoints(folder) or [None])[-1]


def check_readable(path: Path) -> None:
    """Read the whole of a checkpoint, as a fault of the disk may lie anywhere in it.

    Raises:
        CheckpointError: it is damaged; Lightning's own errors do not name the file.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if (bad := file.testzip()) is not None:
                raise zipfile.BadZipFile(f"checksum of {bad}")
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever reading damaged bytes leads to
        what = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise CheckpointError(
            f"{path} is damaged ({what}); delete it and run the same command again, which goes on from the one before"
        ) from None


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed while it wrote a checkpoint left in ``folder``."""
    for leftover in folder.glob(f".step=*{PARTIAL}"):
        leftover.unlink(missing_ok=True)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name, waits for the disk, and only then gives it its own.

    Lightning's own writer holds the whole file in memory and moves it from the folder of temporary files, which is
    a copy where that is on another disk: killed meanwhile, it leaves half a checkpoint under a good name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint``; what was at ``path`` stays until the new one stands.

        Raises:
            TrainingError: the disk is full or fails, or a weight or a number of an optimiser is not finite.
        """
        path = Path(path)
        for key in _MUST_BE_FINITE:
            if (name := _not_finite(checkpoint.get(key), key)) is not None:
                raise TrainingError(f"{name} is not finite any more, so {path.name} is not written")
        partial = path.with_name(f".{path.name}{PARTIAL}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            _sync_folder(path.parent)
        except BaseException as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            if not isinstance(error, OSError | RuntimeError) or (cause := _of_the_disk(error)) is None:
                raise
            raise TrainingError(f"{path} cannot be written: {_say(cause, checkpoint, path.parent)}") from None


def _sync_folder(folder: Path) -> None:
    """Make a new name in ``folder`` survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_finite(value: Any, name: str) -> str | None:
    """Name of the first tensor in nested dictionaries and lists with an element that is not finite."""
    if isinstance(value, Tensor):
        return None if not value.is_floating_point() or bool(torch.isfinite(value).all()) else name
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (_not_finite(v, f"{name}/{k}") for k, v in inside)
    return next((f for f in found if f is not None), None)


def _of_the_disk(error: BaseException | None) -> OSError | None:
    """The disk's error behind torch's own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _say(error: OSError, checkpoint: dict[str, Any], folder: Path) -> str:
    """What went wrong; where there was no room, how much is needed and how much is there."""
    what = error.strerror or str(error)
    if error.errno not in _NO_ROOM:
        return what
    file = _Counter()
    torch.save(checkpoint, file)
    there = f"has {shutil.disk_usage(folder).free / 1e6:.1f} MB" if error.errno == errno.ENOSPC else "allows less"
    return f"{what}; it takes {file.written / 1e6:.1f} MB and {folder} {there}; make room, then resume=true goes on"


class _Counter:
    """A file that only counts its bytes."""

    def __init__(self) -> None:
        self.written = 0

    def write(self, data: Any) -> int:
        self.written += (size := memoryview(data).nbytes)
        return size

    def flush(self) -> None:
        pass
