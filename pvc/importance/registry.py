"""Importance sources by name: the files of ``configs/importance``."""

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from pvc.errors import ConfigError, MissingWeights, PvcError
from pvc.importance.source import Source
from pvc.paths import config_dir


def source_names() -> list[str]:
    """Names of the importance sources that there are."""
    return sorted(p.stem for p in (config_dir() / "importance").glob("*.yaml"))


def load_source(name: str, device: str = "cpu", weights_dir: str | None = None, **changes: Any) -> Source:
    """The importance source called ``name``.

    Args:
        name: A file of ``configs/importance``.
        device: Where its network runs, if it has one.
        weights_dir: Folder with weights, searched before the usual places.
        changes: Settings of the file to change.

    Raises:
        ConfigError: no source or setting is called so, or a setting is out of range.
        MissingWeights: its weights are not on this machine; the message names the file and where to put it.
    """
    config = _config(name)
    if unknown := [key for key in changes if key not in config or key == "_target_"]:
        own = ", ".join(key for key in config if key != "_target_") or "none"
        raise ConfigError(f"importance source {name} has no setting {', '.join(unknown)}; it has {own}")
    places = {k: v for k, v in {"device": device, "weights_dir": weights_dir}.items() if v is not None and k in config}
    for key, value in (places | changes).items():
        # A part with settings of its own keeps those that are not named; anything else is replaced.
        parts = OmegaConf.is_dict(config[key]) and isinstance(value, Mapping)
        config[key] = OmegaConf.merge(config[key], value) if parts else value
    try:
        return instantiate(config, name=name, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, PvcError):  # a source's own word about its settings
            raise error.__cause__ from None
        if changes and isinstance(error.__cause__, TypeError | ValueError):  # a word where a number belongs
            usual = _config(name)
            given = ", ".join(f"{key}={value}" for key, value in changes.items() if usual[key] != value)
            where = f"configs/importance/{name}.yaml"
            raise ConfigError(
                f"importance source {name} cannot take {given}; {where} says what its settings take"
            ) from None
        raise


def configured_source(name: str, config: DictConfig, device: str, weights_dir: str | None) -> Source:
    """The source that was chosen as ``importance=name`` on a command line, with its settings there.

    Args:
        name: The choice. config: Its settings. device: Where its network runs, if it has one.
        weights_dir: Folder with weights, where the settings name none.

    Raises:
        ConfigError, MissingWeights: as :func:`load_source`.
    """
    own = OmegaConf.to_container(config, throw_on_missing=True)
    places = {"device": device, "weights_dir": own.pop("weights_dir", None) or weights_dir}
    changes = {key: value for key, value in own.items() if key not in ("_target_", "device")}
    return load_source(name, **places, **changes)


def missing_weights(name: str) -> str | None:
    """Why the source called ``name`` cannot be used on this machine: which file goes where; None if all is there."""
    try:
        load_source(name)
    except MissingWeights as error:
        return str(error)
    except ConfigError:  # it needs to be told something first, such as the path of a file
        pass
    return None


def _config(name: str) -> DictConfig:
    if name not in source_names():
        raise ConfigError(f"no importance source is called {name!r}; there are: {', '.join(source_names())}")
    return OmegaConf.load(config_dir() / "importance" / f"{name}.yaml")
