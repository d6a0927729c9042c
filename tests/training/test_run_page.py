"""A run's own page: what it shows is what was logged, against an anchor that is coded once, and how the run went."""

import csv
import json
import os
import re
from fractions import Fraction
from pathlib import Path
from unittest import mock

import pytest
import torch
from hydra import compose, initialize_config_dir

from pvc.codecs.registry import load_codec
from pvc.errors import ConfigError, TrainingError
from pvc.metrics.psnr import Psnr
from pvc.paths import config_dir
from pvc.training import pictures
from pvc.training.anchor import Anchor
from pvc.training.run import train
from pvc.video import write_clip
from tests.training.processes import trained_by

SMALL = [
    "experiment=tiny",
    "name=small",
    "data=clips",
    "data.crop=32",
    "data.batch_size=2",
    "data.workers=0",
    "data.val_frames=2",
    "data.source.val=[a,b,c]",
    "data.source.cache=null",
    "model.width=8",
    "model.latent=16",
    "model.motion_latent=8",
    "model.hyper=4",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.max_steps=8",
    "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=1",
    "checkpoint_every=4",
    "pictures_every=4",
    "page.points=[20,28,36,44]",
]


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> list[str]:
    """Overrides that name a folder of four clips and one for what the anchor made of them."""
    root = tmp_path_factory.mktemp("page")
    (root / "clips").mkdir()
    torch.manual_seed(0)
    for name in "abcd":
        coarse = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 12), (64, 96), mode="bicubic").clamp(0, 1)
        clip = ((0.8 * coarse + 0.2 * torch.rand(4, 3, 64, 96)) * 255).byte()
        write_clip(root / "clips" / f"{name}.mkv", clip, Fraction(25))
    return [f"data.root={root / 'clips'}", f"page.cache={root / 'cache'}"]


def configured(places: list[str], *overrides: str):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", [*SMALL, *places, *overrides])


def numbers(out: Path) -> dict:
    """The data that the page draws."""
    html = (out / "run.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="chart-data">(.*?)</script>', html)[1])


def words(out: Path) -> str:
    """The page's text, without its scripts and tags."""
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", (out / "run.html").read_text(), flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def logged(out: Path, column: str) -> list[float]:
    files = sorted((out / "logs").rglob("metrics.csv"))
    return [float(r[column]) for file in files for r in csv.DictReader(file.open()) if r.get(column)]


@pytest.fixture(scope="module")
def finished(places, tmp_path_factory) -> Path:
    """A run that ended, in all loggers at once."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    loggers = ["logger=[tensorboard,wandb]", "logger.wandb.offline=true"]
    # W&B leaves the address of its process in the environment, and later runs would take it for theirs.
    with mock.patch.dict(os.environ):
        train(configured(places, *loggers, f"logger.tensorboard.save_dir={out}", f"logger.wandb.save_dir={out}"), out)
        pytest.importorskip("wandb").teardown()
    return out


def test_the_page_shows_what_was_logged(finished):
    charts = {chart["title"]: {s["name"]: s["points"] for s in chart["series"]} for chart in numbers(finished)["lines"]}
    assert set(charts["Rate (bits per pixel, estimated)"]) >= {"all", "intra", "motion", "residual"}
    for title, name, column in (
        ("Loss", "loss", "train/loss"),
        ("PSNR (dB)", "psnr", "train/psnr"),
        ("Norm of the gradient", "grad_norm", "train/grad_norm"),
        ("Learning rate", "lr-Adam", "lr-Adam"),
    ):
        steps, values = zip(*charts[title][name], strict=True)
        assert steps == (1, 2, 3, 4, 5, 6, 7, 8)
        assert values == pytest.approx(logged(finished, column), rel=1e-4)
    assert words(finished).startswith("small: finished small finished finished at step 8")


def test_the_page_needs_no_other_file(finished):
    html = (finished / "run.html").read_text()
    places = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", html)
    assert html.count("data:image/webp;base64,") == 2  # the pictures of steps 4 and 8
    assert all(place.startswith("data:") for place in places)


def test_the_anchor_is_x265_on_the_frames_that_validation_sees(finished, places):
    curve = numbers(finished)["compared"]["rd"]["panels"][0]["curves"]["psnr"][0][1]
    from pvc.video import VideoReader

    x265 = load_codec("x265", gop=2)
    for crf, (bpp, _, psnr, _, label) in zip((44, 36, 28, 20), curve, strict=True):
        rates, scores = [], []
        for name in "abc":
            with VideoReader(Path(places[0].split("=")[1]) / f"{name}.mkv") as reader:
                clip = torch.stack([next(reader) for _ in range(2)])
            stream = x265.encode(clip, {"crf": crf}, fps=Fraction(25))
            rates.append(8 * len(stream) / (2 * 64 * 96))
            scores.append(Psnr()(clip, x265.decode(stream)).values["psnr"])
        assert label == f"crf {crf}"
        assert (bpp, psnr) == pytest.approx((sum(rates) / 3, sum(scores) / 3), rel=1e-3)


def test_each_validation_stands_beside_the_anchor(finished):
    compared = numbers(finished)["compared"]
    assert [curve["name"] for curve in compared["rd"]["curves"]] == ["x265", "step 4", "step 8"]
    panel = compared["rd"]["panels"][0]
    assert panel["name"] == "alpha 1"
    newest = panel["curves"]["psnr"][2][1]
    for beta in ("0.0001", "0.0004", "0.0016", "0.0064"):
        (point,) = [p for p in newest if p[4] == f"beta {beta}"]
        rate, psnr = (logged(finished, f"val/beta={beta}/alpha=1/{k}")[-1] for k in ("bpp", "psnr"))
        assert (point[0], point[2]) == pytest.approx((rate, psnr), rel=1e-4)
    assert "estimates by its entropy model" in words(finished)


def test_tensorboard_and_wandb_have_curves_learning_rate_and_pictures(finished):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (folder,) = (finished / "tensorboard").iterdir()
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    assert {"train/loss", "train/grad_norm", "lr-Adam", "val/beta=0.0004/alpha=1/psnr"} <= set(events.Tags()["scalars"])
    assert [image.step for image in events.Images("pictures")] == [4, 8]
    assert "crop: 32" in next((finished / "tensorboard").rglob("hparams.yaml")).read_text()
    assert len(list((finished / "wandb").glob("offline-run-*/files/media/images/pictures_*.png"))) == 2


def test_a_second_run_codes_no_anchor(places, finished, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the anchor was coded again")

    monkeypatch.setattr("pvc.codecs.avcodec.AvCodec.encode", never)
    train(configured(places, "trainer.max_steps=1", "trainer.val_check_interval=1"), tmp_path)
    assert numbers(tmp_path)["compared"]["rd"]["curves"][0]["name"] == "x265"
    first, second = (numbers(out)["compared"]["rd"]["panels"][0]["curves"]["psnr"][0] for out in (finished, tmp_path))
    assert first == second


def test_a_resumed_run_goes_on_in_its_page(places, tmp_path, monkeypatch):
    draw = pictures.draw

    def broken(*arguments):
        if (tmp_path / "pictures" / "step=4.png").exists():
            raise TrainingError("the sky fell")
        return draw(*arguments)

    monkeypatch.setattr("pvc.training.module.draw", broken)
    with pytest.raises(TrainingError):
        train(configured(places, "pictures_every=2"), tmp_path)
    assert re.search(r"small stopped stopped at step 6 .* Stopped [\d :-]+ at step 6: the sky fell", words(tmp_path))
    monkeypatch.undo()
    train(configured(places, "resume=true"), tmp_path)
    said = words(tmp_path)
    assert re.search(r"Started .* Stopped .* Resumed [\d :-]+ at step 4\. Finished [\d :-]+ at step 8", said)
    data = numbers(tmp_path)
    assert data["resumed"] == [4]
    loss = next(chart for chart in data["lines"] if chart["title"] == "Loss")["series"][0]["points"]
    assert [step for step, _ in loss] == list(range(1, 9))  # steps 5 and 6 as they were done the second time
    assert [curve["name"] for curve in data["compared"]["rd"]["curves"]] == ["x265", "step 4", "step 8"]


def test_two_processes_write_one_page_about_all_clips(places, finished, tmp_path):
    two = ["trainer.max_steps=2", "trainer.val_check_interval=2", "data.batch_size=1"]
    trained_by(2, tmp_path, *SMALL, *places, *two)
    assert "finished at step 2" in words(tmp_path) and "2 x cpu" in words(tmp_path)
    one, two = (numbers(out)["compared"]["rd"]["panels"][0]["curves"]["psnr"][0][1] for out in (finished, tmp_path))
    assert [p[0] for p in two] == pytest.approx([p[0] for p in one], rel=1e-4)
    assert [p[2] for p in two] == pytest.approx([p[2] for p in one], rel=1e-4)


def test_a_model_of_one_rate_has_its_distance_and_the_reason_for_no_bd_rate(places, tmp_path):
    one_rate = ["model=ssf_tiny", "training.val_points=[[4e-4,1]]", "trainer.max_steps=1"]
    train(configured(places, *one_rate, "trainer.val_check_interval=1"), tmp_path)
    said = words(tmp_path)
    assert "no BD-rate small has 1 point, 4 are needed" in said
    assert re.search(r"beta 0\.0004: ([+-]\d+\.\d\d dB at its rate|rate [\d.]+ lies outside that of x265)", said)


@pytest.mark.parametrize(
    ("override", "there", "said"),
    [("page=null", False, ""), ("page.anchor=null", True, "page.anchor=null: nothing to compare with")],
)
def test_page_and_anchor_can_be_left_out(places, tmp_path, override, there, said):
    quick = ["trainer.max_steps=1", "trainer.val_check_interval=1", "data.source.val=[a]", "data.source.only=[a,d]"]
    train(configured(places, override, *quick), tmp_path)
    assert (tmp_path / "run.html").exists() is there
    assert not there or said in words(tmp_path)


def test_a_page_that_cannot_be_made_does_not_end_the_run(places, tmp_path, caplog):
    (tmp_path / "logs" / "version_0").mkdir(parents=True)
    (tmp_path / "logs" / "version_0" / "metrics.csv").write_text("step,train/loss\n0,no number\n")
    quick = ["trainer.max_steps=1", "+trainer.limit_val_batches=0", "pictures_every=0"]
    assert train(configured(places, *quick), tmp_path).is_file()
    assert "run.html cannot be made; the run goes on without it" in caplog.text


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("page.anchor=mpeg2", r"page\.anchor=mpeg2 is no codec; give one of .*x265"),
        ("page.points=[99]", "crf=99 lies outside"),
        ("page.every=0", r"page\.every=0 must be above 0"),
    ],
)
def test_what_the_page_cannot_have_is_said_before_training(places, tmp_path, override, says):
    with pytest.raises(ConfigError, match=says):
        train(configured(places, override), tmp_path)
    assert not (tmp_path / "logs").exists()


def clip(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Fraction]:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (2, 3, 48, 64), generator=generator).byte()
    return frames, torch.ones(2, 1, 48, 64), Fraction(25)


@pytest.fixture
def coded(monkeypatch) -> list[dict]:
    """The points at which x265 is asked to code."""
    from pvc.codecs.avcodec import X265

    points, encode = [], X265.encode

    def counting(self, clip, point, **rest):
        points.append(point)
        return encode(self, clip, point, **rest)

    monkeypatch.setattr(X265, "encode", counting)
    return points


def test_the_anchor_of_a_clip_is_kept_by_its_content(tmp_path, coded):
    first = Anchor("x265", [30, 40], tmp_path).measure(*clip())
    assert len(coded) == 2 and {"bpp", "psnr", "psnr_roi"} <= first[0].keys()
    assert Anchor("x265", [30, 40], tmp_path).measure(*clip()) == first and len(coded) == 2
    assert Anchor("x265", [30, 35, 40], tmp_path).measure(*clip())[::2] == first
    assert coded[2:] == [{"crf": 35}]
    Anchor("x265", [30], tmp_path).measure(*clip(seed=1))
    assert len(coded) == 4
    frames, roi, fps = clip()
    Anchor("x265", [30], tmp_path).measure(frames, 1 - roi, fps)  # the ROI decides scores
    assert len(coded) == 5


def test_a_damaged_cache_is_made_anew_and_one_that_cannot_be_written_is_done_without(tmp_path, coded, caplog):
    first = Anchor("x265", [30], tmp_path).measure(*clip())
    (file,) = (tmp_path / "anchors").iterdir()
    file.write_text(file.read_text()[:20])
    assert Anchor("x265", [30], tmp_path).measure(*clip()) == first and len(coded) == 2
    (tmp_path / "taken").write_text("a file where the folder should be")
    assert Anchor("x265", [30], tmp_path / "taken").measure(*clip()) == first
    assert "cannot be kept" in caplog.text


def test_a_logger_whose_package_is_missing_is_named(places, tmp_path, monkeypatch):
    for package in ("_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"):
        monkeypatch.setattr(f"lightning.fabric.loggers.tensorboard.{package}", False)
    with pytest.raises(ConfigError, match=r"logger=tensorboard needs .* pip install tensorboard"):
        train(configured(places, "logger=tensorboard", f"logger.tensorboard.save_dir={tmp_path}"), tmp_path)
