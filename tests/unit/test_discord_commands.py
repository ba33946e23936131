"""The whole tree of Discord's commands by one loop: described in every language, within limits, without clashes, and nothing of what is asked for left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from discord import Locale

from bot.chat.discord import commands, limits
from bot.chat.discord.client import Client
from bot.chat.discord.translations import Translations
from bot.messages import LANGUAGES, Catalogue, Catalogues
from bot.usecases import COMMANDS
from bot.usecases.preferences import MEMBERS, SERVERS
from tests.fakes.discord import rules

SLASH = {
    *("imagine", "blend", "describe", "shorten", "morph", "history", "show", "info", "queue", "cancel", "prefer", "settings"),
    *("styles", "lists", "models", "web", "verify", "privacy", "report", "admin", "help"),
}
MENUS = {"Imagine from this", "Describe", "Upscale", "Report", "Remix"}
#: Who sees a command by default: those who manage the server, those who may time members out.
PERMISSIONS = {"settings": 1 << 5, "admin": 1 << 40}
#: Texts that are the same in another language: its code and the id.
SAME = frozenset({*((code, "command.menu_remix") for code in ("de", "fr", "es", "pt-BR")), ("de", "command.menu_upscale"), ("pt-BR", "command.menu_upscale")})
#: Discord's names of the languages we have.
LOCALES = {"de": {"de"}, "fr": {"fr"}, "es": {"es-ES", "es-419"}, "ja": {"ja"}, "pt-BR": {"pt-BR"}}

Json = dict[str, Any]


class Nobody:
    """Handlers of commands that nobody calls."""

    async def command_failed(self, interaction: Any, error: Exception) -> None:
        raise AssertionError


async def told(catalogues: Catalogues, *, age_restricted: bool = False) -> tuple[list[Json], str]:
    """What Discord would be told, and its fingerprint."""
    client = Client(gateway_url="", ready=lambda: None)
    await client.tree.set_translator(Translations(catalogues))
    commands.register(client.tree, Nobody(), catalogues, age_restricted=age_restricted)  # type: ignore[arg-type]
    return await commands.told(client.tree), await commands.fingerprint(client.tree)


def shouting(english: Catalogue, code: str) -> Catalogue:
    """A language of its own: English in capitals."""
    texts = {each: english._entries[each] for each in english}
    return Catalogue(code, {each: text.upper() if isinstance(text, str) else text for each, text in texts.items()})


@pytest.fixture(scope="module")
def english() -> Catalogue:
    return Catalogue.load("en")


def texts(payload: Json, field: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every text of that field a member reads, with its translations: descriptions of commands and options, names of choices and menus."""
    for command in payload if isinstance(payload, list) else [payload]:
        if field == "description" and "description" in command:
            yield command["description"], command.get("description_localizations") or {}
        if field == "name" and command.get("type") == 3:
            yield command["name"], command.get("name_localizations") or {}
        for option in command.get("options") or []:
            yield from texts({**option, "type": 1}, field)
        if field == "name":
            for choice in command.get("choices") or []:
                yield choice["name"], choice.get("name_localizations") or {}


def everything(payload: Any) -> list[tuple[str, Mapping[str, str]]]:
    return [*texts(payload, "description"), *texts(payload, "name")]


async def test_every_command_is_there_and_nothing_clashes(english: Catalogue):
    found, _ = await told(Catalogues([english]))
    names = [(each["type"], each["name"]) for each in found]
    assert len(set(names)) == len(names)
    assert {name for kind, name in names if kind == 1} == SLASH
    assert {name for kind, name in names if kind == 3} == MENUS and len(MENUS) <= limits.MENUS


def test_whatever_the_studio_understands_can_be_said_here():
    assert SLASH | {"upscale", "remix"} == {*COMMANDS}, "these two are said on a message"
    assert {*commands.SETTINGS} == {*SERVERS} and {*commands.PREFERENCES} == {*MEMBERS} | {"set"}


async def test_all_of_it_is_within_what_discord_takes():
    for catalogues in (Catalogues.load(), Catalogues([Catalogue.load("en")])):
        found, _ = await told(catalogues)
        rules.commands(found)
        for command in found:
            assert rules._letters(command) <= limits.COMMAND
            for option in command.get("options") or []:
                assert len(option["name"]) <= limits.NAME and 0 < len(option["description"]) <= limits.DESCRIPTION
                assert len(option.get("choices") or []) <= limits.CHOICES
                assert not option.get("required"), "called bare, a command asks by a form or shows what there is"


async def test_what_one_place_says_wrong_is_noticed(english: Catalogue):
    long = Catalogue("en", {**english._entries, "command.help": "x" * 101})
    with pytest.raises(rules.invalid("", "", "").__class__, match="Invalid Form Body"):
        rules.commands((await told(Catalogues([long])))[0])


async def test_every_text_is_translated_into_every_language_there_is():
    catalogues = Catalogues.load()
    first = catalogues.first
    ids = {first.say(each): each for each in first if each.startswith(("command.", "preference."))}
    found, _ = await told(catalogues)
    for code in catalogues.codes[1:]:
        for text, translated in everything(found):
            assert translated.keys() >= LOCALES[code], f"{code}: {text!r} is not translated"
            for locale in LOCALES[code]:
                assert translated[locale] != text or (code, ids[text]) in SAME, f"{code}: {text!r} is still English"


@pytest.mark.parametrize("code", LOCALES)
async def test_a_language_is_told_by_all_names_discord_has_for_it(english: Catalogue, code: str):
    found, _ = await told(Catalogues([english, shouting(english, code)]))
    for text, translated in everything(found):
        assert dict(translated) == dict.fromkeys(LOCALES[code], text.upper()), "and by no other, English least of all"
    assert {each for each in LOCALES[code]} <= {str(locale) for locale in Locale}


def test_every_language_we_may_have_has_a_name_at_discord():
    assert {*LOCALES} == {*LANGUAGES} - {"en"}


async def test_names_that_are_typed_are_the_same_everywhere(english: Catalogue):
    found, _ = await told(Catalogues([english, shouting(english, "de")]))
    for command in found:
        if command["type"] == 1:
            assert not command.get("name_localizations")
            for option in command["options"]:
                assert not option.get("name_localizations") and re.fullmatch(r"[a-z_]+[1-5]?", option["name"])


async def test_a_translation_a_setting_or_nothing_at_all_changes_the_fingerprint_as_it_should(english: Catalogue):
    _, once = await told(Catalogues([english]))
    _, again = await told(Catalogues([english]))
    _, german = await told(Catalogues([english, shouting(english, "de")]))
    _, adult = await told(Catalogues([english]), age_restricted=True)
    assert once == again
    assert len({once, german, adult}) == 3


async def test_only_the_servers_settings_ask_for_a_permission_and_for_a_server(english: Catalogue):
    found, _ = await told(Catalogues([english]))
    for command in found:
        mine = command["name"] in PERMISSIONS
        assert command["default_member_permissions"] == PERMISSIONS.get(command["name"]), "the rest is for a server's integration settings to say"
        assert command["contexts"] == ([0] if mine else [0, 1, 2])
        assert command["integration_types"] == ([0] if mine else [0, 1])


@pytest.mark.parametrize("restricted", [False, True])
async def test_the_age_flag_is_on_all_or_on_none(english: Catalogue, restricted: bool):
    found, _ = await told(Catalogues([english]), age_restricted=restricted)
    assert {command["nsfw"] for command in found} == {restricted}
