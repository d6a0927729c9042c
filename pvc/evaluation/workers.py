"""Work spread over processes, of which one may die without taking the others along."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch

from pvc.errors import ConfigError, PvcError

Item, Result = TypeVar("Item"), TypeVar("Result")

_GRACE = 3.0
"""Seconds that a process gets to clean up when it is to stop."""


@dataclass(frozen=True)
class Failed:
    """What came of an item instead of a result, and why, in one line."""

    reason: str


class Workers:
    """``count`` processes that each hold a copy of ``bench``; with one, this process does the work itself.

    Every process computes with one thread, so that results do not depend on how many there are. A context manager: on
    leaving it no process is left, whatever it was doing. Inside it SIGTERM raises ``SystemExit(143)``, unless the
    program listens to it itself, so that what the work leaves on the disk for a while is removed.

    Args:
        count: Processes, >= 1.
        bench: What the work is done with; pickled, so that each process has its own.
        modules: Names of modules that the work needs and that are imported once for all processes.
    """

    def __init__(self, count: int, bench: Any, modules: Iterable[str] = ()):
        self._count, self._bench = count, bench
        self._modules = [__name__, *modules]
        self._packed: bytes | None = None
        self._workers: list[_Worker] = []
        self._threads = torch.get_num_threads()
        self._listens = False

    def __enter__(self) -> "Workers":
        torch.set_num_threads(1)
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminated)
            self._listens = True
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._threads)
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.stop()
        self._workers = []
        if self._listens:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def map(
        self,
        work: Callable[[Any, Item], Result],
        items: list[Item],
        about: Callable[[Item], Hashable] = lambda item: None,
    ) -> Iterator[tuple[Item, Result | Failed]]:
        """``(item, work(bench, item))`` of each item, as they finish; they are begun in their order.

        Items are taken out of the list, to which more may be added meanwhile. An exception, or the death of the
        process, is that item's :class:`Failed`; ``work`` is a function that can be imported by its name. ``about`` says
        what an item needs in memory: a process goes on with what its last item was about, then with what no other
        process is at, and only at the end do several share one.
        """
        if self._count == 1:
            at = None
            while items:
                item = items.pop(_next(at, (), map(about, items)))
                at = about(item)
                yield item, _attempt(work, self._bench, item)
            return
        idle, busy = list(self._workers), {}
        while items or busy:
            while items and (idle or len(self._workers) < self._count):
                worker = idle.pop() if idle else None
                at = None if worker is None else worker.at
                item = items.pop(_next(at, {other.at for other, _ in busy.values()}, map(about, items)))
                worker = self._hand(pickle.dumps((work, item)), worker)
                if isinstance(worker, Failed):
                    if busy:  # those who work have a share more to do
                        items.insert(0, item)
                        break
                    yield item, worker
                    continue
                worker.at = about(item)
                busy[worker.pipe] = worker, item
            for pipe in wait(list(busy)) if busy else ():
                worker, item = busy.pop(pipe)
                try:
                    result = pickle.loads(pipe.recv_bytes())
                    idle.append(worker)
                except (EOFError, OSError):
                    result = self._bury(worker)
                yield item, result

    def _hand(self, data: bytes, worker: "_Worker | None") -> "_Worker | Failed":
        """Who has taken ``data``: ``worker``, or a fresh one where there is none or it died while it waited."""
        if worker is not None:
            if worker.take(data):
                return worker
            self._bury(worker)
        if self._packed is None:
            self._packed = pickle.dumps(self._bench)
        try:
            fresh = _Worker(self._packed, self._modules)
        except (EOFError, OSError) as error:
            return Failed(f"no process can be started: {error or type(error).__name__}")
        self._workers.append(fresh)
        return fresh if fresh.take(data) else self._bury(fresh)

    def _bury(self, worker: "_Worker") -> Failed:
        """Let go of a process that has died; why it did."""
        self._workers.remove(worker)
        reason = worker.death()
        worker.stop()
        return Failed(reason)


def worker_count(jobs: int | None, device: str = "cpu") -> int:
    """How many jobs run at the same time: ``jobs``, or None for one a usable core, and one alone on a GPU.

    Raises:
        ConfigError: it is less than one.
    """
    if jobs is None and not device.startswith("cpu"):
        return 1
    if jobs is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not isinstance(jobs, int) or jobs < 1:
        raise ConfigError(f"jobs={jobs} is no number of jobs; give 1 or more, or null for one a core")
    return jobs


class _Worker:
    """One process and the pipe to it; ``at`` is what its last item was about."""

    at: Hashable = None

    def __init__(self, bench: bytes, modules: list[str]):
        # Forking this process would copy locks that its threads hold; so a server is forked that has no threads.
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if hasattr(context, "set_forkserver_preload"):
            context.set_forkserver_preload(modules)
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, bench), daemon=True)
        try:
            self.process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            theirs.close()

    def take(self, data: bytes) -> bool:
        """Send ``data``; whether there was somebody to send it to."""
        try:
            self.pipe.send_bytes(data)
        except OSError:
            return False
        return True

    def death(self) -> str:
        """What became of a process that went away while it worked."""
        self.process.join()
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            memory = "; the machine may have run out of memory: try fewer jobs" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{memory}"
        return f"its process ended with exit code {code}"

    def stop(self) -> None:
        """Wait until the process has ended; kill it if that takes long."""
        self.process.join(_GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _next(own: Hashable, others: Collection[Hashable], waiting: Iterable[Hashable]) -> int:
    """Which of ``waiting`` comes next for a process that was at ``own`` while others are at ``others``."""
    ranks = [0 if about == own else 1 if about not in others else 2 for about in waiting]
    return ranks.index(min(ranks))


def _serve(pipe: Connection, packed: bytes) -> None:
    """The life of a process: one item after the other until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to hear
    signal.signal(signal.SIGTERM, _terminated)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    bench = pickle.loads(packed)
    while True:
        try:
            data = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        result = _attempt(_unpacked, bench, data)
        try:
            pipe.send_bytes(pickle.dumps(result))
        except OSError:
            return


def _terminated(*_: object) -> None:
    """End by way of all ``finally``: temporary files and folders are removed, which no second signal may cut off."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _unpacked(bench: Any, data: bytes) -> Any:
    work, item = pickle.loads(data)
    return work(bench, item)


def _attempt(work: Callable[[Any, Item], Result], bench: Any, item: Item) -> Result | Failed:
    try:
        return work(bench, item)
    except PvcError as error:
        return Failed(" ".join(str(error).split()))
    except Exception as error:  # a bug or a library's own error: worth a traceback, but not the other jobs
        traceback.print_exc()
        return Failed(" ".join(f"{type(error).__name__}: {error}".split()))


def _end_with_parent() -> None:
    """Stop this process when the one that started it is gone, even by ``kill -9``."""
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
