"""Weights & Biases is a guest: a run goes on without its server and its process, and a resume is the same W&B run."""

import json
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from tests.processes import LONGEST
from tests.training.processes import Training, pausing

LOGGED = ["logger=wandb", "logger.wandb.wait=2", "trainer.max_steps=2", "+trainer.limit_val_batches=0"]


class Server(ThreadingHTTPServer):
    """As much of W&B's server as a run asks for; ``runs`` are the ids that were begun or gone on with."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.runs: list[str] = []
        self.logged = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What sends a run here."""
        return {"WANDB_BASE_URL": f"http://127.0.0.1:{self.server_port}", "WANDB_API_KEY": "0" * 40}

    def end(self) -> None:
        """Be gone: what comes then is refused."""
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        data = {}
        if self.path.endswith("graphql"):
            asked = json.loads(body)
            name, project = (
                (asked.get("variables") or {}).get("name"),
                {"id": "p", "name": "pvc", "entity": {"name": "e"}},
            )
            if "viewer" in asked["query"]:
                data["viewer"] = {"id": "v", "entity": "e", "username": "u", "flags": "{}", "teams": {"edges": []}}
            if "upsertBucket" in asked["query"]:
                self.server.runs.append(name)
                bucket = {"id": "b", "name": name, "displayName": name, "project": project, "historyLineCount": 0}
                data["upsertBucket"] = {"bucket": bucket, "inserted": True}
        else:
            self.server.logged.set()
        self._answer({"data": data})

    def do_GET(self) -> None:
        self._answer({})

    def _answer(self, what: dict) -> None:
        text = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


def patient() -> None:
    """However busy the machine is, W&B finds the server at the start; ``logger.wandb.wait`` is for the end."""
    from pvc.training.wandb_log import RunWandb

    init = RunWandb.__init__

    def begin(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self._wandb_init["settings"].init_timeout = LONGEST

    RunWandb.__init__ = begin
    pausing()


def impatient() -> None:
    """W&B adds ten seconds to those that it is told to wait."""
    import wandb.sdk.wandb_init

    wandb.sdk.wandb_init._INIT_TIMEOUT_GRACE_SECONDS = 0.5


def ended(process: psutil.Process) -> bool:
    """Whether it is gone, or would be if its parent looked after it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.end()


def test_a_connection_that_is_lost_costs_no_run_and_a_resume_goes_on_with_the_same_one(server, tmp_path):
    with Training(tmp_path, *LOGGED, before=patient, **server.environment) as run:
        run.reached()
        run.until(lambda: server.runs)
        server.end()
        run.go()
        assert run.code() == 0, run.said
    kept = (tmp_path / "wandb" / "id").read_text()
    assert set(server.runs) == {kept} and "Traceback" not in run.said
    assert list((tmp_path / "wandb").glob(f"run-*-{kept}/*.wandb"))  # for `wandb sync`
    more = ["logger.wandb.wait=0.5", "trainer.max_steps=3"]
    with Training(tmp_path, *LOGGED, *more, before=impatient, **server.environment) as run:  # still not there
        assert run.code() == 0, run.said
    (warning,) = run.lines
    assert warning.startswith("pvc: W&B: ") and warning.endswith(f"is logged to {tmp_path} for `wandb sync`")
    assert list((tmp_path / "wandb").glob(f"offline-run-*-{kept}/*.wandb")) and "Traceback" not in run.said


def test_the_end_of_wandbs_own_process_is_not_the_end_of_the_run(tmp_path):
    """A signal to all processes of a Slurm job ends it."""
    with Training(tmp_path, *LOGGED, "logger.wandb.offline=true", before=pausing) as run:
        run.reached()
        guests = [p for p in psutil.Process(run.process.pid).children(recursive=True) if "wandb" in p.name()]
        assert guests
        for guest in guests:
            guest.send_signal(signal.SIGKILL)
        run.until(lambda: all(map(ended, guests)))
        run.go()
        assert run.code() == 0, run.said
    (warning,) = run.lines
    assert warning.startswith("pvc: W&B has ended (") and "Traceback" not in run.said
    assert (tmp_path / "model.safetensors").is_file()
