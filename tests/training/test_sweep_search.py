"""A search asks for the runs that it needs, learns from what they give, and goes on after a kill."""

import pytest
from hydra.core.utils import JobReturn, JobStatus

from pvc.errors import ConfigError, TrainingError

pytest.importorskip("optuna", reason="needs pvc[search]")

from pvc.sweep.search import search

SAMPLER = {"_target_": "optuna.samplers.TPESampler", "seed": 0, "n_startup_trials": 8}
ARGUMENTS = ["experiment=tiny", "x=interval(0.0,10.0)", "kind=choice(good,bad)", "seed=7"]


class Launcher:
    """Runs whose objective is (x - 3)^2, and 50 more for a bad kind; ``fail`` says what becomes of a run by number."""

    def __init__(self, fail=lambda number: None):
        self.fail, self.asked = fail, []

    def launch_all(self, job_overrides, initial_job_idx):
        returned = []
        for overrides in job_overrides:
            values = dict(o.split("=") for o in overrides)
            assert values["experiment"] == "tiny" and values["seed"] == "7"
            self.asked.append((float(values["x"]), values["kind"]))
            error = self.fail(len(self.asked))
            if isinstance(error, KeyboardInterrupt):
                raise error
            run = JobReturn(status=JobStatus.FAILED if error else JobStatus.COMPLETED)
            run.return_value = error or (float(values["x"]) - 3) ** 2 + 50 * (values["kind"] == "bad")
            returned.append(run)
        return returned


def run(launcher: Launcher, out, trials: int, **more) -> None:
    search(launcher, ARGUMENTS, out, trials=trials, storage=f"sqlite:///{out}/search.db", sampler=SAMPLER, **more)


def test_it_finds_better_values_than_it_began_with(tmp_path, capsys):
    launcher = Launcher()
    run(launcher, tmp_path, 30, at_once=2)
    costs = [(x - 3) ** 2 + 50 * (kind == "bad") for x, kind in launcher.asked]
    assert len(costs) == 30 and sorted(costs[8:])[11] < sorted(costs[:8])[3]
    assert all(x == float(f"{x:.4g}") for x, _ in launcher.asked)  # they are in names of folders
    first = capsys.readouterr().out.splitlines()[3]
    assert f"{min(costs):.4g}" in first and "good" in first


def test_a_killed_search_goes_on_with_the_run_that_was_under_way(tmp_path):
    killed = Launcher(lambda number: KeyboardInterrupt() if number == 3 else None)
    with pytest.raises(KeyboardInterrupt):
        run(killed, tmp_path, 5)
    again = Launcher()
    run(again, tmp_path, 5)
    assert again.asked[0] == killed.asked[2] and len(again.asked) == 3
    assert len({x for x, _ in [*killed.asked[:2], *again.asked]}) == 5  # nothing is drawn twice
    more = Launcher()
    run(more, tmp_path, 5)
    assert more.asked == []


def test_a_run_that_fails_is_not_tried_again(tmp_path):
    launcher = Launcher(lambda number: TrainingError("diverged") if number == 2 else None)
    run(launcher, tmp_path, 4)
    assert len(launcher.asked) == 4
    again = Launcher()
    run(again, tmp_path, 5)
    assert len(again.asked) == 1


def test_nothing_to_search_is_said(tmp_path):
    with pytest.raises(ConfigError, match="nothing to search"):
        search(Launcher(), ["seed=7"], tmp_path, trials=1, storage="sqlite://", sampler=SAMPLER)
