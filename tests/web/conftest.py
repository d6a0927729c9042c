"""A schema of two versions, as a tool would have it."""

from pathlib import Path

import pytest

FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text, unique=True))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("notes", sa.Column("stars", sa.Integer, nullable=False, server_default="3"))
"""
BROKEN = SECOND + "    raise RuntimeError('the disk fell off')\n"


@pytest.fixture
def schema(tmp_path):
    """Makes a folder with the first ``versions`` versions, the second one broken if asked."""

    def make(versions: int, broken: bool = False) -> Path:
        folder = tmp_path / "a note: 100%" / "migrations"
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.py"):
            file.unlink()
        for number, text in enumerate([FIRST, BROKEN if broken else SECOND][:versions], 1):
            (folder / f"{number:04d}.py").write_text(text)
        return folder

    return make
