"""BD-rate rows: every comparison is there, with a number or a reason, and means say what they are over."""

import csv
import json

import pytest

from pvc.errors import ConfigError
from pvc.evaluation import Record, compare
from pvc.evaluation.bd_rate import Settings
from pvc.evaluation.curves import curve_keys, mean_points
from pvc.evaluation.tables import blocks, cell, tone, write

QUALITY = (30.0, 33.0, 36.0, 38.5)


def _records(codec, factor=1.0, sequence="a", alpha=None, shift=0.0, metrics=("psnr", "psnr_roi")):
    """A curve at ``factor`` times the rate; ``alpha`` None is a codec without ROI parameter."""
    return [
        Record(
            codec=codec,
            point={"crf": float(i)} if alpha is None else {"beta": float(i), "alpha": alpha},
            dataset="toy",
            sequence=sequence,
            frames=1,
            width=8,
            height=8,
            fps=25.0,
            gop=12,
            bits=1,
            bpp=factor * 0.1 * 2**i,
            kbps=1.0,
            encode_seconds=0.0,
            decode_seconds=0.0,
            metrics={m: q + shift for m in metrics},
            meta={"unavailable": {} if "psnr_roi" in metrics else {"psnr_roi": "the sequence has no mask"}},
        )
        for i, q in enumerate(QUALITY)
    ]


def _row(rows, **wanted):
    (row,) = [r for r in rows if all(getattr(r, k) == v for k, v in wanted.items())]
    return row


def test_one_row_for_every_sequence_metric_and_curve_and_a_mean():
    records = [
        *_records("x265"),
        *_records("x265", sequence="b"),
        *_records("mine", 0.5, alpha=1.0),
        *_records("mine", 0.5, "b", alpha=1.0),
        *_records("mine", 0.8, alpha=60**0.8),
        *_records("mine", 0.4, "b", alpha=60**0.8),
    ]
    rows = compare(records, ["x265"])
    assert len(rows) == 2 * 2 * 3
    assert _row(rows, sequence="a", metric="psnr", u_alpha=1.0).bd_rate == pytest.approx(-50)
    assert _row(rows, sequence="a", metric="psnr", u_alpha=0.2).bd_rate == pytest.approx(-20)
    mean = _row(rows, sequence="mean", metric="psnr", u_alpha=0.2)
    assert mean.bd_rate == pytest.approx((-20 - 60) / 2)
    assert (mean.sequences, mean.sequences_with_number, mean.reason) == (2, 2, None)


def test_sequences_without_number_are_counted_and_named_never_dropped():
    records = [
        *_records("x265"),
        *_records("x265", sequence="b"),
        *_records("x265", sequence="c", metrics=("psnr",)),
        *_records("mine", 0.5),
        *_records("mine", 0.5, "b", shift=50),
        *_records("mine", 0.5, "c", metrics=("psnr",)),
    ]
    rows = compare(records, ["x265"])
    assert "overlap by 0%" in _row(rows, sequence="b", metric="psnr").reason
    assert _row(rows, sequence="c", metric="psnr_roi").reason == "psnr_roi has no value: the sequence has no mask"
    mean = _row(rows, sequence="mean", metric="psnr_roi")
    assert mean.bd_rate == pytest.approx(-50)
    assert mean.reason == "no number on 2 of 3 sequences (b, c)"
    assert cell(mean) == "-50.0 (1 of 3)"
    assert cell(_row(rows, sequence="b", metric="psnr")) == "n/a"


def test_codec_that_was_not_run_on_a_sequence_has_a_reason():
    rows = compare([*_records("x265"), *_records("x265", sequence="b"), *_records("mine")], ["x265"])
    assert _row(rows, sequence="b", metric="psnr").reason == "mine was not run on it"


def test_neural_anchor_is_its_curve_without_roi():
    records = [*_records("x265"), *_records("mine", 0.5, alpha=1.0), *_records("mine", 0.25, alpha=60.0)]
    rows = [r for r in compare(records, ["mine"]) if r.metric == "psnr" and r.sequence == "a"]
    assert {(r.codec, r.u_alpha): round(r.bd_rate, 6) for r in rows} == {("x265", None): 100.0, ("mine", 0.0): -50.0}


def test_missing_anchor_is_an_error_that_lists_the_codecs():
    with pytest.raises(ConfigError, match=r"x266.*have x265, mine"):
        compare([*_records("x265"), *_records("mine")], ["x266"])


def test_mean_curve_uses_only_points_that_all_sequences_have():
    records = [*_records("x265"), *_records("x265", 2.0, "b")[:2]]
    (key,) = curve_keys(records)
    assert mean_points(records, key, ["a", "b"], "psnr") == [(pytest.approx(0.15), 30.0), (pytest.approx(0.3), 33.0)]


def test_tables_hold_the_same_rows_in_every_form(tmp_path):
    records = [
        *_records("x265"),
        *_records("mine_1", 0.5, alpha=1.0),
        *_records("mine_1", 0.5, alpha=60**0.8, shift=50),
    ]
    rows = compare(records, ["x265"])
    write(rows, tmp_path, Settings())
    found = json.loads((tmp_path / "bd_rate.json").read_text())
    assert [r["bd_rate"] for r in found] == [r.bd_rate for r in rows]
    assert {"dataset", "sequence", "metric", "anchor", "codec", "u_alpha", "bd_rate", "reason"} <= set(found[0])
    with (tmp_path / "bd_rate.csv").open() as file:
        assert [float(r["bd_rate"]) if r["bd_rate"] else None for r in csv.DictReader(file)] == [
            r.bd_rate for r in rows
        ]
    markdown = (tmp_path / "bd_rate.md").read_text()
    assert "| mine_1 | -50.0 | -50.0 |" in markdown
    assert "| mine_1, u_alpha 0.2 | n/a | n/a |" in markdown
    assert "curves overlap by 0%" in markdown and "50% overlap" in markdown
    latex = (tmp_path / "bd_rate.tex").read_text()
    assert "\\toprule" in latex and r"mine\_1, $u_\alpha$ 0.2 & n/a & n/a \\" in latex and "$-$50.0" in latex


def test_mean_block_says_what_the_mean_is_over():
    rows = compare(
        [*_records("x265"), *_records("x265", sequence="b"), *_records("m"), *_records("m", sequence="b")], ["x265"]
    )
    assert blocks(rows)[0].title == "toy, mean of the BD-rates of 2 sequences: BD-rate in % against x265"


def test_no_difference_is_neither_good_nor_bad():
    rows = compare([*_records("x265"), *_records("same"), *_records("less", 0.5), *_records("more", 2.0)], ["x265"])
    shown = {r.codec: (cell(r), tone(r)) for r in rows if r.metric == "psnr" and r.sequence == "mean"}
    assert shown == {"same": ("0.0", "none"), "less": ("-50.0", "good"), "more": ("+100.0", "bad")}
