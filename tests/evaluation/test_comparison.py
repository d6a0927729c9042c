"""BD-rate rows: every comparison is there, with a number or a reason, and means say what they are over."""

import csv
import json
import shutil
import subprocess

import pytest

from pvc.errors import ConfigError
from pvc.evaluation import Record, compare, notes
from pvc.evaluation.curves import curve_keys, mean_points
from pvc.evaluation.records import Failure
from pvc.evaluation.tables import blocks, write
from pvc.metrics.bd_rate import Settings

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


def _cell(rows, codec, sequence="mean", metric="psnr", quality=False):
    """The cell of a table as it is shown."""
    (block,) = [b for b in blocks(rows) if b.sequence == sequence and b.quality == quality]
    return dict(block.lines)[codec][block.metrics.index(metric)]


def test_one_row_for_every_sequence_metric_and_curve_a_mean_and_a_mean_curve():
    records = [
        *_records("x265"),
        *_records("x265", sequence="b"),
        *_records("mine", 0.5, alpha=1.0),
        *_records("mine", 0.5, "b", alpha=1.0),
        *_records("mine", 0.8, alpha=60**0.8),
        *_records("mine", 0.4, "b", alpha=60**0.8),
    ]
    rows = compare(records, ["x265"])
    assert len(rows) == 2 * 2 * (2 + 1 + 1)
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
    assert _row(rows, sequence="c", metric="psnr_roi").reason == "no value: the sequence has no mask"
    mean = _row(rows, sequence="mean", metric="psnr_roi")
    assert mean.bd_rate == pytest.approx(-50)
    assert mean.reason.startswith("no number on 2 of 3 sequences (b, c): curves overlap by 0%")
    assert mean.reason.endswith("/ no value: the sequence has no mask")
    assert _cell(rows, "mine", metric="psnr_roi").text == "-50.0 (1 of 3)"
    assert _cell(rows, "mine", "b").text == "n/a"


def test_a_mean_without_numbers_gives_reasons_however_many_there_are():
    records = []
    for sequence, shift in {"a": 40, "b": 50, "c": 60}.items():
        records += [*_records("x265", sequence=sequence), *_records("mine", 0.5, sequence, shift=shift)]
    mean = _row(compare(records, ["x265"]), sequence="mean", metric="psnr")
    assert mean.reason.startswith("no number on 3 of 3 sequences (a, b, c): curves overlap by 0%")
    assert mean.reason.endswith("/ 1 more, in the tables of the sequences")


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


def test_blocks_say_what_they_are_over():
    rows = compare(
        [*_records("x265"), *_records("x265", sequence="b"), *_records("m"), *_records("m", sequence="b")], ["x265"]
    )
    assert [b.title for b in blocks(rows)][:4] == [
        "toy, mean of the BD-rates of 2 sequences: BD-rate in % against x265",
        "toy, mean of the BD-qualities of 2 sequences: BD-quality at equal rate against x265",
        "toy, on mean curves over 2 sequences: BD-rate in % against x265",
        "toy, on mean curves over 2 sequences: BD-quality at equal rate against x265",
    ]


def test_no_difference_is_neither_good_nor_bad():
    rows = compare(
        [*_records("x265"), *_records("same", 1 + 1e-9), *_records("less", 0.5), *_records("more", 2.0)], ["x265"]
    )
    shown = {codec: (_cell(rows, codec).text, _cell(rows, codec).tone) for codec in ("same", "less", "more")}
    assert shown == {"same": ("0.0", "none"), "less": ("-50.0", "good"), "more": ("+100.0", "bad")}
    assert _cell(rows, "same", quality=True).text == "0.00"


def test_one_encoder_under_two_names_is_one_line_and_never_the_best_against_itself(tmp_path):
    u02 = 60**0.8
    records = [
        *(*_records("x264"), *_records("x264-roi", alpha=1.0), *_records("x264-roi", 1.2, alpha=u02)),
        *(*_records("x265", 1.5), *_records("x265-roi", 1.5, alpha=1.0), *_records("x265-roi", 1.7, alpha=u02)),
    ]
    rows = compare(records, ["x264", "x264-roi"])
    write(rows, tmp_path, Settings())
    found = {(r.anchor, r.codec, r.u_alpha, r.anchor_u_alpha): r for r in rows if r.sequence == "mean"}
    assert found["x264", "x264-roi", 1.0, None].same_as == "x264"  # files of numbers have all rows
    assert found["x264", "x265-roi", 1.0, None].same_as == "x265"
    means = [b for b in blocks(rows) if b.sequence == "mean" and not b.quality]
    assert [b.anchor for b in means] == ["x264", "x264-roi at the same u_alpha"]
    lines = dict(means[0].lines)
    assert list(lines) == ["x264-roi, u_alpha 0.2", "x265, x265-roi", "x265-roi, u_alpha 0.2"]
    assert lines["x264-roi, u_alpha 0.2"][0].best and means[0].reasons == ["x264-roi: the very bits of x264"]
    assert "| 0.0 |" not in (tmp_path / "bd_rate.md").read_text()
    (alone,) = {b.anchor: dict(b.lines) for b in blocks(compare(records[:8], ["x264"])) if not b.quality}.values()
    assert list(alone) == ["x264-roi"]  # nothing else to show


def test_bd_quality_stands_beside_bd_rate_with_its_own_reason():
    records = [*_records("x265"), *_records("up", shift=1.0), *_records("far", 100.0)]
    rows = compare(records, ["x265"])
    up, far = (_row(rows, codec=c, sequence="a", metric="psnr") for c in ("up", "far"))
    assert up.bd_quality == pytest.approx(1.0) and up.quality_reason is None
    assert far.bd_rate == pytest.approx(9900) and far.bd_quality is None
    assert "overlap by 0%" in far.quality_reason and far.reason is None
    mean = _row(rows, codec="up", sequence="mean", metric="psnr")
    assert mean.bd_quality == pytest.approx(1.0) and mean.sequences_with_quality == 1
    assert _cell(rows, "up", quality=True).text == "+1.00" and _cell(rows, "up", quality=True).tone == "good"


def test_a_lower_lpips_is_good_and_the_best_of_its_column():
    records = [*_records("x265", metrics=()), *_records("less", metrics=()), *_records("more", metrics=())]
    for r in records:
        r.metrics["lpips"] = 0.5 - 0.1 * r.point["crf"] + {"x265": 0, "less": -0.02, "more": 0.01}[r.codec]
    rows = compare(records, ["x265"])
    less, more = (_cell(rows, c, metric="lpips", quality=True) for c in ("less", "more"))
    assert (less.text, less.tone, less.best) == ("-0.0200", "good", True)
    assert (more.text, more.tone, more.best) == ("+0.0100", "bad", False)
    (block,) = [b for b in blocks(rows) if b.sequence == "mean" and b.quality]
    assert block.heads[block.metrics.index("lpips")] == "LPIPS ↓"


def test_mean_curve_is_one_number_for_averaged_points():
    """The second sequence takes ten times the bits, so that its threefold rate weighs ten times as much."""
    records = [*_records("x265"), *_records("x265", 10.0, "b"), *_records("mine"), *_records("mine", 30.0, "b")]
    rows = compare(records, ["x265"])
    assert _row(rows, sequence="mean", metric="psnr").bd_rate == pytest.approx((0 + 200) / 2)
    curve = _row(rows, sequence="mean curve", metric="psnr")
    assert curve.bd_rate == pytest.approx(100 * (31 / 11 - 1))
    assert (curve.sequences, curve.sequences_with_number, curve.reason) == (2, 2, None)


def test_mean_curve_says_which_sequences_and_points_it_lacks():
    records = [*_records("x265"), *_records("x265", sequence="b"), *_records("mine"), *_records("mine", sequence="b")]
    five = [*records, *_records("x265", sequence="c")]
    row = _row(compare(five, ["x265"]), sequence="mean curve", metric="psnr")
    assert row.bd_rate == pytest.approx(0) and row.reason == "over 2 of 3 sequences (without c)"
    assert _cell(compare(five, ["x265"]), "mine", "mean curve").text == "0.0 (2 of 3)"
    row = _row(compare(records[:-1], ["x265"]), sequence="mean curve", metric="psnr")
    assert row.reason == "mine has 3 points, 4 are needed; mine without crf 3, which not every sequence has"


def test_points_lost_to_failed_jobs_are_said_wherever_they_are_missed():
    records = [*_records("x265"), *_records("mine", 0.5), *_records("x265", sequence="b"), *_records("mine", 0.5, "b")]
    lost = records.pop()
    failure = Failure(lost.codec, lost.point, lost.dataset, lost.sequence, "the encoder ran out of memory")
    rows = [r for r in compare(records, ["x265"], failures=[failure]) if r.metric == "psnr"]
    said = "mine failed at crf 3: the encoder ran out of memory"
    assert _row(rows, sequence="a").reason is None
    assert _row(rows, sequence="b").reason == f"mine has 3 points, 4 are needed; {said}"
    assert said in _row(rows, sequence="mean").reason and said in _row(rows, sequence="mean curve").reason
    assert said in _row(rows, sequence="b").quality_reason


def test_codec_of_which_every_job_failed_has_a_row_with_the_reason():
    failures = [Failure("vvenc", {"qp": q}, "toy", "a", "no FFmpeg with libvvenc") for q in (22.0, 27.0)]
    rows = compare([*_records("x265"), *_records("mine")], ["x265"], failures=failures)
    row = _row(rows, codec="vvenc", sequence="a", metric="psnr")
    assert row.bd_rate is None and row.reason == "vvenc failed at qp 22 and qp 27: no FFmpeg with libvvenc"
    failures = [Failure("x265", {"crf": 29.0}, "toy", "a", "killed")]
    rows = compare(_records("mine"), ["x265"], failures=failures)  # the anchor itself: a row and not an error
    assert _row(rows, codec="mine", sequence="a", metric="psnr").reason == "x265 failed at crf 29: killed"


def test_a_metric_without_any_value_is_no_column_but_a_note_and_rows_with_the_reason(tmp_path):
    factors = {"x265": 1.0, "a": 0.9, "b": 0.8}
    records = [r for c, f in factors.items() for s in ("1", "2") for r in _records(c, f, sequence=s)]
    reason = "lpips_alex.pth is missing; put it into the folder of weights"
    for r in records:
        r.meta["unavailable"] = {"lpips": reason}
    rows = compare(records, ["x265"])
    assert {(r.reason, r.measured) for r in rows if r.metric == "lpips" and r.sequence == "1"} == {
        (f"no value: {reason}", False)
    }
    assert all(b.metrics == ["psnr", "psnr_roi"] and not b.reasons for b in blocks(rows))
    write(rows, tmp_path, Settings(), notes.collect(records, [], []))
    for table in ("bd_rate.md", "bd_rate.tex"):
        assert (tmp_path / table).read_text().count("LPIPS") == 1
    for r in records:
        r.metrics["lpips"] = 0.5 - r.metrics["psnr"] / 100  # of one codec: a column, and the others say why not
    for r in (r for r in records if r.codec == "b"):
        del r.metrics["lpips"]
    (block,) = [b for b in blocks(compare(records, ["x265"])) if b.sequence == "mean curve" and not b.quality]
    assert block.metrics[-1] == "lpips" and block.reasons == [f"b, LPIPS: no value: {reason}"]


def test_a_column_without_any_number_is_a_line_that_says_why():
    records = [*_records("x265"), *_records("mine", 0.5), *_records("other", 0.8)]
    for r in records:
        r.metrics["kid"] = 0.1 * (r.point["crf"] % 2)  # neither rises nor falls
    table = {b.sequence: b for b in blocks(compare(records, ["x265"])) if not b.quality}["mean"]
    assert table.metrics == ["psnr", "psnr_roi"] and table.heads == ["PSNR", "ROI PSNR"]
    assert [len(cells) for _, cells in table.lines] == [2, 2]
    assert (
        all(line.startswith("KID: no number on 1 of 1 sequences (a)") for line in table.reasons[:1]) and table.reasons
    )
    for r in records:
        r.metrics = {"kid": r.metrics["kid"]}
    (only, *_) = blocks(compare(records, ["x265"]))
    assert only.metrics == ["kid"]  # else there would be no table


def test_missing_weights_are_one_line_that_says_which_file_goes_where():
    def missing(file):
        return f"weights file {file} is missing; put it into ~/w, or name its folder by weights_dir or $PVC_WEIGHTS"

    records = [*_records("x265"), *_records("mine", 0.5)]
    for r in records:
        r.meta["unavailable"] = {
            **dict.fromkeys(("lpips", "lpips_roi", "lpips_bg"), missing("alex.pth")),
            "dists": f"{missing('vgg.pth')}; {missing('dists.pt')}",
            "vmaf": "weights file of another kind",
        }
    said = notes.collect(records, [], [])
    assert said == [
        "VMAF: weights file of another kind (a)",
        "Not measured for want of weights: LPIPS (alex.pth); DISTS (vgg.pth and dists.pt). "
        "Put them into ~/w, or name their folder by weights_dir or $PVC_WEIGHTS",
    ]


def test_metrics_that_look_through_the_network_of_a_training_loss_are_named():
    records = [*_records("x265", metrics=("psnr", "lpips")), *_records("mine", 0.5, metrics=("psnr", "feat_vgg16"))]
    for r in records:
        r.meta = {"made_by": {"codec": {"loss_networks": ["vgg16"]} if r.codec == "mine" else {}}}
    assert notes.collect(records, [], []) == [
        "mine: trained with features of vgg16 in the loss; the same network is behind VGG16 features, which favours "
        "such codecs; other networks are behind LPIPS"
    ]
    assert notes.collect(records[4:], [], [])[0].endswith("; no metric here looks through another")


def test_codecs_that_take_maps_are_compared_at_the_same_u_alpha():
    u02, u06 = 60**0.8, 60**0.4
    records = [
        *_records("x265"),
        *[r for alpha, f in ((1.0, 1.0), (u06, 1.5), (u02, 2.0)) for r in _records("x265-roi", f, alpha=alpha)],
        *[r for alpha, f in ((1.0, 0.5), (u02, 1.0)) for r in _records("mine", f, alpha=alpha)],
    ]
    rows = [r for r in compare(records, ["x265-roi"]) if r.metric == "psnr" and r.sequence == "a"]
    plain = {(r.codec, r.u_alpha): round(r.bd_rate) for r in rows if not r.at_same_u_alpha}
    assert plain == {
        ("x265", None): 0,
        ("x265-roi", 0.6): 50,
        ("x265-roi", 0.2): 100,
        ("mine", 1): -50,
        ("mine", 0.2): 0,
    }
    (same,) = [r for r in rows if r.at_same_u_alpha]
    assert (same.codec, same.u_alpha, same.anchor_u_alpha, round(same.bd_rate)) == ("mine", 0.2, 0.2, -50)


def test_a_table_at_the_same_u_alpha_says_so_and_only_lines_of_one_u_alpha_compete(tmp_path):
    pairs = [(60**0.8, "x265-roi", 1.0), (60**0.8, "a", 0.5), (60**0.8, "b", 0.8), (60.0, "x265-roi", 1.0)]
    records = [r for alpha, name, f in [*pairs, (60.0, "a", 0.4)] for r in _records(name, f, alpha=alpha)]
    rows = compare(records, ["x265-roi"])  # which has no curve without ROI at all
    write(rows, tmp_path, Settings())
    markdown = (tmp_path / "bd_rate.md").read_text()
    assert "toy, mean of the BD-rates of one sequence: BD-rate in % against x265-roi at the same u_alpha" in markdown
    assert "| a, u_alpha 0.2 | **-50.0** |" in markdown and "| b, u_alpha 0.2 | -20.0 |" in markdown
    assert "| a, u_alpha 0 | -60.0 |" in markdown
    assert r"against x265-roi at the same $u_\alpha$" in (tmp_path / "bd_rate.tex").read_text()
    with (tmp_path / "bd_rate.csv").open() as file:
        assert {(r["u_alpha"], r["anchor_u_alpha"]) for r in csv.DictReader(file)} == {("0.2", "0.2"), ("0.0", "0.0")}


def _compiled(tmp_path, tex):
    """Text of the PDF's log."""
    document = "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(f"{document}{tex}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]


def test_latex_has_the_best_in_bold_and_compiles(tmp_path):
    records = [
        *_records("x265_slow"),
        *_records("50%_less&more", 0.5),
        *_records("mine", 0.8, alpha=60**0.8),
        *_records("far", shift=50),
    ]
    for r in records:
        r.dataset, r.metrics["lpips"] = "toy_set#1", 0.5 - 0.1 * r.metrics["psnr"] / 40
    write(compare(records, ["x265_slow"]), tmp_path, Settings(), ["100% of {notes}\nare ~one~ line"])
    latex = (tmp_path / "bd_rate.tex").read_text()
    assert r"50\%\_less\&more & \textbf{$-$50.0} & \textbf{$-$50.0}" in latex
    assert r"mine, $u_\alpha$ 0.2 & $-$20.0 & $-$20.0" in latex
    assert r"PSNR (dB) $\uparrow$" in latex and r"LPIPS $\downarrow$" in latex
    assert r"\caption{toy\_set\#1, mean of the BD-rates of one sequence: BD-rate in \% against x265\_slow." in latex
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex to compile the tables with")
    _compiled(tmp_path, latex)
    many = [r for c in ("x265", "mine") for s in range(40) for r in _records(c, sequence=str(s))]
    write(compare(many, ["x265"]), tmp_path, Settings())  # one table after another, more than LaTeX keeps waiting
    _compiled(tmp_path, (tmp_path / "bd_rate.tex").read_text())
