"""Codecs by name: a file in ``configs/codec``, or a checkpoint."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from pvc.codecs.base import Codec
from pvc.errors import CheckpointError, ConfigError, PvcError
from pvc.paths import config_dir, find_checkpoints
from pvc.versions import versions


def codec_names() -> list[str]:
    """Names of the codecs that need no checkpoint: the files of ``configs/codec``."""
    return sorted(p.stem for p in (config_dir() / "codec").glob("*.yaml"))


def load_codec(name: str, gop: int = 12, device: str = "cpu", weights_dir: str | None = None) -> Codec:
    """The codec called ``name``.

    Args:
        name: A codec of ``configs/codec`` (``x264``, ``x265-medium``, ...), else the name or path of a checkpoint;
            single-rate checkpoints that differ only in beta are one codec under their common name.
        gop: Frames from one key frame to the next.
        device: Where a learned codec runs.
        weights_dir: Folder with weights of codecs that are no checkpoints, searched before the usual caches.

    Raises:
        ConfigError: no codec and no checkpoint has this name; the message lists both.
        CheckpointError: the checkpoint cannot be loaded.
    """
    file = config_dir() / "codec" / f"{name}.yaml"
    if name in codec_names():
        return _configured(file, name=name, gop=gop, device=device)
    try:
        checkpoints = find_checkpoints(name)
    except CheckpointError as error:
        raise ConfigError(f"no codec is called {name!r} (codecs: {', '.join(codec_names())}), and {error}") from None
    from pvc.codecs.neural import NeuralCodec  # only here: anchors alone need no model code

    _check_device(device)
    codec = NeuralCodec(checkpoints, device=device, gop=gop)
    hashes = {path.stem: _sha256(path) for path in checkpoints}
    settings = {"gop": gop, "device": device, "libraries": versions("torch"), "checkpoints": hashes}
    codec.meta = {**getattr(codec, "meta", {}), **settings}
    return codec


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise ConfigError(f"device={device} cannot be used: {str(error).splitlines()[0]}") from None


def _configured(file: Path, device: str, **settings: str | int) -> Codec:
    """The codec of a file in ``configs/codec``, on ``device`` if it has one."""
    config = OmegaConf.load(file)
    if "device" in config:
        settings["device"] = device
    try:
        return instantiate(config, **settings, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, PvcError):  # a codec's own word about its settings
            raise error.__cause__ from None
        raise


def load_codecs(
    names: Iterable[str], gop: int = 12, device: str = "cpu", weights_dir: str | None = None
) -> list[Codec]:
    """:func:`load_codec` for each name, checked to be told apart by their names in tables."""
    codecs = [load_codec(str(name), gop, device, weights_dir) for name in names]
    seen = [c.name for c in codecs]
    if twice := {n for n in seen if seen.count(n) > 1}:
        raise ConfigError(f"codecs names {', '.join(sorted(twice))} twice; name each codec once")
    return codecs


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
