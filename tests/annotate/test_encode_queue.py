"""Re-encodes of many people on few cores, in real worker processes."""

import os
import signal
import time

import numpy as np
import psutil
import pytest

from pvc.annotate import queue as queue_module
from pvc.annotate import worker as worker_module
from pvc.annotate.flow_bin import read_flow
from pvc.annotate.maps import paint, write_values
from pvc.annotate.queue import EncodeQueue, Work
from pvc.annotate.reencode import Cancelled
from tests.annotate.painting import FPS, ON_DISK

HOLD = "PVC_TEST_HOLD"
"""Variable with the name of a file: while it is there, workers stay amid their coding."""


def serve_held(pipe):
    """What a worker process does, for tests that must not depend on how quick it is."""
    code, serve = worker_module.reencode, worker_module._serve

    def held(clip, map_path, out, on_progress, cancelled, ask):
        def tell(share):
            on_progress(share)
            while share > 0.3 and os.path.exists(os.environ[HOLD]):
                if cancelled():
                    raise Cancelled
                time.sleep(0.01)

        return code(clip, map_path, out, tell, cancelled, ask)

    worker_module.reencode = held
    serve(pipe)


@pytest.fixture(scope="module", autouse=True)
def holding(tmp_path_factory):
    """The file that ``HOLD`` names."""
    file = tmp_path_factory.mktemp("hold") / "hold"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOLD, str(file))
        patch.setattr(worker_module, "_serve", serve_held)
        yield file


@pytest.fixture
def hold(holding):
    """Workers stay amid their coding, until this is called."""
    holding.touch()
    yield lambda: holding.unlink(missing_ok=True)
    holding.unlink(missing_ok=True)


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


def until_coding(queue, ticket):
    """Wait until a worker is at it."""
    while (status := queue.status(ticket)).fraction == 0:
        assert not status.final, status
        queue.wait(ticket, status.version, 1)


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


def test_sessions_take_turns_and_are_told_how_many_come_first(queue, work, hold):
    blocker = queue.submit("z", work("z"))
    until_coding(queue, blocker)
    first = queue.submit("a", work("a1"))
    other = queue.submit("b", work("b1"))
    newer = queue.submit("a", work("a2"))  # takes the place of the one that waits
    third = queue.submit("c", work("c1"))
    assert queue.status(first).state == "cancelled"
    assert [queue.status(t).ahead for t in (newer, other, third)] == [1, 2, 3]
    hold()
    for ticket in (blocker, newer, other, third):
        assert end(queue, ticket).state == "done"
    assert order(queue, first, newer, other, third) == [newer, other, third]
    assert not work("a1").out.exists()


def test_a_newer_reencode_of_a_session_stops_the_one_that_runs(queue, work, hold):
    older = queue.submit("a", work("older"))
    until_coding(queue, older)
    newer = queue.submit("a", work("newer"))
    assert end(queue, older).state == "cancelled"
    hold()
    assert end(queue, newer).state == "done"
    assert not work("older").out.exists()
    assert not [f for f in work("older").out.parent.iterdir() if f.name.startswith(".")]


def test_cancelling_frees_the_core_for_the_next(queue, work, hold):
    running, waiting = queue.submit("a", work("x")), queue.submit("b", work("y"))
    until_coding(queue, running)
    queue.cancel(waiting)
    queue.cancel(running)
    assert end(queue, waiting).state == "cancelled"
    assert end(queue, running).state == "cancelled"
    hold()
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


def test_work_that_is_done_just_before_it_hears_that_it_is_not_wanted_leaves_nothing(queue, work, hold):
    older = queue.submit("a", work("older"))
    until_coding(queue, older)
    with queue._changed:  # so that the queue hears nothing of it
        hold()
        while not work("older").out.exists():
            time.sleep(0.01)
        newer = queue.submit("a", work("newer"))
    assert end(queue, older).state == "cancelled"
    assert end(queue, newer).state == "done"
    assert not work("older").out.exists()


def test_a_worker_that_is_killed_fails_its_work_alone(work, hold):
    before = workers()
    with EncodeQueue(1) as queue:
        ticket = queue.submit("a", work("killed"))
        until_coding(queue, ticket)
        (child,) = workers() - before
        os.kill(child, signal.SIGKILL)
        status = end(queue, ticket)
        assert status.state == "failed"
        assert "died" in status.error
        assert not list(work("killed").out.parent.glob("*killed*"))
        hold()
        assert end(queue, queue.submit("a", work("after"))).state == "done"
        assert child not in workers()


def test_waiting_ends_when_something_changes_and_not_before(queue, work, hold):
    ticket = queue.submit("a", work("w"))
    until_coding(queue, ticket)
    seen = queue.status(ticket).version
    hold()
    changed = queue.wait(ticket, seen, 60)
    assert changed.version != seen
    status = end(queue, ticket)
    assert queue.wait(ticket, status.version, 0.01) == status


def test_closing_cancels_everything_and_ends_the_processes(work, hold):
    before = workers()
    queue = EncodeQueue(1)
    tickets = [queue.submit(name, work(name)) for name in "abc"]
    until_coding(queue, tickets[0])
    assert len(workers() - before) == 1
    queue.close()
    assert {queue.status(t).state for t in tickets} == {"cancelled"}
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
