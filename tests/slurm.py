"""A cluster of Slurm for a test: two nodes that are this machine, in a folder of its own, where its programs are."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

NODES = "n1", "n2"
PROGRAMS = "munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "sinfo", "squeue", "srun"
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName={nodes} NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=1 State=UNKNOWN
PartitionName=all Nodes={nodes} Default=YES State=UP
"""


def why_not() -> str | None:
    """What is missing for a cluster."""
    missing = [name for name in PROGRAMS if _find(name) is None]
    return f"no {' and no '.join(missing)} (packages slurm-wlm and munge)" if missing else None


def _find(program: str) -> str | None:
    """Its path; Debian has the daemons where a user's PATH does not lead."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin")


def _ports(count: int) -> list[int]:
    """Free ports, one after the other."""
    while True:
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            sockets[0].bind(("127.0.0.1", 0))
            first = sockets[0].getsockname()[1]
            try:
                for i, other in enumerate(sockets[1:], 1):
                    other.bind(("127.0.0.1", first + i))
            except OSError:
                continue
            return [first + i for i in range(count)]


@contextmanager
def slurm_cluster() -> Iterator[dict[str, str]]:
    """Environment of commands that speak to a cluster, which lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix="pvc-slurm-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        host, user = socket.gethostname().split(".")[0], getpass.getuser()
        for part in ("state", *(f"spool.{node}" for node in NODES)):
            (folder / part).mkdir()
        (folder / "key").write_bytes(secrets.token_bytes(128))
        (folder / "key").chmod(0o600)
        config = folder / "slurm.conf"
        values = {"host": host, "user": user, "folder": folder, "nodes": "n[1-2]", "ports": _ports(3)}
        config.write_text(CONFIG.format(**values))

        def start(program: str, *arguments: object) -> None:
            command = [_find(program), *map(str, arguments)]
            stack.callback(_end, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder))

        log = stack.enter_context((folder / "log").open("wb"))
        stack.callback(_end_rest, folder)
        places = [f"--{part}={folder}/{part}" for part in ("pid-file", "log-file", "seed-file")]
        start("munged", "-F", "--force", f"--socket={folder}/munge", f"--key-file={folder}/key", *places)
        start("slurmctld", "-D", "-f", config)
        for node in NODES:
            start("slurmd", "-D", "-f", config, "-N", node)
        environment = {"SLURM_CONF": str(config)}
        _wait(environment, folder)
        stack.callback(_end_jobs, environment)
        yield environment


def _end_jobs(environment: dict[str, str]) -> None:
    """Of a test that failed, and those that are on their way out: they go nowhere without their cluster."""
    told = {"env": os.environ | environment, "capture_output": True, "text": True}
    subprocess.run(["scancel", "--signal=KILL", "--user", getpass.getuser()], **told)
    for _ in range(120):
        subprocess.run(["scancel", "--user", getpass.getuser()], **told)
        if not subprocess.run(["squeue", "-h"], **told).stdout:
            return
        time.sleep(0.25)


def _end(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def of_cluster(folder: Path) -> list[psutil.Process]:
    """Processes that were started by the cluster in this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(folder) in " ".join((*process.cmdline(), *process.environ().values())):
                found.append(process)
    return [process for process in found if process.pid != os.getpid()]


def _end_rest(folder: Path) -> None:
    for process in of_cluster(folder):
        with suppress(psutil.Error):
            process.kill()


def _wait(environment: dict[str, str], folder: Path) -> None:
    """Until both nodes are there."""
    for _ in range(120):
        asked = ["sinfo", "-h", "-o", "%T %D"]
        said = subprocess.run(asked, env=os.environ | environment, capture_output=True, text=True)
        if said.stdout.split() == ["idle", "2"]:
            return
        time.sleep(0.25)
    logs = "\n".join(path.read_text() for path in sorted(folder.glob("*log")))
    raise RuntimeError(f"Slurm does not start: {said.stdout}{said.stderr}\n{logs}")
