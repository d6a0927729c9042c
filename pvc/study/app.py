"""The application of a study: its page, what the page asks for, and the export."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

from pvc.study.ballot import load_ballots
from pvc.study.export import answers_csv, participants_csv
from pvc.study.plan import Study
from pvc.study.store import Participant, Trial
from pvc.study.taking_part import Answer, Desk, Taken, TooEarly
from pvc.web.access import ParticipantCookie, admin
from pvc.web.app import make_app
from pvc.web.database import Sessions

_BODY = 4096  # bytes
_STATIC = Path(__file__).parent / "static"
_Count = Annotated[int, Field(ge=0, le=10_000)]
_Seen = Annotated[int, Field(ge=1, le=10_000)]


class _Join(BaseModel):
    worker: str | None = Field(default=None, min_length=1, max_length=128, pattern=r"^[\w.:@+=-]+$")


class _Answer(BaseModel):
    choice: Literal["left", "right"]
    plays_left: _Seen
    plays_right: _Seen
    restarts: _Count
    layout: Literal["side-by-side", "in-turn"]
    scale: float = Field(gt=0, le=100)
    seconds: float = Field(ge=0, le=1e7)


def study_app(
    folder: Path,
    study: Study,
    sessions: Sessions,
    *,
    token: str,
    hosts: list[str],
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """The application that serves the study in ``folder``.

    Args:
        token: Of the administrator, for the export.
        hosts: Names by which it is reached.
        clock: Gives seconds since 1970.
    """
    app = make_app(static=_STATIC, hosts=hosts, body_limit=_BODY)
    # Cookies do not tell ports apart, and one machine may serve several studies.
    desk, cookie = Desk(study, sessions, clock), ParticipantCookie(f"pvc_study_{study.id[:12]}")
    app.add_exception_handler(Taken, lambda _request, error: JSONResponse({"detail": str(error)}, 409))
    app.add_exception_handler(TooEarly, lambda _request, error: JSONResponse({"detail": str(error)}, 409))
    app.include_router(_participants(folder, desk, cookie))
    app.include_router(_administrator(study, sessions, desk, token))
    return app


def _participants(folder: Path, desk: Desk, cookie: ParticipantCookie) -> APIRouter:
    api, study = APIRouter(prefix="/api"), desk.study

    @api.get("/state")
    def state(request: Request) -> dict[str, Any]:
        return _state(study, desk.find(cookie.read(request)))

    @api.post("/join")
    def join(body: _Join, request: Request, response: Response) -> dict[str, Any]:
        known = desk.find(cookie.read(request))
        if known is None or (body.worker is not None and known.worker != body.worker):  # the next one at this computer
            known = desk.join(cookie.give(request, response), body.worker)
        return _state(study, known)

    @api.post("/trials/{position}/open")
    def opened(position: int, request: Request) -> dict[str, Any]:
        if desk.open(cookie.read(request), position) is None:
            raise HTTPException(404, "this is not the pair that is to be answered now; reload the page")
        return {}

    @api.post("/trials/{position}/answer")
    def answer(position: int, body: _Answer, request: Request) -> dict[str, Any]:
        participant = desk.answer(cookie.read(request), position, Answer(**body.model_dump()))
        if participant is None:
            raise HTTPException(404, "this is not the pair that is to be answered now; reload the page")
        return _state(study, participant)

    @api.get("/trials/{position}/{side}.mp4")
    def video(position: int, side: Literal["left", "right"], request: Request) -> FileResponse:
        participant = desk.find(cookie.read(request))
        trial = next((t for t in participant.trials if t.position == position), None) if participant else None
        if trial is None:
            raise HTTPException(404, "there is no such video")
        pair = study.pair(trial.pair)
        on_left = [one.codec == trial.left for one in pair.sides]
        file = pair.sides[on_left.index(side == "left")].file
        return FileResponse(folder / "videos" / file, media_type="video/mp4")

    return api


def _administrator(study: Study, sessions: Sessions, desk: Desk, token: str) -> APIRouter:
    api = APIRouter(prefix="/api/admin", dependencies=[Depends(admin(token))])

    @api.get("/status")
    def status() -> dict[str, int]:
        return desk.progress()

    @api.get("/answers.csv")
    def answers() -> PlainTextResponse:
        return PlainTextResponse(answers_csv(study, load_ballots(study, sessions)), media_type="text/csv")

    @api.get("/participants.csv")
    def participants() -> PlainTextResponse:
        return PlainTextResponse(participants_csv(load_ballots(study, sessions)), media_type="text/csv")

    return api


def _state(study: Study, participant: Participant | None) -> dict[str, Any]:
    """What the page is told. Nothing in it says which codec is where."""
    asked = study.per_participant or len(study.tests)
    total = min(asked, len(study.tests)) + len(study.sanity)
    about = {"title": study.title, "question": study.question, "total": total, "minutes": _minutes(study, total)}
    if participant is None:
        return {**about, "participant": None}
    current = participant.current
    return {
        **about,
        "participant": participant.id,
        "worker": participant.worker,
        "done": sum(trial.choice is not None for trial in participant.trials),
        "total": len(participant.trials),
        "trial": None if current is None else _trial(study, current),
        "next": _next(participant, current),
        "code": participant.code if current is None else None,
    }


def _trial(study: Study, trial: Trial) -> dict[str, Any]:
    pair = study.pair(trial.pair)
    return {
        "number": trial.position,
        "width": pair.width,
        "height": pair.height,
        "seconds": pair.seconds,
        "frame": pair.seconds / pair.frames,
        "left": f"/api/trials/{trial.position}/left.mp4",
        "right": f"/api/trials/{trial.position}/right.mp4",
    }


def _next(participant: Participant, current: Trial | None) -> list[str]:
    """The videos that the page may load ahead."""
    later = [t for t in participant.trials if t.choice is None and t is not current]
    return [f"/api/trials/{later[0].position}/{side}.mp4" for side in ("left", "right")] if later else []


def _minutes(study: Study, total: int) -> int:
    """About how long it takes: each pair twice, and some seconds to decide."""
    mean = sum(pair.seconds for pair in study.pairs) / len(study.pairs)
    return max(1, round(total * (3 * mean + 5) / 60))
