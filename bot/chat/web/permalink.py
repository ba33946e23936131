"""Where a picture comes from, as a page: the file itself with its marks, the manifest, what it was made from, and its family.

Chats encode pictures anew and strip what is written in them; so cards link here, where the file is whole. A member sees what they may see of the job
elsewhere, and nobody else anything. `bot.chat.web.server` adds the routes.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from PIL import Image

from bot.chat.web import render
from bot.chat.web.answers import Answers
from bot.chat.web.frame import ACTOR
from bot.domain import Artifact, Shown
from bot.errors import NotFound

if TYPE_CHECKING:
    from bot.provenance.manifest import Claim

GRID = -1  #: the index of a job's contact sheet
#: What the first line says, by what the manifest in the file is worth.
SAID = {"trusted": "origin.signed", "": "origin.unsigned"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Permalinks:
    """The view functions and what they need. `read` says what the manifest in a file claims; None: nobody can, and pages show none."""

    answers: Answers
    read: Callable[[bytes], Awaitable[Claim | None]] | None = None

    def routes(self) -> list[web.RouteDef]:
        job = r"/origin/{id:[0-9A-Z]{26}}"
        number = r"{index:\d{1,2}}"
        whole, one = ("", f"/{number}"), "manifest.json"
        return [*(web.get(job + path, self.show) for path in whole), *(web.get(f"{job}{path}/{one}", self.manifest) for path in whole)]

    async def show(self, request: web.Request) -> web.Response:
        """The page. Without a number: of the contact sheet, or the only picture."""
        actor, catalogue, studio = request[ACTOR], self.answers.frame.catalogue_for(request), self.answers.studio
        family = await studio.family(actor, request.match_info["id"])
        picture = chosen(family.shown, request.match_info.get("index"))
        data = await studio.picture(actor, picture.digest)
        claim = await self.read(data) if self.read is not None else None
        card = await studio.card(actor, family.shown.job.id)
        path = f"/origin/{picture.job_id}" + ("" if picture.index == GRID else f"/{picture.index}")
        return self.answers.page(
            request,
            "permalink.html",
            said=catalogue.say(SAID.get(claim.state if claim else "", "origin.broken")),
            claim=claim,
            manifest=f"{path}/manifest.json",
            picture=picture,
            address=render.picture_url(picture.digest),
            alt=next((each.alt for each in card.pictures if each.digest == picture.digest), card.title),
            card=card,
            parameters=await asyncio.to_thread(parameters, data),
            numbers=[each.index for each in family.shown.artifacts if each.index >= 0],
            ancestors=[render.tile_view(catalogue, shown) for shown in reversed(family.ancestors)],
            here=render.tile_view(catalogue, family.shown, current=True),
            children=[render.tile_view(catalogue, shown) for shown in family.children],
            wallet=await self.answers.wallet(request),
        )

    async def manifest(self, request: web.Request) -> web.Response:
        """The whole report of the manifest in the file, JSON."""
        family = await self.answers.studio.family(request[ACTOR], request.match_info["id"])
        picture = chosen(family.shown, request.match_info.get("index"))
        data = await self.answers.studio.picture(request[ACTOR], picture.digest)
        claim = await self.read(data) if self.read is not None else None
        if claim is None:
            raise NotFound("web.not_found")
        return web.Response(text=claim.text, content_type="application/json")


def chosen(shown: Shown, index: str | None) -> Artifact:
    """The picture that a page is of. Pure. Raises NotFound for a number that is none, and for a job without pictures."""
    stills = {each.index: each for each in shown.artifacts if each.index >= GRID}
    picture = stills.get(int(index)) if index is not None else stills.get(GRID) or stills.get(0)
    if picture is None:
        raise NotFound("web.not_found")
    return picture


def parameters(png: bytes) -> str:
    """What the file says it was made from; empty where it says nothing. Blocking."""
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            return str(image.info.get("parameters", ""))
    except OSError:
        return ""
