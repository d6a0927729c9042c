"""Pretrained weights of other people: looked for on this machine, never downloaded.

A file is looked for under the name that its own library gives it, in the folder that the configuration names
(``weights_dir``), in the folders of ``$PVC_WEIGHTS``, and in torch's download cache.
"""

import functools
import hashlib
import os
import pickle
import re
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pvc.errors import ConfigError, MissingWeights

_DAMAGED_ARRAYS = zipfile.BadZipFile, zlib.error, tokenize.TokenError  # the last of zeros, in Python 3.12


def weight_folders(weights_dir: str | Path | None = None) -> list[Path]:
    """Folders that are searched, in this order: ``weights_dir``, ``$PVC_WEIGHTS``, torch's cache."""
    named = [weights_dir, *os.environ.get("PVC_WEIGHTS", "").split(os.pathsep)]
    return [*(Path(d).expanduser() for d in named if d), Path(torch.hub.get_dir()) / "checkpoints"]


def find_weights(filename: str | Sequence[str], weights_dir: str | Path | None = None) -> Path:
    """The file called ``filename`` (or the first that there is of several that will do).

    Args:
        filename: A name to look for in :func:`weight_folders`, or the path of a file.

    Raises:
        MissingWeights: it is nowhere; the message says which file to put where.
    """
    names = [filename] if isinstance(filename, str) else list(filename)
    folders = weight_folders(weights_dir)
    for name in names:
        path = Path(name).expanduser()
        for place in [path] if path.name != name else [folder / name for folder in folders]:
            if place.is_file():
                return place
    where = f"{' or '.join(map(_short, folders))}, or name its folder by weights_dir or $PVC_WEIGHTS"
    raise MissingWeights(f"weights file {' or '.join(names)} is missing; put it into {where}")


def missing_files(reason: str) -> dict[str, str] | None:
    """Which files go where, where ``reason`` says of nothing but missing files that they are; else None."""
    said = re.findall(r"weights file (.+?) is missing; put it into (.+? or \$PVC_WEIGHTS)", reason)
    left = re.sub(r"weights file .+? is missing; put it into .+? or \$PVC_WEIGHTS", "", reason)
    return None if not said or left.strip("; ") else dict(said)


def load_weights(path: Path) -> Any:
    """What a file of weights holds: a state dict of torch, or the arrays of an ``.npz`` as tensors by name.

    Raises:
        MissingWeights: it cannot be read, or its name carries a hash (``NAME-1234abcd.pth``) that it does not have.
    """
    named = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    try:
        if named and not (found := sha256(path)).startswith(named[1]):
            raise MissingWeights(
                f"weights file {_short(path)} is not what its name says (SHA-256 {found[:8]}..., not {named[1]}...); "
                "replace it by a whole copy"
            )
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, *_DAMAGED_ARRAYS) as error:
        raise MissingWeights(f"weights file {_short(path)} cannot be read ({_line(error)}); replace it") from error


def fill(network: nn.Module, state: Any, path: Path) -> nn.Module:
    """``network`` with the weights ``state`` of ``path``, ready for inference. It may have been made on ``meta``.

    Raises:
        MissingWeights: they belong to another network.
    """
    try:
        network.load_state_dict(state, assign=True)
    except (RuntimeError, TypeError) as error:
        raise MissingWeights(f"weights file {_short(path)} is of another network: {_line(error)}") from error
    return network.eval().requires_grad_(False)


def sha256(path: Path) -> str:
    """Of the file's content; remembered while the file stays as it is."""
    status = path.stat()
    return _sha256(path, status.st_mtime_ns, status.st_size)


@functools.cache
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def on_device(network: nn.Module, device: str) -> nn.Module:
    """``network`` on ``device``. Raises ``ConfigError`` where that is no device of this machine."""
    try:
        return network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={device} cannot be used: {_line(error)}") from error


def _short(path: Path) -> str:
    """The path as a reader of any machine may see it: the home folder is ``~``."""
    path, home = path.absolute(), Path.home()
    return str(Path("~") / path.relative_to(home)) if path.is_relative_to(home) else str(path)


def _line(error: Exception) -> str:
    """An error's message in one line of at most 200 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
