"""The database: durable, brought to the newest schema, and one line for what cannot be opened."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from pvc.errors import ConfigError
from pvc.web.database import open_database


def _rows(sessions):
    with sessions() as session:
        return [tuple(row) for row in session.execute(text("SELECT * FROM notes ORDER BY id"))]


def test_an_old_database_is_brought_to_the_newest_schema_with_its_rows(tmp_path, schema):
    url = f"sqlite:///{tmp_path}/notes.sqlite"
    old = open_database(url, schema(1))
    with old.begin() as session:
        session.execute(text("INSERT INTO notes VALUES (1, 'kept')"))
    assert _rows(open_database(url, schema(2))) == [(1, "kept", 3)]
    assert _rows(open_database(url, schema(2))) == [(1, "kept", 3)]  # and once more: nothing to do


def test_a_database_of_a_newer_pvc_is_refused_and_left_as_it_was(tmp_path, schema):
    url = f"sqlite:///{tmp_path}/notes.sqlite"
    open_database(url, schema(2))
    with pytest.raises(ConfigError, match="schema 0002, which a newer pvc wrote"):
        open_database(url, schema(1))
    assert _rows(open_database(url, schema(2))) == []


def test_a_migration_that_fails_changes_nothing(tmp_path, schema):
    url = f"sqlite:///{tmp_path}/notes.sqlite"
    with open_database(url, schema(1)).begin() as session:
        session.execute(text("INSERT INTO notes VALUES (1, 'kept')"))
    with pytest.raises(RuntimeError, match="disk fell off"):
        open_database(url, schema(2, broken=True))
    assert _rows(open_database(url, schema(1))) == [(1, "kept")]


def test_a_block_that_fails_writes_nothing_and_a_reading_session_cannot_write(tmp_path, schema):
    sessions = open_database(f"sqlite:///{tmp_path}/notes.sqlite", schema(1))
    with pytest.raises(ZeroDivisionError), sessions.begin() as session:
        session.execute(text("INSERT INTO notes VALUES (1, 'half')"))
        raise ZeroDivisionError
    with pytest.raises(OperationalError, match="readonly"), sessions() as session:
        session.execute(text("INSERT INTO notes VALUES (1, 'sneaked in')"))
    assert _rows(sessions) == []
    with sessions.begin() as session:  # the same connection may write again
        session.execute(text("INSERT INTO notes VALUES (2, 'whole')"))
    assert _rows(sessions) == [(2, "whole")]


def test_commits_are_on_the_disk_and_writers_wait_for_each_other(tmp_path, schema):
    sessions = open_database(f"sqlite:///{tmp_path}/notes.sqlite", schema(1))
    with sessions() as session:
        settings = [session.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]  # 2: FULL

    failures = []

    def add_one_to_the_last():
        try:
            for _ in range(10):
                with sessions.begin() as session:
                    last = session.execute(text("SELECT max(id) FROM notes")).scalar() or 0
                    session.execute(text("INSERT INTO notes VALUES (:id, :text)"), {"id": last + 1, "text": f"{last}"})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=add_one_to_the_last, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert [row[0] for row in _rows(sessions)] == list(range(1, 81))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "URL is none"),
        ("postgresql://host:port/name", "URL is none"),
        ("mysql://host/name", "give sqlite:///FILE or postgresql://"),
        ("sqlite://", "give sqlite:///FILE or postgresql://"),
        ("sqlite:///{folder}/missing/notes.sqlite", "unable to open database file"),
        ("sqlite:///{folder}/letter.txt", "file is not a database"),
        ("postgresql://me:secret@127.0.0.1:1/name", "cannot be used: connection"),
    ],
)
def test_what_cannot_be_opened_is_one_line_without_the_password(tmp_path, schema, url, says):
    (tmp_path / "letter.txt").write_text("Dear database, " * 100)
    with pytest.raises(ConfigError, match=says) as caught:
        open_database(url.format(folder=tmp_path), schema(1))
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
    assert (tmp_path / "letter.txt").read_text() == "Dear database, " * 100
