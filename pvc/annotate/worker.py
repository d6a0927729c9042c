"""A process that re-encodes, as the thread that uses it sees it."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pvc.annotate.clip import Clip
from pvc.annotate.processes import CONTEXT, settle
from pvc.annotate.reencode import Cancelled, reencode
from pvc.errors import PvcError

GRACE = 3.0  # seconds that a worker has to stop by itself before it is killed
_TICK = 0.05  # seconds in which a worker is asked how far it is


class Work(NamedTuple):
    """One re-encode: the folder of a prepared clip, the map, the mp4 to write, and kbit/s to ask for at first."""

    clip: Path
    map: Path
    out: Path
    ask: float | None = None


class Worker:
    """A process that codes one clip after the other; killed and started anew where it does not stop in time."""

    def __init__(self) -> None:
        self._process, self._pipe = None, None
        self._start()

    def _start(self) -> None:
        self._pipe, other = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def run(self, work: Work, unwanted: Callable[[], bool], tell: Callable[[float], None]) -> dict[str, Any]:
        """How the work ended: what changes in its status. Unless it is done, no file of it is left."""
        end = self._run(work, unwanted, tell)
        if end["state"] != "done":  # it may have been done just before it heard, or was killed amid a file
            for pattern in (f"{work.out.stem}.*", f".{work.out.stem}.*"):
                for file in work.out.parent.glob(pattern):
                    file.unlink(missing_ok=True)
        return end

    def _run(self, work: Work, unwanted: Callable[[], bool], tell: Callable[[float], None]) -> dict[str, Any]:
        try:
            self._pipe.send(work)
        except OSError:  # it died while it had nothing to do
            self._start()
            self._pipe.send(work)
        try:
            while not unwanted():
                if self._pipe.poll(_TICK):
                    kind, value = self._pipe.recv()
                    if kind == "share":
                        tell(value)
                    elif kind == "done":
                        return {"state": "done", "result": value, "fraction": 1.0}
                    else:
                        return {"state": "failed", "error": value}
            self._pipe.send("stop")
            while self._pipe.poll(GRACE):
                if self._pipe.recv()[0] != "share":
                    return {"state": "cancelled"}
            self._end()
            return {"state": "cancelled"}
        except (EOFError, OSError):
            self._end()
            return {"state": "failed", "error": "the encoder's process died, which happens when memory runs out"}

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def stop(self) -> None:
        """End the process."""
        if self._process.is_alive():
            self._end()


def _serve(pipe: Any) -> None:
    """What a worker process does: one work after the other, until its parent is gone."""
    settle()
    while True:
        try:
            work = pipe.recv()
        except EOFError:
            return
        if work == "stop":  # came when its work was over
            continue
        try:
            result = reencode(
                Clip.load(work.clip),
                work.map,
                work.out,
                lambda share: pipe.send(("share", share)),
                lambda: pipe.poll() and pipe.recv() == "stop",
                work.ask,
            )
            pipe.send(("done", result))
        except Cancelled:
            pipe.send(("cancelled", None))
        except PvcError as error:
            pipe.send(("failed", " ".join(str(error).split())))
        except Exception as error:
            traceback.print_exc()
            pipe.send(("failed", f"an error of pvc itself ({type(error).__name__}: {error})"))
