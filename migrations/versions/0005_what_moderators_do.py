"""What moderators do: cases, reports, bans, the audit log, and words owed to people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels = None
depends_on = None

ULID = sa.String(26)
KEY = sa.String(255)
PLATFORM = sa.String(32)
LOCALE = sa.String(35)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "cases",
        sa.Column("id", ULID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("owner", KEY, nullable=False),
        sa.Column("target", sa.String(100), nullable=False),
        sa.Column("alias", KEY, nullable=False),
        sa.Column("subject_key", KEY, nullable=False),
        sa.Column("actor_platform", PLATFORM, nullable=False),
        sa.Column("actor_id", sa.String(200), nullable=False),
        sa.Column("actor_name", sa.String(200), nullable=False),
        sa.Column("actor_locale", LOCALE, nullable=False),
        sa.Column("job_id", ULID, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("rule", sa.String(32), nullable=False),
        sa.Column("reply_to", sa.JSON, nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("decision", sa.String(16)),
        sa.Column("decided_at", TIME),
        sa.Column("post_platform", PLATFORM),
        sa.Column("post_channel", sa.String(200)),
        sa.Column("post_handle", sa.String(255)),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
        sa.UniqueConstraint("owner", "target", name="uq_cases_owner_target"),
    )
    op.create_index("ix_cases_open", "cases", ["owner", "decision", "id"])
    op.create_index("ix_cases_subject", "cases", ["subject_key"])
    op.create_table(
        "reports",
        sa.Column("case_id", ULID, nullable=False),
        sa.Column("alias", KEY, nullable=False),
        sa.Column("reporter_key", KEY, nullable=False),
        sa.Column("reply_to", sa.JSON, nullable=False),
        sa.Column("locale", LOCALE, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("case_id", "alias", name="pk_reports"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_reports_case_id_cases"),
    )
    op.create_index("ix_reports_reporter", "reports", ["reporter_key"])
    op.create_table(
        "bans",
        sa.Column("owner", KEY, nullable=False),
        sa.Column("alias", KEY, nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("until", TIME),
        sa.PrimaryKeyConstraint("owner", "alias", name="pk_bans"),
    )
    op.create_index("ix_bans_actor", "bans", ["actor_key"])
    op.create_table(
        "audit",
        sa.Column("id", ULID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("owner", KEY, nullable=False),
        sa.Column("deed", sa.String(16), nullable=False),
        sa.Column("who", KEY, nullable=False),
        sa.Column("subject", KEY, nullable=False),
        sa.Column("job_id", ULID, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_owner", "audit", ["owner", "id"])
    op.create_index("ix_audit_subject", "audit", ["subject", "owner"])
    op.create_table(
        "letters",
        sa.Column("id", ULID, nullable=False),
        sa.Column("platform", PLATFORM, nullable=False),
        sa.Column("reply_to", sa.JSON, nullable=False),
        sa.Column("receipt", sa.JSON),
        sa.Column("case_id", ULID, nullable=False),
        sa.Column("member", KEY, nullable=False),
        sa.Column("title", sa.String(100), nullable=False),
        sa.Column("text", sa.String(100), nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("locale", LOCALE, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("told_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_letters"),
    )
    op.create_index("ix_letters_owed", "letters", ["told_at", "due_at"])
    op.create_index("ix_letters_member", "letters", ["member"])


def downgrade() -> None:
    for table in ("letters", "audit", "bans", "reports", "cases"):
        op.drop_table(table)
