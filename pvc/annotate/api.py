"""What the page asks for. Every route knows the participant by the cookie, and shows nobody else's session."""

import gzip
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from pvc.annotate import log
from pvc.annotate.clip import Clip
from pvc.annotate.collection import Collection
from pvc.annotate.desk import Standing
from pvc.annotate.maps import read_values
from pvc.annotate.store import Participant, Session
from pvc.annotate.wire import STROKES_BODY, Join, Strokes
from pvc.web.access import ParticipantCookie

_KEEP = {"Cache-Control": "private, max-age=86400"}  # files of a session never change
_PATIENCE = 30  # seconds that a request waits for news at most
Count = Annotated[int, Query(ge=0, le=10**9)]


def participant_routes(it: Collection, cookie: ParticipantCookie) -> APIRouter:
    """The routes under ``/api`` for those who paint."""
    api = APIRouter(prefix="/api")

    def me(request: Request) -> Participant:
        found = it.desk.find(cookie.read(request))
        if found is None:
            raise HTTPException(401, "you have not joined yet; load the page again")
        return found

    def mine(session: str, request: Request) -> Session:
        found = it.desk.session_of(cookie.read(request), session) if _is_id(session) else None
        if found is None or found.clip not in it.clips:
            raise _nothing()
        return found

    Mine = Annotated[Session, Depends(mine)]
    Body = Annotated[bytes, Depends(_body)]

    @api.post("/join")
    def join(body: Join, request: Request, response: Response) -> dict[str, Any]:
        known = it.desk.find(cookie.read(request))
        if known is None or (body.worker is not None and body.worker != known.worker):  # the next one at this computer
            known = it.desk.join(cookie.give(request, response), body.worker)
        return _state(it, it.desk.standing(known))

    @api.get("/state")
    def state(participant: Annotated[Participant, Depends(me)]) -> dict[str, Any]:
        return _state(it, it.desk.standing(participant))

    @api.get("/sessions/{session}/clip/{name}")
    def file(name: str, session: Mine) -> FileResponse:
        if name not in ("source.mp4", "baseline.mp4", "flow.bin"):
            raise _nothing()
        return FileResponse(it.clips[session.clip].folder / name, headers=_KEEP)

    @api.get("/sessions/{session}/clip/edges/{frame}.png")
    def edges(frame: int, session: Mine) -> FileResponse:
        clip = it.clips[session.clip]
        if not 0 <= frame < clip.frames:
            raise _nothing()
        return FileResponse(clip.folder / "edges" / f"{frame:05d}.png", headers=_KEEP)

    @api.post("/sessions/{session}/strokes", max_body_size=STROKES_BODY)
    def add_strokes(body: Strokes, session: Mine) -> dict[str, int]:
        items = [item.model_dump() for item in body.items]
        frames = it.clips[session.clip].frames
        if any(item.get("frame", 0) >= frames for item in items):
            raise HTTPException(422, f"a stroke lies behind the clip's {frames} frames")
        return {"stored": log.append(it.sessions, session.id, body.first, items)}

    @api.get("/sessions/{session}/strokes")
    def strokes(session: Mine) -> dict[str, list]:
        return {"items": log.items(it.sessions, session.id)}

    @api.get("/sessions/{session}/map")
    def newest_map(session: Mine) -> Response:
        number = it.newest_map(session.id)
        if number is None:
            raise _nothing()
        values = read_values(it.work.map(session.id, number), it.clips[session.clip].grid)
        packed = gzip.compress(values.tobytes(), 1)
        return Response(packed, media_type="application/octet-stream", headers={"Content-Encoding": "gzip"})

    @api.post("/sessions/{session}/encodes", status_code=202)
    async def encode(strokes: Count, session: Mine, body: Body) -> dict[str, str]:
        order = await run_in_threadpool(it.maps.save, session, body, strokes)
        it.encodes.start(order)
        return {"encode": order.encode}

    @api.get("/sessions/{session}/encodes/{encode}")
    async def progress(encode: str, session: Mine, seen: int = -1, wait: float = 0) -> dict[str, Any]:
        patience = min(max(wait, 0.0), _PATIENCE)  # also of NaN
        found = await it.encodes.look(session.id, encode, seen, patience) if _is_id(encode) else None
        if found is None:
            raise _nothing()
        return found

    @api.get("/sessions/{session}/encodes/{encode}/video.mp4")
    def video(encode: str, session: Mine) -> FileResponse:
        if not _is_id(encode) or not it.is_done(session.id, encode):
            raise _nothing()
        return FileResponse(it.work.video(session.id, encode), headers=_KEEP)

    @api.post("/sessions/{session}/finish")
    async def finish(
        strokes: Count, session: Mine, participant: Annotated[Participant, Depends(me)], body: Body
    ) -> dict[str, Any]:
        if session.finished is None:
            it.desk.check_time(session)
            order = await run_in_threadpool(it.maps.finish, session, body, strokes, it.desk.finish)
            if order is not None:
                it.encodes.start(order)
        return _state(it, await run_in_threadpool(it.desk.standing, participant))

    return api


async def _body(request: Request) -> bytes:
    return await request.body()


def _is_id(text: str) -> bool:
    return len(text) == 32 and set(text) <= set("0123456789abcdef")


def _nothing() -> HTTPException:
    return HTTPException(404, "there is no such thing, or it is not yours")


def _state(it: Collection, standing: Standing) -> dict[str, Any]:
    """What the page is told of where its participant is."""
    return {
        "participant": standing.participant.id,
        "clips": {"done": standing.done, "total": standing.total},
        "minimum_seconds": it.desk.minimum_seconds,
        "brush": it.brush,
        "session": None if standing.session is None else _session(it.clips[standing.session.clip], standing),
        "done": standing.session is None,
        "code": standing.participant.code if standing.session is None else None,
    }


def _session(clip: Clip, standing: Standing) -> dict[str, Any]:
    id = standing.session.id
    return {
        "id": id,
        "clip": clip.public,
        "elapsed_seconds": standing.elapsed,
        "strokes": standing.strokes,
        "map": f"/api/sessions/{id}/map" if standing.maps else None,
        "encode": standing.encode,
    }
