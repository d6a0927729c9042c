"""A search for the values of hyperparameters with which a run's objective is least, by Optuna."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer
from hydra.core.utils import JobStatus
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

from pvc.errors import ConfigError
from pvc.sweep.launch import Noting

DIGITS = 4
"""Significant ones of a proposed number: it stands in the name of a folder."""


def search(
    launcher: Noting,
    arguments: Sequence[str],
    out: Path,
    *,
    trials: int,
    storage: str,
    sampler: Mapping[str, Any],
    at_once: int = 1,
) -> None:
    """Run ``trials`` runs in all, each with values that the finished ones suggest, and print them, best first.

    What is known is in ``storage``. A search that was killed goes on: runs that are finished count, and those that were
    under way are run again with their values, so that with ``resume=true`` they go on from their last checkpoint.

    Args:
        launcher: of the runs.
        arguments: overrides; those with several values (``choice``, ``interval``, ``range``) are searched.
        out: folder of the search.
        trials: >= 1.
        storage: URL of Optuna's database.
        sampler: config of one of ``optuna.samplers``.
        at_once: runs between two looks at the results, >= 1.

    Raises:
        ConfigError: Optuna is not installed, or a setting or parameter is none.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError("a search needs Optuna: pip install 'pvc[search]'") from None
    if min(trials, at_once) < 1:
        raise ConfigError(f"hydra.sweeper.search.trials={trials} and max_batch_size={at_once} must be 1 or more")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    fixed, space = _space(arguments)
    if not space:
        raise ConfigError(
            "there is nothing to search; give hydra.sweeper.params, such as {training.gamma: 'interval(1,3)'}"
        )
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(study_name="search", storage=storage, direction="minimize", load_if_exists=True)
    # A sampler draws from its seed on: one that is made anew must not draw again what its predecessor has drawn.
    seed = sampler.get("seed")
    study.sampler = instantiate(sampler, **({} if seed is None else {"seed": seed + len(study.trials)}))
    states = optuna.trial.TrialState
    begun = [optuna.trial.Trial(study, t._trial_id) for t in study.get_trials(states=[states.RUNNING])]
    to_go = trials - len([t for t in study.trials if t.state.is_finished()])
    while to_go > 0:
        count = min(at_once, to_go)
        batch = [begun.pop(0) if begun else study.ask() for _ in range(count)]
        try:
            values = [{key: suggest(trial) for key, suggest in space.items()} for trial in batch]
        except ValueError as error:
            raise ConfigError(f"{storage} holds a search over other values ({error}); give another out") from None
        overrides = [[*fixed, *(f"{key}={value}" for key, value in own.items())] for own in values]
        for trial, run in zip(batch, launcher.launch_all(overrides, batch[0].number), strict=True):
            value = run._return_value if run.status == JobStatus.COMPLETED else None
            if value is None or not math.isfinite(value):
                study.tell(trial, state=states.FAIL)
            else:
                study.tell(trial, value)
        to_go -= count
    _show(study.get_trials(states=[states.COMPLETE]), list(space))


def _space(overrides: Sequence[str]) -> tuple[list[str], dict[str, Callable]]:
    """Overrides of all runs, and for each key that is searched what asks a trial for a value of it."""
    fixed, space = {}, {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.get_key_element()
        fixed.pop(key, None), space.pop(key, None)  # the command line's word is the last one
        if override.is_sweep_override():
            space[key] = _suggest(key, override)
        else:
            fixed[key] = override.input_line
    return list(fixed.values()), space


def _suggest(key: str, override: Override) -> Callable:
    value = override.value()
    if isinstance(value, IntervalSweep):
        log = "log" in value.tags
        if isinstance(value.start, int) and isinstance(value.end, int):
            return lambda trial: trial.suggest_int(key, value.start, value.end, log=log)
        return lambda trial: _rounded(trial.suggest_float(key, value.start, value.end, log=log))
    if isinstance(value, RangeSweep):
        return lambda trial: _rounded(trial.suggest_float(key, value.start, value.stop, step=value.step))
    choices = list(override.sweep_iterator(transformer=Transformer.encode))
    return lambda trial: trial.suggest_categorical(key, choices)


def _rounded(value: float) -> float | int:
    value = float(f"{value:.{DIGITS}g}")
    return int(value) if value.is_integer() else value


def _show(trials: Sequence[Any], keys: Sequence[str]) -> None:
    """Print the finished trials, best first."""
    table = Table("run", "objective", *keys)
    for trial in sorted(trials, key=lambda t: t.value):
        shown = [trial.params[key] for key in keys]
        table.add_row(
            str(trial.number), f"{trial.value:.4g}", *(f"{v:.4g}" if isinstance(v, float) else str(v) for v in shown)
        )
    Console().print(table)
