"""Numbers of steps that are none are refused before anything is made or written."""

import pytest
from omegaconf import OmegaConf

from pvc.errors import ConfigError
from pvc.training.run import train

FINE = {"checkpoint_every": 100, "keep_checkpoints": 2, "pictures_every": 0, "ema": None, "trainer": {"max_steps": 10}}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("checkpoint_every", "abc", "checkpoint_every=abc: must be a whole number, 1 or more"),
        ("checkpoint_every", 0, "checkpoint_every=0"),
        ("keep_checkpoints", None, "keep_checkpoints=None"),
        ("pictures_every", -1, "pictures_every=-1: must be a whole number, 0 or more"),
        ("trainer", {"max_steps": 0}, "trainer.max_steps=0 would release a model that was never trained"),
        ("trainer", {"max_steps": "many"}, "trainer.max_steps=many"),
        ("trainer", {"max_steps": 1.5}, "trainer.max_steps=1.5"),
    ],
)
def test_what_is_no_number_of_steps_is_one_line(tmp_path, key, value, says):
    with pytest.raises(ConfigError) as error:
        train(OmegaConf.create(FINE | {key: value}), tmp_path / "run")
    assert says in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
