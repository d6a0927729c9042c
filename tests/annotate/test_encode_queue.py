"""Re-encodes of many people on few cores, in real worker processes."""

import os
import signal
import time

import numpy as np
import psutil
import pytest

from pvc.annotate import queue as queue_module
from pvc.annotate.flow_bin import read_flow
from pvc.annotate.maps import paint, write_values
from pvc.annotate.queue import EncodeQueue, Work
from tests.annotate.painting import FPS, ON_DISK


@pytest.fixture(scope="module")
def work(ready, tmp_path_factory):
    """Makes work that is named ``name``."""
    folder = tmp_path_factory.mktemp("queue")
    write_values(folder / "map.mkv", paint(ON_DISK, read_flow(ready.folder / "flow.bin"), ready.grid), ready.rate)
    return lambda name: Work(ready.folder, folder / "map.mkv", folder / f"{name}.mp4")


@pytest.fixture(scope="module")
def queue(work):
    """A queue of one worker that is warm, and what it told of its tickets."""
    told = []
    with EncodeQueue(1, on_change=lambda ticket, status: told.append((ticket, status.state))) as queue:
        queue.told = told
        assert end(queue, queue.submit("warm", work("warm"))).state == "done"
        yield queue


def end(queue, ticket, timeout=120):
    """The ticket's last status."""
    limit = time.monotonic() + timeout
    while not (status := queue.status(ticket)).final and time.monotonic() < limit:
        queue.wait(ticket, status.version, 1)
    return status


def order(queue, *tickets):
    """The tickets in the order in which they were begun."""
    return list(dict.fromkeys(t for t, state in queue.told if state == "running" and t in tickets))


def test_a_reencode_comes_back_with_its_numbers(ready, queue, work):
    one = work("one")
    status = end(queue, queue.submit("a", one))
    assert (status.state, status.fraction, status.error) == ("done", 1.0, None)
    assert status.result.kbps == pytest.approx(ready.target_kbps, rel=0.02)
    assert one.out.is_file()
    states = [state for ticket, state in queue.told if ticket == max(t for t, _ in queue.told)]
    assert states[:2] == ["queued", "running"]
    assert states.count("done") == 1


def test_sessions_take_turns_and_are_told_how_many_come_first(queue, work):
    blocker = queue.submit("z", work("z"))
    first = queue.submit("a", work("a1"))
    other = queue.submit("b", work("b1"))
    newer = queue.submit("a", work("a2"))  # takes the place of the one that waits
    third = queue.submit("c", work("c1"))
    assert queue.status(first).state == "cancelled"
    assert [queue.status(t).ahead for t in (newer, other, third)] == [1, 2, 3] or queue.status(blocker).final
    for ticket in (blocker, newer, other, third):
        assert end(queue, ticket).state == "done"
    assert order(queue, first, newer, other, third) == [newer, other, third]
    assert not work("a1").out.exists()


def test_a_newer_reencode_of_a_session_stops_the_one_that_runs(queue, work):
    older = queue.submit("a", work("older"))
    while queue.status(older).state == "queued":
        queue.wait(older, queue.status(older).version, 1)
    newer = queue.submit("a", work("newer"))
    assert end(queue, older).state == "cancelled"
    assert end(queue, newer).state == "done"
    assert not work("older").out.exists()
    assert not [f for f in work("older").out.parent.iterdir() if f.name.startswith(".")]


def test_cancelling_frees_the_core_for_the_next(queue, work):
    running, waiting = queue.submit("a", work("x")), queue.submit("b", work("y"))
    queue.cancel(waiting)
    queue.cancel(running)
    assert end(queue, waiting).state == "cancelled"
    assert end(queue, running).state in ("cancelled", "done")  # it may have been done already
    assert end(queue, queue.submit("c", work("next"))).state == "done"
    queue.cancel(running)  # one that is over stays as it is
    queue.cancel(10**9)
    with pytest.raises(KeyError):
        queue.status(10**9)


def test_a_map_that_does_not_fit_fails_in_one_line_and_the_worker_goes_on(queue, work, tmp_path):
    write_values(tmp_path / "small.mkv", np.full((3, 4, 5), 127, np.uint8), FPS)
    status = end(queue, queue.submit("a", work("bad")._replace(map=tmp_path / "small.mkv")))
    assert status.state == "failed"
    assert "are needed" in status.error
    assert "\n" not in status.error
    assert end(queue, queue.submit("a", work("good"))).state == "done"


def test_a_worker_that_is_killed_fails_its_work_alone(work):
    before = workers()
    with EncodeQueue(1) as queue:
        ticket = queue.submit("a", work("killed"))
        while queue.status(ticket).fraction == 0:  # it has begun to code
            queue.wait(ticket, queue.status(ticket).version, 1)
        (child,) = workers() - before
        os.kill(child, signal.SIGKILL)
        status = end(queue, ticket)
        assert status.state == "failed"
        assert "died" in status.error
        assert end(queue, queue.submit("a", work("after"))).state == "done"
        assert child not in workers()


def test_waiting_ends_when_something_changes_and_not_before(queue, work):
    ticket = queue.submit("a", work("w"))
    seen = queue.status(ticket).version
    changed = queue.wait(ticket, seen, 60)
    assert changed.version != seen
    status = end(queue, ticket)
    assert queue.wait(ticket, status.version, 0.01) == status


def test_closing_cancels_everything_and_ends_the_processes(work):
    before = workers()
    queue = EncodeQueue(1)
    tickets = [queue.submit(name, work(name)) for name in "abc"]
    while queue.status(tickets[0]).fraction == 0:
        queue.wait(tickets[0], queue.status(tickets[0]).version, 1)
    assert len(workers() - before) == 1
    queue.close()
    assert {queue.status(t).state for t in tickets[1:]} == {"cancelled"}
    assert workers() == before
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit("a", work("a"))


def test_what_was_over_long_ago_is_forgotten(queue, work, monkeypatch):
    monkeypatch.setattr(queue_module, "KEEP", 3)
    tickets = [queue.submit("a", work("a")) for _ in range(8)]
    end(queue, tickets[-1])
    known = [t for t in tickets if t in queue._status]
    assert known == tickets[-3:]


def workers():
    """The processes that this one has started to work for it."""
    return {p.pid for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())}
