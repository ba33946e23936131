"""What members and servers prefer: default flags, styles, wildcard lists, language, lane. Called by `bot.studio`; what holds is `bot.wishes`' to say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from bot import notes, presses
from bot.domain import Action, Card, Command, Event, Press, Style, Submit
from bot.drawing import Drawing
from bot.errors import Refused
from bot.gate import ADULT, SPOILER, People, bounded, choose_channels, goes_beyond, split_rules
from bot.prompts import BUILT_IN, layers, locate, prepare, resolve
from bot.prompts.clean import clean
from bot.prompts.flags import BY_NAME, nearest

log = structlog.get_logger(__name__)

MOST_SETS = 25
MAX_TEXT = 500  #: characters of flags, a suffix or a style
MAX_RULES = 6000  #: characters of a server's own word rules
_NAME = re.compile(r"[^\W_]+(?:[-_][^\W_]+)*")  #: what a wildcard can be called, and a style
ON, OFF = frozenset({"on", "yes", "true", "1"}), frozenset({"off", "no", "false", "0", ""})
Read = Callable[[Drawing, str], Any]


def _switch(house: Drawing, value: str) -> bool:
    if value.casefold() in ON | OFF:
        return value.casefold() in ON
    raise Refused("refused.on_or_off", given=value[:40])


def _switch_or_usual(house: Drawing, value: str) -> bool | None:
    return _switch(house, value) if value else None


def _flags(house: Drawing, value: str) -> str | None:
    """Flags alone. Raises BadWords or Refused."""
    if not value:
        return None
    words = locate(value).words
    if words.parts:
        raise Refused("refused.flags_only", given=words.text[:40])
    if words.seed is not None:
        raise Refused("refused.no_default_seed")
    return value


def _suffix(house: Drawing, value: str) -> str | None:
    if value:
        locate(value)
    return value or None


def _one_of(*choices: str) -> Read:
    def read(house: Drawing, value: str) -> str | None:
        if value and value not in choices:
            raise Refused("refused.not_one_of", given=value[:40], choices=choices)
        return value or None

    return read


def _locale(house: Drawing, value: str) -> str | None:
    return _one_of(*house.catalogues.codes)(house, value)  # type: ignore[no-any-return]


def _model(house: Drawing, value: str) -> str | None:
    return house.model_of(value).model if value else None


def _commands(house: Drawing, value: str) -> list[str] | None:
    from bot.usecases import ALWAYS, COMMANDS

    named = [each.strip(" /,") for each in value.replace(",", " ").split()]
    for each in named:
        if each not in COMMANDS or each in ALWAYS:
            raise Refused("refused.no_such_command", given=each[:40])
    return named or None


def _channels(house: Drawing, value: str) -> list[str] | None:
    """Ids, or mentions as chats write them."""
    return [each.strip("<#>").partition("|")[0] for each in value.replace(",", " ").split()][:100] or None


def _rules(house: Drawing, value: str) -> str | None:
    return split_rules(value) or None


#: Name → how its value is read; None takes it back.
MEMBERS: Mapping[str, Read] = {
    "flags": _flags,
    "suffix": _suffix,
    "direct": _switch,
    "remix": _switch,
    "locale": _locale,
    "lane": _one_of("fast", "relax"),
}
SERVERS: Mapping[str, Read] = {
    "flags": _flags,
    "suffix": _suffix,
    "model": _model,
    "lane": _one_of("fast", "relax"),
    "off": _commands,
    "channels": _channels,
    "press": _one_of("anyone", "owner"),
    ADULT: _channels,
    SPOILER: _channels,
    "people": _one_of(*People),
    "edits": _switch_or_usual,
    "artists": _switch_or_usual,
    "rules": _rules,
}


async def prefer(house: Drawing, event: Command) -> Card:
    """The member's own. Raises UserError."""
    if text := clean(event.text).text.strip():
        await change(house, event, text)
    return await prefer_card(house, event)


async def prefer_card(house: Drawing, event: Event) -> Card:
    standing = await house.wishes.of(event.actor, event.place)
    catalogue = house.catalogues.of(standing.locale or event.actor.locale)  # a language chosen a moment ago
    return notes.prefer_card(standing, house.catalogues, catalogue, house.new_id())


async def settings(house: Drawing, event: Command) -> Card:
    """The server's. Raises UserError."""
    need_admin(event)
    if text := clean(event.text).text.strip():
        await change(house, event, text, server=True)
    return await settings_card(house, event)


async def settings_card(house: Drawing, event: Event) -> Card:
    """What holds: a setting that the operator allows no longer is shown as theirs."""
    standing = await house.wishes.of(event.actor, event.place)
    standing = replace(standing, server=bounded(standing.server, house.policy))
    return notes.settings_card(standing, house.models(), house.say_to(event.actor), house.new_id())


def need_admin(event: Event) -> None:
    if not event.place.owner:
        raise Refused("refused.no_server")
    if not event.actor.admin:
        raise Refused("refused.admins_only")


async def change(house: Drawing, event: Event, text: str, *, server: bool = False) -> None:
    """`name=value`; an empty value takes it back. Raises UserError."""
    name, equals, value = (each.strip() for each in text.partition("="))
    name = name.casefold().removeprefix("/")
    table = SERVERS if server else MEMBERS
    if name == "set" and not server:
        await _change_set(house, event, value)
        return
    if not equals or name not in table:
        known = (*table, *(() if server else ("set",)))
        if near := nearest(name, known, cutoff=0.5):
            raise Refused("refused.no_such_setting", given=name[:40], near=near, known=known)
        raise Refused("refused.unknown_setting", given=name[:40], known=known)
    limit = MAX_RULES if name == "rules" else MAX_TEXT
    if len(value) > limit:
        raise Refused("refused.too_long_setting", limit=limit, length=len(value))
    read = table[name](house, value)
    if read is not None and name in ("flags", "suffix", "model"):
        await _try_out(house, event, {name: read}, server=server)
    if not server:
        await house.wishes.change(event.actor.key, {name: read})
        return
    if goes_beyond(name, read, house.policy):
        log.info("wishes.beyond_the_operators", server=event.place.owner, actor=event.actor.key, name=name)
        raise Refused("refused.operators_bound")

    def plan(before: Mapping[str, Any]) -> Mapping[str, Any]:
        return choose_channels(before, name, read or ()) if name in (ADULT, SPOILER) else {name: read}  # a channel leaves one list for another

    owner = event.place.owner
    if house.moderation is not None:
        house.wishes.keep(owner, await house.moderation.choose(owner, event.actor, plan, usual=house.policy))
    else:
        await house.wishes.change(owner, plan(await house.store.preferences(owner)))
    log.info("wishes.changed", server=event.place.owner, actor=event.actor.key, name=name)


async def _try_out(house: Drawing, event: Event, changes: Mapping[str, Any], *, server: bool) -> None:
    """A default is refused when it is said, and not with every prompt from then on. Raises UserError for what nothing can be drawn with."""
    standing = await house.wishes.of(event.actor, event.place)
    wishes = {**(standing.server if server else standing.member), **changes}
    defaults = layers(wishes, {} if server else {"model": standing.model})
    prompt = prepare("a", lists=None, seed=lambda: 0, defaults=defaults)[0]
    located, given = prompt.located, (prompt.style, *defaults)
    resolve(located.words, house.capabilities(located, given), seed=0, defaults=given, places=located.places)


async def _change_set(house: Drawing, event: Event, value: str) -> None:
    """`NAME flags` keeps a set of flags as `--NAME`; a name alone takes it back. Raises UserError."""
    name, _, flags = value.partition(" ")
    standing = await house.wishes.of(event.actor, event.place)
    await _keep_sets(house, event, {**standing.sets, name.casefold().lstrip("-"): flags.strip()})


async def _keep_sets(house: Drawing, event: Event, sets: Mapping[str, str]) -> None:
    """Those without flags go. Raises UserError, and then none is changed."""
    kept: dict[str, str] = {}
    for name, flags in sets.items():
        if not (name.isidentifier() and name.isascii() and len(name) <= 20) or name in BY_NAME:
            raise Refused("refused.bad_set_name", given=name[:40])
        if len(flags) > MAX_TEXT:
            raise Refused("refused.too_long_setting", limit=MAX_TEXT, length=len(flags))
        if read := _flags(house, flags):
            kept[name] = read
    if len(kept) > MOST_SETS:
        raise Refused("refused.too_many_sets", limit=MOST_SETS)
    await house.wishes.change(event.actor.key, {"sets": kept or None})


async def choose(house: Drawing, event: Press, action: Action) -> Card:
    """A button of the preferences' or settings' card. Raises UserError."""
    server = action.argument.startswith("!")
    if server:
        need_admin(event)
    await change(house, event, action.argument.removeprefix("!"), server=server)
    return await (settings_card if server else prefer_card)(house, event)


# ------------------------------------------------------------------------------------------------ styles and lists


def _owner(event: Event, text: str) -> tuple[str, str]:
    """Whose it is to be, and the rest: a word `server` before everything is for an administrator. Raises Refused."""
    first, _, rest = text.partition(" ")
    if first.casefold() != "server":
        return event.actor.key, text
    need_admin(event)
    return event.place.owner, rest.strip()


def _named(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise Refused("refused.bad_name", given=name[:40])
    return name.casefold()


async def styles(house: Drawing, event: Command) -> Card:
    """Shows them; `[server] save NAME words`, `[server] drop NAME`. Raises UserError."""
    if text := clean(event.text).text.strip():
        owner, rest = _owner(event, text)
        verb, name, words = _taken_apart(rest)
        if verb == "save":
            if not words or len(words) > MAX_TEXT:
                raise Refused("refused.style_words", limit=MAX_TEXT)
            if locate(words).words.style:
                raise Refused("refused.style_in_style")
            await house.store.save_style(Style(name=_named(name), words=words, owner=owner))
        elif not await house.store.drop_style(owner, name.casefold()):
            raise Refused("refused.no_such_style", given=name[:40])
    listed = tuple({each.name: each for each in reversed((*await house.styles(event), *BUILT_IN))}.values())[::-1]
    thing = next((each.words["things"][0] for each in house.models() if each.words.get("things")), "lighthouse")
    offer = await house.offer(event.actor, "prompts", [f"{thing} --style {each.name}" for each in listed])
    return notes.styles_card(listed, offer, house.say_to(event.actor))


async def lists(house: Drawing, event: Command) -> Card:
    """Wildcards: shows them; `[server] save NAME one, two, three`, `[server] drop NAME`. Raises UserError."""
    if text := clean(event.text).text.strip():
        owner, rest = _owner(event, text)
        verb, name, words = _taken_apart(rest)
        if verb == "save":
            entries = tuple(filter(None, (each.strip() for each in words.replace("\n", ",").split(","))))
            if not entries:
                raise Refused("refused.empty_list")
            await house.store.save_word_list(owner, _named(name), entries)
        elif not await house.store.drop_word_list(owner, name.casefold()):
            raise Refused("refused.no_such_list", given=name[:40])
    saved = await house.store.word_lists([each for each in (event.actor.key, event.place.owner) if each])
    return notes.lists_card({**house.lists, **saved}, house.say_to(event.actor), house.new_id())


def _taken_apart(text: str) -> tuple[str, str, str]:
    """(save or drop, name, the rest). Raises Refused."""
    verb, _, rest = text.partition(" ")
    name, _, words = rest.strip().partition(" ")
    if verb.casefold() not in ("save", "drop") or not name:
        raise Refused("refused.save_or_drop")
    return verb.casefold(), name, words.strip()


async def answered(house: Drawing, event: Submit, action: Action) -> Card:
    """A form that asked for one value. Raises UserError."""
    name, server = presses.asked_of(action)
    if server:
        need_admin(event)
    value = event.values.get("value", "").strip()
    if name == "sets":
        await _keep_sets(house, event, presses.read_sets(value))
    else:
        await change(house, event, f"{name}={value}", server=server)
    return await (settings_card if server else prefer_card)(house, event)
