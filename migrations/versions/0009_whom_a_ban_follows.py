"""A ban says whether its member had asked for something on that server: elsewhere it holds for no one else. Those that are there hold as they did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bans", sa.Column("asked", sa.Boolean, nullable=False, server_default=sa.true()))


def downgrade() -> None:
    op.drop_column("bans", "asked")
