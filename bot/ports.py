"""What each neighbour must promise, in one file.

`Studio` is inbound (what chats may ask of us); `Store`, `CaseBook`, `Vault`, `Blobs` and `ChatAdapter` are outbound. Contract tests in `tests/contract` run one
suite over every implementation of each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from bot.domain import (
    Accepted,
    Ack,
    Actor,
    Artifact,
    Card,
    Family,
    Hint,
    Inbound,
    Job,
    Load,
    Notice,
    Offer,
    Page,
    Place,
    Reading,
    Receipt,
    ReplyTo,
    Said,
    Shown,
    Style,
    Submission,
    Wallet,
)
from bot.domain.moderation import Ban, Case, Decision, Entry, Letter, Plan, Record, Report, Stats
from engine.api import Capabilities


class Studio(Protocol):
    """The use cases. Adapters call nothing else."""

    def greet(self, event: Inbound) -> Ack:
        """How to acknowledge: in memory, no I/O, a few ms. A mistake in the words comes back as a private card in the Ack."""

    async def handle(self, event: Inbound) -> Card:
        """Do it, once a delivery id; the card to show now (a job's: "queued, 3rd"). Never raises: a UserError is a private card, a fault an apology."""

    def read(self, actor: Actor, text: str) -> Reading:
        """Live grammar hints for words being typed."""

    async def complete(self, actor: Actor, text: str, at: int) -> tuple[Hint, ...]:
        """Autocomplete at offset `at`: flags, their values, styles, things, own prompts."""

    async def card(self, actor: Actor, job_id: str) -> Card:
        """The card of a job as it stands. Raises NotFound."""

    async def seen(self, actor: Actor, job_id: str) -> Shown:
        """A job as it stands. Raises NotFound."""

    def card_of(self, shown: Shown, *, reader: Actor) -> Card:
        """The card of what was read a moment ago, without reading it again."""

    def at_hand_for(self, actor: Actor, job_id: str) -> Job | None:
        """A job that is at hand in memory, as it was when it was last looked at; None for one that is not, or is not this actor's to see."""

    async def history(self, actor: Actor, *, search: str = "", favourites: bool = False, before: str | None = None, limit: int = 24) -> Page:
        """The actor's own jobs, newest first."""

    async def family(self, actor: Actor, job_id: str) -> Family:
        """A job with its ancestors and children. Raises NotFound."""

    async def picture(self, actor: Actor, digest: str) -> bytes:
        """A stored picture this actor may see. Raises NotFound."""

    async def wallet(self, actor: Actor) -> Wallet:
        """The actor's wallet, refilled until now."""

    def wallet_at_hand(self, actor: Actor) -> Wallet | None:
        """The actor's wallet as a `brief` command that was taken a moment ago has left it, once; None for one that must be read."""

    async def load(self) -> Load: ...

    def models(self) -> tuple[Capabilities, ...]: ...

    async def placed(self, event: Inbound, card: Card, receipt: Receipt) -> None:
        """A job's card that was made for `event` stands there now: a reaction on it will mean that job, and the owner's running job is shown there."""

    async def job_at(self, receipt: Receipt) -> str | None:
        """The job whose card stands, or stood, there."""

    async def place(self, job_id: str) -> Receipt | None:
        """Where the job's card stands, as far as is written down."""

    async def reply_here(self, actor: Actor, job_id: str) -> tuple[Place, ReplyTo]:
        """Where a child of that job is told of when it was asked for elsewhere (on the studio page): in the job's own conversation. Raises NotFound."""

    async def watch(self, actor: Actor) -> AsyncIterator[Card]:
        """Cards of the actor's jobs as they change, newest state only when the reader is slow (an end is never dropped)."""
        yield  # type: ignore[misc]


class ChatAdapter(Protocol):
    """A platform. Inbound it calls a Studio; outbound it shows cards."""

    platform: str

    async def start(self, studio: Studio) -> None:
        """Begin taking events; returns when it does."""

    async def pause(self) -> None:
        """Take no more commands; keep showing."""

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        """Show a card: edit what `receipt` names when it can, else post anew. Idempotent for a job in the same state.

        Returns where it stands now. Raises for a failure worth retrying; a place that is gone for good returns None.
        """

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        """Show a running job's card; may drop it (a newer one follows)."""

    async def aclose(self) -> None: ...


class Memos(Protocol):
    """Small facts an adapter wants after a restart; a key begins with its platform's name, and one that ends with a job's id goes a week after the job."""

    async def recall(self, key: str) -> str | None: ...

    async def remember(self, key: str, value: str) -> None:
        """An empty value forgets it."""


class Vault(Protocol):
    """Small secrets (a workspace's tokens), encrypted at rest, by a key that begins with its platform's name."""

    async def get(self, key: str) -> bytes | None:
        """None when it is not there, or was sealed with another secret than this installation has now."""

    async def put(self, key: str, value: bytes) -> None:
        """The newest value wins. At most 64 KiB; raises ValueError for more."""

    async def remove(self, key: str) -> None:
        """Idempotent."""


class Blobs(Protocol):
    """Content-addressed files."""

    async def put(self, data: bytes) -> str:
        """Store durably (written, fsynced, renamed) and return the sha256 hex digest. Idempotent. Raises OSError (disk full)."""

    async def get(self, digest: str) -> bytes:
        """Raises KeyError when it is not there or not what its name says."""

    async def delete(self, digests: Iterable[str]) -> None: ...

    async def digests(self, older_than: timedelta) -> frozenset[str]:
        """Stored digests whose file is older than that (candidates for collection)."""


class Store(Memos, Protocol):
    """Jobs, wallets, receipts, the inbox and the outbox. Every verb is one transaction. All times are the database's clock.

    `worker` names one process's claim; verbs that take it do nothing (return False) when the job is no longer that worker's.
    Fairness: `submit` gives each job a start tag (start-time fair queueing by cost, one flow an actor and lane); `claim` takes the lowest.
    A relaxed job lets every other go first until it has waited `bot.limits.RELAX_PATIENCE`; then its tag counts as others' do.
    An owner is an `Actor.key` or a `Place.owner`; nothing is ever stored for an empty one.
    """

    async def start(self) -> None:
        """Migrate (under a lock, after a backup) and open. Raises Fault when another process holds the data directory (SQLite)."""

    async def aclose(self) -> None: ...

    # -- the inbox
    async def submit(self, submission: Submission) -> Accepted:
        """Write delivery, jobs, wallet reservation and ReplyTo at once, or nothing: of several jobs all are accepted, or none.

        A delivery seen before returns its jobs with `again`. Raises OutOfCredits(cost, balance, wait, cap), of all jobs together (by the member's wallet or one
        in common), and QueueFull(limit, count, room).
        """

    async def seen(self, platform: str, delivery: str) -> bool:
        """Record a delivery that makes no job; True when it had been recorded before."""

    # -- the queue
    async def claim(self, worker: str, lease: timedelta) -> Job | None:
        """Take the next queued job: status running, attempts + 1. Two workers never get the same one."""

    async def heartbeat(self, worker: str, job_ids: Sequence[str], lease: timedelta) -> frozenset[str]:
        """Extend leases; returns those still this worker's to draw (a cancelled job is not)."""

    async def finish(self, worker: str, job_id: str, artifacts: Sequence[Artifact], device_seconds: float, *, hidden: bool = False) -> bool:
        """Running → done: artifacts, the settled wallet and the notice owed, at once. `hidden`: shown behind a click; else as was asked for."""

    async def fail(self, worker: str | None, job_id: str, error: Said) -> bool:
        """Queued or running → failed: refund, notice. `worker` None: whoever holds it."""

    async def requeue(self, worker: str, job_ids: Sequence[str]) -> int:
        """Running → queued, keeping their place (a drain at shutdown); does not count as an attempt."""

    async def requeue_expired(self) -> int:
        """Running → queued for every lease that ran out (and, at start on SQLite, all of a dead process)."""

    async def cancel(self, job_id: str) -> bool:
        """Queued or running → cancelled: refund, notice. False when it had ended."""

    async def load(self) -> Load: ...

    async def position(self, job_id: str) -> tuple[int, float] | None:
        """(how many will start before it, credits of work ahead, the running included and relaxed jobs in full); None unless queued."""

    # -- what is owed to members
    async def placed(self, job_id: str, receipt: Receipt) -> None:
        """Where the job's card stands."""

    async def moved(self, job_id: str, actor_key: str, receipt: Receipt, reply_to: ReplyTo) -> None:
        """Another card of the job stands there. If the job is this actor's and has not ended, this is the one that changes from now on."""

    async def job_at(self, platform: str, channel: str, handle: str) -> str | None:
        """The job whose card stands, or stood, there; None when there is none (any more)."""

    async def notices(self, platforms: Sequence[str], limit: int = 50) -> tuple[Notice, ...]:
        """What is owed now, oldest first; backed off ones excluded."""

    @property
    def alone(self) -> bool:
        """Whether no other process can have this database open meanwhile: SQLite, whose data directory is locked. Then nothing need be held."""

    async def hold(self, notice_id: str, lease: timedelta, held: datetime | None = None) -> datetime | None:
        """Tell it, and nobody else until then (None: not due, or another's). `held`: what this returned before, to hold it longer. Under an hour."""

    async def told(self, notice_id: str) -> None: ...

    async def put_off(self, notice_id: str, delay: timedelta, held: datetime | None = None) -> None:
        """Owe it later, an hour at most: beyond that a clock was set back (attempts + 1). `held`: only while it is still held until then."""

    # -- queries
    async def shown(self, job_id: str) -> Shown:
        """The job with artifacts and children. Raises NotFound."""

    async def reply_to(self, job_id: str) -> tuple[ReplyTo, Receipt | None]: ...

    async def history(self, actor_key: str, *, search: str = "", favourites: bool = False, before: str | None = None, limit: int = 24) -> tuple[Shown, ...]:
        """By id, newest first; `search` matches the words, case-insensitively; deleted jobs are not there."""

    async def active(self, actor_key: str) -> tuple[Job, ...]:
        """Queued and running, oldest first."""

    async def find_picture(self, digest: str, actor_key: str) -> tuple[Job, Artifact] | None:
        """A job (the oldest this actor may see: not private, or their own) that has this picture; uploads used as sources count with index -2."""

    async def look_alikes(self, fingerprint: str, actor_key: str, *, within: int) -> tuple[Job, Artifact] | None:
        """Of the newest 200,000 pictures this actor may see the oldest of those that differ in the fewest bits, at most `within` of 64."""

    async def wallet(self, actor_key: str, *, cap: float, per_hour: float) -> Wallet:
        """Refilled until now; a full one for a newcomer."""

    async def favourite(self, job_id: str, index: int, on: bool) -> None: ...

    async def delete(self, job_id: str) -> None:
        """Hide an ended job from every query and forget its pictures (files go with the next collection)."""

    async def batch(self, offer_id: str) -> tuple[Shown, ...]:
        """The jobs of a set, in the order of its prompts; deleted ones are not there."""

    async def everything(self, actor_key: str) -> tuple[Shown, ...]:
        """All of a member's jobs, oldest first, for the export; deleted ones are not there."""

    # -- what members keep
    async def preferences(self, owner: str) -> Mapping[str, Any]:
        """Plain JSON by name; empty for an owner who never chose anything."""

    async def all_preferences(self) -> Mapping[str, Mapping[str, Any]]:
        """Of everybody who prefers anything, by owner."""

    async def prefer(self, owner: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Set these names (None removes one) and return all there are now. Two at once lose nothing. Raises ValueError for no owner."""

    async def styles(self, owners: Sequence[str]) -> tuple[Style, ...]:
        """Of these owners, by name; of two with one name, the one whose owner comes first in `owners`."""

    async def save_style(self, style: Style) -> None:
        """A name is one whatever its case: the newest words win. At most 100 an owner: raises Refused, for a name over 50 characters too."""

    async def drop_style(self, owner: str, name: str) -> bool:
        """False when there was none."""

    async def word_lists(self, owners: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Entries by case-folded name; of two lists with one name, the one whose owner comes first in `owners`."""

    async def save_word_list(self, owner: str, name: str, entries: Sequence[str]) -> None:
        """As `save_style`."""

    async def drop_word_list(self, owner: str, name: str) -> bool:
        """False when there was none."""

    async def offer(self, offer: Offer) -> None:
        """Keep it, 90 days at least; one with the same id is replaced. Pictures whose digests stand in its facts are needed as long."""

    async def offered(self, offer_id: str) -> Offer:
        """Raises NotFound."""

    async def offers(self, actor_key: str) -> tuple[Offer, ...]:
        """All that were made to a member and are kept still, oldest first."""

    async def forget(self, actor_key: str) -> int:
        """Everything of a member's goes: words, names, pictures, places, preferences, styles, lists, offers; returns how many jobs they had.

        What waits or runs is cancelled, by the caller before. Numbers stay, under a pseudonym: the ledger, and the wallet, theirs again when they come back.
        """

    # -- housekeeping
    async def retire(self, older_than: timedelta | None, *, audit: timedelta | None = None) -> int:
        """Delete ended jobs past the retention that are nobody's favourite, and old lines of the audit log (None keeps all); returns how many jobs."""

    async def referenced(self, digests: Iterable[str]) -> frozenset[str]:
        """Which of these pictures a job (as artifact, source or input) or an offer still needs."""

    async def now(self) -> datetime:
        """The database's clock."""


class CaseBook(Protocol):
    """Reports, contests, decisions, bans, the audit log, words owed. Verbs are transactions, as `Store`'s. Members go by `Store.forget`'s pseudonym."""

    def alias(self, actor_key: str) -> str:
        """Always the same, and no way back. In memory."""

    async def open(self, case: Case, report: Report | None = None, *, most: int = 0, letter: Letter | None = None) -> tuple[Case, bool]:
        """The case of that target, which may be decided already; whether this opened or joined it: then `letter` is owed. Refused past `most` (0: any)."""

    async def case(self, case_id: str) -> Case:
        """Raises NotFound."""

    async def waiting(self, owner: str, limit: int = 25) -> tuple[Case, ...]:
        """Cases of a server that nobody decided yet, oldest first."""

    async def reporters(self, case_id: str) -> tuple[Report, ...]:
        """To be told what came of it, oldest first."""

    async def record(self, owner: str, actor_key: str) -> Record: ...

    async def decide(self, case: Case, made: Decision, entry: Entry, *, hide: Sequence[str] = (), bans: bool = False, letters: Sequence[Letter] = ()) -> bool:
        """Decide it, write it down, hide these jobs, ban its member for good, owe these letters: at once. False when it was decided before."""

    async def allowed(self, case: Case) -> bool:
        """Whether a case with that target was decided in its member's favour."""

    async def bans(self) -> tuple[Ban, ...]:
        """All that hold now."""

    async def ban(self, owner: str, actor: Actor, until: datetime | None, entry: Entry, letters: Sequence[Letter] = ()) -> None: ...

    async def unban(self, owner: str, actor_key: str, entry: Entry) -> bool:
        """False when there was none; then nothing is written down."""

    async def choose(self, owner: str, plan: Plan, entry: Callable[[Mapping[str, Any], Mapping[str, Any]], Entry]) -> Mapping[str, Any]:
        """Change settings by `plan`, and write down what `entry` makes of those before and after, at once; all there are now. Two at once lose nothing."""

    async def write_down(self, entry: Entry, letters: Sequence[Letter] = ()) -> None:
        """In the audit log; what is owed for it with it."""

    async def log(self, owner: str, *, before: str | None = None, limit: int = 20) -> tuple[Entry, ...]:
        """The audit log of a server, newest first."""

    async def jobs_in(self, place: Place, *, actor_key: str = "", since: timedelta | None = None, limit: int, ended: bool = True) -> tuple[str, ...]:
        """Jobs that were asked for on that server, newest first: those that have ended, or those that wait or run."""

    async def stands(self, job_id: str) -> tuple[Receipt, ...]:
        """Every message that shows the job, or showed it: where it was asked for, and where somebody had it shown."""

    async def purge(self, job_ids: Sequence[str], entry: Entry, letters: Sequence[Letter] = ()) -> int:
        """Hide them and write it down with how many (`count`)."""

    async def stats(self, place: Place, span: timedelta) -> Stats: ...

    async def post(self, letters: Sequence[Letter]) -> None:
        """Owe these."""

    async def due(self, limit: int = 50, platforms: Sequence[str] | None = None) -> tuple[Letter, ...]:
        """Letters that are owed now, oldest first, also those that somebody is sending; on these platforms (None: on all)."""

    async def claim(self, letter_id: str, lease: timedelta) -> Letter | None:
        """Send it, and nobody else while the lease holds (attempts + 1). None: not due any more, or somebody sends it or another about the same case."""

    async def told(self, letter: Letter, receipt: Receipt | None, *, undelivered: bool = False) -> None:
        """It is not owed any more. A case's card stands at `receipt` from now on. `undelivered`: nobody took it."""

    async def put_off(self, letter: Letter, delay: timedelta, *, undelivered: bool = False) -> None:
        """Try it again later, unless somebody else claimed it meanwhile. A day at most. `undelivered`: its place is closed."""

    async def tidy(self) -> None:
        """Forget what nobody asks for any more: cases decided half a year ago, told letters, bans that ran out. The audit log stays."""

    async def kept(self, actor_key: str) -> Mapping[str, Any]:
        """What is stored here of a member, for their export: plain JSON."""
