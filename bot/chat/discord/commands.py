"""The slash commands and context menus, with their descriptions from the catalogue. Called by `bot.chat.discord.adapter` for each new client.

Names are typed, and the same in every language; descriptions, choices and the lines of a message's menu are translated (`translations`). Nothing is
required: called bare, a command that needs words or pictures opens a form. Who may use what is a server's own affair (its integration settings).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import discord
from discord import Attachment, app_commands
from discord.app_commands import Choice, Range, allowed_contexts, allowed_installs, autocomplete, choices, default_permissions, describe, locale_str, rename

from bot.chat.discord import events, limits
from bot.chat.discord.events import attachment
from bot.chat.discord.forms import Beside
from bot.chat.discord.layout import shorten
from bot.chat.discord.translations import said
from bot.messages import LANGUAGES, Catalogues

if TYPE_CHECKING:
    from bot.chat.discord.client import Client
    from bot.chat.discord.handlers import Handlers

Interaction = discord.Interaction[Any]
Tree = app_commands.CommandTree[Any]
Text = Callable[[str], locale_str]

ASPECTS = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "2:1", "1:2")
#: Of a member, of a server: what `/prefer` and `/settings` list. `bot.usecases.preferences` reads them.
PREFERENCES = ("flags", "suffix", "set", "direct", "remix", "locale", "lane")
SETTINGS = ("flags", "suffix", "model", "lane", "off", "channels", "press", "adult", "spoiler", "people", "edits", "artists", "rules")
VALUES = {
    **dict.fromkeys(("direct", "remix", "edits", "artists"), ("on", "off")),
    "lane": ("fast", "relax"),
    "press": ("anyone", "owner"),
    "people": ("refuse", "degrading", "allow"),
}
#: What `/admin` lists. `bot.usecases.admin` reads them.
ADMIN = (
    *("moderators", "cases", "ban", "unban", "bans", "purge", "pause", "resume", "drain", "words", "private", "limit", "channels", "off"),
    *("adult", "spoiler", "people", "edits", "artists", "announce", "stats", "log"),
)
STYLE, LIST = "--style ", "__"  #: what a name is completed behind


def register(tree: app_commands.CommandTree[Client], handlers: Handlers, catalogues: Catalogues, *, age_restricted: bool = False) -> None:
    """Add everything to the tree; nothing is sent. `age_restricted`: Discord offers it to adults alone, in age-restricted channels."""

    def text(message: str) -> locale_str:
        return said(catalogues, message)

    tree.error(handlers.command_failed)
    _imagine(tree, handlers, text)
    _pictures(tree, handlers, text)
    _words(tree, handlers, text)
    _questions(tree, handlers, text)
    _jobs(tree, handlers, text)
    _preferences(tree, handlers, text, catalogues)
    _moderation(tree, handlers, text)
    _names(tree, handlers, text)
    _menus(tree, handlers, text)
    for command in tree.get_commands():
        command.nsfw = age_restricted


def _imagine(tree: Tree, handlers: Handlers, text: Text) -> None:
    @tree.command(name="imagine", description=text("command.imagine"))
    @describe(
        prompt=text("command.imagine_prompt"),
        image=text("command.imagine_image"),
        style_image=text("command.imagine_style_image"),
        sketch=text("command.imagine_sketch"),
        prompts=text("command.imagine_list"),
        aspect=text("command.imagine_aspect"),
        style=text("command.imagine_style"),
        model=text("command.imagine_model"),
        private=text("command.imagine_private"),
    )
    @rename(prompts="list")
    async def imagine(
        interaction: Interaction,
        prompt: Range[str, 0, 6000] = "",
        image: Attachment | None = None,
        style_image: Attachment | None = None,
        sketch: Attachment | None = None,
        prompts: Attachment | None = None,
        aspect: Range[str, 0, 20] = "",
        style: Range[str, 0, 100] = "",
        model: Range[str, 0, 100] = "",
        private: bool = False,
    ) -> None:
        files = attachment(image) + attachment(style_image, "style") + attachment(sketch, "sketch") + attachment(prompts, "list")
        await handlers.imagine(interaction, prompt, Beside(aspect=aspect, style=style, model=model, private=private, pictures=files))

    @imagine.autocomplete("prompt")
    async def prompt(interaction: Interaction, current: str) -> list[Choice[str]]:
        return events.choices(current, await handlers.complete(interaction, current))

    @imagine.autocomplete("aspect")
    async def aspect(interaction: Interaction, current: str) -> list[Choice[str]]:
        return [Choice(name=each, value=each) for each in ASPECTS if each.startswith(current.strip())]

    @imagine.autocomplete("style")
    async def style(interaction: Interaction, current: str) -> list[Choice[str]]:
        saved = [(name, f"{events.SAVED}{name}") for name in await _named(handlers, interaction, STYLE, current)]
        return _offered([*saved, *((each, each) for model in handlers.models() for each in model.words.get("styles", ()))], current)

    @imagine.autocomplete("model")
    async def model(interaction: Interaction, current: str) -> list[Choice[str]]:
        return _offered(_models(handlers), current)


def _pictures(tree: Tree, handlers: Handlers, text: Text) -> None:
    @tree.command(name="blend", description=text("command.blend"))
    @describe(
        image1=text("command.blend_image"),
        image2=text("command.blend_image"),
        image3=text("command.blend_more"),
        image4=text("command.blend_more"),
        image5=text("command.blend_more"),
        prompt=text("command.blend_prompt"),
    )
    async def blend(
        interaction: Interaction,
        image1: Attachment | None = None,
        image2: Attachment | None = None,
        image3: Attachment | None = None,
        image4: Attachment | None = None,
        image5: Attachment | None = None,
        prompt: Range[str, 0, 6000] = "",
    ) -> None:
        found = [file for each in (image1, image2, image3, image4, image5) for file in attachment(each)]
        await handlers.commanded(interaction, "blend", prompt, found, typed={"words": prompt})

    @tree.command(name="describe", description=text("command.describe"))
    @describe(image=text("command.describe_image"))
    async def describe_(interaction: Interaction, image: Attachment | None = None) -> None:
        await handlers.commanded(interaction, "describe", "", attachment(image))

    @tree.command(name="verify", description=text("command.verify"))
    @describe(image=text("command.verify_image"))
    async def verify(interaction: Interaction, image: Attachment | None = None) -> None:
        await handlers.commanded(interaction, "verify", "", attachment(image))


def _words(tree: Tree, handlers: Handlers, text: Text) -> None:
    @tree.command(name="shorten", description=text("command.shorten"))
    @describe(prompt=text("command.shorten_prompt"))
    async def shorten_(interaction: Interaction, prompt: Range[str, 0, 6000] = "") -> None:
        await handlers.commanded(interaction, "shorten", prompt)

    @tree.command(name="morph", description=text("command.morph"))
    @describe(before=text("command.morph_before"), after=text("command.morph_after"))
    async def morph(interaction: Interaction, before: Range[str, 0, 3000] = "", after: Range[str, 0, 3000] = "") -> None:
        await handlers.commanded(interaction, "morph", events.both(before, after), typed={"before": before, "after": after})

    @shorten_.autocomplete("prompt")
    @morph.autocomplete("before")
    @morph.autocomplete("after")
    async def own(interaction: Interaction, current: str) -> list[Choice[str]]:
        return events.choices(current, await handlers.complete(interaction, current))


def _questions(tree: Tree, handlers: Handlers, text: Text) -> None:
    def bare(name: str, description: locale_str) -> None:
        @tree.command(name=name, description=description)
        async def ask(interaction: Interaction) -> None:
            await handlers.commanded(interaction, name)

    for name, description in (
        ("info", text("command.info")),
        ("queue", text("command.queue")),
        ("models", text("command.models")),
        ("help", text("command.help")),
        ("web", text("command.web")),
    ):
        bare(name, description)

    @tree.command(name="history", description=text("command.history"))
    @describe(search=text("command.history_search"))
    async def history(interaction: Interaction, search: Range[str, 0, 200] = "") -> None:
        await handlers.commanded(interaction, "history", search)

    @tree.command(name="privacy", description=text("command.privacy"))
    @describe(action=text("command.privacy_action"))
    @choices(action=[Choice(name=text("command.privacy_export"), value="export"), Choice(name=text("command.privacy_forget"), value="forget")])
    async def privacy(interaction: Interaction, action: str = "") -> None:
        await handlers.commanded(interaction, "privacy", action)


def _jobs(tree: Tree, handlers: Handlers, text: Text) -> None:
    async def jobs(interaction: Interaction, current: str) -> list[Choice[str]]:
        return [Choice(name=shorten(words, limits.CHOICE), value=job_id) for words, job_id in await handlers.own_jobs(interaction, current)][: limits.CHOICES]

    @tree.command(name="cancel", description=text("command.cancel"))
    @describe(job=text("command.cancel_job"))
    @autocomplete(job=jobs)
    async def cancel(interaction: Interaction, job: Range[str, 0, 100] = "") -> None:
        await handlers.commanded(interaction, "cancel", job)

    @tree.command(name="show", description=text("command.show"))
    @describe(job=text("command.show_job"))
    @autocomplete(job=jobs)
    async def show(interaction: Interaction, job: Range[str, 0, 100] = "") -> None:
        await handlers.commanded(interaction, "show", job)


def _preferences(tree: Tree, handlers: Handlers, text: Text, catalogues: Catalogues) -> None:
    async def values(interaction: Interaction, current: str) -> list[Choice[str]]:
        match str(interaction.namespace.name or ""):
            case "flags" | "suffix":
                return events.choices(current, await handlers.complete(interaction, current))
            case "locale":
                return _offered([(LANGUAGES[code].name, code) for code in catalogues.codes], current)
            case "model":
                return _offered(_models(handlers), current)
            case "off":
                return _offered([(each.name, each.name) for each in tree.get_commands(type=discord.AppCommandType.chat_input)], current)
            case name:
                return _offered([(each, each) for each in VALUES.get(name, ())], current)

    def listed(names: Sequence[str]) -> list[Choice[str]]:
        return [Choice(name=text(f"preference.{name}"), value=name) for name in names]

    @tree.command(name="prefer", description=text("command.prefer"))
    @describe(name=text("command.prefer_name"), value=text("command.prefer_value"))
    @choices(name=listed(PREFERENCES))
    @autocomplete(value=values)
    async def prefer(interaction: Interaction, name: str = "", value: Range[str, 0, 1000] = "") -> None:
        await handlers.commanded(interaction, "prefer", events.setting(name, value))

    @tree.command(name="settings", description=text("command.settings"))
    @describe(name=text("command.settings_name"), value=text("command.settings_value"))
    @choices(name=listed(SETTINGS))
    @autocomplete(value=values)
    @default_permissions(manage_guild=True)
    @allowed_contexts(guilds=True, dms=False, private_channels=False)
    @allowed_installs(guilds=True, users=False)
    async def settings(interaction: Interaction, name: str = "", value: Range[str, 0, 1000] = "") -> None:
        await handlers.commanded(interaction, "settings", events.setting(name, value))


def _moderation(tree: Tree, handlers: Handlers, text: Text) -> None:
    @tree.command(name="report", description=text("command.report"))
    @describe(job=text("command.report_job"), reason=text("command.report_reason"))
    async def report(interaction: Interaction, job: Range[str, 0, 100] = "", reason: Range[str, 0, 500] = "") -> None:
        await handlers.commanded(interaction, "report", f"{job} {reason}".strip())

    async def words(interaction: Interaction, current: str) -> list[Choice[str]]:
        return _offered([(each, each) for each in ADMIN], current)

    @tree.command(name="admin", description=text("command.admin"))
    @describe(what=text("command.admin_what"), text=text("command.admin_text"))
    @autocomplete(what=words)
    @default_permissions(moderate_members=True)
    @allowed_contexts(guilds=True, dms=False, private_channels=False)
    @allowed_installs(guilds=True, users=False)
    async def admin(interaction: Interaction, what: str = "", text: Range[str, 0, 1500] = "") -> None:
        await handlers.commanded(interaction, "admin", f"{what} {text}".strip())


def _names(tree: Tree, handlers: Handlers, text: Text) -> None:
    """What is kept under a name: styles, and lists for `__name__`."""
    actions = [Choice(name=text("command.action_save"), value="save"), Choice(name=text("command.action_drop"), value="drop")]

    async def style(interaction: Interaction, current: str) -> list[Choice[str]]:
        return _offered([(each, each) for each in await _named(handlers, interaction, STYLE, current)], current)

    async def word_list(interaction: Interaction, current: str) -> list[Choice[str]]:
        return _offered([(each, each) for each in await _named(handlers, interaction, LIST, current)], current)

    @tree.command(name="styles", description=text("command.styles"))
    @describe(action=text("command.named_action"), name=text("command.styles_name"), words=text("command.styles_words"), shared=text("command.named_shared"))
    @choices(action=actions)
    @autocomplete(name=style)
    async def styles(interaction: Interaction, action: str = "", name: Range[str, 0, 40] = "", words: Range[str, 0, 500] = "", shared: bool = False) -> None:
        await handlers.commanded(interaction, "styles", events.named(action, name, words, server=shared))

    @tree.command(name="lists", description=text("command.lists"))
    @describe(action=text("command.named_action"), name=text("command.lists_name"), words=text("command.lists_words"), shared=text("command.named_shared"))
    @choices(action=actions)
    @autocomplete(name=word_list)
    async def lists(interaction: Interaction, action: str = "", name: Range[str, 0, 40] = "", words: Range[str, 0, 6000] = "", shared: bool = False) -> None:
        await handlers.commanded(interaction, "lists", events.named(action, name, words, server=shared))


def _menus(tree: Tree, handlers: Handlers, text: Text) -> None:
    """The Apps menu of a message."""

    @tree.context_menu(name=text("command.menu_imagine"))
    async def imagine_from(interaction: Interaction, message: discord.Message) -> None:
        await handlers.imagine_from(interaction, message)

    @tree.context_menu(name=text("command.menu_describe"))
    async def describe_it(interaction: Interaction, message: discord.Message) -> None:
        await handlers.on_message(interaction, "describe", message)

    @tree.context_menu(name=text("command.menu_upscale"))
    async def upscale(interaction: Interaction, message: discord.Message) -> None:
        await handlers.on_message(interaction, "upscale", message)

    @tree.context_menu(name=text("command.menu_report"))
    async def report_it(interaction: Interaction, message: discord.Message) -> None:
        await handlers.report(interaction, message)

    @tree.context_menu(name=text("command.menu_remix"))
    async def remix(interaction: Interaction, message: discord.Message) -> None:
        await handlers.remix(interaction, message)


async def _named(handlers: Handlers, interaction: Interaction, behind: str, current: str) -> list[str]:
    """Names the studio knows that could go on behind these characters."""
    typed = behind + current.strip().removeprefix(events.SAVED)
    at = len(STYLE) if behind == STYLE else 0
    hints = await handlers.complete(interaction, typed)
    return events.inserted([each for each in hints if each.start == at and each.insert.startswith(LIST) == (behind == LIST)])


def _models(handlers: Handlers) -> list[tuple[str, str]]:
    return [(each.title or each.model, each.model) for each in handlers.models()]


def _offered(values: Sequence[tuple[str, str]], typed: str) -> list[Choice[str]]:
    """(label, value) that hold what was typed, each once."""
    wanted = typed.strip().casefold()
    found = {value: label for label, value in values if wanted in label.casefold() or wanted in value.casefold()}
    return [Choice(name=shorten(label, limits.CHOICE), value=value) for value, label in found.items() if len(value) <= limits.CHOICE][: limits.CHOICES]


async def told(tree: app_commands.CommandTree[Any]) -> list[dict[str, Any]]:
    """What Discord would be told: names, texts in every language, contexts, kinds of installation, permissions, the age flag."""
    translator = tree.translator
    commands = tree.get_commands()
    return [await each.get_translated_payload(tree, translator) if translator else each.to_dict(tree) for each in commands]


async def fingerprint(tree: app_commands.CommandTree[Any]) -> str:
    """Of all that: commands are synced only when it changed."""
    return hashlib.sha256(json.dumps(await told(tree), sort_keys=True, default=str).encode()).hexdigest()
