"""`wordup models list | verify | pull | bench`. Parses and prints; `bot.models` decides and does."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer

from bot import commercial
from bot.settings import Settings
from engine.api import COMMERCIAL, EngineError
from engine.entry import Entry
from engine.shelf import Shelf

COLUMNS = ("name", "title", "family", "size", "steps", "licence", "memory", "where", "state")


def group(settings: Callable[[], Settings]) -> typer.Typer:
    """The commands. `settings` reads the environment, or ends the program with one sentence."""
    commands = typer.Typer(help="The models on the shelf (docs/models.md).", invoke_without_command=True)

    @commands.callback()
    def alone(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            show()

    @commands.command("list")
    def show(cards: Annotated[bool, typer.Option("--cards", help="The cards that ship with the program instead.")] = False) -> None:
        """List the models on the shelf, the default first, and say what is wrong with those that cannot be used."""
        from bot import models

        found = models.card_rows() if cards else models.rows(commercial.open_shelf(settings()))
        columns = COLUMNS[:-1] if cards else COLUMNS
        lines = table([[*columns], *([str(getattr(row, column)) for column in columns] for row in found)])
        typer.echo(lines[0])
        for row, line in zip(found, lines[1:], strict=True):
            typer.echo(line)
            if row.problem:
                typer.echo(f"    {row.problem}")

    @commands.command()
    def verify(name: Annotated[str | None, typer.Argument(help="One model; all of them when left out.")] = None) -> None:
        """Read and hash every file; one line for each that is wrong."""
        from bot import models

        shelf = open_shelf(settings())
        chosen = [entry for entry in (*shelf.entries, *shelf.absent) if name in (None, entry.can.model)]
        known = {entry.can.model for entry in chosen}
        unread = {key: problem for key, problem in shelf.problems.items() if key not in known and name in (None, key)}
        if not chosen and not unread:
            fail(f"{name} is not on the shelf; `wordup models list` shows what is.")
        for problem in unread.values():
            typer.echo(str(problem))
        bad = bool(unread)
        for entry in chosen:
            found = models.verified(entry) or [str(problem) for key, problem in shelf.problems.items() if key == entry.can.model]
            bad = bad or bool(found)
            typer.echo("\n".join(found) or models.praise(entry))
        raise typer.Exit(1 if bad else 0)

    @commands.command()
    def pull(
        what: Annotated[str, typer.Argument(metavar="CARD_OR_HUB_ID", help="A shipped card (`list --cards`), or owner/name on the hub.")],
        revision: Annotated[str | None, typer.Option(help="A branch, a tag or a commit; the main branch when left out.")] = None,
        name: Annotated[str, typer.Option(help="What members type; the card's or the repository's own name when left out.")] = "",
        variant: Annotated[str | None, typer.Option(help="Which weights, such as fp16; the smallest that are whole when left out.")] = None,
        file: Annotated[str, typer.Option(help="One .safetensors file of the repository.")] = "",
        config_only: Annotated[bool, typer.Option("--config-only", help="Only settings and tokenizers, for a checkpoint in a single file.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="The licence is agreed to.")] = False,
    ) -> None:
        """Fetch a model, hash its files and put it on the shelf. Safetensors only."""
        from bot import models
        from bot.models_hub import Hub, PullError

        held = settings()
        hub = Hub()
        try:
            planned = models.plan(hub, what, held.models_store, revision=revision, variant=variant, file=file, config_only=config_only)
            typer.echo(f"{planned.offer.hub} at {planned.offer.commit[:12]}: {models.gigabytes(planned.size)}. Licence: {planned.licence or 'not told'}.")
            for each in planned.forbids:
                typer.echo(f"The licence forbids {each}.")
            if held.commercial and COMMERCIAL in planned.refuses:
                typer.echo("WORDUP_COMMERCIAL says that money is earned here, so it would not be offered.")
            if planned.asks and not config_only and not yes and not agreed():
                fail("Nothing was fetched. `--yes` says that you have read the licence and agree.")
            typer.echo(models.carry_out(hub, planned, held.models_list, name=name, listed=not config_only))
        except PullError as error:
            fail(str(error))

    @commands.command()
    def bench(name: Annotated[str | None, typer.Argument(help="One model; the default when left out.")] = None) -> None:
        """Seconds a picture takes, alone and with four requests in flight."""
        held = settings()
        shelf = commercial.open_shelf(held)
        try:
            entry = shelf.entry(name) if name else shelf.entries[0]
        except (EngineError, IndexError):
            why = shelf.problems.get(name or "") or f"{name or 'A model'} is not on the shelf"
            fail(f"{why}; `wordup models list` shows what is.")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            typer.echo(asyncio.run(bench_line(held, entry)))
        except EngineError as error:
            fail(str(error))

    return commands


async def bench_line(settings: Settings, entry: Entry) -> str:
    """Draw with the real engine and say how long it took. Raises EngineError."""
    from bot import models
    from engine.local import LocalEngine

    engine = LocalEngine(Shelf((entry,)), device=settings.device, max_rows=settings.max_rows, threads=settings.threads, reproducible=settings.reproducible)
    await engine.start()
    try:
        took = await models.time_it(engine, entry.can.model)
    finally:
        await engine.aclose()
    can = entry.can
    return (
        f"{can.model}, {can.width}×{can.height}, {can.steps} steps: {took.alone:.2f} s a picture alone, {took.in_company:.2f} s with four requests in flight "
        f"({took.alone / took.in_company:.1f} times as many)"
    )


def open_shelf(settings: Settings) -> Shelf:
    """All of it, whether it may be used here or not: what is asked for is about files."""
    return Shelf.open(settings.model_folders, listing=settings.models_list, store=settings.models_store, default=settings.model or None)


def agreed() -> bool:
    """Ask; nobody at a terminal is a no."""
    return sys.stdin.isatty() and typer.confirm("Have you read the licence, and do you agree?")


def fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
