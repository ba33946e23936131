"""The slash commands and context menus, with their descriptions from the catalogue. Called by `bot.chat.discord.adapter` for each new client."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.chat.discord import events, limits
from bot.chat.discord.layout import shorten
from bot.messages import Catalogue

if TYPE_CHECKING:
    from bot.chat.discord.client import Client
    from bot.chat.discord.handlers import Handlers

Interaction = discord.Interaction[Any]
ASPECTS = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "2:1", "1:2")
IMAGINE_FROM, UPSCALE = "Imagine from this", "Upscale"


def register(tree: app_commands.CommandTree[Client], handlers: Handlers, catalogue: Catalogue) -> None:
    """Add everything to the tree; nothing is sent."""
    say = catalogue.say
    tree.error(handlers.command_failed)

    @tree.command(name="imagine", description=say("command.imagine"))
    @app_commands.describe(
        prompt=say("command.imagine_prompt"),
        image=say("command.imagine_image"),
        aspect=say("command.imagine_aspect"),
        style=say("command.imagine_style"),
        model=say("command.imagine_model"),
        private=say("command.imagine_private"),
    )
    async def imagine(
        interaction: Interaction,
        prompt: Range[str, 0, 6000] = "",
        image: discord.Attachment | None = None,
        aspect: Range[str, 0, 20] = "",
        style: Range[str, 0, 100] = "",
        model: Range[str, 0, 100] = "",
        private: bool = False,
    ) -> None:
        text = events.words(prompt, aspect=aspect, style=style, model=model, private=private, picture=image is not None)
        pictures = (events.Found(url=image.url, name=image.filename, size=image.size),) if image else ()
        await handlers.commanded(interaction, "imagine", text, pictures, private=private)

    @imagine.autocomplete("prompt")
    async def prompts(interaction: Interaction, current: str) -> list[Choice[str]]:
        return events.choices(current, await handlers.complete(interaction, current))

    @imagine.autocomplete("aspect")
    async def aspects(interaction: Interaction, current: str) -> list[Choice[str]]:
        return [Choice(name=each, value=each) for each in ASPECTS if each.startswith(current.strip())]

    @imagine.autocomplete("style")
    async def styles(interaction: Interaction, current: str) -> list[Choice[str]]:
        return _offered([(style, style) for model in handlers.models() for style in model.words.get("styles", ())], current)

    @imagine.autocomplete("model")
    async def models(interaction: Interaction, current: str) -> list[Choice[str]]:
        return _offered([(f"{each.title or each.model}", each.model) for each in handlers.models()], current)

    @tree.command(name="history", description=say("command.history"))
    @app_commands.describe(search=say("command.history_search"))
    async def history(interaction: Interaction, search: Range[str, 0, 200] = "") -> None:
        await handlers.commanded(interaction, "history", search)

    @tree.command(name="info", description=say("command.info"))
    async def info(interaction: Interaction) -> None:
        await handlers.commanded(interaction, "info")

    @tree.command(name="queue", description=say("command.queue"))
    async def queue(interaction: Interaction) -> None:
        await handlers.commanded(interaction, "queue")

    @tree.command(name="cancel", description=say("command.cancel"))
    @app_commands.describe(job=say("command.cancel_job"))
    async def cancel(interaction: Interaction, job: Range[str, 0, 100] = "") -> None:
        await handlers.commanded(interaction, "cancel", job)

    @tree.command(name="show", description=say("command.show"))
    @app_commands.describe(job=say("command.show_job"))
    async def show(interaction: Interaction, job: Range[str, 0, 100] = "") -> None:
        await handlers.commanded(interaction, "show", job)

    @cancel.autocomplete("job")
    @show.autocomplete("job")
    async def jobs(interaction: Interaction, current: str) -> list[Choice[str]]:
        return [Choice(name=shorten(words, limits.CHOICE), value=job_id) for words, job_id in await handlers.own_jobs(interaction, current)][: limits.CHOICES]

    @tree.command(name="help", description=say("command.help"))
    async def help_(interaction: Interaction) -> None:
        await handlers.commanded(interaction, "help")

    @tree.command(name="web", description=say("command.web"))
    async def web(interaction: Interaction) -> None:
        await handlers.commanded(interaction, "web")

    @tree.context_menu(name=IMAGINE_FROM)
    async def imagine_from(interaction: Interaction, message: discord.Message) -> None:
        await handlers.imagine_from(interaction, message)

    @tree.context_menu(name=UPSCALE)
    async def upscale(interaction: Interaction, message: discord.Message) -> None:
        await handlers.upscale(interaction, message)


def _offered(values: list[tuple[str, str]], typed: str) -> list[Choice[str]]:
    """(label, value) that hold what was typed, each once."""
    wanted = typed.strip().casefold()
    found = {value: label for label, value in values if wanted in label.casefold() or wanted in value.casefold()}
    return [Choice(name=shorten(label, limits.CHOICE), value=value) for value, label in found.items() if len(value) <= limits.CHOICE][: limits.CHOICES]


def fingerprint(tree: app_commands.CommandTree[Any]) -> str:
    """Of everything Discord would be told: commands are synced only when it changed."""
    told = [command.to_dict(tree) for command in tree.get_commands()]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
