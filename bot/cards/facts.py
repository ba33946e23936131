"""What made a picture, as labels and values: seed, size, model, licence, cost, energy. Pure; used by the other modules of this package."""

from __future__ import annotations

from bot.cards.pictures import frames
from bot.cards.words import shorten
from bot.domain import Job, Shown, Status
from bot.errors import BadWords
from bot.messages import Catalogue, number
from bot.prompts import parse, print_parts
from bot.prompts.flags import plain
from engine.api import Capabilities, ImagineRequest, UpscaleRequest

WATTS = 100.0  #: of a desktop computer without a graphics card, at work; WORDUP_WATTS says it better
LEAST_ENERGY = 0.001  #: watt-hours worth telling apart

Details = tuple[tuple[str, str], ...]


def by(job: Job, catalogue: Catalogue) -> Details:
    """Whose it is: a channel has many members."""
    return ((catalogue.say("detail.by"), shorten(job.actor.name, 40)),) if job.actor.name else ()


def drawn_as(words: str, request: ImagineRequest) -> str:
    """What was drawn where that is more than was typed: with a style's words, or a suffix. Empty where it is the same."""
    try:
        said = parse(words)
    except BadWords:
        return ""
    same = [part.text for part in said.parts] == [part.text for part in request.parts] or not said.parts
    return "" if same else print_parts(request.parts)


def details(shown: Shown, catalogue: Catalogue, capabilities: Capabilities | None = None, *, more: bool = False) -> Details:
    """Label and value of what made it; `more` adds what one has to ask for."""
    job, request = shown.job, shown.job.request
    found = [*by(job, catalogue)]

    def add(key: str, value: str) -> None:
        found.append((catalogue.say(f"detail.{key}"), value))

    drawn = frames(shown)
    to_come = 1 if isinstance(request, UpscaleRequest) else request.enlarge
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
            if words := drawn_as(job.words, request):
                add("drawn_as", words)
    elif isinstance(request, UpscaleRequest):
        add("factor", f"{request.factor}×")
    add("model", model_name(request.model, capabilities, catalogue))
    if capabilities is not None:
        add("licence", licence(capabilities, catalogue))
        add("training", capabilities.training_data or catalogue.say("detail.training_unknown"))
    if job.started_at and job.ended_at and job.status is Status.DONE:
        add("took", catalogue.duration((job.ended_at - job.started_at).total_seconds()))
    if more:
        add("id", job.id)
    return tuple(found)


def licence(capabilities: Capabilities, catalogue: Catalogue) -> str:
    """Its name, and what it forbids, as the card of the model has it."""
    name = capabilities.licence.rstrip(".")
    forbidden = "; ".join(each.rstrip(".") for each in capabilities.forbids)
    return catalogue.say("detail.licence_forbids", licence=name, forbidden=forbidden) if forbidden else name


def model_name(name: str, capabilities: Capabilities | None, catalogue: Catalogue) -> str:
    """Its title, and the name that `--model` takes."""
    if capabilities is None or capabilities.title in ("", name):
        return name
    return catalogue.say("detail.model_text", title=capabilities.title, name=name)


def spent(shown: Shown, catalogue: Catalogue, watts: float) -> Details:
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
