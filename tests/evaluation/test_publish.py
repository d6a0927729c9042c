"""Plots and report of a whole evaluation with the stand-in codec."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from pvc.codecs import load_codec
from pvc.errors import ConfigError
from pvc.evaluation import Record, compare, evaluate
from pvc.evaluation.curves import CurveKey, mean_title
from pvc.evaluation.plots import tradeoff_points
from pvc.evaluation.publish import publish
from pvc.evaluation.records import Failure
from pvc.evaluation.sidebyside import scenes, similar_rate
from pvc.evaluation.style import shown
from pvc.metrics import load_metrics


@pytest.fixture
def run(tmp_path, block_codec, sequence, settings):
    """Records of x264, a single-rate baseline and the codec with ROI on two sequences, and the folder."""
    codecs = [load_codec("x264"), block_codec("base", False, settings["beta"]), block_codec("roi")]
    return evaluate(
        codecs, [sequence("a"), sequence("b", 1)], load_metrics(["psnr"]), tmp_path, settings
    ).records, tmp_path


def test_everything_of_the_architecture_is_written(run):
    records, out = run
    rows = publish(records, out, ["x264"], "base")
    names = {p.name for p in out.iterdir()}
    assert names == {
        *(
            "results.jsonl",
            "frames",
            "report.html",
            "roi_tradeoff.png",
            "rd_psnr.png",
            "rd_psnr_roi.png",
            "rd_psnr_bg.png",
        ),
        *(f"bd_rate.{e}" for e in ("json", "csv", "md", "tex")),
        *(f"map_effect.{e}" for e in ("csv", "md", "png")),
    }
    for picture in out.glob("*.png"):
        pixels = np.asarray(Image.open(picture).convert("RGB"))
        assert min(pixels.shape[:2]) > 400 and pixels.std() > 5, picture  # drawn, not blank
    assert {r.anchor for r in rows} == {"x264", "base"}


def test_importance_moves_quality_into_the_roi(run):
    records, _ = run
    points = tradeoff_points(compare(records, ["base"]), "toy", "base")
    background, roi, count, of = points[CurveKey("roi", 0.6)]
    assert (count, of) == (2, 2)
    assert roi < -10 and background > 5
    background, roi, *_ = points[CurveKey("roi", 1.0)]
    assert roi == pytest.approx(0, abs=1e-6) and background == pytest.approx(0, abs=1e-6)


def test_report_is_one_file_with_tables_plots_and_frames(run):
    records, out = run
    publish(records, out, ["x264"], "base", notes=["<b>said</b> & done"])
    html = (out / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", html) and 'url("data:image/png' in html
    assert not re.search(r"""url\(["']?(?!["']?data:)|@import|https?://(?!www\.w3\.org/2000/svg)""", html)
    chart = json.loads(re.search(r'id="chart-data">(.*?)</script>', html, re.DOTALL)[1])
    assert [p["name"] for p in chart["panels"]] == ["mean of 2 sequences", "a", "b"]
    names = [c["name"] for c in chart["curves"]]
    assert names == ["x264", "base", "roi", "roi, u_alpha 0.6", "roi, u_alpha 0.2"]
    for record in (r for r in records if r.codec == "x264" and r.sequence == "a"):
        points = dict(chart["panels"][1]["curves"]["psnr"])[0]
        (point,) = [p for p in points if p[4] == f"crf {record.point['crf']:g}"]
        assert point[:3] == pytest.approx([record.bpp, record.kbps, record.metrics["psnr"]], rel=1e-5)
    assert "&lt;b&gt;said&lt;/b&gt; &amp; done" in html
    assert html.count("<figure>") == 2 * (1 + 1 + 1 + 2)  # sequences x (reference, anchor, baseline, u_alphas below 1)
    assert "<b>base, roi</b>" in html  # the same bits at u_alpha = 1
    for record in records:
        assert f"{record.bits // 8}</td>" in html


def test_report_can_be_made_again_from_the_records_alone(run, tmp_path_factory):
    records, out = run
    elsewhere = tmp_path_factory.mktemp("table")
    publish(records, elsewhere, ["x264"])
    assert "Side by side" not in (elsewhere / "report.html").read_text()
    publish(records, elsewhere, ["x264"], pictures=[out])
    assert "Side by side" in (elsewhere / "report.html").read_text()


def test_views_are_at_similar_rate(run):
    records, out = run
    (scene, _), left_out = scenes(records, "x264", [out])
    assert left_out == 0
    assert [v.title for v in scene.views[:2]] == ["Reference", "x264 (anchor)"]
    assert scene.outline.startswith("data:image/png")
    assert similar_rate([[0.1, 1.0], [0.4, 4.0]]) == pytest.approx((0.4 * 1.0) ** 0.5)
    assert similar_rate([[0.1, 0.4], [1.0, 4.0]]) == pytest.approx(0.2)


def test_the_report_takes_no_more_pictures_than_it_has_room_for(run, monkeypatch):
    records, out = run
    monkeypatch.setattr("pvc.evaluation.sidebyside.MOST_BYTES", 1)
    publish(records, out, ["x264"], "base")
    html = (out / "report.html").read_text()
    assert html.count('class="scene"') == 1 and "1 more sequence would make this file too large" in html


def _record(codec, **meta) -> Record:
    times = {"encode_seconds": 0.0, "decode_seconds": 0.0}
    size = {"frames": 1, "width": 8, "height": 8, "fps": 25.0, "gop": 12}
    rate = {"bits": 8, "bpp": 0.1, "kbps": 1.0}
    return Record(codec, {"crf": 30.0}, "d", "s", **size, **rate, **times, metrics={"psnr": 30.0}, meta=meta)


def test_failed_jobs_are_in_the_report_and_the_notes(tmp_path):
    failures = [Failure("x", {"crf": 50.0}, "d", "s", "<signal> 9")]
    publish([_record("x"), _record("y")], tmp_path, ["x"], failures=failures)
    html = (tmp_path / "report.html").read_text()
    assert "Jobs that failed" in html and "<td>crf 50</td><td>d / s</td><td>&lt;signal&gt; 9</td>" in html
    assert "x failed in 1 job (s): <signal> 9" in (tmp_path / "bd_rate.md").read_text()


def test_a_run_in_which_every_job_failed_still_has_a_report(tmp_path):
    failures = [Failure("x264", {"crf": 50.0}, "toy", "b", "no such encoder")]
    assert publish([], tmp_path, ["x264"], failures=failures) == []
    assert "no such encoder" in (tmp_path / "report.html").read_text()


def test_a_missing_metric_is_said_once(tmp_path):
    missing = dict.fromkeys(("lpips", "lpips_roi"), "put alex.pth into WEIGHTS")
    publish([_record("x", unavailable=missing), _record("y", unavailable=missing)], tmp_path, ["x"])
    note = "LPIPS, ROI LPIPS: put alex.pth into WEIGHTS (s)"
    assert (tmp_path / "report.html").read_text().count(note) == 1
    assert (tmp_path / "bd_rate.md").read_text().count(note) == 1


def test_a_mean_says_which_curves_it_lacks(run):
    records, out = run
    publish([r for r in records if (r.codec, r.sequence) != ("x264", "b")], out, ["base"], "base")
    chart = json.loads(re.search(r'id="chart-data">(.*?)</script>', (out / "report.html").read_text(), re.DOTALL)[1])
    assert [p["name"] for p in chart["panels"]] == ["mean of 2 sequences (without x264: not run on all)", "a", "b"]
    assert mean_title(2, ["x264"], "\n") == "mean of 2 sequences\n(without x264: not run on all)"


def test_plots_show_at_most_three_u_alphas_of_a_codec():
    keys = [CurveKey("roi", round(1 - i / 10, 1)) for i in range(10)] + [CurveKey("x265", None)]
    assert shown(keys) == [CurveKey("roi", 1.0), CurveKey("roi", 0.2), CurveKey("roi", 0.1), CurveKey("x265", None)]


def test_without_any_mask_there_is_no_tradeoff_and_the_report_says_so(tmp_path, block_codec, sequence, settings):
    codecs = [block_codec("base", False, settings["beta"]), block_codec("other", False, settings["beta"])]
    outcome = evaluate(codecs, [sequence("a", mask=False)], load_metrics(["psnr"]), tmp_path, settings)
    publish(outcome.records, tmp_path, ["base"])
    assert not (tmp_path / "roi_tradeoff.png").exists()
    html = (tmp_path / "report.html").read_text()
    assert "no trade-off plot" in html and "the sequence has no mask (a)" in html


def test_points_that_the_tradeoff_lacks_are_said(run):
    records, out = run
    publish(records, out, ["x264"], "base")  # at u_alpha 0.2 the stand-in's background hardly overlaps the baseline's
    assert CurveKey("roi", 0.2) not in tradeoff_points(compare(records, ["base"]), "toy", "base")
    assert re.search(r"not in the trade-off plot: .*roi, u_alpha 0\.2 \(toy\)", (out / "report.html").read_text())


def test_unknown_baseline_is_named(run):
    records, out = run
    with pytest.raises(ConfigError, match="no results of nobody"):
        publish(records, out, ["x264"], "nobody")
    with pytest.raises(ConfigError, match="anchor is empty"):
        publish(records, out, [])


def test_one_record_is_enough_for_a_report(tmp_path):
    publish([_record("x"), _record("y")], tmp_path, ["x"])
    assert "x has 1 point, 4 are needed" in (tmp_path / "report.html").read_text()
