"""``pvc annotate serve``: people paint what matters in a folder of clips."""

import argparse
from pathlib import Path

import torch
from omegaconf import DictConfig

from pvc.annotate.app import annotate_app
from pvc.annotate.clip import Clip
from pvc.annotate.collection import Collection, check_settings
from pvc.annotate.config import load_settings
from pvc.annotate.prepare import prepare
from pvc.annotate.store import open_store, sqlite_url
from pvc.annotate.work import Work
from pvc.console import progress
from pvc.data.clips import find_clips
from pvc.errors import DataError
from pvc.web.access import admin_token
from pvc.web.serve import allowed_hosts, listen, serve


def work_folder(folder: str, out: str | None) -> Work:
    """Where the collection of a folder of clips lies: ``--out``, or ``annotations`` in it."""
    return Work(Path(out) if out else Path(folder) / "annotations")


def serve_collection(args: argparse.Namespace) -> None:
    """Prepare the clips of ``args.folder`` that are not ready yet, and let people paint until Ctrl-C.

    Raises:
        ConfigError: a setting is wrong, the address or the database cannot be used, or the folder is served already.
        DataError: there are no clips, or some cannot be prepared.
    """
    settings = load_settings(args.set or [])
    hosts = allowed_hosts(args.host, args.allow or [])
    # What cannot be is said now, before anything is written, and not after minutes of preparing.
    check_settings(settings)
    listen(args.host, args.port).close()
    if not Path(args.folder).is_dir():
        raise DataError(f"{args.folder} is no folder; give a folder of clips")
    find_clips(Path(args.folder))
    work = work_folder(args.folder, args.out)
    with work.alone():
        sessions = open_store(args.database or sqlite_url(work.folder.resolve()))
        try:
            id = work.claim(sessions)
            clips = {clip.name: clip for clip in show_preparing(args.folder, work, settings)}
            work.tidy()
            torch.set_num_threads(1)  # requests run in threads already; more of them in each only spin
            token, said = admin_token()
            collection = Collection(work, sessions, clips, settings)
            app = annotate_app(collection, id, settings.validate, token=token, hosts=hosts)
            banner = (
                f"{len(clips)} clips to paint: {{url}} (for recruited workers: {{url}}?worker=ID)\n"
                f"admin token: {said}\n"
                f"stop with Ctrl-C; {work.folder} keeps everything"
            )
            serve(app, args.host, args.port, banner)
        finally:
            sessions.engine.dispose()


def show_preparing(folder: str, work: Work, settings: DictConfig) -> list[Clip]:
    """:func:`pvc.annotate.prepare.prepare` with its progress shown."""
    shares: dict[str, float] = {}
    with progress("clips prepared") as bar:
        task = bar.add_task("preparing")

        def tell(name: str, share: float) -> None:
            shares[name] = share
            bar.update(task, completed=round(sum(shares.values()), 2), total=len(shares))

        return prepare(folder, work.folder, settings, tell)
