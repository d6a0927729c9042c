"""Hydra entry points that speak like the rest of the command: one line for what the user can mend, exit code 2."""

import functools
import os
from collections.abc import Callable
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from pvc.console import fail, one_line_errors
from pvc.errors import PvcError
from pvc.paths import config_dir


def hydra_entry(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Decorator: ``task(cfg)`` becomes ``main()``, run with config ``config_name`` and the overrides in ``sys.argv``.

    ``PvcError`` and wrong overrides print one line and exit with 2, Ctrl-C exits with 130. The environment variable
    ``HYDRA_FULL_ERROR=1`` brings the traceback back.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def guarded(cfg: DictConfig) -> Any:
            with one_line_errors():
                return task(cfg)

        entry = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(guarded)

        @functools.wraps(task)
        def main() -> None:
            if os.environ.get("HYDRA_FULL_ERROR"):
                return entry()
            os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of printing and exiting with 1
            try:
                with one_line_errors():
                    entry()
            except (HydraException, OmegaConfBaseException) as error:
                fail(_message(error))
            finally:
                os.environ.pop("HYDRA_FULL_ERROR", None)

        return main

    return decorate


def _message(error: BaseException) -> str:
    """What to tell the user: the named error behind Hydra's, where there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PvcError):
            return str(cause)
        cause = cause.__cause__
    lines = [line for line in str(error).splitlines() if not line.strip().startswith(("full_key:", "object_type="))]
    return " ".join(lines)
