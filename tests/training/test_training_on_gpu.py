"""Training on one GPU: steps, validation, pictures, averaged weights and checkpoints; a step waits for nothing."""

import csv

import pytest
import torch

from pvc.metrics import features
from pvc.models.checkpoint import load_model, load_state
from pvc.training.run import train
from tests.metrics.conftest import squeezenet_arrays, stand_in  # noqa: F401 (fixtures)
from tests.pretend_gpu import pretend_gpu
from tests.training.reads import CountReads
from tests.training.test_cpvc_training import configured as configured_cpvc
from tests.training.test_cpvc_training import made  # noqa: F401 (a fixture)
from tests.training.test_speed import COUNTING, configured

GPU = ["trainer.accelerator=gpu", "trainer.devices=1"]
WHOLE = ["ema=0.5", "pictures_every=2", "trainer.val_check_interval=2", "trainer.limit_val_batches=1"]
WHOLE += ["training.val_points=[[1e-3,26.5]]", "data.frames=2", "data.val_frames=2", "checkpoint_every=2"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-mixed"])
def test_a_run_on_a_gpu_ends_resumes_and_is_released(gpu, precision, tmp_path):
    whole = [*GPU, *WHOLE, f"trainer.precision={precision}"]
    train(configured(*whole, "trainer.max_steps=2"), tmp_path)
    assert (tmp_path / "pictures" / "step=2.png").is_file()
    path = train(configured(*whole, "trainer.max_steps=3", "resume=true"), tmp_path)
    start = [f"warm_start={path}", "trainer.max_steps=1", "training.optimizer.lr=1e-12", "ema=null"]
    again = load_state(train(configured(*whole, *start), tmp_path / "again"))
    learnt = [name for name, p in load_model(path).named_parameters() if p.requires_grad]
    before = load_state(path)
    assert all(torch.allclose(before[k].float(), again[k].float(), atol=1e-6) for k in learnt)


def test_the_mean_of_the_weights_is_the_same_on_a_gpu(gpu, tmp_path):
    """Of the first step, before whose end nothing but a last bit differs."""
    short = ["ema=0.5", "data.frames=2", "trainer.max_steps=1", "checkpoint_every=1", "training.optimizer.lr=1e-6"]
    here, there = (
        load_state(train(configured(*short, *device), tmp_path / name))
        for name, device in (("cpu", ["trainer.accelerator=cpu"]), ("gpu", GPU))
    )
    assert all(torch.allclose(there[k].double(), v.double(), atol=1e-4) for k, v in here.items())


@pytest.mark.parametrize("ema", ["null", "0.5"])
def test_steps_on_a_gpu_wait_for_nothing(ema, tmp_path):
    short = ["trainer.log_every_n_steps=5", "checkpoint_every=5", "trainer.max_steps=5", "data.frames=2"]
    with pretend_gpu():
        train(configured(*short, COUNTING, f"ema={ema}", *GPU), tmp_path)
    assert CountReads.found == {"steps": 3}


def test_cpvc_trains_on_a_gpu(gpu, made, tmp_path):  # noqa: F811
    few = ["trainer.max_steps=2", "trainer.val_check_interval=2", "pictures_every=2", "page=null"]
    train(configured_cpvc(made, *few, *GPU), tmp_path)
    assert (tmp_path / "pictures" / "step=2.png").is_file()


def test_features_are_compared_on_the_gpu_and_in_full(gpu, made, squeezenet_arrays, tmp_path, monkeypatch):  # noqa: F811
    """What validation says of the base layer is what it says on a CPU."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PVC_WEIGHTS", str(tmp_path))
    (tmp_path / "squeezenet11_notop_torch_layout.npz").symlink_to(squeezenet_arrays)
    load, asked, found = features.load_features, set(), {}
    monkeypatch.setattr(features, "load_features", lambda *a: asked.add(a[-1]) or load(*a))
    few = ["trainer.max_steps=1", "trainer.val_check_interval=1", "pictures_every=0", "page=null"]
    for name, own in {
        "cpu": ["trainer.accelerator=cpu"],
        "cuda:0": [*GPU, "trainer.precision=bf16-mixed"],
    }.items():
        asked.clear()
        out = tmp_path / name
        train(configured_cpvc(made, *few, *own), out)
        assert asked == {name}
        with max((out / "logs").rglob("metrics.csv")).open() as file:
            said = {k: float(v) for row in csv.DictReader(file) for k, v in row.items() if "base_feat" in k and v}
        found[name] = said
    assert len(found["cpu"]) == 2 and found["cuda:0"] == pytest.approx(found["cpu"], rel=1e-3)
