"""Participants and trials."""

import sqlalchemy as sa
from alembic import op

revision = "study_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "study_participant",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("study", sa.String(64), nullable=False, index=True),
        sa.Column("cookie", sa.String(64), nullable=False, unique=True),
        sa.Column("worker", sa.String(128)),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("joined", sa.Double, nullable=False),
        sa.UniqueConstraint("study", "worker"),
    )
    op.create_table(
        "study_trial",
        sa.Column(
            "participant", sa.String(64), sa.ForeignKey("study_participant.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("pair", sa.String(16), nullable=False),
        sa.Column("left", sa.String(200), nullable=False),
        sa.Column("opened", sa.Double),
        sa.Column("answered", sa.Double),
        sa.Column("choice", sa.String(5)),
        sa.Column("plays_left", sa.Integer),
        sa.Column("plays_right", sa.Integer),
        sa.Column("restarts", sa.Integer),
        sa.Column("layout", sa.String(16)),
        sa.Column("scale", sa.Double),
        sa.Column("seconds", sa.Double),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("study_trial")
    op.drop_table("study_participant")
