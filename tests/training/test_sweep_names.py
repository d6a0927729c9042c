"""The runs of a sweep are called by what differs between them; single rates end in their rate."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pvc.paths import common_name
from pvc.sweep.names import EXCLUDE, assign, only_what_is_swept, run_name


@pytest.mark.parametrize(
    "differences, name",
    [
        ("model.beta=0.0001", "ssf-1e-4"),
        ("model.beta=0.0128,training.gamma=2", "ssf,training.gamma=2-1.28e-2"),
        ("model.qps=[29]", "ssf-29"),
        ("model.qps=[29,32],seed=1", "ssf,model.qps=[29,32],seed=1"),
        ("+trainer.x=1,warm_start=/a/b", "ssf,trainer.x=1,warm_start=_a_b"),
        ("model.beta=nan", "ssf,model.beta=nan"),
        ("model=ssf", "ssf"),
        ("", "ssf"),
    ],
)
def test_a_run_has_the_name_of_what_differs_and_its_rate_at_the_end(differences, name):
    assert run_name("ssf", differences) == name


def test_rates_of_one_sweep_have_one_common_name():
    names = [run_name("ssf_tiny", f"loss.factor=2,model.beta={beta}") for beta in (1e-4, 1.6e-3, 0.0128)]
    assert {common_name(Path(f"{name}.safetensors")) for name in names} == {"ssf_tiny,loss.factor=2"}


def excluded(arguments: list[str]) -> set[str]:
    (override,) = set(only_what_is_swept(arguments, ["experiment", "out"])) - set(arguments)
    assert override.startswith(f"{EXCLUDE}=")
    return set(OverridesParser.create().parse_override(override).value())


def test_folders_are_named_by_what_is_swept_alone():
    arguments = ["-m", "experiment=tiny", "seed=1,2", "trainer.max_steps=3", "+a.b=3", "hydra/launcher=slurm", "~c"]
    assert excluded(arguments) == {"experiment", "out", "trainer.max_steps", "a.b", "c"}
    assert excluded(["experiment=tiny,ssf_tiny", "--multirun"]) == {"out"}
    for untouched in (["seed=1,2"], ["-m", "seed=1,2", f"{EXCLUDE}=[a]"], ["-m", "seed=[1"], ["-m"]):
        assert only_what_is_swept(untouched, ["out"]) == untouched


@pytest.mark.parametrize("value", ["a,b=c", "it's", "two words", "back\\slash", "model.beta=0.1"])
def test_any_string_can_be_given_to_a_key(value):
    assert OverridesParser.create().parse_override(assign("out", value)).value() == value
