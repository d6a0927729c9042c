"""``pvc study serve``: people take part. Imports little, so that it listens soon."""

import argparse
from pathlib import Path

from pvc.errors import ConfigError
from pvc.study.app import study_app
from pvc.study.plan import Study
from pvc.study.store import open_store
from pvc.web.access import admin_token
from pvc.web.serve import allowed_hosts, serve


def serve_study(args: argparse.Namespace) -> None:
    """Serve the study ``args.study`` until Ctrl-C.

    Raises:
        ConfigError: there is no study, its database cannot be used, or the address cannot be listened on.
    """
    folder = Path(args.study)
    study = Study.load(folder)
    _check_videos(folder, study)
    hosts = allowed_hosts(args.host, args.allow or [])
    token, said = admin_token()
    sessions = open_store(folder, args.database)
    app = study_app(folder, study, sessions, token=token, hosts=hosts)
    banner = f"{study.title}: {{url}} (for recruited workers: {{url}}?worker=ID)\nadmin token: {said}"
    try:
        serve(app, args.host, args.port, banner)
    finally:
        sessions.engine.dispose()


def _check_videos(folder: Path, study: Study) -> None:
    for side in (side for pair in study.pairs for side in pair.sides):
        if Path(side.file).name != side.file or not (folder / "videos" / side.file).is_file():
            raise ConfigError(f"{folder / 'videos' / side.file} is missing; make the study anew with pvc study new")
