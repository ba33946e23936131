"""`wordup backup FILE` and `wordup restore FILE`. Parses and prints; `bot.backup` does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bot.errors import BotError
from bot.logs import set_up
from bot.settings import Settings

if TYPE_CHECKING:
    from bot.backup import Summary


def add_to(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Give `app` the two commands. `settings` reads the environment, or ends the program with one sentence."""

    @app.command()
    def backup(
        file: Annotated[Path, typer.Argument(help="The file to write; there must be none yet.")],
        with_secret: Annotated[
            bool,
            typer.Option(
                "--with-secret",
                help="Put secret.key and signing/ in as well: whoever has the file can then sign in and sign pictures as anybody, and open what is sealed.",
            ),
        ] = False,
    ) -> None:
        """Write database and pictures to one file. The bot may run meanwhile."""
        from bot import backup as backups

        held = _held(settings)
        summary = _outcome(backups.backup(file, held.url, held.data_dir, with_secret=with_secret))
        typer.echo(f"{file}: {_told(summary)}.")
        if summary.manifest.missing:
            typer.echo(f"{len(summary.manifest.missing)} pictures that the database names are not on the disk, or not whole (manifest.json lists them).")
        if not with_secret:
            typer.echo("secret.key is not in it. Keep it elsewhere: without it sign-ins end, sealed tokens (Slack installs) cannot be opened, and whoever was")
            typer.echo("forgotten begins with a full wallet.")

    @app.command()
    def restore(
        file: Annotated[Path, typer.Argument(help="What `wordup backup` wrote.")],
        force: Annotated[bool, typer.Option("--force", help="Even where there is something already: its database is replaced.")] = False,
    ) -> None:
        """Put a backup into the database and the data directory of the settings, SQLite or Postgres. Stop the bot before."""
        from bot import backup as backups

        held = _held(settings)
        summary = _outcome(backups.restore(file, held.url, held.data_dir, force=force))
        typer.echo(f"Restored from {file}, made {summary.manifest.made:%Y-%m-%d %H:%M} UTC: {_told(summary)}.")
        if summary.again:
            typer.echo(f"{summary.again} of its members were forgotten after it was made, and again now.")
        if not summary.secret and not (held.data_dir / "secret.key").exists():
            typer.echo(f"secret.key was not in it. Put the old one into {held.data_dir} before the bot starts, or it makes a new one.")


def _held(settings: Callable[[], Settings]) -> Settings:
    held = settings()
    set_up(level="error", style="console", secrets=held.secrets)
    return held


def _outcome(work: Coroutine[Any, Any, Summary]) -> Summary:
    """Run it; what went wrong is one sentence and exit code 1."""
    from bot.backup import BackupError
    from bot.messages import Catalogue

    try:
        return asyncio.run(work)
    except BackupError as error:
        _fail(str(error))
    except BotError as error:
        _fail(Catalogue.load("en").say(error.message, **error.parameters))
    except OSError as error:
        _fail(f"A file could not be read or written: {error}")


def _told(summary: Summary) -> str:
    return f"{summary.rows} rows, {summary.pictures} pictures, {summary.size / 2**20:.1f} MiB, tables as of revision {summary.manifest.revision}"


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
