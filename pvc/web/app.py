"""An application that is safe to put before strangers: headers, hosts, forged requests, sizes, one-line errors."""

import errno
import logging
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pvc.errors import PvcError

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; img-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_log = logging.getLogger(__name__)


def make_app(*, static: Path, hosts: list[str], body_limit: int, lifespan: Callable | None = None) -> FastAPI:
    """A FastAPI application without routes yet; what no route takes is looked for among the static files.

    Every answer has the security headers, and those under ``/api`` are not cached unless the route says otherwise. A
    request for a host not among ``hosts`` is refused (DNS rebinding). A request that may change something needs the
    header ``X-PVC: 1`` and must come from a page of this server, by ``Sec-Fetch-Site`` or else by ``Origin`` (CSRF).
    Errors are ``{"detail": one line}``: 400 for a :class:`PvcError`, 413 for a body over the limit, 422 for fields that
    do not fit, 500 for a bug, 503 while the database does not answer, 507 when the disk is full.

    Args:
        static: folder of the page; ``index.html`` is ``/``.
        hosts: names and addresses (without port) by which the server is reached; ``*`` is any.
        body_limit: bytes of a request's body, counted as they come; a route may set ``max_body_size`` of its own.
        lifespan: asynchronous context manager around the time in which the server runs, as FastAPI's.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, max_body_size=body_limit, lifespan=lifespan)
    # Not a mount: that would stand before the routes that are added later.
    app.router.default = StaticFiles(directory=static, html=True)
    app.mount("/web", StaticFiles(directory=Path(__file__).with_name("static")))  # base.css, which the pages share
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(_Guard)
    app.add_exception_handler(PvcError, lambda _request, error: _answer(400, str(error)))
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(DBAPIError, _no_database)
    app.add_exception_handler(NoConnection, _no_database)
    app.add_exception_handler(OSError, _disk)
    return app


class _Guard:
    """Refuses forged requests and adds the headers. Plain ASGI, so that videos stream through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                # Static files are asked for again and answered 304, so that a page is never half old and half new.
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/api") else "no-cache")
            await send(message)

        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not _same_origin(Headers(scope=scope)):
            refusal = _answer(403, "this request does not come from a page of this server")
            await refusal(scope, receive, with_headers)
            return
        try:
            await self._app(scope, receive, with_headers)
        except Exception:
            if started:
                raise
            _log.exception("%s %s failed", scope["method"], scope["path"])
            failure = _answer(500, "the server failed; its log says why")
            await failure(scope, receive, with_headers)


def _same_origin(headers: Headers) -> bool:
    """Other sites' pages can make neither header: they would need the server's leave by CORS, which it never gives."""
    if headers.get("x-pvc") != "1":
        return False
    site, origin = headers.get("sec-fetch-site"), headers.get("origin", "")
    if site is not None:
        return site == "same-origin"
    # The scheme may differ: a proxy before this server ends TLS.
    return origin.partition("://")[2].lower() == headers.get("host", "").lower() != ""


def _answer(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": " ".join(detail.split())}, status)


def _unfit(_request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    return _answer(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _no_database(_request: Request, error: Exception) -> JSONResponse:
    _log.error("the database failed: %s", " ".join(str(error).split())[:500])
    return _answer(503, "the database does not answer; nothing of this request was stored, try again")


def _disk(_request: Request, error: OSError) -> JSONResponse:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        raise error
    _log.error("cannot write %s: %s", error.filename or "", error.strerror)
    return _answer(507, "the server's disk is full or read-only; nothing of this request was stored, try again")
