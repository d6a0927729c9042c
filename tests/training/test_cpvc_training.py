"""Training CPVC as a user runs it: two optimisers, one count of steps, a killed run that ends as an unbroken one."""

import csv
import json
import re
import signal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from pvc.data.base_layer import SALIENCY, BaseLayer, qp_track
from pvc.data.clips import ClipFolder
from pvc.data.identity import source_digest
from pvc.errors import CheckpointError, ConfigError, DataError, MissingWeights, TrainingError
from pvc.models.checkpoint import load_model, read_model_info
from pvc.paths import config_dir
from pvc.training.run import train
from pvc.video import write_clip
from tests.processes import pause_after
from tests.training.processes import Training, assert_same_end, pausing, steps
from tests.training.reads import CountReads

STEPS = 10
SMALL = [
    "experiment=cpvc_tiny",
    "data.crop=64",
    "data.batch_size=2",
    "data.val_frames=2",
    "data.source.val=[c]",
    "model.channels=16",
    "model.width=8",
    "model.block_transform=12",
    "model.lstm=4",
    "model.content=4",
    "model.mlp=8",
    "model.unet=[8,8]",
    "model.coarseness=1",
    "model.qps=[29,38]",
    "loss.perceptual.features.weights=random",
    "loss.perceptual.features.layers=[fire2]",
    "loss.contrastive.channels=8",
    "loss.contrastive.patches=16",
    "loss.adversarial.discriminator.channels=[8]",
    "training.scheduler.warmup=2",
    f"trainer.max_steps={STEPS}",
    "trainer.val_check_interval=5",
    "trainer.log_every_n_steps=1",
    "checkpoint_every=2",
    "keep_checkpoints=9",
    "pictures_every=5",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> list[str]:
    """Three clips, and a base layer that is each frame made coarse; the overrides that name both."""
    root = tmp_path_factory.mktemp("cpvc") / "clips"
    root.mkdir()
    torch.manual_seed(0)
    for name in "abc":
        coarse = torch.rand(1, 3, 9, 12)
        clip = torch.nn.functional.interpolate(coarse, (72, 96), mode="bicubic").clamp(0, 1)
        clip = ((0.8 * clip + 0.2 * torch.rand(4, 3, 72, 96)) * 255).byte()
        write_clip(root / f"{name}.mkv", clip, Fraction(25))
    cache = BaseLayer(root.parent / "base")
    cache.folder.mkdir()
    cache.begin({"base": "vvenc-cpvc", "codec": {}, "gop": 32, "frames": 4, "saliency": None, "qp": [29, 38]})
    for s in ClipFolder(root, cache=root.parent / "frames").eval():
        clip, source = s.read(), source_digest(s, s.frames)
        for qp in (29, 38):
            blurred = torch.nn.functional.avg_pool2d(clip.float(), 3 if qp == 29 else 5, 1, 1 if qp == 29 else 2)
            about = {"shape": [*clip.shape], "source": source, "bits": 72 * 96 * 4 if qp == 29 else 72 * 96}
            cache.store(s.name, qp_track(qp), blurred.round().byte(), **about)
        maps = torch.zeros(4, 1, 72, 96, dtype=torch.uint8)
        maps[..., 20:60] = 255
        cache.store(s.name, SALIENCY, maps, shape=[*maps.shape], source=source)
    places = {"data.root": root, "data.source.cache": root.parent / "frames", "data.base_cache": cache.folder}
    return [f"{key}={value}" for key, value in places.items()]


def configured(made: list[str], *overrides: str):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", ["name=test", "trainer.precision=32-true", *SMALL, *made, *overrides])


def rows(out: Path, column: str) -> list[float]:
    with max((out / "logs").rglob("metrics.csv")).open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


@pytest.fixture(scope="module")
def unbroken(made, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    train(configured(made), out)
    return out


def test_a_run_leaves_a_model_a_log_and_pictures(unbroken):
    model = load_model(unbroken / "model.safetensors")
    assert model.base == "vvenc-cpvc" and model.qps == [29, 38]
    meta = read_model_info(unbroken / "model.safetensors")["meta"]
    assert meta["steps"] == STEPS and str(unbroken.parents[1]) not in str(meta)  # no folders of the machine
    assert len(rows(unbroken, "train/loss")) == len(rows(unbroken, "train/discriminator")) == STEPS
    assert {p.name for p in (unbroken / "pictures").iterdir()} == {"step=5.png", "step=10.png"}
    for qp in (29, 38):
        for value in ("bpp", "psnr", "base_psnr"):
            assert len(rows(unbroken, f"val/qp={qp}/{value}")) == 2
    assert rows(unbroken, "val/qp=29/base_psnr")[0] > rows(unbroken, "val/qp=38/base_psnr")[0]
    assert rows(unbroken, "val/qp=29/base_bpp") == [1, 1] and rows(unbroken, "val/qp=38/base_bpp") == [0.25, 0.25]
    assert len(rows(unbroken, "lr-Adam")) == len(rows(unbroken, "lr-Adam-1")) == STEPS  # of codec and discriminator


def test_the_page_compares_with_the_base_layer(unbroken):
    html = (unbroken / "run.html").read_text()
    data = json.loads(re.search(r'<script type="application/json" id="chart-data">(.*?)</script>', html)[1])
    assert {"Loss", "PSNR (dB)", "Norm of the gradient", "Discriminator"} <= {c["title"] for c in data["lines"]}
    base, _, newest = data["compared"]["rd"]["panels"][0]["curves"]["psnr"]
    assert [point[0] for point in base[1]] == [0.25, 1]
    neural = [rows(unbroken, f"val/qp={qp}/bpp")[-1] for qp in (38, 29)]
    assert [point[0] for point in newest[1]] == pytest.approx([0.25 + neural[0], 1 + neural[1]], rel=1e-4)
    assert "base layer has 2 points, 4 are needed" in html


def test_the_backbone_is_in_no_checkpoint(unbroken):
    state = torch.load(unbroken / "checkpoints" / f"step={STEPS}.ckpt", weights_only=True)["state_dict"]
    assert {k.split(".")[1] for k in state if k.startswith("loss.")} == {"contrastive", "adversarial"}


def amid_step_5() -> None:
    pause_after("pvc.training.cpvc:CpvcModule", "training_step", 5)


def test_a_killed_and_a_stopped_run_ends_as_an_unbroken_one(unbroken, made, tmp_path):
    """To the last bit: the codec, F, the discriminator, both optimisers, the schedule and the counts."""
    base = [*SMALL, *made, "name=test", "trainer.precision=32-true", "resume=true"]
    with Training(tmp_path, base=base, before=amid_step_5) as run:
        run.reached()
        run.send(signal.SIGKILL)
        run.code()
    assert steps(tmp_path) == 4
    with Training(tmp_path, base=base, before=pausing) as run:
        run.reached()
        run.send(signal.SIGTERM)
        run.go()
        assert run.code() == 143, run.said
    assert steps(tmp_path) == 5
    train(configured(made, "resume=true"), tmp_path)
    assert_same_end(unbroken, tmp_path)


def test_only_steps_that_are_logged_read_values(made, tmp_path):
    """On a GPU the host would have to wait for each value; the discriminator's step is one, too."""
    quiet = ["trainer.log_every_n_steps=5", "checkpoint_every=5", "trainer.max_steps=5", "data.samples_per_epoch=40"]
    count = "+trainer.profiler={_target_: tests.training.reads.CountReads}"
    train(configured(made, *quiet, count, "+trainer.limit_val_batches=0"), tmp_path)
    assert CountReads.found == {"steps": 3}


def test_a_compiled_run_learns_the_same(made, tmp_path):
    one = ["trainer.max_steps=1", "pictures_every=0", "+trainer.limit_val_batches=0", "loss.weights.adversarial=0"]
    plain, traced = (
        load_model(train(configured(made, *one, f"training.compile={way}"), tmp_path / way)).state_dict()
        for way in ("false", "eager")
    )
    assert all(torch.equal(traced[k], v) for k, v in plain.items())


def test_twenty_steps_on_one_batch_lower_the_loss(made):
    cfg = configured(made, "loss.weights.adversarial=0")
    torch.manual_seed(0)
    module = instantiate(cfg.training)(model=instantiate(cfg.model), loss=instantiate(cfg.loss))
    data = instantiate(cfg.data)
    data.setup("fit")
    items = [data.train_set[i] for i in range(2)]
    frames, base, saliency = (torch.stack([item[k] for item in items]) for k in ("frames", "base", "saliency"))
    frames, base, qp = frames / 255, base / 255, [item["qp"] for item in items]
    optimizer, losses = torch.optim.Adam(module.codec_parameters(), lr=2e-3), []
    for _ in range(20):
        coded = module.model(frames, base, torch.tensor(qp))
        loss = module.loss(frames, coded.y, coded.x_hat, coded.bits, saliency, qp)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_stage_2_starts_from_the_weights_of_stage_1(unbroken, made, tmp_path):
    start = f"warm_start={unbroken / 'model.safetensors'}"
    one = ["trainer.max_steps=1", "+trainer.limit_val_batches=0", "training.optimizer.lr=1e-12", "model.qps=[38]"]
    model = load_model(train(configured(made, start, *one, "loss.weights.adversarial=0"), tmp_path / "out"))
    assert "train/discriminator" not in next((tmp_path / "out" / "logs").rglob("metrics.csv")).read_text()
    before = load_model(unbroken / "model.safetensors").state_dict()
    assert all(torch.allclose(v, before[k], atol=1e-6) for k, v in model.state_dict().items() if k in before)
    with pytest.raises(CheckpointError, match="coarseness=1 and this model coarseness=2"):
        train(configured(made, start, "model.coarseness=2"), tmp_path / "other")


def test_steps_that_are_not_finite_change_nothing(made):
    cfg = configured(made, "training.max_skipped=1")
    module = instantiate(cfg.training)(model=instantiate(cfg.model), loss=instantiate(cfg.loss))
    parameters = module.codec_parameters()
    optimizer = torch.optim.Adam(parameters, lr=1.0)
    before = [p.clone() for p in parameters]
    for p in parameters:
        p.grad = torch.full_like(p, float("nan"))
    module.guard(optimizer, parameters, 1.0, 0)
    optimizer.step()
    assert module.guard.skipped == 1 and all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))
    parameters[0].grad = torch.full_like(parameters[0], float("inf"))
    with pytest.raises(TrainingError, match="2 steps in a row"):
        module.guard(optimizer, parameters, 1.0, 1)


def test_float16_is_not_for_its_two_optimisers(made):
    cfg = configured(made)
    module = instantiate(cfg.training)(model=instantiate(cfg.model), loss=instantiate(cfg.loss))
    module._trainer = SimpleNamespace(precision="16-mixed", precision_plugin=SimpleNamespace(scaler=object()))
    with pytest.raises(ConfigError, match=r"precision=16-mixed is not for CPVC; give bf16-mixed"):
        module.on_train_start()


def test_each_optimiser_has_its_own_parameters(made):
    cfg = configured(made)
    module = instantiate(cfg.training)(model=instantiate(cfg.model), loss=instantiate(cfg.loss))
    (codec, discriminator), _ = module.configure_optimizers()
    of_codec, of_discriminator = ({id(p) for g in o.param_groups for p in g["params"]} for o in (codec, discriminator))
    assert of_discriminator == {id(p) for p in module.loss.adversarial.parameters()}
    assert of_codec >= {id(p) for p in module.loss.contrastive.parameters()}
    assert not of_codec & of_discriminator
    assert of_codec | of_discriminator == {id(p) for p in module.parameters() if p.requires_grad}


@pytest.mark.parametrize(
    "override, error, words",
    [
        ("model.qps=[29,32]", DataError, "has qp 29,38 and not 32"),
        ("model.base=x264-cpvc", DataError, "coded by vvenc-cpvc and this run asks for x264-cpvc.*model.base=vvenc"),
        ("data.base=x264-cpvc", DataError, "coded by vvenc-cpvc and this run asks for x264-cpvc"),
        ("data.qp=[29]", ConfigError, "is not what the model is for .vvenc-cpvc, .29, 38"),
        ("data.base_cache=/nowhere", DataError, "no cache of base layers"),
        ("model.qps=[29,30]", ConfigError, "no value for qp .30"),
        ("training.clip=0", ConfigError, "training.clip"),
        ("loss.weights.mse=-1", ConfigError, "0 or more"),
        ("loss.perceptual.features.weights=/nowhere/vgg.pth", MissingWeights, "vgg.pth is missing; put it into"),
    ],
)
def test_what_does_not_fit_is_named(made, override, error, words, tmp_path):
    with pytest.raises((error, InstantiationException)) as found:
        train(configured(made, override), tmp_path)
    what = found.value if isinstance(found.value, error) else found.value.__cause__
    assert isinstance(what, error)
    with pytest.raises(error, match=words):
        raise what


ROWS = [("cpvc_no_kernel", False, 1, 0), ("cpvc_perceptual", True, 1, 0), ("cpvc_saliency", True, 0, 0)]


@pytest.mark.parametrize("row, kernel, background, contrastive", [*ROWS, ("cpvc", True, 0, 1)])
def test_each_row_of_table_2_is_an_experiment(row, kernel, background, contrastive):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", ["name=x", f"experiment={row}", "data.root=x", "data.base_cache=x"])
    assert cfg.model.adaptive_kernel is kernel
    assert cfg.loss.perceptual.background == background and cfg.loss.weights.contrastive == contrastive
    assert cfg.loss.weights.perceptual == cfg.loss.weights.adversarial == 1 and cfg.loss.weights.mse == 0
    assert cfg.loss.perceptual.features.backbone == "vgg16" and cfg.trainer.max_steps == 900_000
