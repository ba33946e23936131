"""Discord, as members see it: the real discord.py client in the bot, over loopback, against a stand-in for Discord's wire."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
from PIL import Image

from bot.app import PROGRESS_EVERY, App
from engine.fake import FakeEngine
from tests.fakes.discord import DiscordWire, File, Message
from tests.fakes.studio import paint
from tests.scenario.bots import discord_settings, running, unknown_requests

PICTURE = paint(3)


def picture_file(name: str) -> File:
    return File(name=name, content=PICTURE, content_type="image/png")


@pytest.fixture
async def wire() -> AsyncIterator[DiscordWire]:
    async with DiscordWire() as wire:
        yield wire
        assert wire.violations == [] and not unknown_requests(wire)


@pytest.fixture
async def bot(wire: DiscordWire, tmp_path) -> AsyncIterator[App]:
    async with running(tmp_path, **discord_settings(wire)) as app:
        await wire.connected()
        yield app


async def ended(message: Message) -> Message:
    return await message.until(lambda m: "Drawn in" in m.text)


async def drawn(wire: DiscordWire, words: str = "a fox in the snow --seed 7", **options: object) -> Message:
    """A finished grid, asked for by ada in #art."""
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt=words, **options)
    return await ended(await answer.message())


# ------------------------------------------------------------------------------------------------ /imagine


async def test_a_command_becomes_a_card_that_becomes_a_picture(wire: DiscordWire, bot: App) -> None:
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox in the snow --seed 7")
    assert answer.kind == "deferred" and not answer.ephemeral
    message = await ended(await answer.message())
    assert message.channel is wire.art
    assert message.text.startswith("**a fox in the snow**")
    assert "Seed 7" in message.text
    assert message.labels[:10] == ["U1", "U2", "U3", "U4", "🔄 Again", "V1", "V2", "V3", "V4", "⭐ Keep"]
    ((picture, alt),) = message.pictures
    assert picture.startswith(b"\x89PNG") and "a fox in the snow" in alt
    assert len(wire.messages(wire.art)) == 1


async def test_while_it_is_drawn_the_card_moves_on_with_a_preview(wire: DiscordWire, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(PROGRESS_EVERY, "discord", 0.02)
    # Without the output gate, which looks at previews when it has the time: how many come is its own affair (tests/unit/test_gate_output.py).
    async with running(tmp_path, engine=FakeEngine(steps_per_second=20), output_gate=False, **discord_settings(wire)):
        await wire.connected()
        message = await drawn(wire, "a fox --steps 20")
    states = [snapshot.text for snapshot in message.history]
    running_states = [text for text in states if "Drawing, step" in text]
    assert len(running_states) >= 3
    percents = [int(found[1]) for text in running_states if (found := re.search(r"(\d+) %", text))]
    assert percents == sorted(percents) and percents[-1] > 50
    assert any(snapshot.attachments for snapshot in message.history if "Drawing, step" in snapshot.text), "a preview was shown"


async def test_options_are_words_and_flags(wire: DiscordWire, bot: App) -> None:
    message = await drawn(wire, "a fox --seed 3", aspect="3:2", style="3d render", model="fake")
    assert message.text.startswith("**a fox, 3d render**")
    ((picture, _),) = message.pictures
    sheet = Image.open(io.BytesIO(picture))
    assert 1.4 < sheet.width / sheet.height < 1.6


async def test_a_picture_that_is_attached_is_where_it_starts(wire: DiscordWire, bot: App) -> None:
    message = await drawn(wire, "a fox --strength 0.4", image=picture_file("start.png"))
    details = await wire.press(wire.ada, message, "Details")
    assert "0.4" in (await details.message()).text


async def test_without_words_a_form_asks_for_them(wire: DiscordWire, bot: App) -> None:
    form = await wire.command(wire.ada, wire.art, "imagine")
    assert form.kind == "modal" and form.modal["title"] == "Imagine"
    answer = await wire.submit(wire.ada, form, words="a red apple --n 1")
    message = await ended(await answer.message())
    assert message.text.startswith("**a red apple**")


async def test_it_works_in_direct_messages(wire: DiscordWire, bot: App) -> None:
    answer = await wire.command(wire.ada, wire.dm(wire.ada), "imagine", prompt="a fox --n 1")
    assert (await ended(await answer.message())).channel is wire.dm(wire.ada)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--seed 7", "only flags"),
        ("a fox --ar wide", "ratio"),
        ("a fox " + "very " * 1190 + "--steps 100000", "--steps"),
    ],
)
async def test_a_mistake_is_told_to_its_author_alone_and_costs_nothing(wire: DiscordWire, bot: App, words: str, said: str) -> None:
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt=words)
    assert answer.kind == "message" and answer.ephemeral
    message = await answer.message()
    assert said in message.text
    given_back = b"".join(file.bytes for file in message.files).decode() or message.text
    assert words in given_back, "the words are given back whole"
    assert not wire.messages(wire.art)
    assert (await bot.store.load()).queued == 0


async def test_a_flag_nobody_knows_is_told_privately_with_the_nearest_and_nothing_stays_in_the_room(wire: DiscordWire, bot: App) -> None:
    """It may be a member's own set of flags: where those are not at hand, it is told after a public first response, which goes again."""
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox --sead 7")
    whisper = await (answer.message() if answer.ephemeral else answer.followup())
    assert whisper.ephemeral and "--seed" in whisper.text and "a fox --sead 7" in whisper.text
    assert not wire.messages(wire.art)


async def test_words_stay_words_whatever_is_in_them(wire: DiscordWire, bot: App) -> None:
    nasty = "**bold** `code` ```block``` @everyone <@123456789012345678> # no heading [link](https://example.org) <:a:1> ||no||"
    message = await drawn(wire, f"{nasty} --n 1")
    title = message.text.split("\n")[0]
    assert "@everyone" not in title and "<@1" not in title
    for mark in ("\\*\\*bold", "\\`code", "\\|\\|no", "\\<:a:1"):
        assert mark in title, mark


async def test_an_empty_wallet_is_told_privately_though_the_room_was_public(wire: DiscordWire, tmp_path) -> None:
    async with running(tmp_path, **{**discord_settings(wire), "credits_cap": 1.0, "credits_per_hour": 0.0}):
        await wire.connected()
        await drawn(wire)
        answer = await wire.command(wire.ada, wire.art, "imagine", prompt="another fox")
        whisper = await answer.followup()
        assert whisper.ephemeral and "credits" in whisper.text
        assert len(wire.messages(wire.art)) == 1, "nothing is left of the public answer"


# ------------------------------------------------------------------------------------------------ buttons


async def test_buttons_make_children_that_say_where_they_come_from(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    for label, said in (("V2", "V2 of"), ("U3", "U3 of"), ("🔄 Again", "again")):
        answer = await wire.press(wire.bob, grid, label)
        assert answer.kind == "deferred" and not answer.ephemeral
        child = await ended(await answer.message())
        assert child.id != grid.id and said in child.text
    assert len(wire.messages(wire.art)) == 4
    parent = await wire.press(wire.ada, child, "Where from")
    assert (await parent.message()).text.split("\n")[0] == grid.text.split("\n")[0]


async def test_a_double_click_is_one_job(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    first = await wire.press(wire.ada, grid, "V1")
    second = await wire.press(wire.ada, grid, "V1")
    await ended(await first.message())
    assert second.ephemeral and "once" in (await second.message()).text
    assert len(wire.messages(wire.art)) == 2


async def test_a_favourite_is_marked_in_place_by_its_owner_alone(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    answer = await wire.press(wire.ada, grid, "⭐ Keep")
    assert answer.kind == "deferred_update"
    await grid.until(lambda m: "⭐ Kept" in m.labels and m.buttons["⭐ Kept"].style == 3)
    assert len(grid.pictures) == 1, "the picture stays"
    refused = await wire.press(wire.bob, grid, "⭐ Kept")
    whisper = await refused.followup()
    assert whisper.ephemeral and "Only the member" in whisper.text
    assert len(wire.messages(wire.art)) == 1


async def test_details_are_for_one_member_alone(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    answer = await wire.press(wire.bob, grid, "Details")
    assert answer.ephemeral
    text = (await answer.message()).text
    assert "**Seed** 7" in text and "a fox in the snow --seed 7" in text


async def test_delete_takes_the_message_away(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    answer = await wire.press(wire.ada, grid, "Delete")
    await wire.until(lambda: grid.deleted)
    assert (await answer.followup()).ephemeral
    assert not wire.messages(wire.art)


async def test_cancel_stops_what_runs(wire: DiscordWire, tmp_path) -> None:
    async with running(tmp_path, engine=FakeEngine(steps_per_second=5), **discord_settings(wire)) as app:
        await wire.connected()
        answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox --steps 100")
        message = await answer.message()
        stranger = await wire.press(wire.bob, message, "Cancel")
        assert (await stranger.followup()).ephemeral
        await wire.press(wire.ada, message, "Cancel")
        await message.until(lambda m: "Cancelled" in m.text)
        assert message.labels == ["Try again", "Remix", "Delete"]
        assert (await app.store.load()).running == 0


async def test_remix_is_a_form_with_the_words_in_it(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    form = await wire.press(wire.bob, grid, "Remix")
    assert form.kind == "modal"
    answer = await wire.submit(wire.bob, form, words="a fox in the rain --n 1")
    child = await ended(await answer.message())
    assert child.text.startswith("**a fox in the rain**") and "Remixed" in child.text


async def test_a_form_with_a_mistake_is_answered_privately_with_the_words(wire: DiscordWire, bot: App) -> None:
    form = await wire.command(wire.ada, wire.art, "imagine")
    answer = await wire.submit(wire.ada, form, words="a fox --seed one")
    assert answer.ephemeral and "--seed" in (await answer.message()).text


async def test_a_grid_of_nine_has_selects(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire, "a fox --n 9")
    assert [select.placeholder for select in grid.selects] == ["Enlarge …", "Vary …"]
    answer = await wire.choose(wire.ada, grid, "Vary …", "V7")
    assert "V7 of" in (await ended(await answer.message())).text


async def test_a_button_nobody_made_changes_nothing(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    forged = grid.buttons["U1"].custom_id.replace(":0:", ":77:")
    row = next(row for row in grid.components if row["type"] == 1)
    row["components"][0]["custom_id"] = forged
    answer = await wire.press(wire.ada, grid, forged)
    assert (await answer.followup()).ephemeral if answer.kind == "deferred" else answer.ephemeral


# ------------------------------------------------------------------------------------------------ reactions


async def test_reactions_do_the_same_as_buttons(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    await wire.react(wire.bob, grid, "2️⃣")
    await wire.until(lambda: len(wire.messages(wire.art)) == 2)
    picked = await ended(wire.messages(wire.art)[1])
    assert "U2 of" in picked.text and picked.reply_to is grid
    await wire.react(wire.ada, grid, "🔄")
    await wire.until(lambda: len(wire.messages(wire.art)) == 3)
    await ended(wire.messages(wire.art)[2])
    await wire.react(wire.ada, grid, "⭐")
    await grid.until(lambda m: "⭐ Kept" in m.labels and m.buttons["⭐ Kept"].style == 3)
    await wire.unreact(wire.ada, grid, "⭐")
    await grid.until(lambda m: "⭐ Keep" in m.labels and m.buttons["⭐ Keep"].style != 3)


async def test_a_letter_brings_the_seed_and_every_picture(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    await wire.react(wire.bob, grid, "✉️")
    await wire.until(lambda: len(wire.dms(wire.bob)) == 1)
    (letter,) = wire.dms(wire.bob)
    assert "**Seed** 7" in letter.text and len(letter.pictures) == 4


async def test_a_cross_cancels_and_deletes_for_the_owner(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    await wire.react(wire.bob, grid, "❌")
    await wire.until(lambda: len(wire.dms(wire.bob)) == 1)
    assert "Only the member" in wire.dms(wire.bob)[0].text and not grid.deleted
    await wire.react(wire.ada, grid, "❌")
    await wire.until(lambda: grid.deleted)


async def test_other_reactions_and_other_messages_mean_nothing(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    talk = await wire.say(wire.bob, wire.art, "hello")
    await wire.react(wire.ada, grid, "😀")
    await wire.react(wire.ada, talk, "1️⃣")
    answer = await wire.command(wire.ada, wire.art, "queue")  # goes the same way: what came before was heard
    await answer.message()
    assert [m for m in wire.messages(wire.art) if m.author is wire.bot] == [grid]


async def test_the_same_reaction_again_after_it_was_taken_away_is_another_wish(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    await wire.react(wire.bob, grid, "🔄", delivery=2)  # Discord tells it twice
    await wire.until(lambda: len(wire.messages(wire.art)) == 2)
    await ended(wire.messages(wire.art)[1])
    await wire.unreact(wire.bob, grid, "🔄")
    await wire.react(wire.bob, grid, "🔄")
    await wire.until(lambda: len(wire.messages(wire.art)) == 3)
    await ended(wire.messages(wire.art)[2])
    assert len((await bot.store.history(f"discord:{wire.bob.id}")) or ()) == 2


# ------------------------------------------------------------------------------------------------ context menus


async def test_imagine_from_a_strangers_picture(wire: DiscordWire, bot: App) -> None:
    photo = await wire.say(wire.bob, wire.art, "my dog", files=[picture_file("dog.png")])
    form = await wire.context(wire.ada, wire.art, "Imagine from this", photo)
    assert form.kind == "modal"
    answer = await wire.submit(wire.ada, form, words="a dog as an oil painting --n 1 --strength 0.3")
    await ended(await answer.message())
    (shown,) = await bot.store.history(f"discord:{wire.ada.id}")
    assert shown.job.request.source is not None


async def test_imagine_from_a_message_without_a_picture_says_so(wire: DiscordWire, bot: App) -> None:
    talk = await wire.say(wire.bob, wire.art, "hello")
    for name in ("Imagine from this", "Upscale"):
        answer = await wire.context(wire.ada, wire.art, name, talk)
        assert answer.ephemeral and "no picture in that message" in (await answer.message()).text


async def test_upscale_takes_any_picture_and_asks_which_of_a_grid(wire: DiscordWire, bot: App) -> None:
    photo = await wire.say(wire.bob, wire.art, files=[picture_file("dog.png")])
    large = await ended(await (await wire.context(wire.ada, wire.art, "Upscale", photo)).message())
    ((picture, _),) = large.pictures
    assert Image.open(io.BytesIO(picture)).size == (256, 256)
    grid = await drawn(wire)
    whisper = await (await wire.context(wire.ada, wire.art, "Upscale", grid)).followup()
    assert whisper.ephemeral and whisper.labels == ["U1", "U2", "U3", "U4"]


# ------------------------------------------------------------------------------------------------ the other commands


async def test_the_other_commands_answer_privately(wire: DiscordWire, bot: App) -> None:
    await drawn(wire)
    for name, said in (
        ("history", "a fox in the snow"),
        ("info", "credits"),
        ("queue", "Nothing of yours"),
        ("help", "--seed"),
        ("cancel", "Nothing of yours"),
    ):
        answer = await wire.command(wire.ada, wire.art, name)
        assert answer.ephemeral, name
        assert said in (await answer.message()).text.replace("\\", ""), name


async def test_show_brings_a_job_back_here_with_its_buttons(wire: DiscordWire, bot: App) -> None:
    grid = await drawn(wire)
    answer = await wire.command(wire.ada, wire.lounge, "show")
    shown = await answer.message()
    assert shown.channel is wire.lounge and shown.labels == grid.labels and len(shown.pictures) == 1
    again = await wire.press(wire.bob, shown, "V1")
    assert (await ended(await again.message())).channel is wire.lounge
    await wire.react(wire.bob, shown, "3️⃣")
    await wire.until(lambda: len(wire.messages(wire.lounge)) == 3)


async def test_show_of_a_running_job_moves_it_here(wire: DiscordWire, tmp_path) -> None:
    async with running(tmp_path, engine=FakeEngine(steps_per_second=10), **discord_settings(wire)):
        await wire.connected()
        first = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox --steps 20")
        await first.message()
        second = await wire.command(wire.ada, wire.lounge, "show")
        assert (await ended(await second.message())).channel is wire.lounge


async def test_a_private_job_is_seen_by_its_member_alone(wire: DiscordWire, bot: App) -> None:
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a secret fox", private=True)
    assert answer.ephemeral
    message = await ended(await answer.message())
    assert not wire.messages(wire.art)
    details = await wire.press(wire.ada, message, "Details")
    assert details.ephemeral
    shown = await wire.command(wire.ada, wire.art, "show")
    assert (await shown.followup()).ephemeral, "bringing it back does not publish it"


async def test_autocomplete_knows_flags_models_and_own_jobs(wire: DiscordWire, bot: App) -> None:
    await drawn(wire)
    flags = await wire.autocomplete(wire.ada, wire.art, "imagine", "prompt", "a fox --se")
    assert "a fox --seed" in [choice.value for choice in flags]
    assert [choice.value for choice in await wire.autocomplete(wire.ada, wire.art, "imagine", "model", "fa")] == ["fake"]
    assert [choice.value for choice in await wire.autocomplete(wire.ada, wire.art, "imagine", "style", "3d render")] == ["3d render"]
    assert "style:3d" in [choice.value for choice in await wire.autocomplete(wire.ada, wire.art, "imagine", "style", "3d")], "a saved one, too"
    assert "16:9" in [choice.value for choice in await wire.autocomplete(wire.ada, wire.art, "imagine", "aspect", "16")]
    (own,) = await wire.autocomplete(wire.ada, wire.art, "show", "job", "snow")
    answer = await wire.command(wire.ada, wire.art, "show", job=own.value)
    assert (await answer.message()).text.startswith("**a fox in the snow**")


async def test_web_hands_out_a_link_that_works_once(wire: DiscordWire, tmp_path) -> None:
    settings = {**discord_settings(wire), "web": True, "web_port": 0, "web_host": "127.0.0.1", "public_url": "http://pictures.example.org"}
    async with running(tmp_path, **settings) as app:
        await wire.connected()
        await drawn(wire)
        answer = await wire.command(wire.ada, wire.art, "web")
        assert answer.ephemeral
        (url,) = (await answer.message()).urls
        assert url.startswith("http://pictures.example.org/sign-in?token=")
        port = app.web._runner.addresses[0][1]
        local = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession(local, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Host": "pictures.example.org"}) as session:
            page = await (await session.get(url.removeprefix("http://pictures.example.org"))).text()
            token = re.search(r'name="token" value="([^"]+)"', page)
            link = re.search(r'name="link" value="([^"]+)"', page)
            assert token and link, page[:3000]
            answer2 = await session.post("/sign-in", data={"token": token[1], "link": link[1]}, headers={"Origin": "http://pictures.example.org"})
            assert answer2.status == 200
            assert "a fox in the snow" in await (await session.get("/history")).text(), "the same member, with the same pictures"


async def test_web_without_a_public_address_says_why(wire: DiscordWire, bot: App) -> None:
    answer = await wire.command(wire.ada, wire.art, "web")
    assert answer.ephemeral and "WORDUP_PUBLIC_URL" in (await answer.message()).text.replace("\\", "")
