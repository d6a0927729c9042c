"""Serving for real: a process, a socket, signals."""

import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

from pvc.errors import ConfigError
from pvc.web.serve import allowed_hosts, serve

PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from pathlib import Path
from pvc.web.app import make_app
from pvc.web.serve import LOOPBACK, serve

@asynccontextmanager
async def lifespan(app):
    yield
    print("put away", flush=True)

app = make_app(static=Path(sys.argv[1]), hosts=list(LOOPBACK), body_limit=1000, lifespan=lifespan)
woken = asyncio.Event()
app.state.stopping = woken.set

@app.get("/api/wait")
async def wait():
    print("waiting", flush=True)
    await woken.wait()
    return "woken"

serve(app, sys.argv[2], 0, "listening at {url} now")
print("after", flush=True)
"""


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_signal_ends_the_server_after_the_answers_under_way(tmp_path, interruptible, signal_number, host):
    if host == "::1" and not _has_ipv6():
        pytest.skip("no IPv6 loopback")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), host]
    with interruptible(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        url = line.split()[2]
        assert line == f"listening at {url} now\n"
        answers = []

        def ask() -> None:
            answers.append(urllib.request.urlopen(url + "api/wait", timeout=60).read())

        waiter = threading.Thread(target=ask, daemon=True)
        waiter.start()
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal_number)
        waiter.join(60)
        out, errors = process.communicate(timeout=60)
    assert (answers, out, errors, process.returncode) == ([b'"woken"'], "put away\nafter\n", "", 0)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_an_address_that_cannot_be_had_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for host, port in (("127.0.0.1", taken.getsockname()[1]), ("192.0.2.1", 0), ("127.0.0.1", 99999)):
            with pytest.raises(ConfigError, match=f"cannot listen on {host} port {port}: .*; give another"):
                serve(None, host, port, "")


def test_hosts_are_those_that_people_say_and_all_addresses_need_a_name():
    assert allowed_hosts("127.0.0.1", []) == ["127.0.0.1", "localhost", "[::1]"]
    assert allowed_hosts("10.0.0.7", ["paint.example.org"])[3:] == ["10.0.0.7", "paint.example.org"]
    assert "[fd00::7]" in allowed_hosts("fd00::7", [])
    for everywhere in ("0.0.0.0", "::"):
        assert allowed_hosts(everywhere, ["paint.example.org"])[-1] == "paint.example.org"
        with pytest.raises(ConfigError, match="every address"):
            allowed_hosts(everywhere, [])
    for name in ("https://paint.example.org", "paint.example.org:443", "", "*@x"):
        with pytest.raises(ConfigError, match="is no host"):
            allowed_hosts("127.0.0.1", [name])
