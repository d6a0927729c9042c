"""Serving an application until Ctrl-C."""

import ipaddress
import signal
import socket

import uvicorn
from fastapi import FastAPI

from pvc.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PATIENCE = 5  # seconds for answers that are under way when the server is told to stop


def allowed_hosts(host: str, names: list[str]) -> list[str]:
    """The hosts that :func:`pvc.web.app.make_app` is to take when it listens on ``host``.

    Args:
        host: address that the server listens on.
        names: further names and addresses, without port, by which people reach it (a proxy's, for example).

    Raises:
        ConfigError: it listens on all addresses and none is named, or one is given as a URL or with a port.
    """
    for name in names:
        if not name or set(name) & set("/@? ") or (":" in name and not name.startswith("[")):
            raise ConfigError(f"{name!r} is no host; give its name or address alone, such as paint.example.org")
    if _any(host):
        if not names:
            raise ConfigError(
                f"{host} is every address of this machine; also say by which name people reach it (--allow)"
            )
        own = []
    else:
        own = [f"[{host}]" if ":" in host else host]
    return list(dict.fromkeys([*LOOPBACK, *own, *names]))


def _any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False  # a name


def serve(app: FastAPI, host: str, port: int, banner: str) -> None:
    """Serve until Ctrl-C or SIGTERM, then let running answers end, and return.

    Args:
        app: its ``state.stopping``, where there is one, is called when the end begins; it wakes those that wait.
        host, port: where to listen; port 0 is any free one.
        banner: printed when it listens; ``{url}`` in it becomes the address.

    Raises:
        ConfigError: the address is in use, or not this machine's.
    """
    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}/"
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE,
        limit_concurrency=1000,
    )
    # uvicorn raises the signal once more after it has stopped: both kinds then end here, and not in a killed process.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _Server(config, banner.replace("{url}", url)).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        listener.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, banner: str) -> None:
        super().__init__(config)
        self._banner = banner

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._banner, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        stopping = getattr(self.config.app.state, "stopping", None)
        if stopping is not None:
            stopping()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        ConfigError: the address is in use, or not this machine's.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"cannot listen on {host} port {port}: no such port; give another --host or --port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(256)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"cannot listen on {host} port {port}: {reason}; give another --host or --port") from None
    return listener
