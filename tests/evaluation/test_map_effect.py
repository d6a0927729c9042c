"""What maps do at equal settings: pairs of jobs, their change in percent, and the files that show it."""

import csv
from dataclasses import replace

import pytest

from pvc.evaluation import Record
from pvc.evaluation.map_effect import MEAN, SIZE, effects, write
from pvc.evaluation.publish import publish


def _record(codec, sequence, kilobytes, psnr, crf=26.0, alpha=None, options=None, **metrics):
    point = {"crf": crf} | ({} if alpha is None else {"alpha": alpha})
    made_by = {"codec": {"preset": "fast"} | (options or {}), "clip": {"mask_sha256": "m"}}
    bits = round(8000 * kilobytes)
    return Record(
        codec, point, "toy", sequence, 2, 96, 64, 25.0, 12, bits, bits / 12288, bits / 80,
        1.0, 1.0, {"psnr": psnr, **metrics}, {"made_by": made_by},
    )  # fmt: skip


def _records():
    blur = {"options": {"blur": "strong"}, "alpha": 60.0}
    return [
        _record("plain", "a", 100, 40.0, ssim=0.97),
        _record("plain", "b", 300, 30.0, ssim=0.93),
        _record("plain-blur", "a", 80, 38.0, ssim=0.96, **blur),
        _record("plain-blur", "b", 200, 28.5, ssim=0.92, **blur),
        _record("own", "a", 50, 35.0, alpha=1.0, options={"preset": "slow"}),
        _record("own", "a", 40, 34.0, alpha=60.0, options={"preset": "slow"}),
        _record("alone", "a", 40, 34.0, alpha=60.0, options={"preset": "other"}),
    ]


def test_a_job_with_map_stands_beside_the_same_without_and_means_are_as_in_the_paper():
    found = {(e.key.codec, e.sequence, e.metric): e for e in effects(_records())}
    assert found["plain-blur", "a", SIZE].percent == pytest.approx(-20)
    mean = found["plain-blur", MEAN, SIZE]
    assert (mean.without, mean.with_map) == (200, 140) and mean.percent == pytest.approx(
        -30
    )  # not the mean of % (-26.7)
    assert found["plain-blur", MEAN, "psnr"].percent == pytest.approx(100 * (33.25 / 35 - 1))
    assert found["plain-blur", MEAN, "ssim"].with_map == pytest.approx(0.94)
    assert found["plain-blur", "a", SIZE].reference == "plain"


def test_the_same_codec_without_map_comes_before_one_of_the_same_options_and_strangers_are_not_compared():
    records = _records()
    found = {(e.key.codec, e.sequence, e.metric): e for e in effects(records)}
    assert found["own", "a", SIZE].reference == "own" and found["own", "a", SIZE].percent == pytest.approx(-20)
    assert not any(codec == "alone" for codec, *_ in found)
    itself = replace(records[2], point={"crf": 26.0, "alpha": 1.0}, bits=8000 * 90)
    found = {(e.key.codec, e.sequence, e.metric): e for e in effects([*records, itself])}
    assert found["plain-blur", "a", SIZE].reference == "plain-blur"
    other_crf = [replace(r, point={**r.point, "crf": 30.0}) if r.codec == "plain" else r for r in records]
    assert not any(e.key.codec == "plain-blur" for e in effects(other_crf))


def test_files_say_all_of_it(tmp_path):
    write(_records(), tmp_path)
    lines = list(csv.DictReader((tmp_path / "map_effect.csv").open()))
    (line,) = [x for x in lines if (x["codec"], x["sequence"], x["metric"]) == ("plain-blur", "b", "size")]
    assert (line["without"], line["with"], line["reference"], line["point"]) == ("300", "200", "plain", "crf 26")
    assert float(line["percent"]) == pytest.approx(-100 / 3, rel=1e-4)
    text = (tmp_path / "map_effect.md").read_text()
    assert "mean of 2 sequences, crf 26" in text and "| plain without map | 200.0 | 35.00 | 0.9500 |" in text
    assert "| plain-blur, u_alpha 0 | 140.0 (-30.00 %) | 33.25 (-5.00 %) | 0.9400 (-1.05 %) |" in text
    assert (tmp_path / "map_effect.png").read_bytes()[:4] == b"\x89PNG"


def test_without_maps_nothing_is_written(tmp_path):
    assert write(_records()[:2], tmp_path) == [] and not list(tmp_path.iterdir())


def test_the_evaluation_writes_it_beside_its_tables(tmp_path):
    records = []
    for crf, factor in ((20, 2.0), (26, 1.0), (32, 0.5), (38, 0.25)):
        for r in _records()[:4]:
            bits, psnr = round(r.bits * factor), r.metrics["psnr"] + 5 * factor
            records.append(
                replace(r, point={**r.point, "crf": float(crf)}, bits=bits, bpp=bits / 12288, metrics={"psnr": psnr})
            )
    publish(records, tmp_path, ["plain"])
    assert {"map_effect.csv", "map_effect.md", "map_effect.png", "bd_rate.md"} <= {p.name for p in tmp_path.iterdir()}
