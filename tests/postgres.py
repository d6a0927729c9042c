"""A PostgreSQL server for a test, in a folder of its own, where its programs are installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_postgres() -> Path | None:
    """Folder of ``initdb`` and ``pg_ctl``: on the path, or where Debian puts them. None if they cannot be used here."""
    if os.geteuid() == 0 and shutil.which("runuser") is None:  # the server refuses to run as root
        return None
    on_path = shutil.which("pg_ctl")
    places = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    usable = [place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()]
    return usable[-1] if usable else None


@contextmanager
def postgres_server(programs: Path) -> Iterator[str]:
    """URL of an empty database, of a server that lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix="pvc-postgres-") as folder:
        user = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            user = ["runuser", "-u", "postgres", "--"]
        with _running(programs, Path(folder), user) as url:
            yield url


@contextmanager
def _running(programs: Path, folder: Path, user: list[str]) -> Iterator[str]:
    def run(*command: str) -> None:
        subprocess.run([*user, *command], check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=120)

    data = str(folder / "data")
    run(str(programs / "initdb"), "-D", data, "-U", "painter", "--auth=trust", "--no-sync")
    options = f"-h '' -k {folder}"  # no port, which another could take before it
    run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql://painter@/postgres?host={folder}"
    finally:
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
