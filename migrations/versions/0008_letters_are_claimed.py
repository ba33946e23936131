"""A letter is claimed by a lease before it is sent, belongs to a server, and is marked while nobody takes it.

Letters of cases that are there already get their server; of others nobody knows it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels = None
depends_on = None

KEY, ULID = sa.String(255), sa.String(26)


def upgrade() -> None:
    op.add_column("letters", sa.Column("owner", KEY, nullable=False, server_default=""))
    op.add_column("letters", sa.Column("leased_until", sa.DateTime(timezone=True)))
    op.add_column("letters", sa.Column("undelivered", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index("ix_letters_owner", "letters", ["owner", "created_at"])
    letters = sa.table("letters", sa.column("owner", KEY), sa.column("case_id", ULID))
    cases = sa.table("cases", sa.column("id", ULID), sa.column("owner", KEY))
    of_its_case = sa.select(cases.c.owner).where(cases.c.id == letters.c.case_id).scalar_subquery()
    op.execute(sa.update(letters).where(letters.c.case_id.in_(sa.select(cases.c.id))).values(owner=of_its_case))


def downgrade() -> None:
    op.drop_index("ix_letters_owner", "letters")
    for column in ("undelivered", "leased_until", "owner"):
        op.drop_column("letters", column)
