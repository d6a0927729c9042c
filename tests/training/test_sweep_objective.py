"""What a search minimises: mean BD-rates or qualities over the clips against an anchor, weighted."""

import pytest

from pvc.errors import ConfigError, TrainingError
from pvc.evaluation.records import Record
from pvc.sweep.judge import objective


def curve(codec: str, share: float, clip: str, alpha: float = 1.0, lift: float = 0.0) -> list[Record]:
    """Four points; PSNR rises by 6 dB with twice the bits. ``share`` of the anchor's bits and ``lift`` dB more."""
    points = []
    for i in range(4):
        bpp = 0.1 * 2**i
        psnr = {"psnr": 30 + 6 * i + lift, "psnr_roi": 33 + 6 * i + lift}
        common = dict(frames=2, width=64, height=64, fps=25.0, gop=2, bits=1, kbps=1.0)
        common |= dict(encode_seconds=1.0, decode_seconds=1.0, dataset="set", sequence=clip)
        point = {"crf": 30 - i} if codec == "x265" else {"beta": 1e-3 / 2**i, "alpha": alpha}
        points.append(Record(codec=codec, point=point, bpp=bpp * share, metrics=psnr, **common))
    return points


def term(**changes) -> dict:
    return {"anchor": "x265", "metric": "psnr", "measure": "bd_rate", "u_alpha": 1, "weight": 1} | changes


RECORDS = [*curve("x265", 1, "a"), *curve("x265", 1, "b"), *curve("mine", 0.5, "a"), *curve("mine", 0.75, "b")]


def test_it_is_the_mean_bd_rate_over_the_clips():
    assert objective(RECORDS, "mine", [term()]) == pytest.approx((-50 - 25) / 2, abs=0.01)
    assert objective(RECORDS, "mine", [term(weight=2), term(metric="psnr_roi")]) == pytest.approx(-112.5, abs=0.01)


def test_quality_at_equal_rate_counts_where_it_is_missing():
    records = [*curve("x265", 1, "a"), *curve("mine", 1, "a", lift=-1.5)]
    assert objective(records, "mine", [term(measure="bd_quality")]) == pytest.approx(1.5, abs=0.01)


def test_roi_is_that_of_its_own_curve_against_the_anchor_without():
    roi = curve("mine", 0.25, "a", alpha=60 ** (1 - 0.2))
    records = [*curve("x265", 1, "a"), *curve("mine", 0.5, "a"), *roi]
    assert objective(records, "mine", [term(metric="psnr_roi", u_alpha=0.2)]) == pytest.approx(-75, abs=0.01)


def test_where_there_is_no_number_the_reason_is_told():
    with pytest.raises(TrainingError, match=r"no bd_rate of mine at u_alpha=1 against x265 in psnr: .*overlap"):
        objective([*curve("x265", 1, "a"), *curve("mine", 1, "a", lift=90)], "mine", [term()])
    with pytest.raises(TrainingError, match="no such results"):
        objective(RECORDS, "mine", [term(u_alpha=0.2)])
    for wrong in ({"anchor": "x265", "metric": "psnr"}, term(measure="psnr")):
        with pytest.raises(ConfigError, match="a term has anchor, metric, measure"):
            objective(RECORDS, "mine", [wrong])
