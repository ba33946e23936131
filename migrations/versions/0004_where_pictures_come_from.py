"""Where pictures come from: a fingerprint of each, by which it is known again after a chat encoded it anew. And which of them are shown behind a click."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("artifacts", sa.Column("fingerprint", sa.String(16), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("adult", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("jobs", "hidden")
    op.drop_column("jobs", "adult")
    op.drop_column("artifacts", "fingerprint")
