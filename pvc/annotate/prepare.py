"""A folder of clips made ready for painting, several at once."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from queue import Empty
from typing import Any

from omegaconf import DictConfig

from pvc.annotate.clip import Clip
from pvc.annotate.making import check, plain, prepare_clip
from pvc.annotate.processes import CONTEXT, cores, settle
from pvc.data.clips import find_clips
from pvc.errors import DataError, PvcError

Progress = Callable[[str, float], None]

_told: Any = None  # in a worker: where it says how far it is


def prepare(
    folder: str | Path,
    work: str | Path,
    settings: DictConfig,
    progress: Progress = lambda name, share: None,
    jobs: int | None = None,
) -> list[Clip]:
    """Every clip of ``folder`` (as ``data=clips`` finds them; masks are left alone) ready in ``work/clips``, by name.

    A clip that is there with these settings is kept; one that was interrupted goes on where it was. One that fails
    keeps no other from being prepared.

    Args:
        settings: of :func:`pvc.annotate.config.load_settings`.
        progress: is told a clip's name and the share of it that is done; 0 for each one at the start.
        jobs: clips at once, each in a process of its own; None: as many as cores; 1: in this process.

    Raises:
        ConfigError: a setting is out of range.
        DataError: there are no clips, or some of them could not be prepared; the message says which and why.
    """
    folder, work, asked = Path(folder), Path(work), plain(settings)
    check(settings)
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give a folder of clips")
    paths = {name: clip for name, (clip, _) in find_clips(folder).items() if clip.resolve() != work.resolve()}
    for name in paths:
        progress(name, 0.0)
    jobs = min(jobs or cores(), len(paths))
    make = _one_by_one if jobs == 1 else _in_processes
    found = make({name: (path, name, work, asked) for name, path in paths.items()}, progress, jobs)
    if failed := {name: error for name, error in found.items() if isinstance(error, Exception)}:
        name, error = next(iter(failed.items()))
        more = f" (and {', '.join(list(failed)[1:])})" if len(failed) > 1 else ""
        raise DataError(f"clip {name} cannot be prepared{more}: {error}") from error
    return [found[name] for name in sorted(found)]


def _one_by_one(
    jobs: Mapping[str, tuple[Path, str, Path, dict]], progress: Progress, _: int
) -> dict[str, Clip | Exception]:
    found: dict[str, Clip | Exception] = {}
    for name, job in jobs.items():
        try:
            found[name] = prepare_clip(*job, step=lambda share, name=name: progress(name, share))
            progress(name, 1.0)
        except PvcError as error:
            found[name] = error
    return found


def _in_processes(
    jobs: Mapping[str, tuple[Path, str, Path, dict]], progress: Progress, count: int
) -> dict[str, Clip | Exception]:
    said = CONTEXT.Queue()
    with ProcessPoolExecutor(count, CONTEXT, _begin, (said,)) as pool:
        futures: dict[str, Future] = {name: pool.submit(_make, *job) for name, job in jobs.items()}
        try:
            while not all(future.done() for future in futures.values()):
                _pass_on(said, progress, wait=0.2)
        except BaseException:
            for process in list(pool._processes.values()):  # Ctrl-C: what is done so far is taken up the next time
                process.terminate()
            raise
        _pass_on(said, progress, wait=0.0)
    found: dict[str, Clip | Exception] = {}
    for name, future in futures.items():
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            error = DataError("its process died, which happens when memory runs out; run the command again")
        if error is not None and not isinstance(error, PvcError):
            raise error
        found[name] = error or future.result()
        if error is None:
            progress(name, 1.0)
    return found


def _pass_on(said: Any, progress: Progress, wait: float) -> None:
    """All that the workers said so far."""
    try:
        while True:
            progress(*said.get(timeout=wait or 0.01))
    except Empty:
        pass


def _begin(said: Any) -> None:
    global _told
    _told = said
    settle()


def _make(path: Path, name: str, work: Path, settings: dict) -> Clip:
    last = 0.0

    def step(share: float) -> None:
        nonlocal last
        if share >= last + 0.01:
            last = share
            _told.put((name, share))

    return prepare_clip(path, name, work, settings, step)
