"""What stands under the bot's name: whether it draws, and with which model. Run by `bot.chat.discord.adapter`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import discord
import structlog

from bot.chat.discord import limits
from bot.messages import Catalogue
from bot.ports import Studio

log = structlog.get_logger(__name__)

EVERY = 20.0  #: seconds; Discord takes five changes in twenty


def status(running: int, model: str, catalogue: Catalogue) -> str:
    """Pure."""
    text = catalogue.say("chat.drawing", count=running, model=model) if running else catalogue.say("chat.idle", model=model)
    return text[: limits.STATUS]


async def keep_presence(here: asyncio.Event, client: Callable[[], discord.Client], studio: Callable[[], Studio], catalogue: Catalogue) -> None:
    """Until cancelled: say it when it changed, and again after every connection."""
    said = ""
    while True:
        if not here.is_set():
            said = ""
            await here.wait()
        try:
            load, models = await studio().load(), studio().models()
            now = status(load.running, models[0].title or models[0].model, catalogue) if models else ""
            if now and now != said:
                await client().change_presence(activity=discord.CustomActivity(name=now))
                said = now
        except Exception as error:  # of whatever kind: a status is worth no trouble
            log.info("discord.no_presence", error=repr(error))
        await asyncio.sleep(EVERY)
