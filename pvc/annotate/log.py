"""The stroke log of a session in the database: what was answered is stored, and nothing is stored twice."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select

from pvc.annotate.desk import Conflict
from pvc.annotate.store import Session, Stroke
from pvc.annotate.wire import MOST_STROKES
from pvc.web.database import Sessions

_ELSEWHERE = "this video was painted in another window as well; load the page again to go on from what is stored"


def append(sessions: Sessions, session: str, first: int, items: Sequence[dict[str, Any]]) -> int:
    """Store the items, of which the first has number ``first``; those that are stored already are passed over.

    Returns:
        Number of the last item that is stored.

    Raises:
        Conflict: items before ``first`` are missing, the session is finished or full, or other items are stored there.
    """
    with sessions.begin() as db:
        # The row is the log's lock: two requests of one session come one after the other.
        if db.get_one(Session, session, with_for_update=True).finished is not None:
            raise Conflict("this video is finished; load the page again")
        last = db.scalar(select(func.max(Stroke.seq)).where(Stroke.session == session)) or 0
        if first > last + 1:
            raise Conflict(f"items {last + 1} to {first - 1} of the log are missing; send them first")
        known = db.scalars(
            select(Stroke.item)
            .where(Stroke.session == session, Stroke.seq >= first, Stroke.seq < first + len(items))
            .order_by(Stroke.seq)
        ).all()
        if known != list(items[: len(known)]):
            raise Conflict(_ELSEWHERE)
        new = items[len(known) :]
        if last + len(new) > MOST_STROKES:
            raise Conflict(f"a video takes {MOST_STROKES} strokes at most; press 'Next video'")
        if new:
            now = time.time()
            rows = [
                {"session": session, "seq": seq, "received": now, "item": item}
                for seq, item in enumerate(new, first + len(known))
            ]
            db.execute(insert(Stroke), rows)
        return last + len(new)


def items(sessions: Sessions, session: str) -> list[dict[str, Any]]:
    """All items of the log, in order."""
    with sessions() as db:
        return list(db.scalars(select(Stroke.item).where(Stroke.session == session).order_by(Stroke.seq)))
