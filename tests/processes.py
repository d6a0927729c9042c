"""Commands of pvc in processes of their own that start fast: forked from one that has already imported everything."""

import multiprocessing
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import forkserver, popen_forkserver
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 240.0
"""Seconds for whatever a test waits for."""

_server = forkserver.ForkServer()  # not the one that everything shares: another may have started that without imports
_server.set_forkserver_preload(["tests.preloaded"])


class _Process(multiprocessing.get_context("forkserver").Process):
    @staticmethod
    def _Popen(process: "_Process") -> popen_forkserver.Popen:
        with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"):
            _server.ensure_running()
        with mock.patch.object(forkserver, "connect_to_new_process", _server.connect_to_new_process):
            return popen_forkserver.Popen(process)


class Command:
    """``python -m MODULE ARGUMENTS``, running. A ``with`` block leaves nothing of it behind.

    Args:
        module: one of those that ``tests.preloaded`` imports, with a ``main``.
        said: file for what it prints.
        errors: file for what it prints on stderr, where that is not ``said``.
        folder: where it runs.
        before: called in the new process first; a function at the top of a module.
        environment: variables to set there, beside the caller's, but for those of W&B: where a process of its is.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        said: Path,
        errors: Path | None = None,
        folder: Path | None = None,
        before: Callable[[], None] | None = None,
        **environment: str,
    ):
        self._said = said
        files = said.absolute(), (errors or said).absolute()
        own = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        environment = {**own, "PAUSING": str(said.absolute().with_suffix("")), **environment}
        self.process = _Process(target=_run, args=(module, arguments, files, folder or Path.cwd(), before, environment))
        self.process.start()
        self.pid = self.process.pid

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join(LONGEST)

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self._said.read_text() if self._said.exists() else ""

    @property
    def lines(self) -> list[str]:
        """What of it comes from pvc."""
        return [line for line in self.said.splitlines() if line.startswith("pvc")]

    def until(self, true: Callable[[], object]) -> None:
        """Wait until something is so; an error where the process ends before or takes too long."""
        deadline = time.monotonic() + LONGEST
        while not true():
            assert self.process.is_alive(), f"it ended with {self.process.exitcode}: {self.said}"
            assert time.monotonic() < deadline, self.said
            time.sleep(0.005)

    def reached(self) -> None:
        """Wait until it is where ``before`` lets it wait."""
        self.until(self._said.with_suffix(".paused").exists)

    def go(self) -> None:
        """Let it go on from there."""
        self._said.with_suffix(".go").touch()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; where it has just ended there is nothing that could hear it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def code(self) -> int:
        """Its exit code when it has ended."""
        self.process.join(LONGEST)
        assert self.process.exitcode is not None, self.said
        return self.process.exitcode


def run(module: str, *arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    """``python -m MODULE ARGUMENTS`` to its end, as ``subprocess.run`` does it."""
    with tempfile.TemporaryDirectory() as files:
        said, errors = Path(files) / "said", Path(files) / "errors"
        with Command(module, arguments, said, errors, folder, **environment) as command:
            code = command.code()
        return subprocess.CompletedProcess(arguments, code, said.read_text(), errors.read_text())


def _run(
    module: str,
    arguments: Sequence[str],
    files: Sequence[Path],
    folder: Path,
    before: Callable[[], None] | None,
    environment: dict[str, str],
) -> None:
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    tempfile.tempdir = None  # what TMPDIR says now
    main = import_module(module).main
    sys.argv = [module.replace(".", " "), *arguments]
    if before is not None:
        before()
    main()


# -- for ``before`` ----------------------------------------------------------------------------------------------------


def pause() -> None:
    """Wait here for ``Command.go``."""
    files, deadline = Path(os.environ["PAUSING"]), time.monotonic() + LONGEST
    files.with_suffix(".paused").touch()
    while not files.with_suffix(".go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody lets it go on")
        time.sleep(0.005)


def pause_after(owner: str, name: str, calls: int = 1) -> None:
    """Wait for ``Command.go`` when the function ``name`` of ``owner`` (``module:Class``) has returned ``calls`` times.

    How far a command gets must not depend on who is quicker: it, or the test that looks at what it has done.
    """
    place, done = pkgutil.resolve_name(owner), []
    function = getattr(place, name)

    def paused(*args, **kwargs):
        result = function(*args, **kwargs)
        done.append(None)
        if len(done) == calls:
            pause()
        return result

    setattr(place, name, paused)
