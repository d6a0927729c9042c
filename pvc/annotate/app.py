"""The application of the annotation tool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import prod
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from omegaconf import DictConfig

from pvc.annotate.admin import Exporter, admin_routes
from pvc.annotate.api import participant_routes
from pvc.annotate.collection import Collection
from pvc.annotate.desk import Conflict, TooEarly
from pvc.web.access import ParticipantCookie
from pvc.web.app import make_app

_STATIC = Path(__file__).parent / "static"


def annotate_app(it: Collection, id: str, rules: DictConfig, *, token: str, hosts: list[str]) -> FastAPI:
    """The application that serves a collection.

    Args:
        id: of the collection. rules: ``validate`` of ``configs/annotate.yaml``, for the export.
        token: the administrator's. hosts: names by which people reach it.
    """
    exporter = Exporter(it, rules)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        it.open()
        app.state.stopping = it.encodes.wake_all
        try:
            yield
        finally:
            exporter.close()
            await it.encodes.close()

    # A map that cannot be packed grows by a few bytes in each block of 16 KiB.
    largest = max(prod(clip.grid) for clip in it.clips.values())
    app = make_app(static=_STATIC, hosts=hosts, body_limit=largest + largest // 1000 + 4096, lifespan=running)
    app.add_exception_handler(Conflict, lambda _request, error: JSONResponse({"detail": str(error)}, 409))
    app.add_exception_handler(TooEarly, _too_early)
    # Cookies do not tell ports apart, and one machine may serve several collections.
    app.include_router(participant_routes(it, ParticipantCookie(f"pvc_participant_{id[:12]}")))
    app.include_router(admin_routes(it, exporter, token))
    return app


def _too_early(_request: Any, error: TooEarly) -> JSONResponse:
    return JSONResponse({"detail": str(error), "seconds_left": error.seconds_left}, 409)
