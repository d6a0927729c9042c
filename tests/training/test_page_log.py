"""What the page reads back: the log of a run in several parts, its validations, and where they stand."""

import csv
from pathlib import Path

import pytest

from pvc.metrics.bd_rate import gain_at_rate
from pvc.training.page_data import MOST_POINTS, comparison, lines, picture_steps, thinned
from pvc.training.page_history import FINISHED, RESUMED, STARTED, STOPPED, History
from pvc.training.page_live import AnchorCurve
from pvc.training.page_log import Log, read_log, validations

ANCHOR = [("crf 37", 0.1, 29.0), ("crf 32", 0.2, 31.5), ("crf 27", 0.4, 34.0), ("crf 22", 0.8, 36.5)]
CURVE = AnchorCurve("x265", [(label, {"bpp": bpp, "psnr": psnr, "psnr_roi": psnr - 1}) for label, bpp, psnr in ANCHOR])


def write(folder: Path, version: int, rows: list[dict]) -> Path:
    file = folder / f"version_{version}" / "metrics.csv"
    file.parent.mkdir(parents=True)
    with file.open("w", newline="") as f:
        writer = csv.DictWriter(f, sorted({k for row in rows for k in row}))
        writer.writeheader()
        writer.writerows(rows)
    return file


def validation(step: int, factor: float, alpha: str = "1", metric: str = "psnr", drop: float = 0.0) -> Log:
    """Points of the anchor's quality less ``drop`` at ``factor`` times its rate."""
    columns = {}
    for beta, (_, bpp, psnr) in enumerate(ANCHOR, 1):
        columns[f"val/beta={beta}/alpha={alpha}/bpp"] = [(step, factor * bpp)]
        columns[f"val/beta={beta}/alpha={alpha}/{metric}"] = [(step, psnr - drop)]
    return Log(columns)


def test_steps_that_were_done_again_count_once(tmp_path):
    write(tmp_path, 0, [{"step": s, "train/loss": 1.0} for s in range(9)])
    write(tmp_path, 1, [{"step": s, "train/loss": 2.0} for s in range(4, 12)])
    write(tmp_path, 10, [{"step": s, "train/loss": 3.0} for s in range(10, 13)])  # after 1, not between 1 and 2
    log = read_log(tmp_path)
    steps, losses = zip(*log.columns["train/loss"], strict=True)
    assert steps == tuple(range(1, 14))
    assert losses == (1,) * 4 + (2,) * 6 + (3,) * 3


def test_a_validation_that_a_resume_does_again_takes_no_training_step_away(tmp_path):
    point = "val/beta=0.0004/alpha=1/bpp"
    write(tmp_path, 0, [{"step": s, "train/loss": 1.0} for s in range(6)] + [{"step": 3, point: 0.5}])
    write(tmp_path, 1, [{"step": 3, point: 0.25}] + [{"step": s, "train/loss": 2.0} for s in range(4, 8)])
    log = read_log(tmp_path)
    assert log.columns["train/loss"] == [(s, 1.0 if s <= 4 else 2.0) for s in range(1, 9)]
    assert log.columns[point] == [(4, 0.25)]


def test_a_line_that_a_kill_cut_is_left_out(tmp_path):
    file = write(tmp_path, 0, [{"step": s, "train/loss": 0.25} for s in range(5)])
    file.write_text(file.read_text()[:-4])  # "4,0." of "4,0.25"
    assert read_log(tmp_path).columns["train/loss"] == [(s, 0.25) for s in range(1, 5)]


def test_a_loss_that_is_not_finite_leaves_a_gap(tmp_path):
    write(tmp_path, 0, [{"step": 0, "train/loss": 1.0}, {"step": 1, "train/loss": "nan"}, {"step": 2, "train/loss": 2}])
    assert read_log(tmp_path).columns["train/loss"] == [(1, 1.0), (3, 2.0)]


def test_a_run_that_has_logged_nothing_has_no_chart(tmp_path):
    assert lines(read_log(tmp_path)) == [] and comparison(read_log(tmp_path), CURVE, "run") is None


def test_long_curves_are_means_over_neighbours():
    series = [(step, float(step)) for step in range(1, 10_001)]
    short = thinned(series)
    assert len(short) <= MOST_POINTS and short[0] == [10, 5.5] and short[-1] == [10_000, pytest.approx(9995.5)]


def test_points_at_half_the_rate_have_a_live_bd_rate_of_minus_50_percent():
    columns = validation(10, 2.0).columns
    for name, series in validation(20, 0.5).columns.items():
        columns[name].extend(series)
    found = comparison(Log(columns), CURVE, "run")
    (history,) = found["bd"]
    assert history == {"name": "PSNR at alpha 1", "points": [[10, pytest.approx(100)], [20, pytest.approx(-50)]]}
    assert found["latest"]["step"] == 20


def test_with_a_region_of_interest_its_psnr_is_what_is_compared():
    found = comparison(validation(10, 1.0, "26.5", "psnr_roi", drop=1.0), CURVE, "run")
    (standing,) = found["latest"]["standings"]
    assert standing["name"] == "ROI PSNR at alpha 26.5" and standing["percent"] == pytest.approx(0, abs=1e-6)


def test_every_point_has_its_distance_at_its_own_rate_or_the_reason():
    found = comparison(validation(10, 1.0, drop=0.7), CURVE, "run")
    assert [g["gain"] for g in found["latest"]["standings"][0]["gains"]] == pytest.approx([-0.7] * 4)
    outside = comparison(validation(10, 1.5), CURVE, "run")["latest"]["standings"][0]["gains"][-1]
    assert outside["gain"] is None and "rate 1.2 lies outside that of x265 (0.1 to 0.8)" in outside["reason"]


def test_of_metrics_where_lower_is_better_a_gain_is_negative():
    anchor = [(0.1, 0.5), (0.2, 0.4), (0.4, 0.3)]
    assert gain_at_rate(anchor, (0.2, 0.35), "feat_squeezenet11").difference == pytest.approx(-0.05)
    assert "is not monotone" in gain_at_rate(anchor, (0.2, 0.35), "psnr").reason


BASE = [(29, 0.20, 34.0, 0.40), (32, 0.13, 32.5, 0.50), (35, 0.09, 31.0, 0.60), (38, 0.06, 29.5, 0.70)]


def layered(bits: bool = True) -> Log:
    """A validation of CPVC: a tenth of the base layer's bits beside it for 0.5 dB and 0.05 of the distance."""
    columns = {}
    for qp, bpp, psnr, distance in BASE:
        values = {"bpp": bpp / 10, "psnr": psnr + 0.5, "feat_squeezenet11": distance - 0.05}
        values |= {"base_psnr": psnr, "base_feat_squeezenet11": distance} | ({"base_bpp": bpp} if bits else {})
        columns |= {f"val/qp={qp}/{name}": [(100, value)] for name, value in values.items()}
    return Log(columns)


def test_cpvc_is_compared_with_its_base_layer_at_the_rate_of_both_together():
    found = comparison(layered(), CURVE, "run")
    assert found["anchor"] == "base layer"
    psnr, features = found["latest"]["standings"]
    at = next(g for g in psnr["gains"] if g["label"] == "qp 35")
    assert at["gain"] == pytest.approx(
        gain_at_rate([(bpp, value) for _, bpp, value, _ in BASE], (0.099, 31.5)).difference
    )
    assert psnr["percent"] is not None and features["name"] == "SqueezeNet features" and features["percent"] < 0
    assert found["rd"]["curves"][0]["name"] == "base layer"


def test_a_base_layer_of_unknown_rate_has_a_reason():
    found = comparison(layered(bits=False), CURVE, "run")
    assert "does not say how many bits" in found["reason"]
    assert all(s["percent"] is None for s in found["latest"]["standings"])


def test_a_point_whose_rate_is_not_finite_is_left_out():
    log = validation(10, 1.0)
    del log.columns["val/beta=2/alpha=1/bpp"]
    assert comparison(log, CURVE, "run")["latest"]["standings"][0]["reason"] == "run has 3 points, 4 are needed"


def test_points_are_ordered_by_their_rate_parameter():
    names = ("0.0016", "1e-05", "0.0004")
    log = Log({f"val/beta={b}/alpha=1/bpp": [(1, 0.1)] for b in names})
    assert [label for label, _ in validations(log)[0].groups["alpha=1"]] == ["beta 1e-05", "beta 0.0004", "beta 0.0016"]


def test_the_first_and_the_newest_picture_are_always_shown():
    names = [f"step={s}.png" for s in range(1000, 51_000, 1000)] + ["notes.txt", ".step=1.png.partial"]
    steps = picture_steps(names, most=6)
    assert len(steps) == 6 and steps[0] == 1000 and steps[-1] == 50_000
    assert picture_steps(["step=5.png"]) == [5] and picture_steps([]) == []


def test_the_history_tells_of_a_kill_that_left_no_word(tmp_path):
    file = tmp_path / "logs" / "history.json"
    History(file).note(STARTED, 0)
    History(file).note(RESUMED, 100)
    History(file).note(STOPPED, 150, "interrupted")
    history = History(file)
    history.note(RESUMED, 150)
    history.note(FINISHED, 200)
    told = [event.split(" 2")[0] for event in history.told]
    assert told[1] == "ended without a word (killed, or the machine went down)"
    assert [told[0], *told[2:]] == ["started", "resumed", "stopped", "resumed", "finished"]
    assert history.told[3].endswith("at step 150: interrupted")
    file.write_text("{")
    assert History(file).events == []
