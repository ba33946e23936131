"""The two chats: which message shows which job, and what adapters want to know after a restart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None

ULID = sa.String(26)


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("platform", sa.String(32), nullable=False),
        sa.Column("channel", sa.String(200), nullable=False),
        sa.Column("handle", sa.String(255), nullable=False),
        sa.Column("job_id", ULID, nullable=False),
        sa.PrimaryKeyConstraint("platform", "channel", "handle", name="pk_messages"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_messages_job_id_jobs"),
    )
    op.create_index("ix_messages_job", "messages", ["job_id"])
    op.create_table(
        "memos",
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_memos"),
    )


def downgrade() -> None:
    op.drop_table("memos")
    op.drop_table("messages")
