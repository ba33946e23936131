"""The tables, as SQLAlchemy Core metadata: read by every query module in this package and by `migrations/env.py`.

A change here needs a migration in `migrations/versions`; a contract test compares the two on both databases.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC. SQLite forgets time zones, so they are taken off and put back here, and only here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware → UTC (naive for SQLite). Raises ValueError for a naive one: nobody knows what it means."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Whatever the database gave → aware, UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ULID = String(26)
DIGEST = String(64)
PLATFORM = String(32)
KEY = String(255)  #: Actor.key, Place.owner
NAME = String(200)  #: of a style or a list, case-folded, which may make it longer
LOCALE = String(35)  #: an IETF tag


#: One row an accepted request. Rows are never removed; `deleted_at` hides them.
jobs = Table(
    "jobs",
    metadata,
    Column("id", ULID, primary_key=True),
    Column("request", JSON, nullable=False),  # engine.api.request_to_dict
    Column("words", Text, nullable=False),
    Column("folded", Text, nullable=False),  # case-folded words, for the search (lower() knows only ASCII on SQLite)
    Column("actor_key", KEY, nullable=False),
    Column("actor_platform", PLATFORM, nullable=False),
    Column("actor_id", String(200), nullable=False),
    Column("actor_name", String(200), nullable=False),
    Column("actor_locale", LOCALE, nullable=False, server_default=""),
    Column("place_platform", PLATFORM, nullable=False),
    Column("place_server", String(200), nullable=False),
    Column("place_channel", String(200), nullable=False),
    Column("reply_to", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("cost", Float(53), nullable=False),
    Column("parent_job", ULID),
    Column("parent_verb", String(32)),
    Column("parent_index", Integer),
    Column("private", Boolean, nullable=False),
    Column("relaxed", Boolean, nullable=False, server_default=false()),
    Column("hidden", Boolean, nullable=False, server_default=false()),
    Column("batch", ULID, nullable=False, server_default=""),  # the offer it belongs to, or empty
    Column("sexual", String(16), nullable=False, server_default="refuse"),
    Column("error_message", String(100)),
    Column("error_parameters", JSON(none_as_null=True)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    Column("device_seconds", Float(53), nullable=False, server_default=text("0")),
    Column("start_tag", Float(53), nullable=False),  # virtual time, credits (start-time fair queueing)
    Column("worker", String(100)),  # who holds the lease, while running
    Column("leased_until", UtcDateTime),
    Index("ix_jobs_next", "status", "start_tag", "id"),
    Index("ix_jobs_actor", "actor_key", "id"),
    Index("ix_jobs_parent", "parent_job"),
    Index("ix_jobs_batch", "batch"),
)

#: The virtual time of the fair queue: the highest start tag ever claimed. One row, id 1, written by the migration.
fairness = Table(
    "fairness",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("tag", Float(53), nullable=False),
)

#: What a member has, and where their two flows of jobs end in virtual time. This row's lock orders everything that changes one member's balance.
wallets = Table(
    "wallets",
    metadata,
    Column("actor_key", KEY, primary_key=True),
    Column("balance", Float(53), nullable=False),  # credits there at `at`
    Column("at", UtcDateTime, nullable=False),
    Column("finish_tag", Float(53), nullable=False),  # virtual time, credits
    Column("relaxed_tag", Float(53), nullable=False, server_default=text("0")),  # the same, of the relaxed lane
)

#: Every credit that moved: a job has one "reserve" and, once ended, one "settle" or one "refund" of the same amount.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ULID, ForeignKey("jobs.id"), nullable=False),
    Column("actor_key", KEY, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("amount", Float(53), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("job_id", "kind"),
    Index("ix_ledger_actor", "actor_key"),
)

#: The inbox: what was handled already.
deliveries = Table(
    "deliveries",
    metadata,
    Column("platform", PLATFORM, nullable=False),
    Column("delivery", String(255), nullable=False),
    Column("job_ids", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("platform", "delivery"),
    Index("ix_deliveries_at", "at"),
)

#: A job's pictures; index -1 is the contact sheet, -3 the clip.
artifacts = Table(
    "artifacts",
    metadata,
    Column("job_id", ULID, ForeignKey("jobs.id"), nullable=False),
    Column("idx", Integer, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("seed", BigInteger, nullable=False),  # up to 2**32 - 1
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("favourite", Boolean, nullable=False, server_default=false()),
    Column("seen", Text, nullable=False, server_default=""),
    Column("fingerprint", String(16), nullable=False, server_default=""),
    PrimaryKeyConstraint("job_id", "idx"),
    Index("ix_artifacts_digest", "digest"),
)

#: Pictures a job starts from.
inputs = Table(
    "inputs",
    metadata,
    Column("job_id", ULID, ForeignKey("jobs.id"), nullable=False),
    Column("digest", DIGEST, nullable=False),
    PrimaryKeyConstraint("job_id", "digest"),
    Index("ix_inputs_digest", "digest"),
)

#: Where a job's card stands. Not in `jobs`: claiming skips a job row that is locked for any reason.
posts = Table(
    "posts",
    metadata,
    Column("job_id", ULID, ForeignKey("jobs.id"), primary_key=True),
    Column("platform", PLATFORM, nullable=False),
    Column("channel", String(200), nullable=False),
    Column("handle", String(255), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

#: Every message that shows, or showed, a job: what a reaction on it means.
messages = Table(
    "messages",
    metadata,
    Column("platform", PLATFORM, nullable=False),
    Column("channel", String(200), nullable=False),
    Column("handle", String(255), nullable=False),
    Column("job_id", ULID, ForeignKey("jobs.id"), nullable=False),
    PrimaryKeyConstraint("platform", "channel", "handle"),
    Index("ix_messages_job", "job_id"),
)

#: What adapters want to know after a restart (`bot.ports.Memos`).
memos = Table(
    "memos",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("value", Text, nullable=False),
)

#: The outbox: the end of a job, owed to a member until `told_at`. A job ends once, so its id is the notice's.
notices = Table(
    "notices",
    metadata,
    Column("id", ULID, ForeignKey("jobs.id"), primary_key=True),
    Column("platform", PLATFORM, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("told_at", UtcDateTime),
    Index("ix_notices_owed", "platform", "told_at", "due_at"),
)

#: What a member or a server prefers.
preferences = Table(
    "preferences",
    metadata,
    Column("owner", KEY, primary_key=True),
    Column("chosen", JSON, nullable=False),  # plain JSON by name
)

#: Words under a name (`--style`), and lists of words (`__animal__`). A name is one whatever its case.
styles = Table(
    "styles",
    metadata,
    Column("owner", KEY, nullable=False),
    Column("folded", NAME, nullable=False),
    Column("name", NAME, nullable=False),
    Column("words", Text, nullable=False),
    PrimaryKeyConstraint("owner", "folded"),
)
word_lists = Table(
    "word_lists",
    metadata,
    Column("owner", KEY, nullable=False),
    Column("folded", NAME, nullable=False),
    Column("name", NAME, nullable=False),
    Column("entries", JSON, nullable=False),
    PrimaryKeyConstraint("owner", "folded"),
)

#: Prompts a member may yet have drawn by a button.
offers = Table(
    "offers",
    metadata,
    Column("id", ULID, primary_key=True),
    Column("actor_key", KEY, nullable=False),
    Column("actor_platform", PLATFORM, nullable=False),
    Column("actor_id", String(200), nullable=False),
    Column("actor_name", String(200), nullable=False),
    Column("actor_locale", LOCALE, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("prompts", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_offers_actor", "actor_key"),
    Index("ix_offers_created", "created_at"),
)

#: Pictures an offer names: they are needed as long as it is.
offer_pictures = Table(
    "offer_pictures",
    metadata,
    Column("offer_id", ULID, ForeignKey("offers.id"), nullable=False),
    Column("digest", DIGEST, nullable=False),
    PrimaryKeyConstraint("offer_id", "digest"),
    Index("ix_offer_pictures_digest", "digest"),
)

#: Secrets, sealed (`bot.store.vault`).
vault = Table(
    "vault",
    metadata,
    Column("key", KEY, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

#: Reported pictures and contested refusals (`bot.domain.moderation`). One a target and server, decided once.
cases = Table(
    "cases",
    metadata,
    Column("id", ULID, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("owner", KEY, nullable=False),
    Column("target", String(100), nullable=False),
    Column("alias", KEY, nullable=False),  # the subject's pseudonym: what is left of them once they are forgotten
    Column("subject_key", KEY, nullable=False),
    Column("actor_platform", PLATFORM, nullable=False),
    Column("actor_id", String(200), nullable=False),
    Column("actor_name", String(200), nullable=False),
    Column("actor_locale", LOCALE, nullable=False),
    Column("job_id", ULID, nullable=False),  # empty for a contest
    Column("words", Text, nullable=False),
    Column("rule", String(32), nullable=False),
    Column("pictures", JSON, nullable=False, server_default=text("'[]'")),  # of a contest: digests of those from outside
    Column("offer_id", ULID, nullable=False, server_default=text("''")),  # of a contest: what draws it
    Column("reply_to", JSON, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("decision", String(16)),
    Column("decided_at", UtcDateTime),
    Column("post_platform", PLATFORM),
    Column("post_channel", String(200)),
    Column("post_handle", String(255)),
    UniqueConstraint("owner", "target"),
    Index("ix_cases_open", "owner", "decision", "id"),
    Index("ix_cases_subject", "subject_key"),
)

#: Who reported a case, and what they said. A member reports it once.
reports = Table(
    "reports",
    metadata,
    Column("case_id", ULID, ForeignKey("cases.id"), nullable=False),
    Column("alias", KEY, nullable=False),
    Column("reporter_key", KEY, nullable=False),
    Column("reply_to", JSON, nullable=False),  # by which they can be told
    Column("locale", LOCALE, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("case_id", "alias"),
    Index("ix_reports_reporter", "reporter_key"),
)

#: Who may ask for nothing on a server. Under a pseudonym: being forgotten takes no ban back.
bans = Table(
    "bans",
    metadata,
    Column("owner", KEY, nullable=False),
    Column("alias", KEY, nullable=False),
    Column("actor_key", KEY, nullable=False),
    Column("name", String(200), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
    Column("asked", Boolean, nullable=False, server_default=true()),  # for something on that server, before
    PrimaryKeyConstraint("owner", "alias"),
    Index("ix_bans_actor", "actor_key"),
)

#: What was decided, set and removed, by and about whom: pseudonyms only. Rows are never changed.
audit = Table(
    "audit",
    metadata,
    Column("id", ULID, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("owner", KEY, nullable=False),
    Column("deed", String(16), nullable=False),
    Column("who", KEY, nullable=False),
    Column("subject", KEY, nullable=False),
    Column("job_id", ULID, nullable=False),
    Column("detail", JSON, nullable=False),
    Index("ix_audit_owner", "owner", "id"),
    Index("ix_audit_subject", "subject", "owner"),
)

#: Words owed to moderators and members, until a chat has taken them (`bot.store.mail`).
letters = Table(
    "letters",
    metadata,
    Column("id", ULID, primary_key=True),
    Column("owner", KEY, nullable=False, server_default=""),  # the server whose words they are
    Column("platform", PLATFORM, nullable=False),
    Column("reply_to", JSON, nullable=False),
    Column("receipt", JSON(none_as_null=True)),
    Column("case_id", ULID, nullable=False),
    Column("member", KEY, nullable=False),
    Column("title", String(100), nullable=False),
    Column("text", String(100), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("locale", LOCALE, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("told_at", UtcDateTime),
    Column("leased_until", UtcDateTime),  # by whoever sends it just now
    Column("undelivered", Boolean, nullable=False, server_default=false()),  # nobody took it the last time
    Index("ix_letters_owed", "told_at", "due_at"),
    Index("ix_letters_owner", "owner", "created_at"),
    Index("ix_letters_member", "member"),
)
