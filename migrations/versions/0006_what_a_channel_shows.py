"""What held for sexual content where a job was asked for: refused, behind a click, or shown. Until now that was a yes or a no."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("sexual", sa.String(16), nullable=False, server_default="refuse"))
    jobs = sa.table("jobs", sa.column("adult", sa.Boolean), sa.column("sexual", sa.String))
    op.execute(sa.update(jobs).where(jobs.c.adult).values(sexual="allow"))
    op.drop_column("jobs", "adult")


def downgrade() -> None:
    op.add_column("jobs", sa.Column("adult", sa.Boolean, nullable=False, server_default=sa.false()))
    jobs = sa.table("jobs", sa.column("adult", sa.Boolean), sa.column("sexual", sa.String))
    op.execute(sa.update(jobs).where(jobs.c.sexual == "allow").values(adult=True))
    op.drop_column("jobs", "sexual")
