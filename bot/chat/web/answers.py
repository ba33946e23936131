"""What a page posts becomes an event for the studio, and what the studio answers becomes a page or a fragment of one.

Shared by `bot.chat.web.pages` and `bot.chat.web.painter`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from aiohttp import web

from bot.chat.web import forms, render
from bot.chat.web.frame import ACTOR, Frame
from bot.chat.web.render import is_job_card
from bot.chat.web.shelf import Shelf
from bot.chat.web.stream import channel_of
from bot.chat.web.words import is_refusal
from bot.domain import Actor, Card, Command, Form, Picture, Place, Press, ReplyTo, Shown, Status, Submit, Wallet
from bot.errors import NotFound
from bot.ports import Studio

FEED = 12  #: jobs on the first page


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    studio: Studio
    frame: Frame
    shelf: Shelf
    max_upload: int
    paused: Callable[[], bool]
    new_id: Callable[[], str]

    # ------------------------------------------------------------------------------------------ what was posted

    async def form(self, request: web.Request, *, takes_orders: bool = True, limit: int = 0) -> forms.Posted:
        """Raises TooLarge, TooMany, HTTPForbidden (no form of ours), HTTPServiceUnavailable (no orders now). `limit`: of all files, in bytes."""
        form = await forms.read(request, limit or self.max_upload)
        self.frame.check_token(request, form.get("token"))
        if takes_orders and self.paused():
            raise web.HTTPServiceUnavailable
        return form

    def event(self, actor: Actor, form: forms.Posted, what: str) -> dict[str, Any]:
        """The fields of an Event. The page made the delivery id, so that a double click is one delivery; it counts for this member and this button."""
        given = form.get("delivery")
        delivery = given if 8 <= len(given) <= 64 and given.replace("-", "").isalnum() and given.isascii() else self.new_id()
        digest = hashlib.sha256(f"{actor.key}\0{what}\0{delivery}".encode()).hexdigest()
        return {
            "actor": actor,
            "place": Place(platform="web", channel=actor.id),
            "reply_to": ReplyTo(platform="web", channel=channel_of(actor)),
            "delivery_id": digest[:40],
        }

    # ------------------------------------------------------------------------------------------ what is answered

    async def answer(self, request: web.Request, event: Command | Press | Submit, *, words: str = "", pressed: str = "", back: str = "/") -> web.Response:
        """Ask the studio and show what it says: a form, the card of a job, or a word to the member."""
        event = replace(event, brief=wants_json(request))
        ack = self.studio.greet(event)
        if ack.form is not None:
            return self._form(request, ack.form)
        card = ack.card or await self.studio.handle(event)
        if is_job_card(card):
            # What was written down a moment ago need not be read again.
            made = self.studio.at_hand_for(request[ACTOR], card.job_id) if card.status is Status.QUEUED else None
            view = self.card_view(request, card, Shown(job=made)) if made else await self.view(request, card.job_id)
            if view is not None:
                return await self._job(request, card, view, pressed, back)
        refused = isinstance(event, Command) and is_refusal(event.name, card, at_once=ack.card is not None)
        return await self._note(request, card, words, pressed, refused=refused)

    async def _job(self, request: web.Request, card: Card, view: render.CardView, pressed: str, back: str) -> web.Response:
        if not wants_json(request):
            raise web.HTTPSeeOther(back if card.job_id == pressed else f"/job/{card.job_id}")
        html = self.fragment(request, "_card.html", card=view, large=False)
        left = None if card.again else self.studio.wallet_at_hand(request[ACTOR])
        wallet = await self.wallet(request) if left is None else self._wallet_words(request, left)
        answer = {"kind": "job", "job": card.job_id, "html": html, "say": f"{card.title}. {card.text}", "wallet": wallet}
        return web.json_response(answer)

    async def _note(self, request: web.Request, card: Card, words: str, pressed: str, *, refused: bool) -> web.Response:
        now = await self.view(request, pressed) if pressed else None
        note = self.card_view(request, card)
        if wants_json(request):
            html = self.fragment(request, "_note.html", note=note)
            card_now = self.fragment(request, "_card.html", card=now, large=False) if now else ""
            answer = {"kind": "note", "job": pressed, "card": card_now, "refused": refused, "title": card.title, "text": card.text, "html": html}
            return web.json_response(answer)
        if refused:
            return await self.home(request, words=words, notice=card, status=422)
        return self.page(request, "note.html", note=note, job=pressed if now else "")

    def _form(self, request: web.Request, form: Form) -> web.Response:
        context: dict[str, Any] = {"form": form, "fields": render.form_fields(form)}
        if wants_json(request):
            return web.json_response({"kind": "form", "html": self.fragment(request, "_form.html", **context)})
        return self.page(request, "form.html", **context)

    async def home(self, request: web.Request, *, words: str = "", notice: Card | None = None, status: int = 200) -> web.Response:
        """The first page, with these words in the box and a sentence beside them."""
        recent = await self.studio.history(request[ACTOR], limit=FEED)
        cards = [view for shown in recent.items if (view := await self.view(request, shown.job.id, shown)) is not None]
        models = self.studio.models()
        return self.page(
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
            most_files=forms.MAX_UPLOADS,
            too_large=self.frame.catalogue_for(request).say("web.too_large", **self.frame.limit(request)),
            too_many=self.frame.catalogue_for(request).say("web.too_many_files", limit=forms.MAX_UPLOADS),
            wallet=await self.wallet(request),
        )

    # ------------------------------------------------------------------------------------------ cards

    async def view(self, request: web.Request, job_id: str, shown: Shown | None = None) -> render.CardView | None:
        """A job's card with its single pictures; None when it is gone by now. `shown`: as it was read just now."""
        actor = request[ACTOR]
        try:
            shown = shown or await self.studio.seen(actor, job_id)
        except NotFound:
            return None
        return self.card_view(request, self.studio.card_of(shown, reader=actor), shown)

    def card_view(self, request: web.Request, card: Card, shown: Shown | None = None) -> render.CardView:
        """A card with an address for everything that goes along."""
        owner = request[ACTOR].key
        waiting = card.status is not None and not card.status.ended

        def address(picture: Picture) -> str:
            if picture.digest or waiting or not picture.data:  # what forms has an address of its own: /preview
                return render.address_of(picture)
            return _file_url(self.shelf.put(owner, name=picture.name, kind="image/*", data=picture.data), picture.name)

        files = []
        for each in card.documents:
            key = self.shelf.put(owner, name=each.name, kind=each.kind, data=each.data, digest=each.digest, path=each.path)
            files.append(render.FileView(name=each.name, url=_file_url(key, each.name)))
        return render.card_view(self.frame.catalogue_for(request), card, shown, address=address, files=files)

    async def wallet(self, request: web.Request) -> tuple[str, str]:
        return self._wallet_words(request, await self.studio.wallet(request[ACTOR]))

    def _wallet_words(self, request: web.Request, wallet: Wallet) -> tuple[str, str]:
        return render.wallet_words(self.frame.catalogue_for(request), wallet)

    # ------------------------------------------------------------------------------------------ HTML

    def fragment(self, request: web.Request, template: str, **context: Any) -> str:
        return self.frame.html(request, template, delivery=self.new_id(), **context)

    def page(self, request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
        return web.Response(text=self.fragment(request, template, **context), status=status, content_type="text/html")


def wants_json(request: web.Request) -> bool:
    """Whether the page's script asks, and wants a fragment."""
    return request.headers.get("Accept", "").startswith("application/json")


def _file_url(key: str, name: str) -> str:
    return f"/file/{key}/{quote(name, safe='')}"
