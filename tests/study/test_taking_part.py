"""Joining and answering, with everything stored before it is acknowledged."""

import threading
from contextlib import suppress

import numpy as np
import pytest

from pvc.study.ballot import load_ballots
from pvc.study.plan import Rules
from pvc.study.simulate import Clock, take_part
from pvc.study.store import Base, open_store
from pvc.study.taking_part import Answer, Desk, Taken, TooEarly
from pvc.web.access import hashed
from tests.study.conftest import paper_study, quick

LEFT = Answer("left", 1, 1, 0, "side-by-side", 1.0, 9.0)


@pytest.fixture(params=["sqlite", "postgresql"])
def sessions(request, tmp_path):
    """An empty database of either kind."""
    if request.param == "sqlite":
        opened = quick(open_store(tmp_path))
    else:
        opened = open_store(tmp_path, request.getfixturevalue("postgres_url"))
        with opened.begin() as session:  # the server is the whole module's
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(table.delete())
    yield opened
    opened.engine.dispose()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def desk(sessions, clock):
    return Desk(paper_study(), sessions, clock)


def good(pair):
    return pair.better or "importance"


def test_the_order_is_drawn_once_and_stays(desk, sessions):
    joined = desk.join("c", None)
    again = Desk(desk.study, sessions).find("c")  # another process
    assert [(t.pair, t.left) for t in again.trials] == [(t.pair, t.left) for t in joined.trials]
    assert again.current.position == 1


def test_no_answer_before_both_videos_were_seen(desk, clock):
    desk.join("c", None)
    with pytest.raises(TooEarly, match=r"4\.5 s are left"):
        desk.answer("c", 1, LEFT)  # not even opened
    desk.open("c", 1)
    clock.now += 4
    with pytest.raises(TooEarly, match=r"0\.5 s are left"):
        desk.answer("c", 1, LEFT)
    desk.open("c", 1)  # a reload does not set the time back
    clock.now += 1
    in_turn = Answer("left", 1, 1, 0, "in-turn", 1.0, 9.0)
    with pytest.raises(TooEarly, match=r"4\.5 s are left"):
        desk.answer("c", 1, in_turn)
    assert desk.find("c").current.position == 1
    assert desk.answer("c", 1, LEFT).current.position == 2


def test_the_first_answer_stays(desk, clock):
    desk.join("c", None)
    desk.open("c", 1)
    clock.now += 10
    desk.answer("c", 1, LEFT)
    again = desk.answer("c", 1, Answer("right", 3, 3, 0, "side-by-side", 1.0, 9.0))
    assert again.trials[0].choice == "left" and again.trials[0].plays_left == 1
    assert desk.answer("c", 3, LEFT) is None and desk.open("c", 3) is None  # not its turn
    assert desk.answer("stranger", 1, LEFT) is None


def test_of_two_clicks_at_the_same_moment_one_counts(desk, clock):
    desk.join("c", None)
    desk.open("c", 1)
    clock.now += 10
    barrier, seen = threading.Barrier(4), []

    def answer(number):
        barrier.wait(60)
        choice = ("left", "right")[number % 2]
        seen.append(desk.answer("c", 1, Answer(choice, number + 1, 1, 0, "in-turn", 1.0, 9.0)).trials[0].plays_left)

    at_once(answer)
    assert len(set(seen)) == 1  # all were told of the same answer


def at_once(work, times=4):
    """Call ``work(number)`` in so many threads."""
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_worker_takes_part_once_also_by_two_clicks_at_the_same_moment(desk):
    done, barrier = [], threading.Barrier(4)

    def join(number):
        barrier.wait(60)
        with suppress(Taken):
            done.append(desk.join(f"cookie-{number}", "worker").id)

    at_once(join)
    assert len(done) == 1


def test_studies_in_one_database_do_not_mix(desk, sessions):
    other = Desk(paper_study(id_="e" * 32), sessions)
    desk.join("c", "worker")
    assert other.find("c") is None
    other.join("d", "worker")
    assert desk.progress() == other.progress() == {"joined": 1, "finished": 0}


def test_sanity_failures_leavers_and_one_sided_answers_do_not_count(desk, sessions, clock):
    rng = np.random.default_rng(0)
    for number in range(6):
        take_part(desk, clock, f"honest-{number}", good)
    for number in range(8):
        take_part(desk, clock, f"careless-{number}", lambda pair: pair.sides[rng.integers(2)].codec)
    take_part(desk, clock, "wrong", lambda pair: "bad" if pair.better else "importance")
    take_part(desk, clock, "leaver", good, pairs=6)
    ballots = {b.worker: b for b in load_ballots(desk.study, sessions, ["honest-5"])}
    assert [w for w, b in ballots.items() if b.excluded is None][:5] == [f"honest-{k}" for k in range(5)]
    assert ballots["honest-5"].excluded == "by hand"
    assert ballots["leaver"].excluded == "not finished (6 of 13 pairs)"
    assert ballots["wrong"].disqualified
    for worker, ballot in ballots.items():
        wrong = sum(pair.better is not None and _preferred(trial, pair) == "bad" for trial, pair in ballot.answered)
        if worker != "honest-5" and wrong:
            assert ballot.excluded.startswith("sanity pair wrong")
    assert sum(ballot.disqualified for ballot in ballots.values()) >= 4  # 7 of 8 are, on average, plus one


def _preferred(trial, pair):
    return trial.left if trial.choice == "left" else next(s.codec for s in pair.sides if s.codec != trial.left)


def test_rules_are_the_studys_own(sessions, clock):
    lenient = Desk(paper_study(rules=Rules(sanity_errors=3, unfinished="include", same_side=None)), sessions, clock)
    take_part(lenient, clock, "wrong", lambda pair: "bad" if pair.better else "importance")
    take_part(lenient, clock, "leaver", good, pairs=2)
    assert [ballot.excluded for ballot in load_ballots(lenient.study, sessions)] == [None, None]


def test_always_the_same_side_is_no_preference(sessions, clock):
    desk = Desk(paper_study(sanity=0), sessions, clock)
    desk.join("c", "lefty")
    for position in range(1, 11):
        desk.open("c", position)
        clock.now += 10
        desk.answer("c", position, LEFT)
    (ballot,) = load_ballots(desk.study, sessions)
    assert ballot.excluded == "always the same side (left, 10 times)"


def test_secrets_are_not_stored(desk, clock, sessions):
    take_part(desk, clock, "w", good)
    (ballot,) = load_ballots(desk.study, sessions)
    assert desk.find(hashed("w")) is not None and desk.find("w") is None
    assert len(ballot.participant) >= 32 and len(ballot.code) == 10
