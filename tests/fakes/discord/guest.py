"""A small real discord.py client, the guest that proves the fake: `/do` does what a test wants, buttons too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord
from discord import app_commands, ui

Act = Callable[[discord.Interaction[Any]], Awaitable[Any]]
NOBODY = discord.AllowedMentions.none()


class Press(ui.DynamicItem[ui.Button[Any]], template=r"press:(?P<what>\w+)"):
    act: Act | None = None

    def __init__(self, what: str) -> None:
        super().__init__(ui.Button(label=what, custom_id=f"press:{what}"))

    @classmethod
    async def from_custom_id(cls, interaction: Any, item: Any, match: Any, /) -> Press:
        return cls(match["what"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        assert Press.act is not None
        await Press.act(interaction)


class Card(ui.LayoutView):
    def __init__(self, text: str, *, button: str | None = None, picture_of: str | None = None) -> None:
        super().__init__(timeout=None)
        box: ui.Container[Card] = ui.Container(ui.TextDisplay(text))
        if picture_of:
            box.add_item(ui.MediaGallery(discord.MediaGalleryItem(f"attachment://{picture_of}", description="a red field")))
        if button:
            box.add_item(ui.ActionRow(Press(button)))
        self.add_item(box)


class Form(ui.Modal, title="Remix"):
    words: ui.Label[Any] = ui.Label(text="Words", component=ui.TextInput(custom_id="words", default="a fox", max_length=4000))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        assert isinstance(self.words.component, ui.TextInput)
        await interaction.response.send_message(f"you said {self.words.component.value}")


class Bot(discord.AutoShardedClient):
    """`/do` does what the test put into `act`; whatever goes wrong in it is kept in `errors`."""

    def __init__(self) -> None:
        intents = discord.Intents(guilds=True, guild_reactions=True, dm_reactions=True)
        super().__init__(intents=intents, allowed_mentions=NOBODY, guild_ready_timeout=0.05, max_messages=None)
        self.tree = app_commands.CommandTree(self, allowed_installs=app_commands.AppInstallationType(guild=True, user=True))
        self.act: Act = lambda interaction: interaction.response.send_message("done")
        self.errors: list[BaseException] = []
        self.raw: list[discord.RawReactionActionEvent] = []
        self.got: list[int] = []

        @self.tree.command(name="do", description="Does what the test wants")
        @app_commands.describe(words="what", image="a picture")
        async def do(interaction: discord.Interaction[Any], words: str = "", image: discord.Attachment | None = None) -> None:
            interaction.extras |= {"words": words, "image": image}
            await self.guarded(self.act)(interaction)

        @do.autocomplete("words")
        async def words(_: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
            return [app_commands.Choice(name=f"{typed}!", value=typed)]

        @self.tree.context_menu(name="Look at this")
        async def look(interaction: discord.Interaction[Any], message: discord.Message) -> None:
            await interaction.response.send_message(f"{message.author.name}: {message.content} {[a.filename for a in message.attachments]}", ephemeral=True)

    def guarded(self, act: Act) -> Act:
        async def careful(interaction: discord.Interaction[Any]) -> None:
            try:
                await act(interaction)
            except discord.DiscordException as error:
                self.errors.append(error)

        return careful

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        self.got.append(interaction.id)

    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        self.raw.append(event)

    async def setup_hook(self) -> None:
        self.add_dynamic_items(Press)
        await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Without discord.py's five seconds between identifies."""

    def pressed(self, act: Act) -> None:
        Press.act = self.guarded(act)

    def refusal(self) -> discord.HTTPException:
        assert len(self.errors) == 1
        assert isinstance(self.errors[0], discord.HTTPException)
        return self.errors[0]
