"""The studio's pages: one view function a route. They talk to `ports.Studio` and lay out what it answers.

Every POST works as a plain form (answer: a redirect or a page) and from the script (``Accept: application/json``; answer: the fragment to put in place).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from bot.chat.web import forms, render, signin
from bot.chat.web.frame import ACTOR, Frame
from bot.chat.web.render import back_to, is_job_card, pressed_job
from bot.domain import Actor, Card, Command, Form, Place, Press, ReplyTo, Shown, Submit
from bot.errors import NotFound
from bot.ports import Studio

log = structlog.get_logger(__name__)

FEED = 12  #: jobs on the first page
GALLERY = 24
IMMUTABLE = "private, max-age=31536000, immutable"
#: Typed where a prompt is typed: the same commands as in the chats.
_COMMAND = re.compile(r"\s*/(imagine|history|info|queue|cancel|show|upscale|web|help)\b(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The view functions and what they need."""

    studio: Studio
    frame: Frame
    spend: Callable[[str], Awaitable[bool]]
    max_upload: int
    paused: Callable[[], bool]
    new_id: Callable[[], str]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.home),
            web.get("/history", self.history),
            web.get("/job/{id}", self.job),
            web.get("/card/{id}", self.card),
            web.get("/preview/{id}", self.preview),
            web.get("/picture/{digest:[0-9a-f]{64}}.{ending:png|webp}", self.picture),
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
        return await self._home(request, words=request.query.get("words", "")[:8000])

    async def _home(self, request: web.Request, *, words: str = "", notice: Card | None = None, status: int = 200) -> web.Response:
        actor = request[ACTOR]
        recent = await self.studio.history(actor, limit=FEED)
        cards = [view for shown in recent.items if (view := await self._view(actor, shown.job.id, shown)) is not None]
        models = self.studio.models()
        return self._page(
            request,
            "home.html",
            status=status,
            words=words,
            notice=notice,
            waiting=[card for card in cards if card.waiting],
            cards=[card for card in cards if not card.waiting],
            more=recent.before,
            examples=models[0].examples if models else (),
            max_upload=self.max_upload,
            too_large=self.frame.catalogue.say("web.too_large", **self.frame.limit),
            wallet=render.wallet_words(self.frame.catalogue, await self.studio.wallet(actor)),
        )

    async def history(self, request: web.Request) -> web.Response:
        actor, query = request[ACTOR], request.query
        search, favourites = query.get("search", "").strip()[:200], query.get("favourites") == "1"
        page = await self.studio.history(actor, search=search, favourites=favourites, before=query.get("before") or None, limit=GALLERY)
        return self._page(
            request,
            "history.html",
            tiles=[render.tile_view(self.frame.catalogue, shown) for shown in page.items],
            search=search,
            favourites=favourites,
            first="before" not in query,
            before=page.before,
            wallet=render.wallet_words(self.frame.catalogue, await self.studio.wallet(actor)),
        )

    async def job(self, request: web.Request) -> web.Response:
        actor, catalogue = request[ACTOR], self.frame.catalogue
        family = await self.studio.family(actor, request.match_info["id"])
        card = await self.studio.card(actor, family.shown.job.id)
        return self._page(
            request,
            "job.html",
            card=render.card_view(catalogue, card, family.shown),
            ancestors=[render.tile_view(catalogue, shown) for shown in reversed(family.ancestors)],
            here=render.tile_view(catalogue, family.shown, current=True),
            children=[render.tile_view(catalogue, shown) for shown in family.children],
            wallet=render.wallet_words(catalogue, await self.studio.wallet(actor)),
        )

    async def card(self, request: web.Request) -> web.Response:
        """The card's HTML alone, for the script to put in place."""
        view = await self._view(request[ACTOR], request.match_info["id"])
        if view is None:
            raise NotFound("web.no_job")
        large = request.query.get("large") == "1"
        return web.Response(text=self._fragment(request, "_card.html", card=view, large=large), content_type="text/html")

    async def preview(self, request: web.Request) -> web.Response:
        """The newest preview of a running job."""
        card = await self.studio.card(request[ACTOR], request.match_info["id"])
        for picture in card.pictures:
            if picture.data:
                return _image(picture.data)
        return web.Response(status=204)  # it ended while the page was asking: nothing is wrong

    async def picture(self, request: web.Request) -> web.Response:
        digest, ending = request.match_info["digest"], request.match_info["ending"]
        data = await self.studio.picture(request[ACTOR], digest)
        if request.headers.get("If-None-Match") == f'"{digest}"':
            return web.Response(status=304, headers={"ETag": f'"{digest}"', "Cache-Control": IMMUTABLE})
        response = _image(data)
        response.headers.update({"ETag": f'"{digest}"', "Cache-Control": IMMUTABLE})
        if "save" in request.query:
            response.headers["Content-Disposition"] = f'attachment; filename="wordup-{digest[:12]}.{ending}"'
        return response

    # ------------------------------------------------------------------------------------------ to say something

    async def imagine(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        name, text = said(form.get("text"))
        event = Command(**self._event(request, form, name), name=name, text=text, uploads=form.uploads)
        return await self._answer(request, event, words=form.get("text"))

    async def press(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        action = form.get("action")[:200]
        back = back_to(form.get("back"), "/")
        return await self._answer(request, Press(**self._event(request, form, action), action=action), pressed=pressed_job(action), back=back)

    async def submit(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        values = {name.removeprefix("value."): value for name, value in form.fields.items() if name.startswith("value.")}
        event = Submit(**self._event(request, form, form.get("form")), form=form.get("form")[:200], values=values, uploads=form.uploads)
        return await self._answer(request, event)

    async def read(self, request: web.Request) -> web.Response:
        """Live hints for words being typed, with what could come next at the caret."""
        form = await self._form(request, takes_orders=False)
        actor, text, at = request[ACTOR], form.get("text"), form.get("at")
        answer = render.reading_of(self.frame.catalogue, self.studio.read(actor, text))
        hints = await self.studio.complete(actor, text, min(int(at), len(text)) if at.isdecimal() and len(at) < 9 else len(text))
        answer["hints"] = [{"insert": h.insert, "label": h.label, "start": h.start, "end": h.end, "detail": h.detail} for h in hints]
        return web.json_response(answer)

    def _event(self, request: web.Request, form: forms.Posted, what: str) -> dict[str, Any]:
        """The fields of an Event. The page made the delivery id, so that a double click is one delivery; it counts for this member and this button."""
        actor: Actor = request[ACTOR]
        given = form.get("delivery")
        delivery = given if 8 <= len(given) <= 64 and given.replace("-", "").isalnum() and given.isascii() else self.new_id()
        digest = hashlib.sha256(f"{actor.key}\0{what}\0{delivery}".encode()).hexdigest()
        return {
            "actor": actor,
            "place": Place(platform="web", channel=actor.id),
            "reply_to": ReplyTo(platform="web", channel=actor.id),
            "delivery_id": digest[:40],
        }

    async def _form(self, request: web.Request, *, takes_orders: bool = True) -> forms.Posted:
        form = await forms.read(request, self.max_upload)
        self.frame.check_token(request, form.get("token"))
        if takes_orders and self.paused():
            raise web.HTTPServiceUnavailable
        return form

    async def _answer(self, request: web.Request, event: Command | Press | Submit, *, words: str = "", pressed: str = "", back: str = "/") -> web.Response:
        ack = self.studio.greet(event)
        if ack.form is not None:
            return await self._show_form(request, ack.form)
        card = ack.card or await self.studio.handle(event)
        if is_job_card(card):
            return await self._show_job(request, card, pressed, back)
        return await self._show_note(request, card, words, pressed, refused=isinstance(event, Command))

    async def _show_job(self, request: web.Request, card: Card, pressed: str, back: str) -> web.Response:
        if not _wants_json(request):
            raise web.HTTPSeeOther(back if card.job_id == pressed else f"/job/{card.job_id}")
        actor = request[ACTOR]
        view = await self._view(actor, card.job_id) or render.card_view(self.frame.catalogue, card)
        wallet = render.wallet_words(self.frame.catalogue, await self.studio.wallet(actor))
        html = self._fragment(request, "_card.html", card=view, large=False)
        return web.json_response({"kind": "job", "job": card.job_id, "html": html, "say": f"{card.title}. {card.text}", "wallet": wallet})

    async def _show_note(self, request: web.Request, card: Card, words: str, pressed: str, *, refused: bool) -> web.Response:
        if _wants_json(request):
            html = self._fragment(request, "_note.html", note=render.card_view(self.frame.catalogue, card))
            now = await self._view(request[ACTOR], pressed) if pressed else None
            card_now = self._fragment(request, "_card.html", card=now, large=False) if now else ""
            answer = {"kind": "note", "job": pressed, "card": card_now, "refused": refused, "title": card.title, "text": card.text, "html": html}
            return web.json_response(answer)
        if refused:
            return await self._home(request, words=words, notice=card, status=422)
        return self._page(request, "note.html", note=render.card_view(self.frame.catalogue, card), job=pressed)

    async def _show_form(self, request: web.Request, form: Form) -> web.Response:
        context: dict[str, Any] = {"form": form, "fields": render.form_fields(form)}
        if _wants_json(request):
            return web.json_response({"kind": "form", "html": self._fragment(request, "_form.html", **context)})
        return self._page(request, "form.html", **context)

    # ------------------------------------------------------------------------------------------ to come in

    async def sign_in(self, request: web.Request) -> web.Response:
        """A link from a chat: shows a button. (Looking at it must not spend it: chats fetch links to preview them.)"""
        token = request.query.get("token", "")
        ticket = signin.redeem(self.frame.guard.secret, token, self.frame.guard.clock())
        if ticket is None:
            return self._page(request, "sign_in.html", status=403 if token else 200, ticket=None, link_token="", bad=bool(token))
        return self._page(request, "sign_in.html", ticket=ticket, link_token=token, bad=False)

    async def use_link(self, request: web.Request) -> web.Response:
        form = await self._form(request, takes_orders=False)
        ticket = signin.redeem(self.frame.guard.secret, form.get("link"), self.frame.guard.clock())
        if ticket is None or not await self.spend(f"sign-in:{ticket.id}"):
            return self._page(request, "sign_in.html", status=403, ticket=None, link_token="", bad=True)
        response = web.Response(status=303, headers={"Location": "/"})
        self.frame.guard.sign_in_as(response, ticket)
        log.info("web.signed_in", actor=ticket.actor_id)
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        await self._form(request, takes_orders=False)
        response = web.Response(status=303, headers={"Location": "/"})
        self.frame.guard.sign_out(response)
        return response

    # ------------------------------------------------------------------------------------------ helpers

    async def _view(self, actor: Actor, job_id: str, shown: Shown | None = None) -> render.CardView | None:
        """A job's card with its single pictures; None when it is gone by now."""
        try:
            card = await self.studio.card(actor, job_id)
            shown = shown or (await self.studio.family(actor, job_id)).shown
        except NotFound:
            return None
        return render.card_view(self.frame.catalogue, card, shown)

    def _fragment(self, request: web.Request, template: str, **context: Any) -> str:
        return self.frame.html(request, template, delivery=self.new_id(), **context)

    def _page(self, request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
        return web.Response(text=self._fragment(request, template, **context), status=status, content_type="text/html")


def said(text: str) -> tuple[str, str]:
    """(command, its text): the words of a picture, or one of the chats' commands typed as there ("/history fox")."""
    found = _COMMAND.match(text)
    return (found[1], found[2].strip()) if found else ("imagine", text)


def _wants_json(request: web.Request) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _image(data: bytes) -> web.Response:
    kinds = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
    kind = next((name for magic, name in kinds if data.startswith(magic)), "image/webp" if data[8:12] == b"WEBP" else "application/octet-stream")
    return web.Response(body=data, content_type=kind)
