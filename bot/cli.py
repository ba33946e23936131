"""The command line: `wordup run | imagine | doctor | migrate | models | backup | restore | verify | signin | pause | resume | soak`.

Parses and prints; `bot.app` builds, `bot.doctor` checks. Commands with a subject of their own have a file of their own beside this one.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from bot import __version__
from bot.audit_bias import add_to as add_audit_to
from bot.backup_cli import add_to as add_backup_to
from bot.errors import BotError
from bot.logs import set_up
from bot.models_cli import group as models_group
from bot.pause_cli import add_to as add_pause_to
from bot.settings import Settings
from bot.verify_cli import add_to as add_verify_to
from engine.api import EngineError

if TYPE_CHECKING:
    from bot.app import App

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Word Up! — words in, pictures out.")


def _settings(**changes: Any) -> Settings:
    """Settings from the environment, with command-line changes on top; a wrong one ends the program with one sentence."""
    try:
        return Settings(**{key: value for key, value in changes.items() if value is not None})
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            typer.echo(f"WORDUP_{name} cannot be used: {problem['msg']}. See .env.example for what it may be.", err=True)
        raise typer.Exit(2) from None


app.add_typer(models_group(_settings), name="models")
add_backup_to(app, _settings)
add_audit_to(app, _settings)
add_verify_to(app, _settings)
add_pause_to(app, _settings)


def _prepare(settings: Settings) -> None:
    set_up(level=settings.log_level, style=settings.log_format, secrets=settings.secrets)


def _imported() -> None:
    """Wake the garbage collector, which `bot.__main__` put to sleep, and let it leave alone what was imported."""
    gc.freeze()
    gc.enable()


def _say(error: BotError) -> str:
    from bot.messages import Catalogue

    return Catalogue.load("en").say(error.message, **error.parameters)


@app.command()
def run(
    host: Annotated[str | None, typer.Option(help="Where the studio page listens (WORDUP_WEB_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Its port (WORDUP_WEB_PORT).")] = None,
) -> None:
    """Start the bot and stay until Ctrl-C or SIGTERM."""
    settings = _settings(web_host=host, web_port=port)
    _prepare(settings)
    from bot.app import App

    _imported()

    def started(bot: App) -> None:
        if bot.web is not None:
            typer.echo(f"\n  Word Up! {__version__} is ready.  Studio: {settings.public_url or bot.web.url}")
            if bot.web.signs_in:
                typer.echo("  It asks members to sign in: `wordup signin` prints a one-time link.")
        if bot.pausing.at_hand.paused:
            typer.echo(f"  Paused since {bot.pausing.at_hand.since}: nothing new is taken. `wordup resume` takes it back.")
        typer.echo(f"  Model: {bot.engine.models()[0].title}.  Health and metrics: {bot.monitor.url or 'off'}")
        chats = {"Discord": ("discord", "WORDUP_DISCORD_TOKEN"), "Slack": ("slack", "WORDUP_SLACK_BOT_TOKEN")}
        said = (f"{chat}: {'on' if name in bot.adapters else f'off (set {variable})'}." for chat, (name, variable) in chats.items())
        typer.echo(f"  {'  '.join(said)}\n", nl=True)
        sys.stdout.flush()

    async def serve() -> bool:
        """Whether the program must be begun anew: its device is lost and nobody told it to stop."""
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
        bot = App(settings)
        await bot.run(stop, started)
        return bot.lost.is_set() and not stop.is_set()

    try:
        again = asyncio.run(serve())
    except* BotError as group:
        for error in _flat(group):
            typer.echo(_say(error), err=True)
        raise typer.Exit(1) from None
    except* (OSError, EngineError) as group:
        for error in _flat(group):
            typer.echo(f"Word Up! cannot start: {error}", err=True)
        raise typer.Exit(1) from None
    if again:
        from bot.renewal import restart

        restart()


def _flat(group: BaseExceptionGroup[Any]) -> list[Any]:
    return [leaf for e in group.exceptions for leaf in (_flat(e) if isinstance(e, BaseExceptionGroup) else [e])]


@app.command()
def imagine(
    words: Annotated[str, typer.Argument(help='What to draw, with flags: "a fox in the snow, 3d render --seed 7"; or a command: "/morph a fox | an owl".')],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the PNG goes; of several pictures, this is the contact sheet.")] = Path("wordup.png"),
    source: Annotated[list[Path] | None, typer.Option("--source", help="A picture to start from; several are blended.")] = None,
    style: Annotated[Path | None, typer.Option("--style-picture", help="A picture whose style is followed, where the model can.")] = None,
    sketch: Annotated[Path | None, typer.Option("--sketch", help="A picture whose lines are followed, where the model can.")] = None,
    prompts: Annotated[Path | None, typer.Option("--list", help="A file of prompts: text, one a line, or CSV with columns for {name} slots.")] = None,
    show: Annotated[bool, typer.Option(help="Show the picture in the terminal.")] = True,
) -> None:
    """Draw here and now, without the bot's queue or history. One picture a prompt unless --n says more."""
    from rich.console import Console

    from bot.gate.classifier import NoClassifier
    from bot.once import Once

    _imported()
    console = Console(stderr=True)
    set_up(level="warning", style="console")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        files = {"image": source or [], "style": [style] if style else [], "sketch": [sketch] if sketch else [], "list": [prompts] if prompts else []}
        with tempfile.TemporaryDirectory(prefix="wordup-") as folder:
            once = Once(_settings(), Path(folder), console, output, show=show)
            code = asyncio.run(once.draw(words, {role: [(each.name, each.read_bytes()) for each in paths] for role, paths in files.items()}))
    except (NoClassifier, EngineError) as error:
        console.print(f"Word Up! cannot start: {error}", markup=False)
        code = 1
    except OSError as error:
        console.print(f"The picture could not be read or written: {error}", markup=False)
        code = 1
    raise typer.Exit(code)


@app.command()
def doctor() -> None:
    """Look at everything the bot needs and say what to fix."""
    from bot.doctor import examine

    settings = _settings()
    set_up(level="error", style="console")
    marks = {"ok": typer.style("ok  ", fg="green"), "note": typer.style("note", fg="yellow"), "fail": typer.style("FAIL", fg="red")}
    findings = asyncio.run(examine(settings))
    for finding in findings:
        typer.echo(f"{marks[finding.level]}  {finding.what}: {finding.text}")
        if finding.fix:
            typer.echo(f"      → {finding.fix}")
    raise typer.Exit(1 if any(f.level == "fail" for f in findings) else 0)


@app.command()
def migrate() -> None:
    """Bring the database to this version's tables (the bot also does it at start)."""
    from bot.store.migrate import migrate as bring_up

    settings = _settings()
    _prepare(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        applied = asyncio.run(bring_up(settings.url))
    except BotError as error:
        typer.echo(_say(error), err=True)
        raise typer.Exit(1) from None
    typer.echo("\n".join(f"applied {name}" for name in applied) or "The database is up to date.")


@app.command()
def signin(name: Annotated[str, typer.Argument(help="Whom the link signs in.")] = "operator") -> None:
    """Print a one-time link that signs somebody in to the studio (needed when it does not listen on loopback)."""
    from datetime import UTC, datetime

    from bot.app import load_secret
    from bot.chat.web.signin import mint

    settings = _settings()
    token = mint(load_secret(settings.data_dir), name, name, datetime.now(UTC))
    base = settings.public_url or f"http://{settings.web_host if settings.is_loopback else 'localhost'}:{settings.web_port}"
    typer.echo(f"{base}/sign-in?token={token}")


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long members ask for pictures.")] = 5.0,
    members: Annotated[int, typer.Option(min=1, max=1000, help="How many there are, on Discord and Slack by turns.")] = 20,
    seed: Annotated[int, typer.Option(help="Of what members do and of what goes wrong when.")] = 1,
    faults: Annotated[bool, typer.Option(help="Whether anything goes wrong.")] = True,
    database: Annotated[str, typer.Option(help="A database of its own (postgresql://…); empty: SQLite.")] = "",
) -> None:
    """Run the whole bot under members and faults against stand-ins for Discord and Slack, and tell what became of every job. Needs a source tree."""
    import json

    from bot.soak import NoStandIns
    from bot.soak import soak as run_it

    _imported()
    set_up(level="warning", style="console")
    try:
        found = asyncio.run(
            run_it(minutes=minutes, members=members, seed=seed, faults=faults, database=database, tell=lambda line: typer.echo(f"  {line}", err=True))
        )
    except NoStandIns as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    for name, value in found.figures().items():
        typer.echo(f"{name:22} {value}")
    typer.echo(json.dumps(found.figures()))
    raise typer.Exit(0 if found.kept else 1)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
