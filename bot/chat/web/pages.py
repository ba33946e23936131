"""The studio's pages: one view function a route. They talk to `ports.Studio` and lay out what it answers.

Every POST works as a plain form (answer: a redirect or a page) and from the script (``Accept: application/json``; answer: the fragment to put in place).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import structlog
from aiohttp import web

from bot.chat.web import render, signin
from bot.chat.web.answers import Answers, wants_json
from bot.chat.web.frame import ACTOR
from bot.chat.web.render import back_to, painter_of, pressed_job
from bot.chat.web.words import command_hints, moved, said, words_at
from bot.domain import Command, Press, Reading, Submit
from bot.errors import NotFound

log = structlog.get_logger(__name__)

GALLERY = 24
IMMUTABLE = "private, max-age=31536000, immutable"
#: What a browser may do with a file that is saved; everything else is bytes to it.
SAVED = frozenset({"application/zip", "application/json", "text/csv", "text/plain"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The view functions and what they need."""

    answers: Answers
    spend: Callable[[str], Awaitable[bool]]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.home),
            web.get("/history", self.history),
            web.get("/job/{id}", self.job),
            web.get("/card/{id}", self.card),
            web.get("/preview/{id}", self.preview),
            web.get("/picture/{digest:[0-9a-f]{64}}.{ending:png|webp}", self.picture),
            web.get("/file/{key:[0-9a-f]{40}}/{name}", self.file),
            web.post("/imagine", self.imagine),
            web.post("/press", self.press),
            web.post("/submit", self.submit),
            web.post("/read", self.read),
            web.get("/sign-in", self.sign_in),
            web.post("/sign-in", self.use_link),
            web.post("/sign-out", self.sign_out),
        ]

    # ------------------------------------------------------------------------------------------ to look at

    async def home(self, request: web.Request) -> web.Response:
        return await self.answers.home(request, words=request.query.get("words", "")[:8000])

    async def history(self, request: web.Request) -> web.Response:
        actor, query = request[ACTOR], request.query
        search, favourites = query.get("search", "").strip()[:200], query.get("favourites") == "1"
        page = await self.answers.studio.history(actor, search=search, favourites=favourites, before=query.get("before") or None, limit=GALLERY)
        catalogue = self.answers.frame.catalogue_for(request)
        return self.answers.page(
            request,
            "history.html",
            tiles=[render.tile_view(catalogue, shown) for shown in page.items],
            search=search,
            favourites=favourites,
            first="before" not in query,
            before=page.before,
            wallet=await self.answers.wallet(request),
        )

    async def job(self, request: web.Request) -> web.Response:
        actor, catalogue = request[ACTOR], self.answers.frame.catalogue_for(request)
        family = await self.answers.studio.family(actor, request.match_info["id"])
        card = self.answers.studio.card_of(family.shown, reader=actor)
        return self.answers.page(
            request,
            "job.html",
            card=self.answers.card_view(request, card, family.shown),
            ancestors=[render.tile_view(catalogue, shown) for shown in reversed(family.ancestors)],
            here=render.tile_view(catalogue, family.shown, current=True),
            children=[render.tile_view(catalogue, shown) for shown in family.children],
            wallet=await self.answers.wallet(request),
        )

    async def card(self, request: web.Request) -> web.Response:
        """The card's HTML alone, for the script to put in place."""
        view = await self.answers.view(request, request.match_info["id"])
        if view is None:
            raise NotFound("web.no_job")
        large = request.query.get("large") == "1"
        return web.Response(text=self.answers.fragment(request, "_card.html", card=view, large=large), content_type="text/html")

    async def preview(self, request: web.Request) -> web.Response:
        """The newest preview of a running job."""
        card = await self.answers.studio.card(request[ACTOR], request.match_info["id"])
        for picture in card.pictures:
            if picture.data:
                return image(picture.data)
        return web.Response(status=204)  # it ended while the page was asking: nothing is wrong

    async def picture(self, request: web.Request) -> web.Response:
        digest, ending = request.match_info["digest"], request.match_info["ending"]
        data = await self.answers.studio.picture(request[ACTOR], digest)
        if request.headers.get("If-None-Match") == f'"{digest}"':
            return web.Response(status=304, headers={"ETag": f'"{digest}"', "Cache-Control": IMMUTABLE})
        response = image(data)
        response.headers.update({"ETag": f'"{digest}"', "Cache-Control": IMMUTABLE})
        if "save" in request.query:
            response.headers["Content-Disposition"] = f'attachment; filename="wordup-{digest[:12]}.{ending}"'
        return response

    async def file(self, request: web.Request) -> web.StreamResponse:
        """What went along with an answer, for whom it was made."""
        actor = request[ACTOR]
        kept = self.answers.shelf.get(actor.key, request.match_info["key"])
        if kept is None:
            raise NotFound("web.file_gone")
        kind = kept.kind if kept.kind in SAVED else "application/octet-stream"
        saved = f"attachment; filename*=UTF-8''{quote(kept.name[:200], safe='')}"
        if kept.path:
            if not await asyncio.to_thread(Path(kept.path).is_file):
                raise NotFound("web.file_gone")
            return web.FileResponse(kept.path, headers={"Content-Type": kind, "Content-Disposition": saved})
        data = await self.answers.studio.picture(actor, kept.digest) if kept.digest else kept.data
        if kept.kind.startswith("image/"):
            return image(data)
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(body=data, content_type=kind, charset=charset, headers={"Content-Disposition": saved})

    # ------------------------------------------------------------------------------------------ to say something

    async def imagine(self, request: web.Request) -> web.Response:
        form = await self.answers.form(request)
        name, text = said(form.get("text"))
        event = Command(**self.answers.event(request[ACTOR], form, name), name=name, text=text, uploads=form.uploads)
        return await self.answers.answer(request, event, words=form.get("text"))

    async def press(self, request: web.Request) -> web.Response:
        form = await self.answers.form(request)
        action = form.get("action")[:200]
        if painter := painter_of(action):
            if wants_json(request):
                return web.json_response({"kind": "open", "url": painter})
            raise web.HTTPSeeOther(painter)
        back = back_to(form.get("back"), "/")
        event = Press(**self.answers.event(request[ACTOR], form, action), action=action)
        return await self.answers.answer(request, event, pressed=pressed_job(action), back=back)

    async def submit(self, request: web.Request) -> web.Response:
        form = await self.answers.form(request)
        values = {name.removeprefix("value."): value for name, value in form.fields.items() if name.startswith("value.")}
        fields = self.answers.event(request[ACTOR], form, form.get("form"))
        return await self.answers.answer(request, Submit(**fields, form=form.get("form")[:200], values=values, uploads=form.uploads))

    async def read(self, request: web.Request) -> web.Response:
        """Live hints for words being typed, with what could come next at the caret."""
        form = await self.answers.form(request, takes_orders=False)
        actor, text, at = request[ACTOR], form.get("text"), form.get("at")
        caret = min(int(at), len(text)) if at.isdecimal() and len(at) < 9 else len(text)
        catalogue, studio, begin = self.answers.frame.catalogue_for(request), self.answers.studio, words_at(text)
        reading = moved(studio.read(actor, text[begin:]), begin) if begin is not None else Reading()
        if begin is None or caret < begin:
            hints = command_hints(text, caret, catalogue)
        else:
            hints = tuple(replace(each, start=each.start + begin, end=each.end + begin) for each in await studio.complete(actor, text[begin:], caret - begin))
        return web.json_response(render.reading_of(catalogue, replace(reading, hints=hints)))

    # ------------------------------------------------------------------------------------------ to come in

    async def sign_in(self, request: web.Request) -> web.Response:
        """A link from a chat: shows a button. (Looking at it must not spend it: chats fetch links to preview them.)"""
        token, guard = request.query.get("token", ""), self.answers.frame.guard
        ticket = signin.redeem(guard.secret, token, guard.clock())
        if ticket is None:
            return self.answers.page(request, "sign_in.html", status=403 if token else 200, ticket=None, link_token="", bad=bool(token))
        return self.answers.page(request, "sign_in.html", ticket=ticket, link_token=token, bad=False)

    async def use_link(self, request: web.Request) -> web.Response:
        form, guard = await self.answers.form(request, takes_orders=False), self.answers.frame.guard
        ticket = signin.redeem(guard.secret, form.get("link"), guard.clock())
        if ticket is None or not await self.spend(f"sign-in:{ticket.id}"):
            return self.answers.page(request, "sign_in.html", status=403, ticket=None, link_token="", bad=True)
        response = web.Response(status=303, headers={"Location": "/"})
        guard.sign_in_as(response, ticket)
        log.info("web.signed_in", actor=ticket.actor_id)
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        await self.answers.form(request, takes_orders=False)
        response = web.Response(status=303, headers={"Location": "/"})
        self.answers.frame.guard.sign_out(response)
        return response


def image(data: bytes) -> web.Response:
    """A picture as what it is; anything else as bytes nobody opens."""
    kinds = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
    kind = next((name for magic, name in kinds if data.startswith(magic)), "image/webp" if data[8:12] == b"WEBP" else "application/octet-stream")
    return web.Response(body=data, content_type=kind)
