"""The settings of a web tool: a file of ``configs`` and what is overridden of it."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pvc.errors import ConfigError
from pvc.paths import config_dir


def load_settings(name: str, overrides: Sequence[str] = (), example: str = "KEY=VALUE") -> DictConfig:
    """The settings of ``configs/NAME.yaml``, with ``overrides`` such as ``sanity.count=2``.

    Raises:
        ConfigError: an override is no KEY=VALUE, or names what there is not.
    """
    settings = OmegaConf.load(config_dir() / f"{name}.yaml")
    OmegaConf.set_struct(settings, True)
    for item in overrides:
        if "=" not in item:
            raise ConfigError(f"{item} is no KEY=VALUE, such as {example} (configs/{name}.yaml has the keys)")
        try:
            settings.merge_with_dotlist([item])
        except (OmegaConfBaseException, YAMLError) as error:
            raise ConfigError(f"{item}: {str(error).splitlines()[0]}; configs/{name}.yaml has the keys") from None
    return settings
