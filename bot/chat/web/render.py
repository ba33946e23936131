"""Cards, jobs and readings → what the templates and the page's script are given. Pure; `bot.chat.web.pages` calls it.

It only lays out: which words and buttons a member sees was decided in the Card.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bot.domain import Action, Artifact, Button, Card, Field, Form, Job, Picture, Reading, Shown, Status, Verb, Wallet
from engine.api import ImagineRequest, UpscaleRequest


class Catalogue(Protocol):
    """Where every word comes from."""

    def say(self, message: str, /, **parameters: object) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureView:
    url: str
    alt: str
    number: int  #: 1-based, as the buttons count
    width: int
    height: int
    seed: int | None
    favourite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipView:
    url: str
    alt: str
    width: int
    height: int
    still: str  #: the finished pictures' address, for those who asked their system for less motion; or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonView:
    label: str
    hint: str
    value: str  #: the encoded action
    style: str
    pressed: str  #: "true" or "false" for one that stays down, else empty
    number: int  #: of the picture it is about, 0 for the whole job
    confirm: str  #: the question to ask first, or empty
    href: str  #: where it leads when it only shows another job, or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectView:
    placeholder: str
    choices: tuple[ButtonView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """A document to download."""

    name: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldView:
    """A field of a form; `name` is that of its control, `kind` "text", "long", "picture" or "choice"."""

    name: str
    kind: str
    label: str
    value: str
    required: bool
    choices: tuple[tuple[str, str], ...]
    hint: str
    accept: str  #: of a `picture`: which files its chooser offers
    several: bool  #: whether it takes more than one file


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    id: str
    title: str
    text: str
    code: str  #: words to copy
    status: str
    waiting: bool
    percent: int | None
    preview: str  #: address of the newest preview, or empty
    width: int  #: of the picture or grid to come
    height: int
    columns: int
    pictures: tuple[PictureView, ...]
    clip: ClipView | None
    rows: tuple[tuple[ButtonView, ...], ...]
    selects: tuple[SelectView, ...]
    links: tuple[tuple[str, str], ...]
    files: tuple[FileView, ...]
    details: tuple[tuple[str, str], ...]
    created: str  #: ISO 8601, or empty
    spoiler: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TileView:
    """A job in the gallery or the family tree."""

    id: str
    words: str
    status: str
    waiting: bool
    picture: PictureView | None  #: its first
    others: tuple[PictureView, ...]
    count: int
    favourite: bool
    relation: str
    current: bool
    veiled: bool  #: its pictures are shown behind a click


def is_job_card(card: Card) -> bool:
    """Whether the card stands for a job (and belongs in the feed), rather than being a word to the member."""
    return bool(card.job_id) and card.status is not None


def picture_url(digest: str) -> str:
    return f"/picture/{digest}.png"


def clip_url(digest: str) -> str:
    return f"/picture/{digest}.webp"


def address_of(picture: Picture) -> str:
    """Where a stored picture is to be had; empty for one that is not stored."""
    return picture_url(picture.digest) if picture.digest else ""


def preview_url(card: Card) -> str:
    """Where the card's preview is to be had now; changes with the percent, so a page asks again."""
    return f"/preview/{card.job_id}?at={card.percent or 0}" if any(picture.data for picture in card.pictures) else ""


def columns(count: int) -> int:
    """How many pictures stand beside each other."""
    return max(1, math.ceil(math.sqrt(count)))


def canvas(job: Job | None) -> tuple[int, int, int]:
    """(columns, width, height) of the picture or contact sheet a job will bring."""
    if job is None:
        return 1, 1, 1
    request = job.request
    if isinstance(request, ImagineRequest):
        across = columns(request.count)
        return across, request.enlarge * request.width * across, request.enlarge * request.height * math.ceil(request.count / across)
    factor = request.factor if isinstance(request, UpscaleRequest) else 1
    return 1, request.width * factor, request.height * factor


def singles(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The pictures themselves: without the contact sheet and uploads."""
    return sorted((artifact for artifact in artifacts if artifact.index >= 0), key=lambda artifact: artifact.index)


def _picture(artifact: Artifact, alt: str) -> PictureView:
    return PictureView(
        url=picture_url(artifact.digest),
        alt=alt,
        number=artifact.index + 1,
        width=artifact.width,
        height=artifact.height,
        seed=artifact.seed,
        favourite=artifact.favourite,
    )


def pictures(say: Catalogue, card: Card, shown: Shown | None, address: Callable[[Picture], str] = address_of) -> tuple[PictureView, ...]:
    """A job's pictures one by one when its artifacts are known, else those of the card that have an address."""
    if shown and (frames := singles(shown.artifacts)):
        told = [picture.alt for picture in card.pictures]
        if len(told) != len(frames):
            told = alts(say, card.title, shown.job, frames)
        return tuple(_picture(frame, alt) for frame, alt in zip(frames, told, strict=True))
    stored = [(picture, url) for picture in card.pictures if (url := address(picture))]
    return tuple(
        PictureView(url=url, alt=each.alt, number=number, width=each.width, height=each.height, seed=None, favourite=False)
        for number, (each, url) in enumerate(stored, 1)
    )


def _clip(card: Card) -> ClipView | None:
    if card.clip is None:
        return None
    still = next((picture_url(picture.digest) for picture in card.pictures if picture.digest), "")
    return ClipView(url=clip_url(card.clip.digest), alt=card.clip.alt, width=card.clip.width, height=card.clip.height, still=still)


def alts(say: Catalogue, words: str, job: Job, frames: Sequence[Artifact]) -> list[str]:
    """What all of a job's pictures are called for those who do not see them."""
    model, count = job.request.model, len(frames)
    return [say.say("card.alt_of", words=words, number=frame.index + 1, count=count, model=model) for frame in frames]


def _button(say: Catalogue, button: Button) -> ButtonView:
    return ButtonView(
        label=button.label,
        hint=button.hint or button.label,
        value=button.action.encode(),
        style=button.style,
        pressed=str(button.pressed).lower() if button.pressed or button.action.verb is Verb.FAVOURITE else "",
        number=max(0, button.action.index + 1),
        confirm=say.say("web.confirm_delete") if button.action.verb is Verb.DELETE else "",
        href=_leads_to(button.action),
    )


def _choice(say: Catalogue, button: Button) -> ButtonView:
    """In a menu: a picture's says what will be done ("U5" alone says little), a value stands for itself."""
    view = _button(say, button)
    return replace(view, hint=view.label) if button.action.verb is Verb.CHOOSE else view


def _leads_to(action: Action) -> str:
    """The page that answers a button which only shows something, or needs a page of its own; empty for others."""
    places = {
        Verb.SHOW: "" if action.argument.startswith("set") else f"/job/{action.job_id}",  # a set has no page: it is asked for anew
        Verb.CHILDREN: f"/job/{action.job_id}#family",
        Verb.REGION: f"/region/{action.job_id}/{max(0, action.index)}",
    }
    return places.get(action.verb, "")


def card_view(
    say: Catalogue, card: Card, shown: Shown | None = None, *, address: Callable[[Picture], str] = address_of, files: Sequence[FileView] = ()
) -> CardView:
    """A card for `_card.html` or `_note.html`; `shown`, when known, brings the single pictures and the shape of what is coming.

    `address` and `files` say where what is not stored is to be had.
    """
    across, width, height = canvas(shown.job if shown else None)
    shots = pictures(say, card, shown, address)
    return CardView(
        id=card.job_id,
        title=card.title,
        text=card.text,
        code=card.code,
        status=card.status.value if card.status else "",
        waiting=card.status is not None and not card.status.ended,
        percent=card.percent,
        preview=preview_url(card),
        width=width,
        height=height,
        columns=columns(len(shots)) if shots else across,
        pictures=shots,
        clip=_clip(card),
        rows=tuple(tuple(_button(say, button) for button in row) for row in card.rows),
        selects=tuple(SelectView(placeholder=select.placeholder, choices=tuple(_choice(say, button) for button in select.choices)) for select in card.selects),
        links=tuple((link.label, link.url) for link in card.links if link.url.startswith(("/", "http://", "https://"))),
        files=tuple(files),
        details=card.details,
        created=shown.job.created_at.isoformat() if shown else "",
        spoiler=card.spoiler,
    )


_RELATIONS = {
    Verb.PICK: "web.from_pick",
    Verb.VARY: "web.from_vary",
    Verb.REROLL: "web.from_reroll",
    Verb.UPSCALE: "web.from_upscale",
    Verb.ENHANCE: "web.from_enhance",
    Verb.CREATIVE: "web.from_creative",
    Verb.ZOOM: "web.from_zoom",
    Verb.SQUARE: "web.from_square",
    Verb.PAN: "web.from_pan",
    Verb.REGION: "web.from_region",
    Verb.ANIMATE: "web.from_animate",
}


def relation(say: Catalogue, job: Job) -> str:
    """How a child came from its parent, in two words ("V2")."""
    if job.parent is None:
        return say.say("web.from_words")
    return say.say(_RELATIONS.get(Verb(job.parent.verb), "web.from_remix"), number=job.parent.index + 1)


def tile_view(say: Catalogue, shown: Shown, *, current: bool = False) -> TileView:
    frames = singles(shown.artifacts)
    shots = [_picture(frame, alt) for frame, alt in zip(frames, alts(say, shown.job.words, shown.job, frames), strict=True)]
    job = shown.job
    return TileView(
        id=job.id,
        words=job.words,
        status=job.status.value,
        waiting=not job.status.ended,
        picture=shots[0] if shots else None,
        others=tuple(shots[1:4]),
        count=len(shots),
        favourite=any(shot.favourite for shot in shots),
        relation=relation(say, job),
        current=current,
        veiled=job.hidden,
    )


def wallet_words(say: Catalogue, wallet: Wallet) -> tuple[str, str]:
    """(what stands in the corner, what it means)."""
    balance = round(wallet.balance)
    return say.say("web.wallet", balance=balance), say.say("web.wallet_hint", balance=balance, cap=round(wallet.cap), per_hour=round(wallet.per_hour))


def event_of(card: Card) -> dict[str, Any]:
    """What `GET /events` tells a page about a card; the page fetches `/card/<id>` when it needs more."""
    ended = card.status is not None and card.status.ended
    return {
        "id": card.job_id,
        "status": card.status.value if card.status else "",
        "ended": ended,
        "percent": card.percent,
        "title": card.title,
        "text": card.text,
        "preview": "" if ended else preview_url(card),
        "cancelled": card.status is Status.CANCELLED,
    }


def reading_of(say: Catalogue, reading: Reading) -> dict[str, Any]:
    """Live hints as JSON. Offsets count code points, as Python does; the script converts."""
    return {
        "spans": [list(span) for span in reading.spans],
        "mistake": reading.mistake,
        "mistakeAt": list(reading.mistake_at) if reading.mistake_at else None,
        "cost": say.say("web.cost", cost=round(reading.cost, 1), count=reading.prompts) if reading.cost is not None else "",
        "hints": [{"insert": h.insert, "label": h.label, "start": h.start, "end": h.end, "detail": h.detail} for h in reading.hints],
    }


def form_fields(form: Form) -> list[FieldView]:
    return [_field(each) for each in form.fields]


def _field(field: Field) -> FieldView:
    return FieldView(
        name=f"file.{field.name}" if field.kind == "picture" else f"value.{field.name}",
        kind="long" if field.kind == "text" and field.long else field.kind,
        label=field.label,
        value=field.value,
        required=field.required,
        choices=field.choices,
        hint=field.hint,
        accept={"list": ".txt,.csv,text/plain,text/csv", "mask": "image/png"}.get(field.name, "image/*"),
        several=field.kind == "picture" and field.name not in ("list", "mask", "style", "sketch"),
    )


def back_to(path: str, fallback: str) -> str:
    """A path on this site to return to, or the fallback (never another site)."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and "\n" not in path and "\r" not in path else fallback


def pressed_job(action: str) -> str:
    """The job a pressed button belongs to, or empty when the text was never one of ours."""
    try:
        return Action.decode(action).job_id
    except ValueError:
        return ""


def painter_of(action: str) -> str:
    """The page a press leads to when it is one that opens the mask painter; empty for others."""
    try:
        decoded = Action.decode(action)
    except ValueError:
        return ""
    return _leads_to(decoded) if decoded.verb is Verb.REGION else ""
