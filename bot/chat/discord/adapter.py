"""Discord as a `ports.ChatAdapter`: what `bot.app` constructs, starts, pauses and closes.

`client` is discord.py's, `commands` what it registers, `handlers` answers what members do, `places` writes cards and says where they can be written;
`files` fetches, `events`, `layout` and `forms` are pure translators, `translations` speaks the members' languages, `limits` are Discord's numbers.
Nothing that counts is remembered in a live object: what a button does stands in its custom_id, what a reaction means in the store; `memory` is convenience.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import aiohttp
import discord
import structlog
from discord import app_commands

from bot.chat.discord import commands
from bot.chat.discord.client import Client, use_endpoints
from bot.chat.discord.files import Files
from bot.chat.discord.handlers import Handlers
from bot.chat.discord.memory import Memory
from bot.chat.discord.places import PLATFORM, Places
from bot.chat.discord.presence import keep_presence
from bot.chat.discord.translations import Translations
from bot.chat.turns import Turns
from bot.domain import Actor, Card, Receipt, ReplyTo, Visibility
from bot.errors import BotError, Fault
from bot.messages import Catalogues
from bot.ports import Memos, Studio

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0  #: seconds between attempts to reach Discord at all
LAST_WORDS = 2.0  #: seconds `aclose` waits for answers that are being written
LOGIN_PATIENCE = 20.0  #: seconds `start` waits for the first answer before it goes on without one


class DiscordAdapter:
    """Platform "discord". `cdn_hosts`: where members' attachments may be fetched. `max_upload`: bytes of one.

    `age_restricted`: Discord offers the commands to adults alone, in channels that are marked for them.
    """

    platform = PLATFORM

    def __init__(
        self,
        *,
        token: str,
        catalogues: Catalogues,
        memos: Memos,
        clock: Callable[[], datetime],
        cdn_hosts: frozenset[str],
        api_url: str = "https://discord.com/api/v10",
        gateway_url: str = "",
        max_upload: int = 20 * 2**20,
        age_restricted: bool = False,
    ) -> None:
        self._token, self._catalogues, self._memos, self._clock = token, catalogues, memos, clock
        self._hosts, self._api_url, self._gateway_url, self._max_upload = cdn_hosts, api_url, gateway_url, max_upload
        self._age_restricted = age_restricted
        self._turns, self._memory = Turns(), Memory()
        self._studio: Studio | None = None
        self._client: Client | None = None
        self._places: Places | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[Any]] = set()  # discord.py's own, while they answer something
        self._first: asyncio.Future[None] | None = None
        self._here = asyncio.Event()
        self._paused = False

    # ------------------------------------------------------------------------------------------------ the port

    async def start(self, studio: Studio) -> None:
        """Log in and listen. Raises Fault for a token that Discord refuses; anything else is tried again in the background."""
        self._studio = studio
        use_endpoints(self._api_url, self._gateway_url)
        self._session = aiohttp.ClientSession()
        self._first = asyncio.get_running_loop().create_future()
        self._tasks.add(asyncio.create_task(self._stay(), name="discord"))
        self._tasks.add(asyncio.create_task(self._keep_presence(), name="discord presence"))
        try:
            await asyncio.wait_for(asyncio.shield(self._first), LOGIN_PATIENCE)
        except TimeoutError:
            log.warning("discord.slow_start")
        except BaseException:
            await self.aclose()
            raise

    async def pause(self) -> None:
        self._paused = True

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        """See `ChatAdapter.show`. Waits for a handler that is about to place the same job's card, or another of the same command."""
        async with self._turns.turn(reply_to.delivery or card.job_id):
            if card.visibility is Visibility.DIRECT:  # a copy: the job's card stands elsewhere
                return await self._writer.show(reply_to, card, receipt, self._clock())
            found = receipt or self._turns.place(card.job_id)
            placed = await self._writer.show(reply_to, card, found, self._clock())
            self._turns.stands(card, placed)
            return placed

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        async with self._turns.turn(reply_to.delivery or card.job_id):
            if not self._turns.stale(card):
                await self._writer.change(reply_to, card, receipt or self._turns.place(card.job_id), self._clock())

    async def aclose(self) -> None:
        self._paused = True
        if self._busy:
            await asyncio.wait(self._busy, timeout=LAST_WORDS)
        for task in (late := set(self._busy)):  # a job is safe: the next start shows it
            task.cancel()
        if late:
            await asyncio.wait(late)
        tasks, self._tasks = self._tasks, set()
        if tasks and self._client is not None:
            await self._client.close()  # first: a cancelled closing would leave connections behind
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._session is not None:
            await self._session.close()
            self._session = None

    # ------------------------------------------------------------------------------------------------ being there

    async def _stay(self) -> None:
        """Be connected until cancelled. discord.py resumes and reconnects by itself; this is for what it gives up on."""
        pause = FIRST_PAUSE
        while True:
            client = self._client = Client(gateway_url=self._gateway_url, ready=self.ready)
            try:
                await client.login(self._token)
                self._places = Places(client, self._picture, self._catalogues, self._memory)
                client.handlers = self._handlers(client, self._places)
                await self._sync(client, client.handlers)
                self._arrived(None)
                await client.connect()
                pause = FIRST_PAUSE
            except discord.LoginFailure as error:
                self._arrived(Fault("fault.discord_token"))
                log.error("discord.login_refused", error=str(error))
                pause = LONGEST_PAUSE
            except (discord.DiscordException, BotError, aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning("discord.away", seconds=round(pause), error=repr(error))
            except Exception:  # of whatever kind: a bot that is not there any more would be noticed by its members first
                log.exception("discord.broken", seconds=round(pause))
            finally:
                self._here.clear()
                self._places = None  # a closed client reaches nobody
                await client.close()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _arrived(self, error: Fault | None) -> None:
        if self._first is None or self._first.done():
            return
        if error is None:
            self._first.set_result(None)
        else:
            self._first.set_exception(error)

    def ready(self) -> None:
        """The gateway has told us where we are."""
        log.info("discord.ready", guilds=len(self.client.guilds), shards=self.client.shard_count)
        self._here.set()

    def _handlers(self, client: Client, places: Places) -> Handlers:
        assert self._session is not None  # noqa: S101  made by `start`
        return Handlers(
            client,
            places,
            Files(client, self._session, self._hosts, self._max_upload),
            studio=self.studio,
            turns=self._turns,
            catalogues=self._catalogues,
            memory=self._memory,
            paused=lambda: self._paused,
            busy=self._busy,
        )

    async def _sync(self, client: Client, handlers: Handlers) -> None:
        """Tell Discord of our commands, if they are not what it was told last."""
        await client.tree.set_translator(Translations(self._catalogues))
        commands.register(client.tree, handlers, self._catalogues, age_restricted=self._age_restricted)
        key, mark = f"discord:commands:{client.application_id}", await commands.fingerprint(client.tree)
        if await self._memos.recall(key) == mark:
            return
        try:
            await client.tree.sync()
        except (app_commands.AppCommandError, discord.HTTPException) as error:  # the old ones still work; the next start tries again
            log.error("discord.commands_not_synced", error=repr(error))
            return
        await self._memos.remember(key, mark)
        log.info("discord.commands_synced")

    async def _keep_presence(self) -> None:
        await keep_presence(self._here, lambda: self.client, lambda: self.studio, self._catalogues.first)

    # ------------------------------------------------------------------------------------------------ parts

    async def _picture(self, owner: Actor, digest: str) -> bytes:
        return await self.studio.picture(owner, digest)

    @property
    def studio(self) -> Studio:
        assert self._studio is not None  # noqa: S101  nothing is heard before `start`
        return self._studio

    @property
    def client(self) -> Client:
        assert self._client is not None  # noqa: S101  made by `start`
        return self._client

    @property
    def _writer(self) -> Places:
        """Raises ConnectionError before the first login: the outbox comes back."""
        if self._places is None:
            raise ConnectionError("not logged in to Discord yet")
        return self._places
