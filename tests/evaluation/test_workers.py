"""Jobs in several processes: the same results as in one, and a process that dies costs its own job only."""

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import torch

from pvc.codecs import load_codec
from pvc.data.clips import ClipFolder
from pvc.errors import VideoError
from pvc.evaluation import evaluate
from pvc.evaluation import workers as workers_module
from pvc.evaluation.workers import Failed, Workers, worker_count
from pvc.metrics import load_metrics
from pvc.video import write_clip


def square(bench: dict, item: int) -> int:
    """What the processes are to do; it goes wrong in several ways."""
    if item == bench.get("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if item == bench.get("refused"):
        raise VideoError("no such\nclip")
    if item == bench.get("bug"):
        raise ZeroDivisionError("oops")
    if item == bench.get("endless"):
        Path(bench["file"]).write_text(str(os.getpid()))
        time.sleep(600)
    return item**2


@pytest.mark.parametrize("count", [1, 2])
def test_every_item_gets_its_result_or_its_reason(count, capfd):
    with Workers(count, {"refused": 3, "bug": 5}) as workers:
        results = dict(workers.map(square, list(range(7))))
        assert dict(workers.map(square, [8])) == {8: 64}
    expected = {i: i**2 for i in range(7)} | {3: Failed("no such clip"), 5: Failed("ZeroDivisionError: oops")}
    assert results == expected
    if count == 1:  # other processes write to where the first of them was started
        assert "Traceback" in capfd.readouterr().err  # a bug can be found


def test_a_killed_process_is_one_failed_item():
    with Workers(2, {"killed": 2}) as workers:
        results = dict(workers.map(square, list(range(6))))
    assert "SIGKILL" in results.pop(2).reason
    assert results == {i: i**2 for i in (0, 1, 3, 4, 5)}


def test_a_process_that_dies_while_it_waits_costs_nothing():
    with Workers(2, {}) as workers:
        assert dict(workers.map(square, list(range(3)))) == {0: 0, 1: 1, 2: 4}
        for worker in workers._workers:
            os.kill(worker.process.pid, signal.SIGKILL)
            worker.process.join()
        assert dict(workers.map(square, list(range(4)))) == {0: 0, 1: 1, 2: 4, 3: 9}


class Deadly:
    """Ends the process that unpacks it."""

    def __reduce__(self) -> tuple:
        return os._exit, (3,)


@pytest.mark.parametrize("when", ["before it is given its first item", "as it comes"])
def test_processes_that_cannot_begin_are_failed_items(monkeypatch, when):
    class Slow(workers_module._Worker):
        def __init__(self, *args):
            super().__init__(*args)
            self.process.join()

    if when != "as it comes":
        monkeypatch.setattr(workers_module, "_Worker", Slow)
    with Workers(2, Deadly()) as workers:
        results = dict(workers.map(square, [0, 1, 2]))
    assert results == dict.fromkeys(range(3), Failed("its process ended with exit code 3"))


@pytest.mark.parametrize(("least", "failed"), [(1, range(4)), (2, [])])
def test_where_no_process_can_be_started_those_there_are_do_the_work(monkeypatch, least, failed):
    begun = []

    class Few(workers_module._Worker):
        def __init__(self, *args):
            begun.append(self)
            if len(begun) >= least:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            super().__init__(*args)

    monkeypatch.setattr(workers_module, "_Worker", Few)
    with Workers(2, {}) as workers:
        results = dict(workers.map(square, list(range(4))))
    reason = Failed("no process can be started: [Errno 11] Resource temporarily unavailable")
    assert results == {i: reason if i in failed else i**2 for i in range(4)}


def test_leaving_stops_what_is_running(tmp_path):
    file = tmp_path / "pid"
    with pytest.raises(KeyboardInterrupt), Workers(2, {"endless": 0, "file": str(file)}) as workers:
        for item, _ in workers.map(square, list(range(3))):
            while item == 2 and not (file.exists() and file.read_text()):
                time.sleep(0.05)
            if item == 2:
                raise KeyboardInterrupt
    assert not psutil.pid_exists(int(file.read_text()))


def _number(bench, item):
    """The process, and the number of the item's kind."""
    time.sleep(0.05)
    return os.getpid(), item[0]


@pytest.mark.parametrize("count", [1, 2])
def test_a_process_goes_on_with_what_it_has_in_memory_and_items_may_be_added(count):
    items, done = [("first", kind) for kind in range(4)], []
    with Workers(count, None) as workers:
        for (stage, kind), (pid, _) in workers.map(_number, items, about=lambda item: item[1]):
            done.append((pid, stage, kind))
            if stage == "first":
                items += [("then", kind)] * 3
    assert len(done) == 16
    switches = 0
    for pid in {pid for pid, _, _ in done}:
        kinds = [kind for p, _, kind in done if p == pid]
        switches += sum(a != b for a, b in pairwise(kinds))
    assert switches <= 4  # 14 if they were begun in their order


def test_number_of_jobs():
    assert worker_count(3) == 3 and worker_count(3, "cuda:1") == 3
    assert worker_count(None) == len(os.sched_getaffinity(0))
    assert worker_count(None, "cuda") == 1


def test_results_do_not_depend_on_the_number_of_jobs(tmp_path):
    generator = torch.Generator().manual_seed(1)
    (tmp_path / "clips").mkdir()
    for name in ("one", "two"):
        clip = (torch.rand(1, 3, 48, 64, generator=generator) * 255).byte().expand(4, -1, -1, -1)
        write_clip(tmp_path / "clips" / f"{name}.mkv", clip.contiguous(), 25)
    clips = ClipFolder(tmp_path / "clips").eval()
    codecs, metrics = [load_codec("x264"), load_codec("x265")], load_metrics(["psnr", "ms_ssim"])
    settings = {"gop": 12, "crf": [25, 35], "frames": None}
    outcomes = [
        evaluate(codecs, clips, metrics, tmp_path / str(jobs), settings | {"jobs": jobs}).records for jobs in (1, 2)
    ]
    one, two = ([(r.job, r.bits, r.metrics, r.meta) for r in records] for records in outcomes)
    assert one == two and len(one) == 8
