"""Codecs by name: a file in ``configs/codec``, or a checkpoint."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from pvc.codecs.base import Codec
from pvc.errors import CheckpointError, ConfigError, PvcError
from pvc.paths import common_name, config_dir, find_checkpoints
from pvc.versions import versions

if TYPE_CHECKING:
    from pvc.codecs.cpvc import CpvcCodec
    from pvc.codecs.neural import NeuralCodec


def codec_names() -> list[str]:
    """Names of the codecs that need no checkpoint: the files of ``configs/codec``."""
    return sorted(p.stem for p in (config_dir() / "codec").glob("*.yaml"))


def is_codec(name: str) -> bool:
    """Whether there is a codec or a checkpoint called so."""
    try:
        return name in codec_names() or bool(find_checkpoints(name))
    except CheckpointError:
        return False


def load_codec(
    name: str, gop: int = 12, device: str = "cpu", weights_dir: str | None = None, rdoq: int | None = None
) -> Codec:
    """The codec called ``name``.

    Args:
        name: A codec of ``configs/codec`` (``x264``, ``x265-medium``, ...), else the name or path of a checkpoint;
            single-rate checkpoints that differ only in beta are one codec under their common name.
        gop: Frames from one key frame to the next.
        device: Where a learned codec runs.
        weights_dir: Folder with weights of codecs that are no checkpoints, searched before the usual caches; a codec
            whose file names one searches that.
        rdoq: Rounds of a model's search for better symbols; None: the usual number.

    Raises:
        ConfigError: no codec and no checkpoint has this name; the message lists both.
        CheckpointError: the checkpoint cannot be loaded.
    """
    file = config_dir() / "codec" / f"{name}.yaml"
    if name in codec_names():
        return _configured(file, device, weights_dir, name=name, gop=gop)
    try:
        checkpoints = find_checkpoints(name)
    except CheckpointError as error:
        raise ConfigError(f"no codec is called {name!r} (codecs: {', '.join(codec_names())}), and {error}") from None
    return _trained({path.stem: path for path in checkpoints}, gop, device, rdoq)


def load_release(path: Path, name: str, gop: int = 12, device: str = "cpu") -> Codec:
    """The codec of a training's release ``path`` as if its file were called ``name``.

    Where it has one rate and the name ends in it (``ssf-1e-4``), the codec has the common name (``ssf``): results of
    several such are one curve.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
    """
    codec = _trained({name: path}, gop, device)
    rates = getattr(codec, "betas", None) or getattr(codec, "qps", ())
    codec.name = common_name(Path(f"{name}.safetensors")) if len(rates) == 1 else name
    return codec


def _trained(checkpoints: Mapping[str, Path], gop: int, device: str, rdoq: int | None = None) -> Codec:
    """The codec of checkpoints by their names, with all that decides its results in ``meta``."""
    _check_device(device)
    codec = load_trained([*checkpoints.values()], device=device, gop=gop, rdoq=rdoq)
    hashes = {name: _sha256(path) for name, path in checkpoints.items()}
    settings = {"gop": gop, "device": device, "libraries": versions("torch"), "checkpoints": hashes}
    codec.meta = {**getattr(codec, "meta", {}), **settings, **_loss_networks([*checkpoints.values()])}
    return codec


def _loss_networks(checkpoints: Sequence[Path]) -> dict[str, list[str]]:
    """Whose features the training loss compared, as ``loss_networks``: metrics of the same ones favour the codec."""
    from pvc.models.checkpoint import read_model_info

    found = set()
    for path in checkpoints:
        loss = read_model_info(path)["meta"].get("config", {}).get("loss", {})
        if loss.get("weights", {}).get("perceptual") and loss["perceptual"]["features"].get("weights") != "random":
            found.add(loss["perceptual"]["features"]["backbone"])
    return {"loss_networks": sorted(found)} if found else {}


def load_trained(
    checkpoints: Sequence[Path],
    device: str,
    gop: int,
    precision: str = "float32",
    base: str | None = None,
    rdoq: int | None = None,
) -> "NeuralCodec | CpvcCodec":
    """The codec of one or more checkpoints, by the kind of model that they hold.

    Args:
        base: see :class:`pvc.codecs.cpvc.CpvcCodec`; other models have no base codec.
        rdoq: see :class:`pvc.codecs.neural.NeuralCodec`; CPVC has no such search, and None is the usual number.

    Raises:
        CheckpointError: one cannot be loaded, or is of another kind than the first.
        ConfigError: a value is out of range, or does not fit the model.
    """
    from pvc.codecs.cpvc import CpvcCodec  # only here: anchors alone need no model code
    from pvc.codecs.neural import NeuralCodec
    from pvc.models.checkpoint import read_model_info
    from pvc.models.rdoq import ROUNDS

    if read_model_info(checkpoints[0])["model"] == "cpvc":
        return CpvcCodec(checkpoints, device, gop, precision, base)
    if base is not None:
        raise ConfigError(f"{checkpoints[0].stem} has no base codec; leave out {base}")
    return NeuralCodec(checkpoints, device, gop, precision, ROUNDS if rdoq is None else rdoq)


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise ConfigError(f"device={device} cannot be used: {str(error).splitlines()[0]}") from None


def _configured(file: Path, device: str, weights_dir: str | None, **settings: str | int) -> Codec:
    """The codec of a file in ``configs/codec``, on ``device`` and with weights of ``weights_dir`` if it has any."""
    config = OmegaConf.load(file)
    if "device" in config:
        settings["device"] = device
    if "weights_dir" in config and config.weights_dir is None and weights_dir is not None:
        settings["weights_dir"] = weights_dir
    try:
        return instantiate(config, **settings, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, PvcError):  # a codec's own word about its settings
            raise error.__cause__ from None
        raise


def load_codecs(
    names: Iterable[str],
    gop: int = 12,
    device: str = "cpu",
    weights_dir: str | None = None,
    rdoq: int | None = None,
) -> list[Codec]:
    """:func:`load_codec` for each name, checked to be told apart by their names in tables."""
    codecs = [load_codec(str(name), gop, device, weights_dir, rdoq) for name in names]
    seen = [c.name for c in codecs]
    if twice := {n for n in seen if seen.count(n) > 1}:
        raise ConfigError(f"codecs names {', '.join(sorted(twice))} twice; name each codec once")
    return codecs


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
