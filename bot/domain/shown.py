"""What a chat shows: cards, their buttons, forms, and how to acknowledge."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from bot.domain.jobs import GRID, Status


class Visibility(enum.StrEnum):
    PUBLIC = "public"
    PRIVATE = "private"  #: ephemeral: the member alone, here
    DIRECT = "direct"  #: a direct message


class Verb(enum.StrEnum):
    """Every thing a button can ask for. The value is what `Action.encode` writes: never change one, buttons live for ever."""

    PICK = "u"  #: U1–U4: this one alone, enlarged
    VARY = "v"  #: V1–V4: variations of this one
    REROLL = "r"  #: the same words, another seed
    UPSCALE = "x"  #: argument "2" or "4"
    PARAMS = "p"  #: seed and words, privately
    CANCEL = "c"
    DELETE = "d"
    FAVOURITE = "f"  #: toggles; index of the picture, GRID for the first
    SHOW = "s"
    CHILDREN = "k"  #: what came of it: a list with a SHOW for each
    REMIX = "m"  #: opens a form with the words
    ENHANCE = "h"  #: a draft once more in full
    CREATIVE = "t"  #: enlarged with new detail; argument "2" or "4"
    ZOOM = "z"  #: argument "1.5", "2", or empty: a form asks
    SQUARE = "q"
    PAN = "a"  #: argument "l", "r", "u", "d"
    REGION = "e"  #: a part of it drawn anew: the mask painter, or a form
    ANIMATE = "n"  #: a clip of it moving
    DESCRIBE = "g"  #: what the image-text model sees in it
    RUN = "b"  #: draw the `index`-th prompt of the offer that `job_id` names (an example, a description, a confirmation); GRID: all of them
    DISMISS = "i"  #: the offer is not wanted
    COLLECT = "o"  #: everything a set of jobs made, as a zip; `job_id` names the offer
    CHOOSE = "w"  #: a setting is changed: `argument` is "name=value" of the member's own, "!name=value" of the server's
    ASK = "y"  #: opens the form that `argument` names
    REPORT = "j"  #: a form asks what is wrong with it; then moderators are told
    CONTEST = "l"  #: a refusal goes to the moderators; `job_id` names the offer that holds the words
    DECIDE = "mo"  #: a moderator's: `job_id` is a case's, `argument` a `bot.domain.moderation.Decision`


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a button does; encodes into at most 100 characters (Discord's custom_id) and works after a restart."""

    verb: Verb
    job_id: str
    index: int = GRID
    argument: str = ""

    def encode(self) -> str:
        """``w1:<verb>:<job>:<index>:<argument>``. Raises ValueError past 100 characters."""
        text = f"w1:{self.verb}:{self.job_id}:{self.index}:{self.argument}"
        if len(text) > 100:
            raise ValueError(f"action of {len(text)} characters")
        return text

    @classmethod
    def decode(cls, text: str) -> Action:
        """The inverse. Raises ValueError for anything this program never wrote."""
        parts = text.split(":", 4)
        if len(text) > 100 or len(parts) != 5 or parts[0] != "w1" or not (parts[2].isalnum() and len(parts[2]) == 26):
            raise ValueError(f"not an action: {text[:120]!r}")
        return cls(verb=Verb(parts[1]), job_id=parts[2], index=int(parts[3]), argument=parts[4])


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A stored picture by digest, or `data` when it is not stored (a preview)."""

    alt: str
    digest: str = ""
    data: bytes = b""
    width: int = 0
    height: int = 0
    name: str = "picture.png"
    moves: bool = False  #: an animated WebP


ButtonStyle = Literal["primary", "secondary", "success", "danger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """`label` is short ("U1"); `hint` makes sense alone, for screen readers and tooltips ("Pick and enlarge picture 1")."""

    label: str
    action: Action
    hint: str = ""
    style: ButtonStyle = "secondary"
    pressed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """In the buttons' place when a grid has more than four pictures."""

    placeholder: str
    choices: tuple[Button, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    label: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that goes along and is no picture: stored by digest; or not stored, and then `data`, or a file that is there for an hour (`bot.exports`)."""

    name: str
    data: bytes = b""
    digest: str = ""
    path: str = ""
    kind: str = "application/zip"  #: its media type


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """A button that says the words again in the member's direct messages: for a place where the bot may not post."""

    label: str
    hint: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a chat shows. Already words (in the member's language): adapters only lay it out."""

    title: str
    text: str = ""
    code: str = ""  #: set in a fixed-width face and easy to copy: words given back, with a caret line under a mistake
    job_id: str = ""
    status: Status | None = None
    percent: int | None = None  #: of a running job
    pictures: tuple[Picture, ...] = ()
    clip: Picture | None = None  #: what goes along beside the pictures and moves
    documents: tuple[Document, ...] = ()
    rows: tuple[tuple[Button, ...], ...] = ()
    selects: tuple[Select, ...] = ()
    links: tuple[Link, ...] = ()
    details: tuple[tuple[str, str], ...] = ()  #: label and value: seed, size, model …
    resend: Resend | None = None
    refusal: bool = False  #: nothing was done, and this says why
    again: bool = False  #: this delivery was taken before: the card may stand somewhere already
    visibility: Visibility = Visibility.PUBLIC
    spoiler: bool = False
    once: str = ""  #: of what is no job's: by which a chat knows that it posted this before; `again` says whether it may have been

    @property
    def files(self) -> tuple[Picture, ...]:
        """All that goes along: the pictures, then the clip."""
        return (*self.pictures, self.clip) if self.clip else self.pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    name: str
    label: str
    value: str = ""
    long: bool = False
    required: bool = True
    kind: Literal["text", "picture", "choice"] = (
        "text"  #: `picture` asks for a file (its role is the field's name where that is a role); `choice` for one of `choices`
    )
    choices: tuple[tuple[str, str], ...] = ()  #: (value, label)
    hint: str = ""  #: a line below it


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A modal. `name` comes back in Submit."""

    name: str
    title: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """How to acknowledge, decided in memory: as a public or private deferral, with a form, or at once with a card."""

    visibility: Visibility = Visibility.PUBLIC
    form: Form | None = None
    card: Card | None = None  #: an answer that needs nothing more (a mistake in the words): `handle` must not be called
    in_place: bool = False  #: the card that was pressed changes, and no other comes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """One autocomplete suggestion: `insert` replaces text[start:end]."""

    insert: str
    label: str
    start: int
    end: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the grammar makes of words as they are typed: spans to colour, the mistake if any, what it would cost."""

    spans: tuple[tuple[int, int, str], ...] = ()  #: (start, end, kind) with kind of "text", "flag", "value", "weight", "mistake"
    mistake: str = ""  #: one sentence
    mistake_at: tuple[int, int] | None = None
    cost: float | None = None  #: credits of all of it
    prompts: int = 1  #: how many jobs the words make: permutations times repetitions
    hints: tuple[Hint, ...] = ()
