"""What members keep: preferences, styles, lists, offers, sets of jobs; the relaxed lane; what a picture shows; sealed secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None

ULID = sa.String(26)
KEY = sa.String(255)
NAME = sa.String(200)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("actor_locale", sa.String(35), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("relaxed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("batch", ULID, nullable=False, server_default=""))
    op.create_index("ix_jobs_batch", "jobs", ["batch"])
    op.add_column("wallets", sa.Column("relaxed_tag", sa.Float(53), nullable=False, server_default=sa.text("0")))
    op.add_column("artifacts", sa.Column("seen", sa.Text, nullable=False, server_default=""))

    op.create_table(
        "preferences",
        sa.Column("owner", KEY, nullable=False),
        sa.Column("chosen", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_preferences"),
    )
    op.create_table(
        "styles",
        sa.Column("owner", KEY, nullable=False),
        sa.Column("folded", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("owner", "folded", name="pk_styles"),
    )
    op.create_table(
        "word_lists",
        sa.Column("owner", KEY, nullable=False),
        sa.Column("folded", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("entries", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("owner", "folded", name="pk_word_lists"),
    )
    op.create_table(
        "offers",
        sa.Column("id", ULID, nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("actor_platform", sa.String(32), nullable=False),
        sa.Column("actor_id", sa.String(200), nullable=False),
        sa.Column("actor_name", sa.String(200), nullable=False),
        sa.Column("actor_locale", sa.String(35), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("prompts", sa.JSON, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_offers"),
    )
    op.create_index("ix_offers_actor", "offers", ["actor_key"])
    op.create_index("ix_offers_created", "offers", ["created_at"])
    op.create_table(
        "offer_pictures",
        sa.Column("offer_id", ULID, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("offer_id", "digest", name="pk_offer_pictures"),
        sa.ForeignKeyConstraint(["offer_id"], ["offers.id"], name="fk_offer_pictures_offer_id_offers"),
    )
    op.create_index("ix_offer_pictures_digest", "offer_pictures", ["digest"])
    op.create_table(
        "vault",
        sa.Column("key", KEY, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_vault"),
    )


def downgrade() -> None:
    for table in ("vault", "offer_pictures", "offers", "word_lists", "styles", "preferences"):
        op.drop_table(table)
    op.drop_index("ix_jobs_batch", "jobs")
    for table, column in (("artifacts", "seen"), ("wallets", "relaxed_tag"), ("jobs", "batch"), ("jobs", "relaxed"), ("jobs", "actor_locale")):
        op.drop_column(table, column)
