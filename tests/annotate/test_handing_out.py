"""Participants and their clips, on both databases: who gets what, when it may be finished, and the log of strokes."""

import threading
from collections import Counter

import pytest
from sqlalchemy import select

from pvc.annotate import log
from pvc.annotate.desk import ABANDONED, Conflict, Desk, TooEarly
from pvc.annotate.store import Base, Session, open_store, sqlite_url
from pvc.annotate.work import Work
from pvc.errors import ConfigError
from pvc.web.access import new_id

CLIPS = ["car", "cat", "crowd", "river"]


@pytest.fixture(params=["sqlite", "postgresql"])
def sessions(request, tmp_path):
    """An empty collection in either database."""
    if request.param == "sqlite":
        sessions = open_store(sqlite_url(tmp_path))
    else:
        sessions = open_store(request.getfixturevalue("postgres_url"))
        with sessions.begin() as db:  # the server is the whole module's
            for table in reversed(Base.metadata.sorted_tables):
                db.execute(table.delete())
    Work(tmp_path).claim(sessions)
    yield sessions
    sessions.engine.dispose()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def the_desk(sessions, each=2, seconds=180.0):
    clock = Clock()
    return Desk(sessions, CLIPS, each, seconds, clock), clock


def finish(desk, sessions, session):
    with sessions.begin() as db:
        desk.finish(db, session.id)


def test_everybody_gets_so_many_clips_and_no_clip_twice(sessions):
    desk, _ = the_desk(sessions, each=3)
    person = desk.join(new_id(), None)
    seen = []
    for done in range(3):
        standing = desk.standing(person)
        assert (standing.done, standing.total) == (done, 3)
        seen.append(standing.session.clip)
        finish(desk, sessions, standing.session)
    assert len(set(seen)) == 3
    end = desk.standing(person)
    assert (end.done, end.session) == (3, None)
    assert desk.everybody() == [(person.id, None, 1000.0, 3, person.code)]


def test_clips_are_painted_equally_often_by_people_who_join_at_once(sessions):
    desk, _ = the_desk(sessions, each=2)
    people, failures = [], []

    def paint_two():
        try:
            person = desk.join(new_id(), None)
            for _ in range(2):
                finish(desk, sessions, desk.standing(person).session)
            people.append(person)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=paint_two, daemon=True) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and len(people) == 10
    with sessions() as db:
        counts = Counter(db.scalars(select(Session.clip)))
    assert sum(counts.values()) == 20 and set(counts) == set(CLIPS)
    # Whoever has painted the least painted clip already gets the next one, so they differ by that at most.
    assert max(counts.values()) - min(counts.values()) <= 2


def test_the_order_of_clips_is_not_the_same_for_everybody(sessions):
    desk, _ = the_desk(sessions, each=1)
    first = {desk.standing(desk.join(new_id(), None)).session.clip for _ in range(4)}
    assert first == set(CLIPS)


def test_a_clip_that_somebody_left_unfinished_is_given_to_others_again(sessions):
    desk, clock = the_desk(sessions, each=1)
    left = desk.standing(desk.join(new_id(), None)).session.clip
    for _ in range(3):
        finish(desk, sessions, desk.standing(desk.join(new_id(), None)).session)
    clock.now += ABANDONED + 1
    assert desk.standing(desk.join(new_id(), None)).session.clip == left


def test_the_minimum_time_is_counted_by_the_server(sessions):
    desk, clock = the_desk(sessions, seconds=180)
    session = desk.standing(desk.join(new_id(), None)).session
    clock.now += 100
    with pytest.raises(TooEarly) as caught:
        desk.check_time(session)
    assert caught.value.seconds_left == 80
    clock.now += 80
    desk.check_time(session)


def test_a_worker_takes_part_once_and_cookies_find_their_own(sessions):
    desk, _ = the_desk(sessions)
    mine, theirs = desk.join("cookie-1", "worker-1"), desk.join("cookie-2", None)
    with pytest.raises(Conflict, match="taken part already"):
        desk.join("cookie-3", "worker-1")
    assert desk.find("cookie-1").id == mine.id and desk.find("cookie-3") is None and desk.find(None) is None
    session = desk.standing(mine).session.id
    assert desk.session_of("cookie-1", session).id == session
    assert desk.session_of("cookie-2", session) is None and theirs.id != mine.id


def test_a_clip_that_is_taken_out_of_the_folder_is_replaced(sessions):
    desk, _ = the_desk(sessions, each=2)
    person = desk.join(new_id(), None)
    gone = desk.standing(person).session.clip
    fewer = Desk(sessions, [clip for clip in CLIPS if clip != gone], 2, 0.0)
    assert fewer.standing(person).session is None
    with sessions.begin() as db:
        fewer.hand_out(db, person.id)
    assert fewer.standing(person).session.clip != gone


def test_the_log_keeps_what_it_answered_for_and_nothing_twice(sessions):
    desk, _ = the_desk(sessions)
    person = desk.join(new_id(), None)
    session = desk.standing(person).session.id
    items = [{"kind": "stroke", "points": [[0.1, 2.25, 1.5e-07]], "n": n} for n in range(6)]
    assert log.append(sessions, session, 1, items[:2]) == 2
    assert log.append(sessions, session, 1, items[:4]) == 4  # the answer was lost, and more came in the meantime
    assert log.append(sessions, session, 2, items[1:3]) == 4
    assert log.append(sessions, session, 5, []) == 4
    with pytest.raises(Conflict, match="items 5 to 5 of the log are missing"):
        log.append(sessions, session, 6, items[5:])
    with pytest.raises(Conflict, match="another window"):
        log.append(sessions, session, 4, [items[0]])
    assert log.items(sessions, session) == items[:4]
    finish(desk, sessions, desk.standing(person).session)
    with pytest.raises(Conflict, match="finished"):
        log.append(sessions, session, 5, items[4:])


def test_two_windows_that_write_at_once_do_not_overwrite_each_other(sessions):
    desk, _ = the_desk(sessions)
    session = desk.standing(desk.join(new_id(), None)).session.id
    outcomes = []

    def write(who):
        try:
            outcomes.append(log.append(sessions, session, 1, [{"who": who}]))
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=write, args=(who,), daemon=True) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes, key=str) == [1] + ["refused"] * 5
    assert len(log.items(sessions, session)) == 1


def test_a_folder_belongs_to_one_database_and_one_server(sessions, tmp_path):
    work = Work(tmp_path)
    assert work.claim(sessions) == work.claim(sessions)  # the next start
    other = Work(tmp_path / "other")
    with other.alone():
        with pytest.raises(ConfigError, match="another collection"):
            other.claim(sessions)
        with pytest.raises(ConfigError, match="served or prepared by another pvc"), other.alone():
            pass
    with other.alone():
        pass
