"""What members can ask for, one file a subject. `bot.studio` routes to the tables here; what all of them use is in `bot.drawing`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bot.domain import Ack, Action, Card, Command, Press, Verb, Visibility
from bot.drawing import Drawing
from bot.presses import asked_of, is_of_server
from bot.usecases import admin, imagine, looking, pictures, preferences, privacy, words
from bot.usecases.buttons import PRESSES

__all__ = ["ALWAYS", "COMMANDS", "OFFERED", "PRESSES", "Asked", "commands_of"]


def quietly(house: Drawing, event: Command) -> Ack:
    """Answered to the member alone."""
    return Ack(visibility=Visibility.PRIVATE)


def openly(house: Drawing, event: Command) -> Ack:
    """Answered for all to see."""
    return Ack(visibility=Visibility.PUBLIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command: how it is acknowledged, in memory and at once, and what it does. Both raise UserError."""

    run: Callable[[Drawing, Command], Awaitable[Card]]
    greet: Callable[[Drawing, Command], Ack] = quietly


COMMANDS: Mapping[str, Asked] = {
    "imagine": Asked(run=imagine.imagine, greet=imagine.greet),
    "blend": Asked(run=pictures.blend, greet=pictures.greet_blend),
    "describe": Asked(run=pictures.describe, greet=pictures.greet_one),
    "shorten": Asked(run=words.shorten, greet=words.greet_shorten),
    "morph": Asked(run=words.morph, greet=words.greet_morph),
    "history": Asked(run=looking.history),
    "show": Asked(run=looking.show, greet=openly),
    "info": Asked(run=looking.info),
    "queue": Asked(run=looking.queue),
    "cancel": Asked(run=looking.cancel),
    "upscale": Asked(run=pictures.upscale, greet=looking.greet_upscale),
    "remix": Asked(run=looking.remix, greet=looking.greet_remix),
    "prefer": Asked(run=preferences.prefer),
    "settings": Asked(run=preferences.settings),
    "styles": Asked(run=preferences.styles),
    "lists": Asked(run=preferences.lists),
    "models": Asked(run=looking.models),
    "web": Asked(run=looking.web),
    "verify": Asked(run=pictures.verify, greet=pictures.greet_one),
    "privacy": Asked(run=privacy.privacy, greet=privacy.greet),
    "report": Asked(run=admin.report, greet=admin.greet_report),
    "admin": Asked(run=admin.admin),
    "help": Asked(run=looking.help_),
}

#: What an administrator cannot turn off or keep to a channel: the way back, and everybody's own affairs.
ALWAYS = frozenset({"admin", "settings", "privacy", "report", "help", "info", "cancel"})

#: Buttons that do what a command does: turned off together.
_LIKE: Mapping[Verb, tuple[str, ...]] = {
    Verb.RUN: ("imagine",),
    Verb.REMIX: ("imagine", "remix"),
    Verb.DESCRIBE: ("describe",),
    Verb.UPSCALE: ("upscale",),
    Verb.CREATIVE: ("upscale",),
}
_ASKED: Mapping[str, str] = {"style": "styles", "list": "lists", "forget": "privacy"}


def commands_of(action: Action, *, in_words: bool = False) -> tuple[str, ...]:
    """The commands that a button is like. `in_words`: it came back as a form with other words."""
    if action.verb in (Verb.CHOOSE, Verb.ASK):
        if is_of_server(action):
            return ("settings",)
        return (_ASKED.get(asked_of(action)[0], "prefer"),) if action.verb is Verb.ASK else ("prefer",)
    return _LIKE[Verb.REMIX] if in_words and action.verb in (Verb.VARY, Verb.REROLL) else _LIKE.get(action.verb, ())


#: Buttons whose `job_id` is an offer's, or nobody's.
OFFERED: Mapping[Verb, Callable[[Drawing, Press, Action], Awaitable[Card]]] = {
    Verb.RUN: imagine.run,
    Verb.DISMISS: imagine.dismiss,
    Verb.COLLECT: imagine.collect,
    Verb.CHOOSE: preferences.choose,
    **admin.PRESSES,
}
