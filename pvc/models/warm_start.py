"""Start a model from the weights of a simpler one."""

import math
import re
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

import torch
from torch import Tensor

from pvc.errors import CheckpointError
from pvc.models.checkpoint import load_state, read_model_info
from pvc.models.cpvc import CPVC
from pvc.models.ssf import ScaleSpaceFlow
from pvc.models.widen import widened, with_motion_of_quarters

# What a multi-rate or ROI model has and a single-rate SSF has not; all of it starts without effect.
_ADDED = (".scale", ".shift", ".mask.weight", ".rate")
# Parameters of factorised densities in files of older CompressAI releases, and what they are called now.
_OLD_NAMES, _NEW_NAMES = (
    re.compile(r"\._(matrix|bias|factor)(\d)$"),
    {
        "matrix": "matrices",
        "bias": "biases",
        "factor": "factors",
    },
)
_CONSTANT = ("_offset", "_quantized_cdf", "_cdf_length", "scale_table", "bound", "scale_bound", "target")


def warm_start(model: ScaleSpaceFlow | CPVC, path: str | Path) -> None:
    """Load the weights of a pvc checkpoint or of CompressAI's ``ssf2020`` into ``model``; into a CPVC those of a CPVC.

    Layers keep their numbers when beta conditions are put between them, so layers are matched by what they are: the
    parameters of every module of the same kind, in order. The new parts stay as they were made (without effect).

    A tiny model may have more picture latents than the checkpoint, and ``fine_motion`` where that has not
    (:mod:`pvc.models.widen`).

    Raises:
        CheckpointError: the file is missing or its weights have other shapes.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} to start from does not exist")
    if isinstance(model, CPVC):
        return _take_over(model, path)
    if path.suffix == ".safetensors":
        state = load_state(path)
    else:
        state = from_compressai(_load_theirs(path))
    # a conditioned checkpoint is taken over whole, its conditions too; any other leaves them as they were made
    whole = any(k.endswith(_ADDED) for k in state)
    source = _ordered(state, whole)
    target = _ordered(model.state_dict(), whole)
    if path.suffix == ".safetensors" and source.keys() == target.keys() and model.config["transform"] == "patch":
        (latent, motion), now = _latents(config := read_model_info(path)["config"]), _latents(model.config)
        if model.fine_motion and not config.get("fine_motion", False):
            with_motion_of_quarters(source, target, motion, motion := now[1])
        widened(source, target, (latent, motion), now)
    odd = sorted(source.keys() ^ target.keys())
    odd += [k for k in target if k in source and source[k].shape != target[k].shape]
    if odd:
        raise CheckpointError(f"{path} is of another architecture: {odd[0]} does not fit")
    with torch.no_grad():
        for key, tensor in source.items():
            target[key].copy_(tensor)
    if path.suffix == ".safetensors":
        _match_rate(model, read_model_info(path)["config"]["beta"], path)


def _latents(config: dict) -> tuple[int, int]:
    """Of pictures and of motion."""
    latent = config.get("latent", 192)
    return latent, config.get("motion_latent") or latent


def _take_over(model: CPVC, path: Path) -> None:
    """All weights of a CPVC checkpoint of the same architecture. It may serve other QPs and round in another way."""
    info = read_model_info(path)
    if info["model"] != "cpvc":
        raise CheckpointError(f"{path} is a model of another kind; CPVC starts from a checkpoint of CPVC")
    free = ("qps", "rounding", "deviation")
    for key, value in model.config.items():
        if key not in free and info["config"].get(key) != value:
            raise CheckpointError(
                f"{path} has {key}={info['config'].get(key)} and this model {key}={value}; give model.{key} as it is "
                "in the checkpoint"
            )
    target = model.state_dict()
    with torch.no_grad():
        for key, tensor in load_state(path).items():
            if key.rsplit(".", 1)[-1] not in _CONSTANT:
                target[key].copy_(tensor)


def _load_theirs(path: Path) -> dict[str, Tensor]:
    """The state in a file that torch wrote."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state.get("state_dict", state)
    except (OSError, RuntimeError, EOFError, AttributeError, UnpicklingError, BadZipFile) as error:
        what = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({what}); give a file that pvc train has written, or one of "
            "CompressAI's ssf2020"
        ) from None


def _match_rate(model: ScaleSpaceFlow, beta: float, path: Path) -> None:
    """Gains that were learnt at ``beta`` -> those of the model's own beta (models with gains only)."""
    if model.multirate and not math.isclose(model.beta, beta):
        raise CheckpointError(
            f"{path} was trained at beta={beta:g}; a multi-rate model that starts from it needs "
            f"model.beta={beta:g}, not {model.beta:g}"
        )
    for branch in (model.intra, model.motion, model.residual):
        if branch.gain is not None:
            branch.gain.log.data += branch.gain.slope * math.log(model.beta / beta)


def _ordered(state: dict[str, Tensor], whole: bool) -> dict[str, Tensor]:
    """State without tables (nor added parts, unless ``whole``), with a layer's rank in place of its position."""
    keys = [k for k in state if (whole or not k.endswith(_ADDED)) and k.rsplit(".", 1)[-1] not in _CONSTANT]
    positions: dict[str, set[int]] = {}
    for key in keys:
        for group, number in _numbers(key):
            positions.setdefault(group, set()).add(number)
    ranks = {group: {n: i for i, n in enumerate(sorted(found))} for group, found in positions.items()}
    out = {}
    for key in keys:
        names = key.split(".")
        for group, number in _numbers(key):
            names[group.count(".") + 1] = str(ranks[group][number])
        out[".".join(names)] = state[key]
    return out


def _numbers(key: str) -> list[tuple[str, int]]:
    """(what comes before it, number) for each number in a dotted key."""
    names = key.split(".")
    return [(".".join(names[:i]), int(name)) for i, name in enumerate(names) if name.isdigit()]


def from_compressai(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of CompressAI's ``ScaleSpaceFlow`` -> state of ``ScaleSpaceFlow(transform="conv")``.

    Its flow is in normalised coordinates of the 256x256 training crops and its scale in those of six levels; the last
    layer of the motion decoder is converted: 1 unit of flow is 128 pixels, 1 unit of scale 3 levels around level 2.5.
    """
    rename = {
        "img_encoder.": "intra.encoder.layers.",
        "img_decoder.": "intra.decoder.layers.",
        "img_hyperprior.": "intra.prior.",
        "res_encoder.": "residual.encoder.layers.",
        "res_decoder.": "residual.decoder.layers.",
        "res_hyperprior.": "residual.prior.",
        "motion_encoder.": "motion.encoder.layers.",
        "motion_decoder.": "motion.decoder.layers.",
        "motion_hyperprior.": "motion.prior.",
    }
    parts = {
        "entropy_bottleneck.": "factorized.",
        "hyper_encoder.": "encoder.",
        "hyper_decoder_mean.": "mean.",
        "hyper_decoder_scale.deconv1": "scale.0",
        "hyper_decoder_scale.deconv2": "scale.2",
        "hyper_decoder_scale.deconv3": "scale.4",
        "gaussian_conditional.": "conditional.",
    }
    out = {}
    for key, tensor in state.items():
        new = key
        for old, name in (rename | parts).items():
            new = new.replace(old, name)
        new = _OLD_NAMES.sub(lambda found: f".{_NEW_NAMES[found[1]]}.{found[2]}", new)
        out[new] = tensor.clone()
    unit = torch.tensor([128.0, 128.0, 3.0])
    last = "motion.decoder.layers.6"
    if f"{last}.weight" not in out:
        raise CheckpointError("not a state of CompressAI's ssf2020: it has no motion_decoder.6.weight")
    out[f"{last}.weight"] *= unit[None, :, None, None]
    out[f"{last}.bias"] = out[f"{last}.bias"] * unit + torch.tensor([0.0, 0.0, 2.5])
    return out
