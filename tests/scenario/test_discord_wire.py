"""The fake of Discord itself: a small real discord.py client shows that it answers, and refuses, as Discord does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO
from typing import Any

import aiohttp
import discord
import pytest
import yarl
from discord import app_commands, ui
from PIL import Image

from tests.fakes.discord import DiscordWire, File, Message, NoAnswer

Act = Callable[[discord.Interaction[Any]], Awaitable[Any]]
NOBODY = discord.AllowedMentions.none()


def picture(colour: str = "red") -> bytes:
    out = BytesIO()
    Image.new("RGB", (8, 6), colour).save(out, "PNG")
    return out.getvalue()


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

    def pressed(self, act: Act) -> None:
        Press.act = self.guarded(act)

    def refusal(self) -> discord.HTTPException:
        assert len(self.errors) == 1
        assert isinstance(self.errors[0], discord.HTTPException)
        return self.errors[0]


@pytest.fixture
async def wire() -> AsyncIterator[DiscordWire]:
    async with DiscordWire() as made:
        yield made


@pytest.fixture
async def bot(wire: DiscordWire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    monkeypatch.setattr(discord.http.Route, "BASE", wire.api_url)
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(wire.gateway_url))
    client = Bot()
    running = asyncio.create_task(client.start(wire.token))
    await wire.connected(5)
    await client.wait_until_ready()
    yield client
    await client.close()
    await running


async def test_a_command_is_deferred_filled_with_a_picture_and_its_button_updates_the_message(wire: DiscordWire, bot: Bot) -> None:
    async def draw(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.defer(thinking=True)
        await asyncio.sleep(0.05)
        file = discord.File(BytesIO(picture()), "grid.png", description="kept with the file")
        await interaction.edit_original_response(view=Card("a fox", button="U1", picture_of="grid.png"), attachments=[file])

    bot.act = draw
    answer = await wire.command(wire.ada, wire.art, "do", words="a fox")
    assert (answer.kind, answer.ephemeral) == ("deferred", False)
    message = await answer.message(5)
    assert answer.acknowledged_after < 1
    assert (message.text, message.labels, message.edits) == ("a fox", ["U1"], 0)
    assert message.pictures == [(picture(), "a red field")]

    async def finish(interaction: discord.Interaction[Any]) -> None:
        assert interaction.message is not None
        assert interaction.message.attachments == [], "files of a V2 message are in its components only"
        await interaction.response.edit_message(view=Card("finished"))

    bot.pressed(finish)
    pressed = await wire.press(wire.bob, message, "U1")
    assert pressed.kind == "update"
    assert await pressed.message() is message
    assert (message.text, message.edits, message.history[0].labels) == ("finished", 1, ["U1"])
    assert bot.errors == []
    assert wire.violations == []


async def test_every_way_to_act_reaches_the_bot_and_its_answer_comes_back(wire: DiscordWire, bot: Bot) -> None:
    assert await wire.autocomplete(wire.ada, wire.art, "do", "words", "fo") == [("fo!", "fo")]
    said = await wire.say(wire.bob, wire.art, "look", files=[File(name="a.png", content=picture())])
    looked = await wire.context(wire.ada, wire.art, "Look at this", said)
    assert looked.ephemeral
    assert (await looked.message()).content == "bob: look ['a.png']"

    bot.act = lambda interaction: interaction.response.send_modal(Form())
    form = await wire.command(wire.ada, wire.dm(wire.ada), "do")
    assert (form.kind, form.modal["title"]) == ("modal", "Remix")
    assert (await (await wire.submit(wire.ada, form, words="an owl")).message()).content == "you said an owl"
    assert (await (await wire.submit(wire.ada, form)).message()).content == "you said a fox"

    async def read(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(str(len(await interaction.extras["image"].read())), ephemeral=True)

    bot.act = read
    private = await wire.command(wire.ada, wire.private(wire.ada, wire.bob), "do", user_install=True, image=File(name="b.png", content=picture()))
    assert (await private.message()).content == str(len(picture()))
    await wire.react(wire.bob, said, "1️⃣")
    await wire.until(lambda: len(bot.raw) == 1, 5)
    assert (bot.raw[0].emoji.name, bot.raw[0].message_author_id, bot.raw[0].user_id) == ("1️⃣", wire.bob.id, wire.bob.id)
    assert bot.errors == []
    assert wire.violations == []


async def test_a_response_after_the_deadline_meets_an_unknown_interaction(wire: DiscordWire, bot: Bot) -> None:
    wire.ack_seconds = 0.1

    async def late(interaction: discord.Interaction[Any]) -> None:
        await asyncio.sleep(0.25)
        await interaction.response.send_message("late")

    bot.act = late
    with pytest.raises(NoAnswer):
        await wire.command(wire.ada, wire.art, "do")
    await wire.until(lambda: bool(bot.errors), 5)
    assert (bot.refusal().status, bot.refusal().code) == (404, 10062)
    assert wire.messages(wire.art) == []


async def test_a_second_delivery_cannot_be_answered_again(wire: DiscordWire, bot: Bot) -> None:
    answer = await wire.command(wire.ada, wire.art, "do", delivery=2)
    await wire.until(lambda: bool(bot.errors), 5)
    assert (bot.refusal().status, bot.refusal().code) == (400, 40060)
    await wire.again(answer)
    await wire.until(lambda: len(bot.errors) == 2, 5)
    assert len(set(bot.got)) == 1
    assert len(wire.messages(wire.art)) == 1


async def test_a_token_opens_nothing_before_the_first_response_and_nothing_once_it_is_dead(wire: DiscordWire, bot: Bot) -> None:
    async def too_early(interaction: discord.Interaction[Any]) -> None:
        try:
            await interaction.followup.send("early")
        finally:
            await interaction.response.send_message("now")

    bot.act = too_early
    await (await wire.command(wire.ada, wire.art, "do")).message()
    assert (bot.refusal().status, bot.refusal().code) == (404, 10015)
    bot.errors.clear()

    async def too_late(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True)
        wire.expire_tokens()
        await interaction.edit_original_response(content="late")

    bot.act = too_late
    await wire.command(wire.ada, wire.art, "do")
    await wire.until(lambda: bool(bot.errors), 5)
    assert (bot.refusal().status, bot.refusal().code) == (401, 50027)


async def test_an_ephemeral_answer_is_fixed_by_the_first_response_and_out_of_the_bot_tokens_reach(wire: DiscordWire, bot: Bot) -> None:
    async def hidden(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True)
        # The first follow-up fills the deferred response, whatever it says about itself.
        filled = await interaction.followup.send("for you", ephemeral=False, wait=True)
        await interaction.edit_original_response(content="for you alone")
        channel = interaction.client.get_partial_messageable(wire.art.id)
        await channel.get_partial_message(filled.id).edit(content="for all")

    bot.act = hidden
    answer = await wire.command(wire.ada, wire.art, "do")
    message = await answer.message(5)
    await wire.until(lambda: bool(bot.errors), 5)
    assert (bot.refusal().status, bot.refusal().code) == (404, 10008)
    assert (message.content, message.ephemeral, answer.followups) == ("for you alone", True, [])
    assert wire.messages(wire.art) == []
    assert wire.messages(wire.art, seen_by=wire.ada) == [message]
    with pytest.raises(AssertionError, match="does not see"):
        await wire.press(wire.bob, message, "U1")


async def test_a_cut_connection_is_resumed_and_brings_what_was_missed(wire: DiscordWire, bot: Bot) -> None:
    said = await wire.say(wire.bob, wire.art, "hello")
    await wire.drop()
    await wire.react(wire.bob, said, "🔄")
    await wire.until(lambda: wire.resumes == 1 and len(bot.raw) == 1, 5)
    await wire.replay(1)
    await wire.until(lambda: wire.resumes == 2, 5)
    await wire.react(wire.ada, said, "❌")
    await wire.until(lambda: [event.emoji.name for event in bot.raw] == ["🔄", "❌"], 5)
    await wire.reconnect()
    await wire.until(lambda: wire.resumes == 3, 5)
    assert wire.identifies == 1


async def test_a_replay_brings_an_interaction_once_more(wire: DiscordWire, bot: Bot) -> None:
    await (await wire.command(wire.ada, wire.lounge, "do")).message()
    await wire.replay(1)
    await wire.until(lambda: len(bot.got) == 2, 5)
    assert len(set(bot.got)) == 1


async def test_an_invalid_session_begins_anew(wire: DiscordWire, bot: Bot) -> None:
    await wire.invalidate()
    await wire.until(lambda: wire.identifies == 2, 10)
    await wire.connected(5)
    assert wire.resumes == 0
    await (await wire.command(wire.ada, wire.art, "do")).message()
    await bot.change_presence(status=discord.Status.idle)
    await wire.until(lambda: wire.presences[-1:] != [] and wire.presences[-1]["status"] == "idle", 5)


async def test_a_rate_limit_is_waited_out_and_a_bucket_holds(wire: DiscordWire, bot: Bot) -> None:
    channel = bot.get_partial_messageable(wire.art.id)
    wire.limit("POST /channels/{channel}/messages", retry_after=0.2)
    began = time.monotonic()
    await channel.send("one")
    assert time.monotonic() - began >= 0.2
    assert [sent.status for sent in wire.requests if sent.route == "POST /channels/{channel}/messages"] == [429, 200]
    wire.bucket("POST /channels/{channel}/messages", 2, 0.4)
    began = time.monotonic()
    for word in ("two", "three", "four"):
        await channel.send(word)
    assert time.monotonic() - began >= 0.35
    assert [message.content for message in wire.messages(wire.art)] == ["one", "two", "three", "four"]


async def test_a_nonce_keeps_a_message_single_though_its_answer_was_lost(wire: DiscordWire, bot: Bot) -> None:
    channel = bot.get_partial_messageable(wire.art.id)
    wire.cut("POST /channels/{channel}/messages", after=True)
    with pytest.raises(aiohttp.ClientError):
        await channel.send("once", nonce="job-1")
    again = await channel.send("once", nonce="job-1")
    assert [message.id for message in wire.messages(wire.art)] == [again.id]
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send("long", nonce="x" * 26)
    assert (refused.value.status, refused.value.code) == (400, 50035)


async def test_components_v2_excludes_content_and_stays(wire: DiscordWire, bot: Bot) -> None:
    channel = bot.get_partial_messageable(wire.art.id)
    sent = await channel.send(view=Card("a card"))
    for body, place in (
        ({"content": "words"}, "content: The 'content' field cannot be used"),
        ({"flags": 0}, "flags: IS_COMPONENTS_V2 cannot be taken away"),
        ({"components": [{"type": 10, "content": "x" * 2001}, {"type": 10, "content": "y" * 2000}]}, "4001"),
        ({"components": [{"type": 10, "content": "x"}] * 41}, "40"),
        ({"components": [{"type": 12, "items": [{"media": {"url": "attachment://gone.png"}}]}]}, "gone.png"),
    ):
        wire.violations.clear()
        with pytest.raises(discord.HTTPException) as refused:
            await bot.http.request(discord.http.Route("PATCH", "/channels/{channel_id}/messages/{id}", channel_id=wire.art.id, id=sent.id), json=body)
        assert (refused.value.status, refused.value.code) == (400, 50035)
        assert place in wire.violations[0].what
    plain = await channel.send("words")
    with pytest.raises(discord.HTTPException):
        await plain.edit(view=Card("a card"))
    await plain.edit(content=None, view=Card("a card"))
    assert [message.text for message in wire.messages(wire.art)] == ["a card", "a card"]


@pytest.mark.parametrize(
    ("body", "noticed"),
    [
        ({"content": "x" * 2001}, "content: Must be between 0 and 2000"),
        ({"content": 7}, "content: 7 is not of type"),
        ({"content": "x", "colour": 1}, "colour: unknown key"),
        ({"content": "x", "components": [{"type": 10, "content": "y"}]}, "Only action rows"),
        ({"content": "x", "components": [{"type": 1, "components": [{"type": 2, "style": 1, "label": "y" * 81, "custom_id": "a"}]}]}, "is too long"),
        ({"content": "x", "components": [{"type": 1, "components": [{"type": 2, "style": 1, "label": "y", "custom_id": "a"}] * 2}]}, "duplicated: 'a'"),
        ({"components": [{"type": 1, "components": [{"type": 2, "style": 1, "label": "y", "custom_id": "a"}]}]}, "empty"),
    ],
)
async def test_a_body_against_the_rules_is_a_violation(wire: DiscordWire, bot: Bot, body: dict[str, Any], noticed: str) -> None:
    body["allowed_mentions"] = {"parse": []}
    route = discord.http.Route("POST", "/channels/{channel_id}/messages", channel_id=wire.art.id)
    if "unknown key" in noticed:
        await bot.http.request(route, json=body)
    else:
        with pytest.raises(discord.HTTPException):
            await bot.http.request(route, json=body)
    assert [noticed in violation.what for violation in wire.violations] == [True]
    assert wire.violations[0].route == "POST /channels/{channel}/messages"


async def test_text_that_does_not_say_whom_it_may_mention_is_noticed_and_so_is_an_unknown_route(wire: DiscordWire, bot: Bot) -> None:
    bot._connection.allowed_mentions = None
    await bot.get_partial_messageable(wire.art.id).send("@everyone")
    with pytest.raises(discord.NotFound):
        await bot.http.request(discord.http.Route("GET", "/guilds/{guild_id}/emojis", guild_id=wire.tests.id))
    assert [violation.what for violation in wire.violations] == ["allowed_mentions without parse []: None", "unknown route"]
    assert wire.table()["POST /channels/{channel}/messages"] == 1


async def test_doors_that_are_shut(wire: DiscordWire, bot: Bot) -> None:
    async def code(doing: Awaitable[Any]) -> int:
        with pytest.raises(discord.HTTPException) as refused:
            await doing
        return refused.value.code

    art, lounge = bot.get_partial_messageable(wire.art.id), bot.get_partial_messageable(wire.lounge.id)
    sent = await art.send("here")
    theirs = await wire.say(wire.bob, wire.art, "mine")
    assert await code(art.get_partial_message(theirs.id).edit(content="yours")) == 50005
    assert await code(art.send("")) == 50006
    await wire.delete_message(next(message for message in wire.messages(wire.art) if message.id == sent.id))
    assert await code(sent.edit(content="gone")) == 10008
    wire.forbid(wire.lounge, "send")
    assert await code(lounge.send("x")) == 50013
    wire.forbid(wire.lounge)
    assert await code(lounge.send("x")) == 50001
    wire.delete_channel(wire.art)
    assert await code(art.send("x")) == 10003
    person = await bot.fetch_user(wire.ada.id)
    await person.send("hello")
    wire.block_dm(wire.ada)
    assert await code(person.send("again")) == 50007
    assert [message.content for message in wire.dms(wire.ada)] == ["hello"]
    wire.attachment_limit = 10
    assert await code((await bot.fetch_user(wire.bob.id)).send(file=discord.File(BytesIO(b"x" * 11), "x.txt"))) == 40005

    async def rights(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(str(interaction.app_permissions.send_messages), ephemeral=True)

    bot.act = rights
    assert (await (await wire.command(wire.bob, wire.lounge, "do")).message()).content == "False"


async def test_a_wrong_token_is_turned_away_at_both_doors(wire: DiscordWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord.http.Route, "BASE", wire.api_url)
    async with discord.Client(intents=discord.Intents.none()) as client:
        with pytest.raises(discord.LoginFailure):
            await client.login("wrong")
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{wire.gateway_url}?compress=zlib-stream") as socket:
        assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY
        await socket.send_json({"op": 2, "d": {"token": "wrong", "intents": 0, "properties": {}}})
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4004


def test_a_reader_waits_for_nothing_that_is_there(wire: DiscordWire) -> None:
    message = Message(wire=wire, id=wire.snowflake(), channel=wire.art, author=wire.bot, content="words")
    assert (message.text, message.labels, message.selects, message.pictures, message.urls) == ("words", [], [], [], [])
