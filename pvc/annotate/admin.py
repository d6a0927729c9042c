"""What whoever runs a collection asks for: how far it is, whom to pay, and all that was painted."""

import csv
import io
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse, StreamingResponse
from omegaconf import DictConfig, OmegaConf

from pvc.annotate.collection import Collection
from pvc.annotate.desk import Conflict
from pvc.annotate.export import export
from pvc.annotate.processes import CONTEXT, settle
from pvc.annotate.records import open_collection, read_painted
from pvc.errors import DataError, PvcError
from pvc.web.access import admin

_CHUNK = 1 << 20


class Exporter:
    """Writes exports, one at a time, in a process of its own: those who paint do not wait for it.

    Args:
        rules: ``validate`` of ``configs/annotate.yaml``.
    """

    def __init__(self, it: Collection, rules: DictConfig) -> None:
        self._url, self._work = it.sessions.engine.url.render_as_string(hide_password=False), it.work.folder
        self._rules, self._one, self._process = OmegaConf.to_container(rules), threading.Lock(), None

    def zip(self) -> Iterator[bytes]:
        """The export as a zip, in parts; its files are removed when the last one is taken, or nobody takes more.

        Raises:
            Conflict: another export is being made. DataError: nothing was painted, or a file is damaged.
        """
        if not self._one.acquire(blocking=False):
            raise Conflict("another export is being made; try again when it is done")
        folder = Path(tempfile.mkdtemp(prefix=".export-", dir=self._work))
        try:
            self._make(folder / "export")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._one.release()
        return _zipped(folder)

    def _make(self, out: Path) -> None:
        mine, theirs = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_export, args=(self._work, self._url, self._rules, out, theirs))
        self._process.start()
        theirs.close()
        try:
            error = mine.recv()
        except EOFError:
            error = "its process was stopped"
        self._process.join()
        if error:
            raise DataError(f"the export failed: {error}")

    def close(self) -> None:
        """Stop the export that is being made."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()


def admin_routes(it: Collection, exporter: Exporter, token: str) -> APIRouter:
    """The routes under ``/api/admin``; they need the token."""
    api = APIRouter(prefix="/api/admin", dependencies=[Depends(admin(token))])

    @api.get("/status")
    async def status() -> dict[str, Any]:
        return it.status()

    @api.get("/participants.csv")
    def participants() -> PlainTextResponse:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("participant", "worker", "joined", "clips_done", "code"))
        writer.writerows(it.desk.everybody())
        return PlainTextResponse(text.getvalue(), media_type="text/csv")

    @api.get("/export")
    def everything() -> StreamingResponse:
        name = {"Content-Disposition": 'attachment; filename="painted.zip"'}
        return StreamingResponse(exporter.zip(), media_type="application/zip", headers=name)

    return api


def _export(work: Path, url: str, rules: dict[str, Any], out: Path, pipe: Any) -> None:
    settle()
    try:
        sessions = open_collection(work, url)
        export(read_painted(work, sessions), out, rules)
        pipe.send(None)
    except PvcError as error:
        pipe.send(str(error))


class _Parts(io.RawIOBase):
    """Where the zip is written to, and taken from at once."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken


def _zipped(folder: Path) -> Iterator[bytes]:
    """``folder/export`` as a zip, then ``folder`` is removed. What lies there twice (hard links) is once in it."""
    parts, seen = _Parts(), set()
    # The averages' clips come first: they are the ones that stay.
    files = sorted((folder / "export").rglob("*"), key=lambda file: ("average" not in file.parts, file))
    try:
        with zipfile.ZipFile(parts, "w") as archive:
            for file in files:
                about = file.stat()
                if not file.is_file() or (about.st_nlink > 1 and about.st_ino in seen):
                    continue
                seen.add(about.st_ino)
                info = zipfile.ZipInfo.from_file(file, str(file.relative_to(folder)))
                if file.suffix in (".csv", ".json", ".jsonl", ".md"):  # the others are packed already
                    info.compress_type = zipfile.ZIP_DEFLATED
                with file.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                    while data := source.read(_CHUNK):
                        target.write(data)
                        yield parts.take()
        yield parts.take()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
