"""The guarded application: who it answers, what it refuses, how it says so."""

import errno

import pytest
from fastapi import Depends, Request, Response
from fastapi.testclient import TestClient
from pydantic import BaseModel

from pvc.errors import ConfigError
from pvc.web.access import ParticipantCookie, admin, hashed, new_id
from pvc.web.app import make_app

URL = "http://localhost:8000"
OWN = {"X-PVC": "1", "Origin": URL}


class Note(BaseModel):
    text: str


@pytest.fixture
def client(tmp_path):
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_text("<title>notes</title>")
    (tmp_path / "secret.txt").write_text("secret")
    app, cookie = make_app(static=static, hosts=["localhost"], body_limit=1000), ParticipantCookie()

    @app.post("/api/notes")
    def write(note: Note) -> int:
        return len(note.text)

    @app.post("/api/join")
    def join(request: Request, response: Response) -> str:
        return cookie.give(request, response)

    @app.get("/api/me")
    def me(request: Request) -> str | None:
        return cookie.read(request)

    @app.get("/api/fails/{how}")
    def fails(how: str) -> None:
        errors = {
            "user": ConfigError("two\nlines"),
            "full": OSError(errno.ENOSPC, "No space left", "x"),
            "bug": KeyError(),
        }
        raise errors[how]

    @app.get("/api/all", dependencies=[Depends(admin("t0ken"))])
    def everything() -> str:
        return "all"

    return TestClient(app, base_url=URL, raise_server_exceptions=False)


def test_every_answer_has_the_security_headers(client):
    answers = [
        client.get("/"),
        client.get("/api/me"),
        client.get("/api/fails/bug"),
        client.get("/nowhere"),
        client.post("/api/notes"),
        client.get("/", headers={"Host": "evil.example"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 500, 404, 403, 400]
    for answer in answers:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert answers[0].headers["cache-control"] == "no-cache" and answers[1].headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OWN, 200),
        ({"X-PVC": "1", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"X-PVC": "1", "Origin": "https://localhost:8000"}, 200),  # a proxy that ends TLS
        ({"Origin": URL}, 403),  # a form of another site could send all but the header
        ({"X-PVC": "1"}, 403),
        ({"X-PVC": "1", "Origin": "http://localhost:9000"}, 403),  # another server on the same machine
        ({"X-PVC": "1", "Origin": "https://evil.example"}, 403),
        ({"X-PVC": "1", "Origin": "null"}, 403),
        (OWN | {"Sec-Fetch-Site": "cross-site"}, 403),
        (OWN | {"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_only_the_servers_own_pages_may_change_anything(client, headers, status):
    assert client.post("/api/notes", json={"text": "abc"}, headers=headers).status_code == status


def test_a_name_that_an_attacker_points_at_this_machine_is_refused(client):
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", ""):
        assert client.get("/api/me", headers={"Host": host}).status_code == 400


def test_a_body_over_the_limit_is_refused_with_and_without_its_length(client):
    assert client.post("/api/notes", json={"text": "x" * 900}, headers=OWN).json() == 900
    assert client.post("/api/notes", json={"text": "x" * 1100}, headers=OWN).status_code == 413
    read = []

    def endless():
        for _ in range(10_000):
            read.append(1)
            yield b"x" * 100

    assert client.post("/api/notes", content=endless(), headers=OWN).status_code == 413


def test_errors_are_one_line(client):
    for path, status, detail in (
        ("/api/fails/user", 400, "two lines"),
        ("/api/fails/full", 507, "disk is full"),
        ("/api/fails/bug", 500, "its log says why"),
        ("/api/nowhere", 404, "Not Found"),
    ):
        answer = client.get(path)
        assert (answer.status_code, "\n" in answer.json()["detail"]) == (status, False)
        assert detail in answer.json()["detail"]
    unfit = client.post("/api/notes", json={"text": 3}, headers=OWN)
    assert (unfit.status_code, unfit.json()["detail"]) == (422, "body.text: Input should be a valid string")


def test_nothing_outside_the_page_is_served_and_there_is_no_description_of_the_api(client):
    assert "notes" in client.get("/").text
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/docs", "/openapi.json", "/redoc"):
        assert client.get(path).status_code == 404


def test_a_participants_cookie_is_out_of_reach_of_scripts_and_other_sites_and_not_what_is_stored(client):
    answer = client.post("/api/join", headers=OWN)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    secret = client.cookies["pvc_participant"]
    assert answer.json() == client.get("/api/me").json() == hashed(secret) != secret
    https = TestClient(client.app, base_url="https://localhost:8000")
    assert "Secure" in https.post("/api/join", headers=OWN).headers["set-cookie"]


def test_the_administrator_needs_the_token(client):
    for given in (None, "t0ken", "Basic t0ken", "Bearer ", "Bearer t0kem", "Bearer t0ken2"):
        answer = client.get("/api/all", headers={"Authorization": given} if given else {})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get("/api/all", headers={"Authorization": "Bearer t0ken"}).json() == "all"


def test_ids_are_long_and_never_the_same():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000 and {len(id) for id in ids} == {32} and set("".join(ids)) <= set("0123456789abcdef")
