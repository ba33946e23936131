"""The first schema: jobs, the fair queue's virtual time, wallets and their ledger, deliveries, pictures, posts, notices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None

ULID = sa.String(26)
DIGEST = sa.String(64)
PLATFORM = sa.String(32)
KEY = sa.String(255)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", ULID, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("actor_platform", PLATFORM, nullable=False),
        sa.Column("actor_id", sa.String(200), nullable=False),
        sa.Column("actor_name", sa.String(200), nullable=False),
        sa.Column("place_platform", PLATFORM, nullable=False),
        sa.Column("place_server", sa.String(200), nullable=False),
        sa.Column("place_channel", sa.String(200), nullable=False),
        sa.Column("reply_to", sa.JSON, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("cost", sa.Float(53), nullable=False),
        sa.Column("parent_job", ULID),
        sa.Column("parent_verb", sa.String(32)),
        sa.Column("parent_index", sa.Integer),
        sa.Column("private", sa.Boolean, nullable=False),
        sa.Column("error_message", sa.String(100)),
        sa.Column("error_parameters", sa.JSON),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("deleted_at", TIME),
        sa.Column("device_seconds", sa.Float(53), nullable=False, server_default=sa.text("0")),
        sa.Column("start_tag", sa.Float(53), nullable=False),
        sa.Column("worker", sa.String(100)),
        sa.Column("leased_until", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_next", "jobs", ["status", "start_tag", "id"])
    op.create_index("ix_jobs_actor", "jobs", ["actor_key", "id"])
    op.create_index("ix_jobs_parent", "jobs", ["parent_job"])

    fairness = op.create_table(
        "fairness",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("tag", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fairness"),
    )
    op.bulk_insert(fairness, [{"id": 1, "tag": 0.0}])

    op.create_table(
        "wallets",
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("balance", sa.Float(53), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("finish_tag", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("actor_key", name="pk_wallets"),
    )

    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("job_id", ULID, nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("amount", sa.Float(53), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_ledger_job_id_jobs"),
        sa.UniqueConstraint("job_id", "kind", name="uq_ledger_job_id_kind"),
    )
    op.create_index("ix_ledger_actor", "ledger", ["actor_key"])

    op.create_table(
        "deliveries",
        sa.Column("platform", PLATFORM, nullable=False),
        sa.Column("delivery", sa.String(255), nullable=False),
        sa.Column("job_ids", sa.JSON, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("platform", "delivery", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_at", "deliveries", ["at"])

    op.create_table(
        "artifacts",
        sa.Column("job_id", ULID, nullable=False),
        sa.Column("idx", sa.Integer, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("favourite", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("job_id", "idx", name="pk_artifacts"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_artifacts_job_id_jobs"),
    )
    op.create_index("ix_artifacts_digest", "artifacts", ["digest"])

    op.create_table(
        "inputs",
        sa.Column("job_id", ULID, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "digest", name="pk_inputs"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_inputs_job_id_jobs"),
    )
    op.create_index("ix_inputs_digest", "inputs", ["digest"])

    op.create_table(
        "posts",
        sa.Column("job_id", ULID, nullable=False),
        sa.Column("platform", PLATFORM, nullable=False),
        sa.Column("channel", sa.String(200), nullable=False),
        sa.Column("handle", sa.String(255), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_posts"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_posts_job_id_jobs"),
    )

    op.create_table(
        "notices",
        sa.Column("id", ULID, nullable=False),
        sa.Column("platform", PLATFORM, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("told_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.ForeignKeyConstraint(["id"], ["jobs.id"], name="fk_notices_id_jobs"),
    )
    op.create_index("ix_notices_owed", "notices", ["platform", "told_at", "due_at"])


def downgrade() -> None:
    for table in ("notices", "posts", "inputs", "artifacts", "deliveries", "ledger", "wallets", "fairness", "jobs"):
        op.drop_table(table)
