"""Participants, sessions, strokes, maps and encodes."""

import sqlalchemy as sa
from alembic import op

revision = "annotate_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "annotate_collection",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("began", sa.Double, nullable=False),
    )
    op.create_table(
        "annotate_participant",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("cookie", sa.String(64), nullable=False, unique=True),
        sa.Column("worker", sa.String(128), unique=True),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("joined", sa.Double, nullable=False),
    )
    op.create_table(
        "annotate_session",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("participant", sa.String(32), sa.ForeignKey("annotate_participant.id"), nullable=False),
        sa.Column("clip", sa.String(255), nullable=False, index=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("finished", sa.Double),
        sa.UniqueConstraint("participant", "clip"),
        sa.UniqueConstraint("participant", "position"),
    )
    op.create_table(
        "annotate_stroke",
        sa.Column("session", sa.String(32), sa.ForeignKey("annotate_session.id"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("received", sa.Double, nullable=False),
        sa.Column("item", sa.JSON, nullable=False),
    )
    op.create_table(
        "annotate_map",
        sa.Column("session", sa.String(32), sa.ForeignKey("annotate_session.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("strokes", sa.Integer, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("saved", sa.Double, nullable=False),
    )
    op.create_table(
        "annotate_encode",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("session", sa.String(32), sa.ForeignKey("annotate_session.id"), nullable=False, index=True),
        sa.Column("map", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("asked", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("error", sa.String(1000)),
        *(sa.Column(name, sa.Double) for name in ("kbps", "target_kbps", "psnr", "psnr_painted", "psnr_elsewhere")),
        *(sa.Column(name, sa.Double) for name in ("gain_painted", "gain_elsewhere", "seconds", "asked_kbps")),
        sa.Column("stream", sa.String(255)),
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("encode", "map", "stroke", "session", "participant", "collection"):
        op.drop_table(f"annotate_{table}")
