"""Published curves: read from CompressAI's format, compared on mean curves only, with the published numbers."""

import json

import pytest

from pvc.errors import ConfigError
from pvc.evaluation import Record, compare
from pvc.evaluation.publish import publish
from pvc.evaluation.published import load_all_published, load_published
from pvc.metrics.bd_rate import Settings

RESULTS = {"bitrate": [100.0, 200.0, 400.0, 800.0], "psnr-rgb": [30.0, 33.0, 36.0, 38.5], "mse-rgb": [4, 3, 2, 1]}


@pytest.fixture
def write(tmp_path):
    """Writes a file of results and returns its path."""

    def make(name="vtm", folder="Toy", **results):
        path = tmp_path / folder / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"name": name, "description": "by its authors", "results": results or RESULTS}))
        return path

    return make


def _records(codec, factor=1.0, sequences=("a", "b"), **changes):
    """Mean curve of RESULTS at ``factor`` times its rate; the second sequence takes three times the bits."""
    return [
        Record(
            **{
                **{"codec": codec, "point": {"crf": float(i)}, "dataset": "toy", "sequence": s, "frames": 1},
                **{"width": 100, "height": 100, "fps": 10.0, "gop": 12, "bits": 1},
                **{"bpp": rate * share / 100, "kbps": rate * share, "encode_seconds": 0.0, "decode_seconds": 0.0},
                **{"metrics": {"psnr": value}},
                **changes,
            }
        )
        for s, share in zip(sequences, (0.5 * factor, 1.5 * factor), strict=True)
        for i, (rate, value) in enumerate(zip(RESULTS["bitrate"], RESULTS["psnr-rgb"], strict=True))
    ]


def test_published_curves_stand_beside_mean_curves_only(write):
    rows = compare([*_records("x265"), *_records("mine", 0.5)], ["x265"], published=load_published(write()))
    theirs = [r for r in rows if r.codec == "vtm (published)"]
    assert [(r.sequence, r.metric) for r in theirs] == [("mean curve", "psnr")]
    assert theirs[0].bd_rate == pytest.approx(0) and theirs[0].sequences == 2
    assert {r.sequence for r in rows if r.codec == "mine"} == {"a", "b", "mean", "mean curve"}


def test_a_published_curve_can_be_the_anchor(write):
    rows = compare(_records("mine", 0.5), ["vtm"], published=load_published(write()))
    assert [(r.anchor, r.sequence) for r in rows] == [("vtm (published)", "mean curve")]
    assert rows[0].bd_rate == pytest.approx(-50)


def test_rates_per_pixel_and_kbits_are_told_apart(write):
    in_bpp = {**RESULTS, "bpp": [rate / 100 for rate in RESULTS["bitrate"]]}
    in_bpp.pop("bitrate")
    curves = [*load_published(write()), *load_published(write("image", **in_bpp))]
    rows = {r.codec: r for r in compare(_records("x265"), ["x265"], published=curves) if "published" in r.codec}
    assert [rows[c].bd_rate for c in ("vtm (published)", "image (published)")] == pytest.approx([0, 0], abs=1e-6)
    (row,) = (r for r in compare([], ["vtm"], published=curves))
    assert row.bd_rate is None and "bits per pixel, the other kbit/s" in row.reason


def test_metric_that_was_not_published_has_a_reason(write):
    records = _records("x265", metrics={"psnr": 30.0, "vmaf": 90.0})
    rows = compare(records, ["x265"], published=load_published(write()))
    (row,) = [r for r in rows if r.metric == "vmaf" and "published" in r.codec]
    assert row.bd_rate is None and row.reason == row.quality_reason == "vtm (published) gives no such number"


def test_the_data_set_is_named_by_file_or_folder(write, tmp_path):
    assert load_published(write())[0].dataset == "Toy"
    file = tmp_path / "uvg-1080p-vtm.json"
    file.write_text(write().read_text())
    assert load_published(file)[0].dataset == "uvg-1080p"
    file.write_text(json.dumps({**json.loads(file.read_text()), "dataset": "UVG"}))
    assert load_published(file)[0].dataset == "UVG"


def test_another_data_set_takes_no_part_and_a_note_says_so(write, tmp_path):
    records = [*_records("x265"), *_records("mine", 0.5)]
    rows = publish(records, tmp_path, ["x265"], published=[write(folder="Other")])
    assert not [r for r in rows if "published" in r.codec]
    html = (tmp_path / "report.html").read_text()
    assert "vtm (published), Other: by its authors, vtm.json; there are no results on a data set of that name" in html


def test_every_output_says_that_a_curve_is_published_and_where_it_is_from(write, tmp_path):
    publish([*_records("x265"), *_records("mine", 0.5)], tmp_path, ["x265"], published=[write()])
    for name in ("bd_rate.json", "bd_rate.csv", "bd_rate.md", "bd_rate.tex", "report.html"):
        assert "vtm (published)" in (tmp_path / name).read_text(), name
    for name in ("bd_rate.md", "bd_rate.tex", "report.html"):
        assert "by its authors, vtm.json" in (tmp_path / name).read_text(), name


def test_what_is_wrong_with_a_file_is_said_in_one_line(write, tmp_path):
    bad = tmp_path / "bad.json"
    for text, what in (
        ("no json", "CompressAI's format"),
        ("[]", "CompressAI's format"),
        ('{"name": "x", "results": {"psnr": [1]}}', "no rate"),
        ('{"name": "x", "results": {"bpp": [1]}}', "no metric"),
        ('{"name": "x", "results": {"bpp": [1], "psnr": [1, 2]}}', "psnr has 2 values where the rate has 1"),
        ('{"name": "x", "results": {"bpp": [1], "psnr": ["a"]}}', "psnr is not a list of numbers"),
    ):
        bad.write_text(text)
        with pytest.raises(ConfigError, match=what) as error:
            load_published(bad)
        assert "bad.json" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="does not exist"):
        load_published(tmp_path / "none.json")
    one = write()
    other = tmp_path / "more" / "Toy-vtm.json"
    other.parent.mkdir()
    other.write_text(one.read_text().replace("30.0", "31.0"))
    with pytest.raises(ConfigError, match="two different curves are called vtm on Toy"):
        load_all_published([one, other])
    assert len(load_all_published([one, one.parent])) == 1


@pytest.mark.parametrize(
    ("name", "percent", "decibels"),
    [
        ("ssf2020-mse-ans-vimeo", 93.85, -1.5),
        ("ssf2020-from-authors", 36.7, -0.7),
        ("x265-medium-tune-zerolatency", -34.85, 0.9),
        ("VTM-v15.0-lowdelay", -73.7, 3.2),
    ],
)
@pytest.mark.parametrize("method", ["pchip", "akima"])
def test_published_curves_give_the_published_numbers(shared_clips, name, percent, decibels, method):
    folder = shared_clips.parent / "anchors"
    if not folder.is_dir():
        pytest.skip("no published anchors beside the shared clips")
    rows = compare([], ["x264-medium-tune-zerolatency"], Settings(method), load_published(folder))
    (row,) = [r for r in rows if r.codec == f"{name} (published)" and r.metric == "psnr"]
    assert (row.dataset, row.sequence) == ("uvg-1080p", "mean curve")
    assert row.bd_rate == pytest.approx(percent, abs=0.1)
    assert row.bd_quality == pytest.approx(decibels, abs=0.1)
