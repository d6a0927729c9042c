"""The report of a study: what it says of voters whose preference is known, and its files."""

import csv
import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pvc.errors import ConfigError, DataError
from pvc.study import report
from pvc.study.ballot import load_ballots
from pvc.study.result import as_json, evaluate
from pvc.study.simulate import Clock, Voters, take_part
from pvc.study.store import open_store
from pvc.study.taking_part import Desk
from tests.study.conftest import paper_study, quick

LOG_ODDS = {f"video {k}": x for k, x in enumerate((2.0, 1.6, 1.4, 1.2, 1.1, 0.9, 0.8, 0.0, -0.5, -0.9))}


def vote(desk, participants, rng, taste=0.5, careless=0):
    """Simulated participants, of whom the first do not look."""
    clock = Clock()
    desk._clock = clock
    for number in range(participants):
        mine = {v.video: v.winner for v in Voters(LOG_ODDS, taste).ask(1, rng)}
        look = number >= careless
        take_part(desk, clock, f"w{number}", lambda pair, mine=mine, look=look: (
            (pair.better or mine[pair.video]) if look else ("bad" if pair.better else "importance")
        ))  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A study with forty participants, twelve of whom answer 'importance' always and get sanity pairs wrong."""
    sessions = quick(open_store(tmp_path_factory.mktemp("report")))
    study = paper_study(notes=("rates differ",))
    vote(Desk(study, sessions), 40, np.random.default_rng(2), careless=12)
    yield evaluate(study, load_ballots(study, sessions))
    sessions.engine.dispose()


def test_known_preferences_are_found_and_who_does_not_look_is_left_out(result):
    assert len(result.counted) == 28 and all(b.excluded.startswith("sanity pair wrong") for b in result.excluded)
    (one,) = result.comparisons
    truth = Voters(LOG_ODDS, 0.5).fractions
    assert all(f.answers == 28 for f in one.videos)
    assert sum(f.interval[0] <= truth[f.video] <= f.interval[1] for f in one.videos) >= 8
    mean = float(np.mean(list(truth.values())))
    assert one.overall.interval[0] <= mean <= one.overall.interval[1]
    assert one.overall.fraction == pytest.approx(mean, abs=0.08)
    assert one.overall.odds == pytest.approx(one.overall.fraction / (1 - one.overall.fraction))
    assert sum(one.tally[key] for key in ("ahead", "level", "behind")) == 10
    # Those who do not look would have moved it: they answered 'importance' each time.
    everyone = [v for ballot in result.ballots for v in ballot.votes()]
    assert np.mean([v.winner == "importance" for v in everyone]) > one.overall.fraction + 0.05


def test_the_normal_approximation_is_there_for_comparison_with_the_paper(result):
    found = evaluate(result.study, result.ballots, "normal").comparisons[0].videos[0]
    p = found.value
    assert found.interval[0] == pytest.approx(p - 1.96 * math.sqrt(p * (1 - p) / 28), abs=1e-3)
    with pytest.raises(ConfigError, match="wilson, normal"):
        evaluate(result.study, result.ballots, "bayes")


def test_all_files_are_written_and_agree(result, tmp_path):
    assert report.write(result, tmp_path) == tmp_path / "report.html"
    names = {path.name for path in tmp_path.iterdir()}
    figures = {f"preference.{suffix}" for suffix in ("png", "svg", "pdf")}
    assert names == {"report.html", "report.md", "report.json", "answers.csv"} | figures
    found = json.loads((tmp_path / "report.json").read_text())
    rows = list(csv.DictReader((tmp_path / "answers.csv").open()))
    assert len(rows) == 40 * 13
    counted = [row for row in rows if row["counts"] == "1"]
    for video in found["comparisons"][0]["videos"]:
        own = [row["preferred"] for row in counted if row["video"] == video["video"]]
        assert (own.count("importance"), len(own)) == (video["wins"], video["answers"])
    assert len(found["participants"]["excluded"]) == 12
    odds = found["comparisons"][0]["overall"]["odds"]
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert f"{odds:.2f} times as often" in text and "sanity pair wrong" in text and "rates differ" in text
        assert all(b.participant in text for b in result.excluded) and "w0" not in text  # ids, no worker ids
    assert "http" not in (tmp_path / "report.html").read_text()  # needs nothing else


def test_the_figure_shows_bars_intervals_and_names(result, tmp_path):
    report.write(result, tmp_path)
    with Image.open(tmp_path / "preference.png") as image:
        colours = {tuple(int(c[k : k + 2], 16) for k in (1, 3, 5)) for c in (report.figure.AHEAD, report.figure.WHOLE)}
        assert colours <= {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
    said = "".join(ElementTree.parse(tmp_path / "preference.svg").getroot().itertext())
    assert all(video in said for video in LOG_ODDS) and "28 participants" in said
    assert (tmp_path / "preference.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_answers_give_the_same_files(result, tmp_path):
    report.write(result, tmp_path / "a")
    report.write(result, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_three_codecs_get_strengths(sessions, tmp_path):
    study, clock = paper_study(videos=4, codecs=("best", "middle", "plain")), Clock()
    desk, rng, order = Desk(study, sessions, clock), np.random.default_rng(1), ("best", "middle", "plain")
    for number in range(20):
        take_part(desk, clock, f"w{number}", lambda pair: pair.better or (
            min if rng.random() < 0.8 else max)((side.codec for side in pair.sides), key=order.index))  # fmt: skip
    result = evaluate(study, load_ballots(study, sessions))
    assert [s.codec for s in result.strengths.strengths] == ["best", "middle", "plain"]
    assert [one.codec for one in result.comparisons] == ["best", "middle"]
    report.write(result, tmp_path)
    assert (tmp_path / "strengths.svg").is_file() and "Bradley-Terry" in (tmp_path / "report.md").read_text()
    assert as_json(result)["bradley_terry"]["strengths"][0]["codec"] == "best"


def test_names_cannot_break_the_page(sessions, tmp_path):
    study, clock = paper_study(videos=3, codecs=("<script>x</script>", "a|b"), sanity=0), Clock()
    desk = Desk(study, sessions, clock)
    for who in "ab":
        take_part(desk, clock, who, lambda pair: pair.sides[0].codec)
    report.write(evaluate(study, load_ballots(study, sessions)), tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "at least" in html  # all agree: odds without an upper end
    assert json.loads((tmp_path / "report.json").read_text())["comparisons"][0]["overall"]["odds"] == "inf"


def test_a_single_participant_gets_no_overall_interval(sessions, tmp_path):
    study, clock = paper_study(), Clock()
    take_part(Desk(study, sessions, clock), clock, "only", lambda pair: pair.better or pair.sides[0].codec)
    result = evaluate(study, load_ballots(study, sessions))
    assert result.comparisons[0].overall is None and "single participant" in result.notes[-1]
    report.write(result, tmp_path)
    assert "no telling" in (tmp_path / "report.md").read_text()


def test_without_answers_that_count_there_is_one_line(sessions):
    study, clock = paper_study(), Clock()
    with pytest.raises(DataError, match="nobody has taken part"):
        evaluate(study, [])
    take_part(Desk(study, sessions, clock), clock, "left", lambda pair: pair.sides[0].codec, pairs=3)
    with pytest.raises(DataError, match=r"1 took part, none of whose answers count.*not finished"):
        evaluate(study, load_ballots(study, sessions))
