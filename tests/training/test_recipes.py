"""What a recipe can choose beyond the paper's: averaged weights, places in the group of pictures."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from pvc.errors import ConfigError
from pvc.models.checkpoint import load_state
from pvc.paths import config_dir
from pvc.training.run import train as run_in_process
from tests import processes

SMALL = ["experiment=tiny", "data=synthetic", "data.crop=32", "data.source.size=[64,96]", "data.batch_size=1"]
SMALL += ["data.workers=0", "data.frames=4", "model.width=8", "model.latent=16", "model.motion_latent=8"]
SMALL += ["model.hyper=4", "trainer.max_steps=4", "+trainer.limit_val_batches=0", "checkpoint_every=2"]
SMALL += ["pictures_every=0", "page=null"]


def train(out: Path, *overrides: str) -> subprocess.CompletedProcess:
    return processes.run("pvc.train", *SMALL, f"out={out}", *overrides)


def configured(override: str):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", [*SMALL, "name=recipe", "out=recipe", override])


@pytest.fixture(scope="module")
def averaged(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("recipes") / "averaged"
    done = train(out, "ema=0.5", "training.lead=2")
    assert done.returncode == 0, done.stderr
    return out


def test_the_released_weights_are_the_averaged_ones(averaged):
    newest = torch.load(averaged / "checkpoints" / "step=4.ckpt", weights_only=True)
    name = "model.intra.encoder.net.0.weight"
    name = name if name in newest["state_dict"] else next(k for k in newest["state_dict"] if k.endswith("0.weight"))
    mean, last = newest["state_dict"][name], newest["current_model_state"][name]
    assert not torch.equal(mean, last)
    released = load_state(averaged / "model.safetensors")[name.removeprefix("model.")]
    assert torch.equal(released.float(), mean.half().float())


def test_fitting_to_searched_symbols_changes_what_tells_their_spread_alone(averaged, tmp_path):
    searched = ["training.motion_search=true", "training.symbol_search=true", "training.optimizer.lr=1e-2"]
    done = train(tmp_path / "fitted", f"warm_start={averaged / 'model.safetensors'}", *searched)
    assert done.returncode == 0, done.stderr
    before, after = (load_state(folder / "model.safetensors") for folder in (averaged, tmp_path / "fitted"))
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert {k.split(".prior.")[1].split(".")[0] for k in changed} == {"scale", "context_scale", "scale_head"}
    assert all(before[k].dtype == after[k].dtype for k in before)


def test_a_run_with_averages_and_drawn_places_resumes_to_the_same_weights(averaged, tmp_path):
    out = tmp_path / "resumed"
    shutil.copytree(averaged, out)
    (out / "model.safetensors").unlink()
    (out / "checkpoints" / "step=4.ckpt").unlink()
    done = train(out, "ema=0.5", "training.lead=2", "resume=true")
    assert done.returncode == 0, done.stderr
    before, after = (load_state(folder / "model.safetensors") for folder in (averaged, out))
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize(
    "override, words",
    [("ema=2.0", "between 0 and 1"), ("training.through=some", "none, inter, all"), ("training.lead=-1", "0 or more")],
)
def test_bad_values_are_named(override, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        run_in_process(configured(override), tmp_path / "out")


def test_samples_that_are_too_short_for_frames_that_lead_are_named():
    cfg = configured("training.lead=3")
    module = instantiate(cfg.training)(model=instantiate(cfg.model), loss=instantiate(cfg.loss))
    batch = {"frames": torch.zeros(1, 4, 3, 64, 64, dtype=torch.uint8), "roi": torch.ones(1, 4, 1, 64, 64)}
    with pytest.raises(ConfigError, match=r"data\.frames"):
        module.training_step({**batch, "index": torch.zeros(1, dtype=torch.int64)}, 0)
