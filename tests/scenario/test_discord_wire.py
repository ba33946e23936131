"""The fake of Discord itself: a small real discord.py client shows that it answers, and refuses, as Discord does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from io import BytesIO
from typing import Any

import aiohttp
import discord
import pytest
import yarl
from PIL import Image

from tests.fakes.discord import DiscordWire, File, Message, NoAnswer
from tests.fakes.discord.guest import Bot, Card, Form
from tests.fakes.discord.schema import DESCRIPTION

DESCRIBED = pytest.mark.skipif(not DESCRIPTION.is_file(), reason="no ../shared/specs/discord-openapi.json")


def picture(colour: str = "red") -> bytes:
    out = BytesIO()
    Image.new("RGB", (8, 6), colour).save(out, "PNG")
    return out.getvalue()


def button(label: str) -> dict[str, Any]:
    return {"type": 2, "style": 1, "label": label, "custom_id": "a"}


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
    form = await wire.command(wire.ada, wire.dm(wire.ada), "do")
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
        pytest.param({"content": 7}, "content: 7 is not of type", marks=DESCRIBED),
        pytest.param({"content": "x", "colour": 1}, "colour: unknown key", marks=DESCRIBED),
        ({"content": "x", "components": [{"type": 10, "content": "y"}]}, "Only action rows"),
        (
            {"content": "x", "components": [{"type": 1, "components": [{"type": 2, "style": 1, "label": "y" * 81, "custom_id": "a"}]}]},
            "components.0.components.0.label: ",
        ),
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


async def test_a_user_installed_command_works_where_the_bot_is_not(wire: DiscordWire, bot: Bot) -> None:
    afar = wire.channel(wire.guild("Afar", joined=False), "plaza")

    async def talk(interaction: discord.Interaction[Any]) -> None:
        assert interaction.is_user_integration()
        assert not interaction.is_guild_integration()
        await interaction.response.defer()
        for number in range(7):
            await interaction.followup.send(str(number), wait=True)

    bot.act = talk
    with pytest.raises(AssertionError, match="the bot is not in"):
        await wire.command(wire.ada, afar, "do")
    answer = await wire.command(wire.ada, afar, "do", user_install=True)
    await wire.until(lambda: bool(bot.errors), 5)
    assert bot.refusal().code == 40094, "five follow-ups, after the one that filled the deferred response"
    assert [message.content for message in wire.messages(afar)] == [str(number) for number in range(6)]
    assert (await answer.followup(4)).content == "5"
    with pytest.raises(discord.Forbidden):
        await bot.get_partial_messageable(afar.id).send("here")
    assert [guild.name for guild in bot.guilds] == ["Tests"]


async def test_a_slow_and_a_failing_answer_come_as_ordered_and_no_longer(wire: DiscordWire, bot: Bot) -> None:
    channel = bot.get_partial_messageable(wire.art.id)
    wire.slow("POST /channels/.*/messages$", 0.2)
    wire.fail("POST /channels/{channel}/messages", 403, 50013, "Missing Permissions")
    began = time.monotonic()
    await channel.send("slow")
    assert time.monotonic() - began >= 0.2
    with pytest.raises(discord.Forbidden):
        await channel.send("refused")
    await channel.send("well")
    assert [message.content for message in wire.messages(wire.art)] == ["slow", "well"]


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
