"""Released weights: one safetensors file with the architecture, the coder's tables and where they came from."""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pvc.errors import CheckpointError
from pvc.models.cpvc import CPVC
from pvc.models.ssf import ScaleSpaceFlow

Model = ScaleSpaceFlow | CPVC

# What a checkpoint calls its class; those without a word are of the first one.
_KINDS: dict[str, type[Model]] = {"ssf": ScaleSpaceFlow, "cpvc": CPVC}
_TABLES = ("_offset", "_quantized_cdf", "_cdf_length", "scale_table")


def save_model(model: Model, path: str | Path, meta: dict | None = None) -> None:
    """Write ``model`` in half precision with its coder tables; ``meta`` (steps, data, commit ...) is kept beside them.

    Identical tensors, as the tables of branches with the same density, are written once.

    The weights are rounded first, in place, and the tables computed from the rounded ones, so that the model that is
    loaded again is the one that was written, bit for bit.
    """
    learnt = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in learnt.values():
            parameter.copy_(parameter.half())
    model.update()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    state = {k: v.half() if k in learnt else v for k, v in state.items()}
    partial = path.with_name(path.name + ".partial")
    (kind,) = (name for name, made in _KINDS.items() if isinstance(model, made))
    first: dict[tuple, str] = {}
    alike = {k: first.setdefault((v.dtype, v.shape, v.numpy().tobytes()), k) for k, v in state.items()}
    alike = {k: name for k, name in alike.items() if k != name}
    about = {"model": kind, "config": json.dumps(model.config), "meta": json.dumps(meta or {})}
    about["alike"] = json.dumps(alike)
    save_file({k: v for k, v in state.items() if k not in alike}, partial, metadata=about)
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(partial, 0o666 & ~umask)  # safetensors makes files that only their owner can read
    os.replace(partial, path)


def read_model_info(path: str | Path) -> dict:
    """``{"model": "ssf" or "cpvc", "config": ..., "meta": ...}`` of a checkpoint, without reading its weights.

    Raises:
        CheckpointError: no such file, or not a pvc checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {error}") from None
    if "config" not in metadata:
        raise CheckpointError(f"{path} has no pvc architecture in it; give a file that `pvc train` has written")
    kind = metadata.get("model", "ssf")
    if kind not in _KINDS:
        raise CheckpointError(f"{path} holds a model of kind {kind!r}, which this pvc does not know; update pvc")
    return {
        "model": kind,
        "config": json.loads(metadata["config"]),
        "meta": json.loads(metadata.get("meta", "{}")),
    }


def load_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint. Raises ``CheckpointError`` where it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
            alike = json.loads((file.metadata() or {}).get("alike", "{}"))
        return {k: state[name] for k, name in alike.items()} | state
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {error}") from None


def load_model(path: str | Path, device: str | torch.device = "cpu", kind: type[Model] | None = None) -> Model:
    """The model of a checkpoint, ready to code, in evaluation mode.

    Args:
        kind: class that it must have; None: any.

    Raises:
        CheckpointError: no such file, not a pvc checkpoint, of another kind, or weights that do not fit its
            architecture.
    """
    info = read_model_info(path)
    made = _KINDS[info["model"]]
    if kind not in (None, made):
        raise CheckpointError(f"{path} is a {info['model']} model; this needs {kind.__name__}")
    try:
        model = made(**info["config"])
        state = load_state(path)
        for name, module in model.named_modules():  # tables have no fixed size: make room for those in the file
            for table in _TABLES:
                if f"{name}.{table}" in state and hasattr(module, table):
                    setattr(module, table, torch.empty_like(state[f"{name}.{table}"]))
        model.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        first = str(error).strip().splitlines()
        raise CheckpointError(f"{path} does not fit the architecture it names: {' '.join(first[:2])}") from None
    return model.to(device, memory_format=torch.channels_last).eval()


def fingerprint(model: Model) -> str:
    """Hash of architecture, weights and tables, 16 hexadecimal digits; two models with the same one decode alike."""
    digest = hashlib.sha256(json.dumps(model.config, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
