"""Hydra entry points that speak like the rest of the command: one line for what the user can mend, exit code 2."""

import functools
import hashlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pvc.console import fail, one_line_errors
from pvc.errors import ConfigError, PvcError
from pvc.paths import config_dir
from pvc.sweep.names import only_what_is_swept, split

_RAISE = {"HYDRA_FULL_ERROR": "1", "PVC_HYDRA_RAISES": "1"}
"""Makes Hydra raise instead of printing and exiting with 1; the second one says that it was not the user who asked."""
MOST_CHARACTERS = 100
"""Of the name of a run's folder in a sweep."""


def hydra_entry(
    config_name: str, optional: Sequence[str] = (), only_swept_names: bool = False
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Decorator: ``task(cfg)`` becomes ``main()``, run with config ``config_name`` and the overrides in ``sys.argv``.

    ``GROUP=null`` chooses nothing of a config group in ``optional``, also where an experiment chooses something, and of
    one of which nothing is chosen by default; Hydra itself only knows ``~GROUP`` for that. With ``only_swept_names``
    the folders of a sweep's runs are named by what is swept alone.

    ``PvcError`` and wrong overrides print one line and exit with 2, Ctrl-C exits with 130. The environment variable
    ``HYDRA_FULL_ERROR=1`` brings the traceback back. In a sweep, the other runs go on after an error in one.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        traceback_wanted = bool(os.environ.get("HYDRA_FULL_ERROR")) and "PVC_HYDRA_RAISES" not in os.environ

        @functools.wraps(task)
        def guarded(cfg: DictConfig) -> Any:
            if is_sweep():  # the launcher brings the error back from where it ran
                _check_experiment(cfg, config_name)
                return task(cfg)
            try:
                with one_line_errors():
                    _check_experiment(cfg, config_name)
                    return task(cfg)
            except (HydraException, OmegaConfBaseException) as error:  # Hydra would print a line of its own before it
                if traceback_wanted:
                    raise
                fail(message(error, config_name))

        entry = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(guarded)

        @functools.wraps(task)
        def main() -> None:
            with one_line_errors():
                sys.argv[1:] = [_chosen(argument, config_name, optional) for argument in sys.argv[1:]]
            if only_swept_names:
                sys.argv[1:] = only_what_is_swept(sys.argv[1:], _kept_out_of_names(config_name))
            _name_folder_of_local_jobs()
            if traceback_wanted:
                return entry()
            os.environ |= _RAISE
            try:
                with one_line_errors():
                    entry()
            except (HydraException, OmegaConfBaseException) as error:
                fail(message(error, config_name))
            finally:
                for name in _RAISE:
                    os.environ.pop(name, None)

        return main

    return decorate


def _chosen(argument: str, config_name: str, optional: Sequence[str]) -> str:
    """``argument``, with ``GROUP=null`` as Hydra says it."""
    group, _, name = argument.partition("=")
    for entry in OmegaConf.load(config_dir() / f"{config_name}.yaml").defaults:
        if name == "null" and isinstance(entry, DictConfig) and group in entry:
            if entry[group] is not None and group not in optional:
                raise ConfigError(f"{argument}: one of {group} has to be chosen; see configs/{group} for what there is")
            return f"~{group}"
    return argument


def environment_as_given() -> dict[str, str]:
    """The environment without what was added here, also where a launcher has passed it on to this process."""
    added = _RAISE if "PVC_HYDRA_RAISES" in os.environ else {}
    return {name: value for name, value in os.environ.items() if name not in added}


def _sweep_name(overrides: str) -> str:
    """Folder of one run of a sweep: its overrides, in at most 100 characters.

    Of more, those with lists come last, as what is swept is mostly no list, and what does not fit becomes a hash.
    """
    name = overrides.replace("/", "_")
    if len(name) <= MOST_CHARACTERS:
        return name or "run"
    parts = sorted(split(name), key=lambda part: "[" in part or "{" in part)
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return f"{','.join(parts)[: MOST_CHARACTERS - len(digest) - 1].rstrip(',')}-{digest}"


OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)


def _tasks_per_node(devices: Any) -> int:
    """How many processes Slurm is to start on a node for these devices of Lightning's Trainer."""
    count = len(devices) if isinstance(devices, ListConfig) else devices
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigError(f"trainer.devices={devices}: Slurm must know how many devices a node has; give a number")
    return count


OmegaConf.register_new_resolver("tasks_per_node", _tasks_per_node, replace=True)


def output_folder(out: str) -> Path:
    """Where a task writes: ``out``, or in a sweep this run's own folder in it."""
    return Path(HydraConfig.get().runtime.output_dir) if is_sweep() else Path(out)


def is_sweep() -> bool:
    """Whether this is one run of a sweep (``-m``)."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def _name_folder_of_local_jobs() -> None:
    """Have jobs of submitit on this machine share a folder, as those of ``configs/hydra/launcher/slurm.yaml`` do.

    What the plugin names by the job's number, %j, is made as a folder of just that name.
    """
    Plugins.instance()  # which brings the plugins' settings
    store, group, name = ConfigStore.instance(), "hydra/launcher", "submitit_local"
    if f"{name}.yaml" in store.list(group):
        settings = store.load(f"{group}/{name}.yaml")
        settings.node.submitit_folder = "${hydra.sweep.dir}/.submitit"
        store.store(name, settings.node, group, provider=settings.provider)


def _kept_out_of_names(config_name: str) -> list[str]:
    return list(OmegaConf.load(config_dir() / f"{config_name}.yaml").hydra.job.config.override_dirname.exclude_keys)


def _check_experiment(cfg: DictConfig, config_name: str) -> None:
    """An experiment of another command would bring keys along that this one never looks at."""
    primary = OmegaConf.load(config_dir() / f"{config_name}.yaml")
    known = {*primary, *(str(group) for entry in primary.defaults if isinstance(entry, DictConfig) for group in entry)}
    experiment = HydraConfig.get().runtime.choices.get("experiment")
    if experiment and (unknown := [str(key) for key in cfg if key not in known]):
        raise ConfigError(
            f"experiment={experiment} is not for pvc {config_name}, which has no {', '.join(unknown)}; "
            "choose one of its own experiments"
        )


def message(error: BaseException, config_name: str) -> str:
    """What to tell the user: the named error behind Hydra's, where there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PvcError):
            return str(cause)
        cause = cause.__cause__
    if found := re.match(r"In 'experiment/(.+)': Could not override '(.+?)'", str(error)):
        return f"experiment={found[1]} is not for pvc {config_name}, which has no {found[2]}; choose one of its own"
    if found := re.match(r"Could not override '(.+?)'", str(error)):
        return f"there is no key {found[1]}; pvc {config_name} --cfg job shows the keys that there are"
    if found := re.match(r"Missing mandatory value: (\S+)", str(error)):
        return f"{found[1]} is missing; give {found[1]}=VALUE"
    lines = [line for line in str(error).splitlines() if not line.strip().startswith(("full_key:", "object_type="))]
    return " ".join(lines)
