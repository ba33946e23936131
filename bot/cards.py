"""Job + progress → Card: every word and button a member sees of a job is decided here, through the catalogue. Pure.

Called by `bot.studio` and the outbox. Cards that stand for no job are in `bot.notes`. A button of a private job ends its argument with "p",
so that a press on it is answered privately even before anything is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache

from bot.domain import CLIP, GRID, Action, Artifact, Button, Card, Job, Link, Picture, Select, Shown, Status, Verb, Visibility
from bot.errors import BadWords
from bot.messages import Catalogue, number
from bot.prompts import parse
from bot.prompts.flags import plain
from engine.api import Capabilities, ImagineRequest, MorphRequest, UpscaleRequest

MAX_EDGE = 4096  #: pixels; what an upscale may lead to
MAX_ALT = 1000  #: characters (Discord takes 1,024, Slack 2,000)
MAX_TITLE = 200
IN_BUTTONS = 4  #: pictures; a larger grid has selects
PRIVATE = "p"
WATTS = 100.0  #: of a desktop computer without a graphics card, at work; WORDUP_WATTS says it better
LEAST_ENERGY = 0.001  #: watt-hours worth telling apart

Row = tuple[Button, ...]


def job_card(shown: Shown, catalogue: Catalogue, *, now: datetime, url: str = "") -> Card:
    """The card of a job as it stands. `url` is the studio's public address, or empty: then there are no links."""
    job = shown.job
    words = plain_words(job)
    rows, selects = _buttons(shown, catalogue)
    return Card(
        title=shorten(words, MAX_TITLE) or catalogue.say("card.untitled"),
        text="\n".join(filter(None, (_status(shown, catalogue, now), parent_line(job, catalogue)))),
        code=job.words if job.status is Status.FAILED else "",
        job_id=job.id,
        status=job.status,
        percent=percent(shown),
        pictures=_pictures(shown, catalogue),
        clip=_clip(shown, catalogue),
        rows=rows,
        selects=selects,
        links=(Link(label=catalogue.say("card.open"), url=f"{url.rstrip('/')}/job/{job.id}"),) if url else (),
        details=details(shown, catalogue) if job.status is Status.DONE else by(job, catalogue),
        visibility=Visibility.PRIVATE if job.private else Visibility.PUBLIC,
    )


def choose_card(shown: Shown, catalogue: Catalogue) -> Card:
    """Which picture of a grid to enlarge, asked of one member alone."""
    rows, selects = _buttons(shown, catalogue)
    picks = tuple(button for row in rows for button in row if button.action.verb is Verb.PICK)
    return Card(
        title=shorten(plain_words(shown.job), MAX_TITLE) or catalogue.say("card.untitled"),
        text=catalogue.say("card.choose"),
        rows=_rows(picks),
        selects=selects[:1],
        visibility=Visibility.PRIVATE,
    )


def params_card(shown: Shown, catalogue: Catalogue, capabilities: Capabilities | None = None, *, watts: float = WATTS, direct: bool = False) -> Card:
    """Seed and words, the model and what it is, what it cost, for one member alone; with the pictures when it goes to them directly.

    `capabilities` are those of the job's model; None where it is not on the shelf any more. `watts`: what the machine takes while it draws.
    """
    return Card(
        title=catalogue.say("card.details"),
        text=parent_line(shown.job, catalogue),
        code=shown.job.words,
        pictures=_pictures(shown, catalogue, apart=True) if direct else (),
        clip=_clip(shown, catalogue) if direct else None,
        details=(*details(shown, catalogue, capabilities, more=True), *spent(shown, catalogue, watts)),
        visibility=Visibility.DIRECT if direct else Visibility.PRIVATE,
    )


# ------------------------------------------------------------------------------------------------ words


def plain_words(job: Job) -> str:
    """The words without flags and weights; as typed where they do not parse (an older version's)."""
    return _plain(job.words)


@lru_cache(maxsize=1024)  # a running job's card is made anew with every step
def _plain(words: str) -> str:
    try:
        return parse(words).text
    except BadWords:
        return " ".join(words.split())


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words where that costs little."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    head = cut.rpartition(" ")[0]
    return (head if len(head) > limit // 2 else cut).rstrip() + "…"


def percent(shown: Shown) -> int | None:
    """How far a running job is, 0..100."""
    if shown.job.status is not Status.RUNNING:
        return None
    return min(100, 100 * shown.step // shown.of) if shown.of > 0 else 0


def left(shown: Shown, now: datetime) -> float | None:
    """Seconds a running job still needs, from its own pace; what was estimated before it took a step; None when nobody knows."""
    started = shown.job.started_at
    if started is None or shown.step <= 0 or shown.of <= 0:
        return shown.eta
    return max(0.0, (now - started).total_seconds()) * max(0, shown.of - shown.step) / shown.step


def parent_line(job: Job, catalogue: Catalogue) -> str:
    """Where a child came from ("V2 of …"), or empty."""
    parent = job.parent
    if parent is None:
        return ""
    match parent.verb:
        case Verb.PICK:
            return catalogue.say("card.parent_u", number=parent.index + 1)
        case Verb.VARY:
            return catalogue.say("card.parent_v", number=max(parent.index, 0) + 1)
        case Verb.UPSCALE:
            return catalogue.say("card.parent_x")
        case Verb.REMIX:
            return catalogue.say("card.parent_m")
    return catalogue.say("card.parent_r")


def children_of(shown: Shown) -> tuple[Job, ...]:
    """What came of it and can be looked at, oldest first: nobody is told of private ones that are not as private as the job itself."""
    gone = (Status.FAILED, Status.CANCELLED)
    return tuple(child for child in shown.children if child.status not in gone and (shown.job.private or not child.private))


_RELATIONS = {Verb.PICK: "web.from_pick", Verb.VARY: "web.from_vary", Verb.REROLL: "web.from_reroll", Verb.UPSCALE: "web.from_upscale"}


def relation(child: Job, catalogue: Catalogue) -> str:
    """How a child came from its parent, in a word ("V2")."""
    parent = child.parent
    if parent is None:
        return catalogue.say("web.from_words")
    return catalogue.say(_RELATIONS.get(Verb(parent.verb), "web.from_remix"), number=parent.index + 1)


def _status(shown: Shown, catalogue: Catalogue, now: datetime) -> str:
    job = shown.job
    match job.status:
        case Status.QUEUED if shown.position is not None and shown.eta is not None:
            return catalogue.say("card.queued", position=shown.position, eta=shown.eta)
        case Status.QUEUED:
            return catalogue.say("card.queued_soon")
        case Status.RUNNING:
            remaining = left(shown, now)
            if shown.of > 0 and remaining is not None:
                return catalogue.say("card.running", step=shown.step, of=shown.of, eta=remaining)
            return catalogue.say("card.running_soon")
        case Status.FAILED:
            return catalogue.tell(job.error) if job.error else catalogue.say("error.fault")
        case Status.CANCELLED:
            return catalogue.say("card.cancelled")
        case Status.DONE if job.started_at and job.ended_at:
            return catalogue.say("card.done", took=(job.ended_at - job.started_at).total_seconds())
    return ""


# ------------------------------------------------------------------------------------------------ pictures


def frames(shown: Shown) -> tuple[Artifact, ...]:
    """The single pictures in order, without the contact sheet."""
    return tuple(sorted((each for each in shown.artifacts if each.index >= 0), key=lambda each: each.index))


def alt_text(shown: Shown, artifact: Artifact, catalogue: Catalogue) -> str:
    """What a picture shows, for those who do not see it: its words."""
    job, count = shown.job, len(frames(shown))
    words = plain_words(job) or catalogue.say("card.untitled")
    if artifact.index == GRID:
        return shorten_to(lambda text: catalogue.say("card.alt_grid", words=text, count=count, model=job.request.model), words)
    if count > 1:
        return shorten_to(lambda text: catalogue.say("card.alt_of", words=text, number=artifact.index + 1, count=count, model=job.request.model), words)
    return shorten_to(lambda text: catalogue.say("card.alt", words=text, model=job.request.model), words)


def _pictures(shown: Shown, catalogue: Catalogue, *, apart: bool = False) -> tuple[Picture, ...]:
    """The contact sheet, or one by one where there is none (or `apart`)."""
    job = shown.job
    if job.status is Status.RUNNING and shown.preview:
        words = plain_words(job) or catalogue.say("card.untitled")
        alt = shorten_to(lambda text: catalogue.say("card.alt_preview", words=text), words)
        return (Picture(alt=alt, data=shown.preview, name="preview.webp"),)
    if job.status is not Status.DONE:
        return ()
    sheet = None if apart else next((each for each in shown.artifacts if each.index == GRID), None)
    return tuple(
        Picture(
            alt=alt_text(shown, each, catalogue),
            digest=each.digest,
            width=each.width,
            height=each.height,
            name=f"wordup-{job.id}{'' if each.index < 0 else f'-{each.index + 1}'}.png",
        )
        for each in ((sheet,) if sheet else frames(shown))
    )


def _clip(shown: Shown, catalogue: Catalogue) -> Picture | None:
    found = next((each for each in shown.artifacts if each.index == CLIP), None)
    if found is None or shown.job.status is not Status.DONE:
        return None
    words = plain_words(shown.job) or catalogue.say("card.untitled")
    key = "card.alt_morph" if isinstance(shown.job.request, MorphRequest) else "card.alt_clip"
    alt = shorten_to(lambda text: catalogue.say(key, words=text, model=shown.job.request.model), words)
    name = f"wordup-{shown.job.id}-clip.webp"
    return Picture(alt=alt, digest=found.digest, width=found.width, height=found.height, name=name, moves=True)


def shorten_to(sentence: Callable[[str], str], words: str) -> str:
    """`sentence` of as many of the words as fit an alt text."""
    room = MAX_ALT - len(sentence(""))
    return sentence(shorten(words, max(room, 1)))[:MAX_ALT]


def by(job: Job, catalogue: Catalogue) -> tuple[tuple[str, str], ...]:
    """Whose it is: a channel has many members."""
    return ((catalogue.say("detail.by"), shorten(job.actor.name, 40)),) if job.actor.name else ()


def details(shown: Shown, catalogue: Catalogue, capabilities: Capabilities | None = None, *, more: bool = False) -> tuple[tuple[str, str], ...]:
    """Label and value of what made it; `more` adds what one has to ask for."""
    job, request = shown.job, shown.job.request
    found = [*by(job, catalogue)]

    def add(key: str, value: str) -> None:
        found.append((catalogue.say(f"detail.{key}"), value))

    drawn = frames(shown)
    to_come = request.enlarge if isinstance(request, ImagineRequest) else 1
    width, height = (drawn[0].width, drawn[0].height) if drawn else (to_come * request.width, to_come * request.height)
    add("seed", str(request.seed))
    add("size", f"{width} × {height}")
    if isinstance(request, ImagineRequest):
        add("steps", str(request.steps))
        if more:
            add("count", str(request.count))
            add("guidance", plain(float(request.guidance)))
            if request.source:
                add("strength", plain(float(request.strength)))
            if request.scheduler:
                add("sampler", request.scheduler)
    elif isinstance(request, UpscaleRequest):
        add("factor", f"{request.factor}×")
    add("model", _model(request.model, capabilities, catalogue))
    if capabilities is not None:
        add("licence", " ".join((f"{capabilities.licence.rstrip('.')}.", *capabilities.forbids)))
        add("training", capabilities.training_data or catalogue.say("detail.training_unknown"))
    if job.started_at and job.ended_at and job.status is Status.DONE:
        add("took", catalogue.duration((job.ended_at - job.started_at).total_seconds()))
    if more:
        add("id", job.id)
    return tuple(found)


def _model(name: str, capabilities: Capabilities | None, catalogue: Catalogue) -> str:
    """Its title, and the name that `--model` takes."""
    if capabilities is None or capabilities.title in ("", name):
        return name
    return catalogue.say("detail.model_text", title=capabilities.title, name=name)


def spent(shown: Shown, catalogue: Catalogue, watts: float) -> tuple[tuple[str, str], ...]:
    """Label and value of what a job took: credits and, once it is drawn, its share of the device's time and an estimate of the energy."""
    job = shown.job
    found = [("cost", number(job.cost))]
    if job.status is Status.DONE and job.device_seconds > 0:
        energy = watt_hours(job.device_seconds, watts)
        text = f"{energy:.3f}" if energy < 0.1 else number(energy)
        key = "detail.energy_text" if energy >= LEAST_ENERGY else "detail.energy_little"
        found.append(("device", catalogue.say("detail.device_text", seconds=job.device_seconds)))
        found.append(("energy", catalogue.say(key, energy=text if energy >= LEAST_ENERGY else f"{LEAST_ENERGY}", watts=watts)))
    return tuple((catalogue.say(f"detail.{key}"), value) for key, value in found)


def watt_hours(device_seconds: float, watts: float) -> float:
    """An estimate: the machine takes `watts` as long as it draws, and a request its share of that time."""
    return device_seconds * watts / 3600


# ------------------------------------------------------------------------------------------------ buttons


class _Maker:
    """Makes the buttons of one job."""

    def __init__(self, job: Job, catalogue: Catalogue) -> None:
        self._job, self._catalogue = job, catalogue

    def make(self, verb: Verb, key: str, *, index: int = GRID, argument: str = "", hint: str = "", **more: object) -> Button:
        parameters = {"number": index + 1, "factor": argument}
        wanted = {name: value for name, value in parameters.items() if name in self._catalogue.parameters(f"button.{key}")}
        hinted = hint or f"{key}_hint"
        hints = {name: value for name, value in parameters.items() if name in self._catalogue.parameters(f"button.{hinted}")}
        return Button(
            label=self._catalogue.say(f"button.{key}", **wanted),
            hint=self._catalogue.say(f"button.{hinted}", **hints),
            action=Action(verb=verb, job_id=self._job.id, index=index, argument=argument + (PRIVATE if self._job.private else "")),
            **more,  # type: ignore[arg-type]
        )

    def family(self, shown: Shown) -> Row:
        """Up to where it came from, and down to what came of it."""
        down = (self.make(Verb.CHILDREN, "children"),) if children_of(shown) else ()
        return (*self.parent(), *down)

    def parent(self) -> Row:
        """A way back to where a child came from."""
        if self._job.parent is None:
            return ()
        button = self.make(Verb.SHOW, "parent")
        action = Action(verb=Verb.SHOW, job_id=self._job.parent.job_id, argument=button.action.argument)
        return (Button(label=button.label, hint=button.hint, action=action),)


def _buttons(shown: Shown, catalogue: Catalogue) -> tuple[tuple[Row, ...], tuple[Select, ...]]:
    job = shown.job
    maker = _Maker(job, catalogue)
    match job.status:
        case Status.QUEUED | Status.RUNNING:
            return ((maker.make(Verb.CANCEL, "cancel", style="danger"), *maker.family(shown)),), ()
        case Status.FAILED | Status.CANCELLED:
            again = maker.make(Verb.REROLL, "retry", style="primary")
            return ((again, maker.make(Verb.REMIX, "remix"), maker.make(Verb.DELETE, "delete", style="danger"), *maker.family(shown)),), ()
    drawn = frames(shown)
    kept = bool(drawn) and drawn[0].favourite
    star = maker.make(Verb.FAVOURITE, "favourite", hint="unfavourite_hint" if kept else "favourite_hint", pressed=kept)
    common = (maker.make(Verb.PARAMS, "params"), maker.make(Verb.REMIX, "remix"), maker.make(Verb.DELETE, "delete", style="danger"))
    reroll = maker.make(Verb.REROLL, "reroll")
    if len(drawn) <= 1:
        # An upscale of the same picture by the same model is the same picture: no reroll there.
        first = (*_upscales(drawn, maker), maker.make(Verb.VARY, "vary_one", index=0), *(() if isinstance(job.request, UpscaleRequest) else (reroll,)))
        family = maker.family(shown)
        beside = len(family) == 1  # a row has five
        return _rows(first, (star, *common, *(family if beside else ())), () if beside else family), ()
    picks = tuple(maker.make(Verb.PICK, "pick", index=each.index) for each in drawn)
    varies = tuple(maker.make(Verb.VARY, "vary", index=each.index) for each in drawn)
    if len(drawn) <= IN_BUTTONS:
        return _rows((*picks, reroll), (*varies, star), (*common, *maker.family(shown))), ()
    selects = (
        Select(placeholder=catalogue.say("button.pick_many"), choices=picks),
        Select(placeholder=catalogue.say("button.vary_many"), choices=varies),
    )
    return _rows((reroll, star, *common), maker.family(shown)), selects


def _rows(*rows: Row) -> tuple[Row, ...]:
    return tuple(row for row in rows if row)


def _upscales(drawn: Sequence[Artifact], maker: _Maker) -> Row:
    """Only those whose result stays within MAX_EDGE."""
    return tuple(
        maker.make(Verb.UPSCALE, "upscale", index=0, argument=str(factor))
        for factor in (2, 4)
        if drawn and max(drawn[0].width, drawn[0].height) * factor <= MAX_EDGE
    )
