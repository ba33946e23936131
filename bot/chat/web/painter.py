"""The mask painter: one picture, painted over where it shall be drawn anew, and the words for that.

Opened by a button of the page, or by a signed link from a chat (`bot.chat.web.links`); then what is drawn goes back to where the picture stands. Without
JavaScript the page takes a file with the mask instead. `bot.chat.web.server` adds the routes.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from bot.chat.web import forms, render
from bot.chat.web.answers import Answers, wants_json
from bot.chat.web.frame import ACTOR
from bot.chat.web.links import read_region
from bot.chat.web.pages import image
from bot.domain import Action, Actor, Artifact, Job, Submit, Upload, Verb
from bot.errors import NotFound, Refused

MAX_MASK = 4 * 2**20  #: bytes
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who paints over what. `link` is the token of a chat's link, or empty."""

    actor: Actor
    link: str
    job: Job
    picture: Artifact
    alt: str

    @property
    def path(self) -> str:
        return f"/region/{self.job.id}/{self.picture.index}"

    @property
    def from_chat(self) -> bool:
        return bool(self.link) and self.actor.platform != "web"


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    answers: Answers

    def routes(self) -> list[web.RouteDef]:
        path = r"/region/{id:[0-9A-Z]{26}}/{index:\d{1,2}}"
        return [web.get(path, self.show), web.get(f"{path}/picture", self.picture), web.post(path, self.send)]

    async def show(self, request: web.Request) -> web.Response:
        """The page to paint on."""
        try:
            subject = await self._subject(request, request.query.get("token", ""))
        except Refused as error:
            return self.answers.frame.problem(request, 403, error.message)
        return self._page(request, subject, subject.job.words)

    async def picture(self, request: web.Request) -> web.Response:
        """The picture itself: whoever comes by a link may not ask for others."""
        try:
            subject = await self._subject(request, request.query.get("token", ""))
        except Refused as error:
            return self.answers.frame.problem(request, 403, error.message)
        return image(await self.answers.studio.picture(subject.actor, subject.picture.digest))

    async def send(self, request: web.Request) -> web.Response:
        """The mask and the words."""
        try:
            form = await self.answers.form(request, limit=MAX_MASK)
        except forms.TooLarge:
            return self.answers.frame.problem(request, 413, "web.mask_too_large", self.answers.frame.limit(request, MAX_MASK))
        try:
            subject = await self._subject(request, form.get("link"))
        except Refused as error:
            return self.answers.frame.problem(request, 403, error.message)
        words = form.get("value.words")
        try:
            mask = mask_of(form.uploads, subject.picture)
        except Refused as error:
            return self._again(request, subject, words, self.answers.frame.catalogue_for(request).say(error.message, **error.parameters))
        return await self._draw(request, subject, form, words, mask)

    async def _draw(self, request: web.Request, subject: Subject, form: forms.Posted, words: str, mask: Upload) -> web.Response:
        studio = self.answers.studio
        name = Action(verb=Verb.REGION, job_id=subject.job.id, index=subject.picture.index).encode()
        fields = self.answers.event(subject.actor, form, name)
        if subject.from_chat:
            fields["place"], fields["reply_to"] = await studio.reply_here(subject.actor, subject.job.id)
        event = Submit(**fields, form=name, values={"words": words}, uploads=(mask,))
        card = studio.greet(event).card or await studio.handle(event)
        if not render.is_job_card(card):
            return self._again(request, subject, words, f"{card.title}. {card.text}" if card.title else card.text)
        known = request.get(ACTOR)
        job_url = f"/job/{card.job_id}" if known is not None and known.key == subject.actor.key else ""
        if job_url and not subject.from_chat:
            if wants_json(request):
                return web.json_response({"kind": "open", "url": job_url})
            raise web.HTTPSeeOther(job_url)
        if wants_json(request):
            html = self.answers.fragment(request, "_sent.html", job_url=job_url, from_chat=subject.from_chat)
            return web.json_response({"kind": "sent", "html": html})
        return self.answers.page(request, "sent.html", job_url=job_url, from_chat=subject.from_chat)

    def _page(self, request: web.Request, subject: Subject, words: str, *, trouble: str = "", status: int = 200) -> web.Response:
        frame = self.answers.frame
        too_large = frame.catalogue_for(request).say("web.mask_too_large", **frame.limit(request, MAX_MASK))
        return self.answers.page(request, "region.html", status=status, subject=subject, words=words, trouble=trouble, too_large=too_large, limit=MAX_MASK)

    def _again(self, request: web.Request, subject: Subject, words: str, sentence: str) -> web.Response:
        """One sentence about what is wrong; nothing that was written or painted is lost."""
        if wants_json(request):
            return web.json_response({"kind": "problem", "title": sentence, "text": ""}, status=422)
        return self._page(request, subject, words, trouble=sentence, status=422)

    async def _subject(self, request: web.Request, link: str) -> Subject:
        """Raises Refused for a link that is not for this, NotFound for a picture this member may not see or that is gone."""
        job_id, index = request.match_info["id"], int(request.match_info["index"])
        guard = self.answers.frame.guard
        actor = request.get(ACTOR)
        if link:
            found = read_region(guard.secret, link, guard.clock())
            if found is None or found[1:] != (job_id, index):
                raise Refused("web.region_old")
            actor = found[0]
            self.answers.frame.speak(request, actor.locale)
        if actor is None:
            raise Refused("web.sign_in_first")
        shown = await self.answers.studio.seen(actor, job_id)
        frames = render.singles(shown.artifacts)
        alts = render.alts(self.answers.frame.catalogue_for(request), shown.job.words, shown.job, frames)
        for picture, alt in zip(frames, alts, strict=True):
            if picture.index == index:
                return Subject(actor=actor, link=link, job=shown.job, picture=picture, alt=alt)
        raise NotFound("web.no_job")


def mask_of(uploads: tuple[Upload, ...], picture: Artifact) -> Upload:
    """The mask among what was sent. Raises Refused when there is none, or it is no PNG of the picture's size."""
    masks = [each for each in uploads if each.role == "mask"]
    if not masks:
        raise Refused("web.mask_missing")
    size = png_size(masks[0].data)
    if size is None:
        raise Refused("web.mask_unreadable")
    if size != (picture.width, picture.height):
        raise Refused("web.mask_size", width=picture.width, height=picture.height)
    return masks[0]


def png_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a PNG file as its header says (PNG specification §11.2.1); None for another file."""
    if len(data) < 24 or not data.startswith(_PNG) or data[12:16] != b"IHDR":
        return None
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
