"""`wordup verify FILE`: was this picture made here, by whom, from which words? For the operator; `bot.cli` adds the command.

By the manifest in the file, then by its digest, then by its fingerprint. It reads the database beside a running bot and changes nothing. The file may be
anybody's: its manifest and its pixels are read by processes apart, as the bot reads them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.domain import Artifact, Job
from bot.errors import BadPicture, BotError
from bot.provenance import NEAR, Provenance, distance
from bot.settings import Settings
from bot.uploads import Decoders


def add_to(app: typer.Typer, settings: Callable[[], Settings]) -> None:
    """Add the command. `settings` reads the environment, or ends the program with one sentence."""

    @app.command()
    def verify(file: Annotated[Path, typer.Argument(help="The picture, as it was saved.")]) -> None:
        """Say whether a picture was made here, by whom and from which words. Exit code 0: it was; 3: nothing says so."""
        from bot.app import make_provenance
        from bot.messages import Catalogue

        catalogue, chosen = Catalogue.load("en"), settings()
        try:
            data = file.read_bytes()
            made_here, lines = asyncio.run(look(chosen, make_provenance(chosen, lambda: datetime.now(UTC)), data, catalogue.say))
        except BotError as error:
            typer.echo(catalogue.say(error.message, **error.parameters), err=True)
            raise typer.Exit(1) from None
        except OSError as error:
            typer.echo(f"The picture or the records could not be read: {error}", err=True)
            raise typer.Exit(1) from None
        for line in lines:
            typer.echo(line)
        raise typer.Exit(0 if made_here else 3)


async def look(settings: Settings, provenance: Provenance, data: bytes, say: Callable[..., str]) -> tuple[bool, tuple[str, ...]]:
    """(whether anything says that it was made here, what can be said of the file, a line each). Closes `provenance`. Raises Fault, OSError."""
    from bot.store.likeness import Records

    records = Records(settings.url)
    try:
        claim = await provenance.read(data)
        if claim is not None and claim.job_id:
            found = await records.picture_of(claim.job_id, claim.index)
            return True, (say("verify.by_manifest"), *facts(*found, say)) if found else (say("verify.not_yours"),)
        doubts = () if claim is None else (say("verify.foreign", issuer=claim.issuer),) if claim.state == "valid" else (say("verify.broken"),)
        if found := await records.find_picture(hashlib.sha256(data).hexdigest()):
            return True, (say("verify.made_here"), *facts(*found, say))
        mark = await _looks(provenance, data)
        if found := await records.look_alikes(mark, NEAR):
            return True, (*doubts, say("verify.looks_like", bits=distance(mark, found[1].fingerprint)), *facts(*found, say, by_looks=True))
        return False, (*doubts, say("verify.unknown"))
    finally:
        provenance.close()
        await records.aclose()


async def _looks(provenance: Provenance, data: bytes) -> str:
    """The fingerprint of a stranger's picture; empty where it cannot be read. Raises OSError where nothing could be decoded."""
    decoders = Decoders()
    try:
        picture = await asyncio.to_thread(decoders.picture, data)
    except BadPicture:
        return ""
    finally:
        decoders.close()
    return await provenance.fingerprint(picture.png)


def facts(job: Job, picture: Artifact, say: Callable[..., Any], *, by_looks: bool = False) -> tuple[str, ...]:
    """A line each. Of what only looks alike nobody is named: others may have drawn it from the same words. Pure."""
    known = {
        "when": f"{job.created_at:%Y-%m-%d %H:%M} UTC",
        "by": "" if by_looks else job.actor.name,
        "model": job.request.model,
        "seed": str(picture.seed),
        "id": job.id,
    }
    return (f"  {job.words}", *(f"  {say(f'verify.{key}')}: {value}" for key, value in known.items() if value))
