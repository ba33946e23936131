"""The preferences' and the settings' card: what holds, switches and menus (CHOOSE), and ways into forms for what has to be written (ASK). Pure.

Labels say what a press does, never by colour alone what holds: that stands among the details.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.cards import shorten
from bot.domain import Action, Button, Card, Select, Verb, Visibility
from bot.messages import LANGUAGES, Catalogue, Catalogues
from bot.presses.actions import print_sets
from bot.wishes import Standing
from engine.api import Capabilities

_CHOICES = 25
_VALUE = 200  #: characters of a value that are shown


def prefer_card(standing: Standing, catalogues: Catalogues, catalogue: Catalogue, id_: str) -> Card:
    """A member's own preferences. `id_` is any ULID: it makes this card's buttons its own."""
    member = standing.member
    maker = _Maker(catalogue, id_, server=False)
    lane = "relax" if member.get("lane") == "relax" else "fast"
    language = LANGUAGES[standing.locale].name if standing.locale in LANGUAGES else catalogue.say("prefer.as_the_chat")
    found = [
        ("flags", maker.text(member.get("flags"))),
        ("suffix", maker.text(member.get("suffix"))),
        ("sets", maker.text(", ".join(f"--{name}" for name in sorted(standing.sets)))),
        ("direct", maker.switch(standing.direct)),
        ("remix", maker.switch(standing.remix)),
        ("lane", catalogue.say(f"prefer.{lane}")),
        ("locale", language),
    ]
    switches = (
        maker.choose("direct=off" if standing.direct else "direct=on", "direct_off" if standing.direct else "direct_on"),
        maker.choose("remix=off" if standing.remix else "remix=on", "remix_off" if standing.remix else "remix_on"),
        maker.choose("lane=fast" if lane == "relax" else "lane=relax", "take_fast" if lane == "relax" else "take_relax"),
    )
    asks = tuple(maker.ask(name) for name in ("flags", "suffix", "sets"))
    languages = [(code, LANGUAGES[code].name) for code in catalogues.codes]
    menu = maker.menu("locale", catalogue.say("prefer.locale_menu"), catalogue.say("prefer.as_the_chat"), languages, standing.locale)
    return Card(
        title=catalogue.say("prefer.title"),
        text=catalogue.say("prefer.text"),
        details=tuple((_name(key, catalogue), value) for key, value in found),
        rows=(switches, asks),
        selects=menu,
        visibility=Visibility.PRIVATE,
    )


def settings_card(standing: Standing, models: Sequence[Capabilities], catalogue: Catalogue, id_: str) -> Card:
    """What holds on a server, for those who manage it. `id_` as in `prefer_card`."""
    server = standing.server
    maker = _Maker(catalogue, id_, server=True)
    relaxed, owners = server.get("lane") == "relax", standing.owners_only
    known = {each.model: each.title or each.model for each in models}
    found = [
        ("model", shorten(known.get(standing.model, standing.model), _VALUE) or catalogue.say("settings.usual_model")),
        ("flags", maker.text(server.get("flags"))),
        ("suffix", maker.text(server.get("suffix"))),
        ("lane", catalogue.say("prefer.relax" if relaxed else "prefer.fast")),
        ("press", catalogue.say("settings.press_owner" if owners else "settings.press_anyone")),
        ("channels", maker.text(", ".join(sorted(standing.channels))) if standing.channels else catalogue.say("settings.everywhere")),
        ("off", maker.text(", ".join(f"/{name}" for name in sorted(standing.off)))),
        ("adult", maker.text(", ".join(sorted(standing.adult)))),
        ("spoiler", maker.text(", ".join(sorted(standing.spoiler)))),
        *((name, catalogue.say(f"settings.{name}_{value}")) for name, value in standing.gate.items()),
        ("rules", maker.text(", ".join(standing.rules.splitlines()))),
    ]
    switches = (
        maker.choose("press=anyone" if owners else "press=owner", "let_anyone" if owners else "let_owner"),
        maker.choose("lane=fast" if relaxed else "lane=relax", "take_fast" if relaxed else "take_relax"),
    )
    asks = tuple(maker.ask(name) for name in ("flags", "suffix", "channels", "off"))
    menu = maker.menu("model", catalogue.say("settings.model_menu"), catalogue.say("settings.usual_model"), list(known.items()), standing.model)
    return Card(
        title=catalogue.say("settings.title"),
        text=catalogue.say("settings.text"),
        details=tuple((_name(key, catalogue), value) for key, value in found),
        rows=(switches, asks),
        selects=menu if len(models) > 1 else (),
        visibility=Visibility.PRIVATE,
    )


def _name(key: str, catalogue: Catalogue) -> str:
    return catalogue.say("prefer.sets" if key == "sets" else f"preference.{key}")


class _Maker:
    """Makes the controls of one card."""

    def __init__(self, catalogue: Catalogue, id_: str, *, server: bool) -> None:
        self._catalogue, self._id, self._mark = catalogue, id_, "!" if server else ""

    def text(self, value: Any) -> str:
        return shorten(value, _VALUE) if isinstance(value, str) and value else self._catalogue.say("prefer.none")

    def switch(self, on: bool) -> str:
        return self._catalogue.say("prefer.on" if on else "prefer.off")

    def choose(self, choice: str, key: str) -> Button:
        return self._button(Verb.CHOOSE, choice, key)

    def ask(self, name: str) -> Button:
        return self._button(Verb.ASK, name, f"ask_{name}")

    def _button(self, verb: Verb, argument: str, key: str) -> Button:
        action = Action(verb=verb, job_id=self._id, argument=f"{self._mark}{argument}")
        return Button(label=self._catalogue.say(f"prefer.{key}"), hint=self._catalogue.say(f"prefer.{key}_hint"), action=action)

    def menu(self, name: str, placeholder: str, nothing: str, values: Sequence[tuple[str, str]], now: str) -> tuple[Select, ...]:
        """One to choose a value from, the first of which takes it back. Values that do not fit a button are left out."""
        choices = []
        setting = _name(name, self._catalogue)
        for value, label in (("", nothing), *values):
            action = Action(verb=Verb.CHOOSE, job_id=self._id, argument=f"{self._mark}{name}={value}")
            try:
                action.encode()
            except ValueError:
                continue
            choices.append(
                Button(label=shorten(label, 80), hint=self._catalogue.say("prefer.choose_hint", name=setting, value=label), action=action, pressed=value == now)
            )
        return (Select(placeholder=placeholder, choices=tuple(choices[:_CHOICES])),)


def values_of(standing: Standing, *, server: bool) -> Mapping[str, str]:
    """What a form for a value shows of what holds now, by its name."""
    stored = standing.server if server else standing.member
    texts = {name: stored[name] for name in ("flags", "suffix") if isinstance(stored.get(name), str)}
    lists = {"channels": sorted(standing.channels), "off": sorted(standing.off)} if server else {}
    sets = {} if server else {"sets": print_sets(standing.sets)}
    return {**texts, **sets, **{name: " ".join(values) for name, values in lists.items()}}
