"""Crops: the same pixels of every codec, where the gain is or where one says, in the report and as pictures."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from pvc.errors import ConfigError
from pvc.evaluation import evaluate
from pvc.evaluation.crop_views import for_report
from pvc.evaluation.crops import CropSettings, crop_rows
from pvc.evaluation.publish import publish
from pvc.metrics import load_metrics
from tests.evaluation.conftest import BlockCodec, make_sequence

SETTINGS = {"gop": 12, "beta": [2e-4, 8e-4, 3.2e-3, 1.28e-2], "u_alpha": [1.0]}


class Smudged(BlockCodec):
    """As the codec that it is made of, but for one corner, which it leaves out."""

    def decode_frames(self, data):
        for frame in super().decode_frames(data):
            frame[:, 32:, 64:] = 128
            yield frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Records of a codec that smudges the lower right corner and of one that does not, and their folder."""
    out = tmp_path_factory.mktemp("crops")
    codecs = [Smudged("smudged", False, SETTINGS["beta"]), BlockCodec("whole", False, SETTINGS["beta"])]
    clips = [make_sequence("a"), make_sequence("b", 1, mask=False)]
    return evaluate(codecs, clips, load_metrics(["psnr"]), out, SETTINGS | {"crops": {}}).records, out


def _rows(run, **settings):
    return list(crop_rows(run[0], "smudged", [run[1]], CropSettings.of({"metric": "psnr"} | settings)))


def test_a_crop_is_taken_where_a_codec_gains_most(run):
    rows = _rows(run, size=32)
    assert [(row.sequence, row.left, row.top) for row in rows] == [("a", 64, 32), ("b", 64, 32)]
    assert rows[0].why == "Where whole gains most over smudged in PSNR"
    for codec in (["nobody", "whole"], "nobody"):  # where none of them was run, any
        assert _rows(run, size=32, codec=codec)[0].why == rows[0].why
    names = [crop.title for crop in rows[0].crops]
    assert names == ["Reference", "smudged (anchor)", "whole"]
    assert (rows[0].crops[1].pixels == 128).all() and rows[0].note == ""  # pixels without loss


def test_a_crop_says_what_it_cost_and_how_good_it_is(run):
    row = _rows(run, size=32)[0]
    whole = row.crops[2]
    error = np.square(whole.pixels.astype(float) - row.crops[0].pixels).mean()
    assert whole.score == f"PSNR {10 * np.log10(255**2 / error):.2f}"
    (record,) = [r for r in run[0] if r.codec == "whole" and r.sequence == "a" and f"{r.bpp:.4f} bpp" in whole.rate]
    assert whole.rate == f"{record.bpp:.4f} bpp (+0%)" and not whole.far


def test_a_crop_is_taken_where_one_says(run):
    row = _rows(run, size=20, places={"b": [7, 30]})[1]
    here = make_sequence("b", 1).clip[1, :, 30:50, 7:27].permute(1, 2, 0)
    assert torch.equal(torch.from_numpy(row.crops[0].pixels), here)
    assert row.why == "Place chosen by hand"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size": 40, "places": {"a": [60, 0]}}, "crops.places.a: 40 pixels at 60, 0 leave the 96x64"),
        ({"places": {"c": [0, 0]}}, "crops.places names c; the sequences are a, b"),
    ],
)
def test_places_that_there_are_not_are_one_line(settings, says):
    with pytest.raises(ConfigError) as error:
        CropSettings.of({"metric": "psnr"} | settings).check({"a": (64, 96), "b": (64, 96)})
    assert says in str(error.value)


def test_report_and_pictures_show_them(run):
    records, out = run
    (out / "crops_old.png").write_bytes(b"of another run")
    publish(records, out, ["smudged"], crops=CropSettings.of({"metric": "psnr", "size": 32}))
    assert sorted(p.name for p in out.glob("crops_*")) == ["crops_a.png", "crops_b.png"]
    picture = np.asarray(Image.open(out / "crops_a.png").convert("RGB"))
    assert picture.std() > 20 and min(picture.shape[:2]) > 500
    html = (out / "report.html").read_text()
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"[^>]*alt="crop of ([^"]+)"', html)
    assert [title for _, title in found] == 2 * ["Reference", "smudged (anchor)", "whole"]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1][0]))))
    assert shown.shape == (32, 32, 3) and (shown == 128).all()


def test_the_report_takes_no_more_crops_than_it_has_room_for(run, monkeypatch):
    rows = _rows(run, size=32)
    assert [row["sequence"] for row in for_report(rows)[0]] == ["a", "b"]
    monkeypatch.setattr("pvc.evaluation.crop_views.MOST_BYTES", 1)
    shown, left_out = for_report(rows)
    assert [row["sequence"] for row in shown] == ["a"] and left_out == 1


def test_pictures_that_were_kept_with_loss_are_said(run, tmp_path):
    codecs = [Smudged("smudged", False, SETTINGS["beta"]), BlockCodec("whole", False, SETTINGS["beta"])]
    records = evaluate(codecs, [make_sequence("a")], load_metrics(["psnr"]), tmp_path, SETTINGS).records
    (row,) = crop_rows(records, "smudged", [tmp_path], CropSettings.of({"metric": ["psnr"]}))
    assert row.note == "From pictures that were kept as JPEG of quality 95: smudged (anchor), whole"


def test_the_first_metric_that_can_be_measured_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("PVC_WEIGHTS", raising=False)
    assert CropSettings.of({}).measure().names[0] == "ssim"  # LPIPS lacks its weights
    assert CropSettings.of(None) is None
