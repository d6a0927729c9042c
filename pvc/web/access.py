"""Who may do what: ids that cannot be guessed, the cookie of a participant, the token of the administrator."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable

from fastapi import HTTPException, Request, Response

_THIRTY_DAYS = 30 * 24 * 3600


def new_id() -> str:
    """An id that cannot be guessed: 128 random bits as 32 hexadecimal digits, good in a URL and as a file's name."""
    return secrets.token_hex(16)


def hashed(secret: str) -> str:
    """What is stored of a secret that was drawn at random (SHA-256, hexadecimal): it does not give the secret back."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ParticipantCookie:
    """The cookie that says who a participant is. Scripts cannot read it and other sites cannot send it.

    Args:
        name: of the cookie. Cookies do not tell ports apart, so two servers on one machine need two names.
    """

    def __init__(self, name: str = "pvc_participant") -> None:
        self._name = name

    def give(self, request: Request, response: Response) -> str:
        """Draw a new secret, set the cookie and return what to store of it, :func:`hashed`."""
        secret = secrets.token_urlsafe(32)
        response.set_cookie(
            self._name,
            secret,
            max_age=_THIRTY_DAYS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return hashed(secret)

    def read(self, request: Request) -> str | None:
        """:func:`hashed` secret of the request, to look the participant up; None without a cookie."""
        secret = request.cookies.get(self._name)
        return hashed(secret) if secret else None


def admin_token() -> tuple[str, str]:
    """The administrator's token, that of ``$PVC_ADMIN_TOKEN`` or a new one, and what to print of it."""
    given = os.environ.get("PVC_ADMIN_TOKEN")
    token = given or secrets.token_urlsafe(24)
    return token, "that of $PVC_ADMIN_TOKEN" if given else token


def admin(token: str) -> Callable[[Request], None]:
    """A dependency for routes of the administrator: they need ``Authorization: Bearer TOKEN``, and answer 401 else."""

    def check(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Of hashes, because the time that comparing takes must not tell how long the token is either.
        if scheme.lower() != "bearer" or not hmac.compare_digest(hashed(given.strip()), hashed(token)):
            raise HTTPException(
                401,
                "this needs the admin token that the server printed when it started",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return check
