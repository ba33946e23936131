"""`wordup pause` and `wordup resume`: the operator's word to every process on the database, while they run or before they do. Told by `bot.pausing`.

The word goes through the database: the bot need not be reached, and on SQLite it may hold its directory meanwhile, as it does for `wordup backup`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from bot.domain import Load
from bot.errors import BotError
from bot.logs import set_up
from bot.pausing import HOUSE, Pause
from bot.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")

OPERATOR = "terminal:operator"  #: who did it, for the audit log's pseudonym
LOOK = 1.0  #: seconds between two looks at what is left


def add_to(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Give `app` the two commands. `settings` reads the environment, or ends the program with one sentence."""

    @app.command()
    def pause(
        hold: Annotated[bool, typer.Option("--hold", help="Begin nothing that waits either; it keeps its place. What is being drawn ends.")] = False,
        wait: Annotated[bool, typer.Option("--wait", help="Stay until nothing is left to be drawn (with --hold: nothing is being drawn).")] = False,
    ) -> None:
        """Take nothing new, on any server, in direct messages and on the page, until `wordup resume`. The bot may run meanwhile; a restart changes nothing."""
        held = _held(settings)
        before, load = _outcome(say(held, Pause(paused=True, held=hold, since=datetime.now(UTC).isoformat(timespec="seconds"))))
        typer.echo(_told(before, load, hold=hold))
        if wait:
            _outcome(until_done(held.url, hold=hold))
            typer.echo("Nothing is being drawn any more." if hold else "Nothing waits and nothing is being drawn any more.")

    @app.command()
    def resume() -> None:
        """Take requests again."""
        before, load = _outcome(say(_held(settings), Pause()))
        if not before.paused:
            typer.echo("It was not paused.")
        else:
            typer.echo(f"Requests are taken again; it was paused since {before.since or 'some time'}. {_left(load)}.")


class NotReady(Exception):
    """There is no database to write it into yet, or it is an older version's."""


async def say(settings: Settings, wanted: Pause) -> tuple[Pause, Load]:
    """Write it down, with its line in the audit log, in one transaction; what held before, and what is left to be drawn. Raises NotReady, Fault."""
    from ulid import ULID

    from bot.app import load_secret
    from bot.domain.moderation import Deed, Entry
    from bot.store import claims, dialect, keeping, moderating, privacy
    from bot.store.migrate import check

    if await check(settings.url):
        raise NotReady("The database is not there yet, or not up to date: start the bot once, or call `wordup migrate`.")
    deed = Deed.PAUSE if wanted.paused else Deed.RESUME
    who = privacy.pseudonym(OPERATOR, load_secret(settings.data_dir))
    entry = Entry(id=str(ULID()), owner=HOUSE, deed=deed, who=who, detail={"held": wanted.held} if wanted.paused else {}, at=datetime.now(UTC))
    async with _database(settings.url) as db, dialect.writing(db).begin() as connection:
        before = Pause.of(await keeping.chosen(connection, HOUSE))
        if wanted.paused or before.paused:
            await keeping.prefer(connection, HOUSE, wanted.kept)
            await moderating.write_down(connection, entry)
        return before, await claims.load(connection)


async def standing(url: str) -> Pause:
    """What holds, for `wordup doctor` to say. Raises Fault."""
    from bot.store import keeping

    async with _database(url) as db, db.connect() as connection:
        return Pause.of(await keeping.chosen(connection, HOUSE))


async def until_done(url: str, *, hold: bool) -> None:
    """Until nothing is being drawn and, unless it was held, nothing waits. Raises Fault.

    Twice in a row: what was being taken in as the word was given may begin a moment later.
    """
    from bot.store import claims

    async with _database(url) as db:
        done = 0
        while done < 2:
            async with db.connect() as connection:
                load = await claims.load(connection)
            done = 0 if load.running or (load.queued and not hold) else done + 1
            await asyncio.sleep(LOOK)


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[AsyncEngine]:
    """Connections of our own: the bot's store would want its directory for itself. Raises Fault."""
    from bot.store import dialect

    db = dialect.connect(dialect.parse_url(url))
    try:
        yield db
    except dialect.OUTAGES as error:
        raise dialect.fault(error) from error
    finally:
        await db.dispose()


def _told(before: Pause, load: Load, *, hold: bool) -> str:
    again = f" It was paused already, since {before.since}." if before.paused and before.since else ""
    rest = "what waits keeps its place, what is being drawn ends" if hold else "what was taken is drawn"
    return f"Paused: nothing new is taken; {rest}. {_left(load)}.{again} `wordup resume` takes it back."


def _left(load: Load) -> str:
    return f"{load.queued} {'waits' if load.queued == 1 else 'wait'}, {load.running} {'is' if load.running == 1 else 'are'} being drawn"


def _held(settings: Callable[[], Settings]) -> Settings:
    held = settings()
    set_up(level="error", style="console", secrets=held.secrets)
    return held


def _outcome(work: Coroutine[Any, Any, T]) -> T:
    """Run it; what went wrong is one sentence and exit code 1."""
    from bot.messages import Catalogue

    try:
        return asyncio.run(work)
    except BotError as error:
        typer.echo(Catalogue.load("en").say(error.message, **error.parameters), err=True)
    except NotReady as error:
        typer.echo(str(error), err=True)
    except OSError as error:
        typer.echo(f"The data directory cannot be used: {error}", err=True)
    except KeyboardInterrupt:
        typer.echo("It stays paused.", err=True)
    raise typer.Exit(1)
