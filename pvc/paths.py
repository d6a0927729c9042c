"""Where configs and checkpoints are, in a checkout and in an installed wheel."""

import os
import re
from pathlib import Path

from pvc.errors import CheckpointError

_PACKAGE = Path(__file__).resolve().parent
# The rate at the end of a single-rate checkpoint's name: -1e-4, -1.6e-3, -32.
_RATE = re.compile(r"-\d[\d.]*(e-?\d+)?$")


def _resource(name: str) -> Path:
    inside = _PACKAGE / name  # installed wheel: the folder travels inside the package
    return inside if inside.is_dir() else _PACKAGE.parent / name


def config_dir() -> Path:
    """Folder of the Hydra configs."""
    return _resource("configs")


def checkpoint_dirs() -> list[Path]:
    """Folders searched for checkpoints by name: ``$PVC_CHECKPOINTS``, ``./checkpoints``, the released ones."""
    dirs = [Path(d) for d in os.environ.get("PVC_CHECKPOINTS", "").split(os.pathsep) if d]
    dirs += [Path("checkpoints"), _resource("checkpoints")]
    seen: dict[Path, None] = {}
    for d in dirs:
        if d.is_dir():
            seen.setdefault(d.resolve())
    return list(seen)


def find_checkpoints(name: str) -> list[Path]:
    """Checkpoint files a user means by ``name``.

    A path (``runs/a/model.safetensors``) is itself; a name is looked up in :func:`checkpoint_dirs`, first exactly
    (``mr-md-ssf-tiny``), then as the common name of single-rate checkpoints (``ssf-tiny`` -> ``ssf-tiny-1e-4``, ...).

    Raises:
        CheckpointError: nothing matches; the message lists what there is.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return [path]
    if path.suffix == ".safetensors" or len(path.parts) > 1:
        raise CheckpointError(f"checkpoint {name} does not exist")
    for folder in checkpoint_dirs():
        exact = folder / f"{name}.safetensors"
        if exact.is_file():
            return [exact]
        # A rate suffix starts with a digit; `ssf-tiny-roi` is another model, not another rate.
        group = [p for p in folder.glob(f"{name}-*.safetensors") if p.stem[len(name) + 1 :][:1].isdigit()]
        if group:
            return sorted(group, key=lambda p: float(p.stem[len(name) + 1 :]))
    names = sorted({p.stem for d in checkpoint_dirs() for p in d.glob("*.safetensors")})
    have = ", ".join(names) if names else "none"
    raise CheckpointError(f"no checkpoint is called {name!r} (there are: {have}); give one of these or a path")


def checkpoint_name(path: Path) -> str:
    """What a checkpoint is called: its file name, or its run's where the file is a run's ``model.safetensors``."""
    return path.resolve().parent.name if path.stem == "model" else path.stem


def common_name(path: Path) -> str:
    """What several single-rate checkpoints are called, of which ``path`` is one."""
    return _RATE.sub("", path.stem)
