"""A contested refusal knows the pictures from outside that its words were for, and the offer that would draw it once it is allowed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cases", sa.Column("pictures", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("cases", sa.Column("offer_id", sa.String(26), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("cases", "offer_id")
    op.drop_column("cases", "pictures")
