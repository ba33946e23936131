"""Slack, from the member's side: what is typed, pressed and reacted, and what comes of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from bot.chat.slack import limits
from tests.fakes.studio import paint
from tests.scenario.slack_scene import scene
from tests.unit.house import ENGLISH

AGAIN, STAR, KEPT = (ENGLISH.say(f"button.{name}") for name in ("reroll", "favourite", "unfavourite"))

# ------------------------------------------------------------------------------------------------ the road


async def test_words_become_one_message_that_ends_with_a_picture(tmp_path: Path) -> None:
    async with scene(tmp_path, shut=True) as s:
        answer = await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox & a <hen> in the snow")
        assert answer.acknowledged
        message = await answer.message()
        await message.until(lambda m: "▰" in m.plain)
        assert "a fox & a <hen> in the snow" in message.plain
        assert message.labels == ["Cancel"]
        s.gate.open.set()
        await s.ended(message)
        (picture,) = message.pictures
        assert picture.alt_text.startswith("“a fox & a <hen> in the snow”: 4 pictures side by side, drawn by fake.")
        assert {"U1", "U4", "V1", "V4", AGAIN, STAR, "Delete"} <= set(message.labels)
        assert "▰" not in message.plain
        assert [m for m in s.wire.messages(s.wire.art) if m.user == s.wire.bot_user_id] == [message]
        assert message.metadata == {"event_type": "wordup_job", "event_payload": {"job_id": s.job(message)}}
        assert s.wire.violations == []


async def test_a_mistake_is_told_to_its_author_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        answer = await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --sede 7")
        said = await answer.ephemeral()
        assert "Did you mean --seed?" in said.plain
        assert "a fox --sede 7" in said.plain
        assert s.wire.messages(s.wire.art) == []


async def test_bare_imagine_opens_a_form_that_keeps_the_words_when_they_are_wrong(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        answer = await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "")
        view = await answer.modal()
        wrong = await s.wire.submit(s.wire.ada, view, "a fox --ar 9")
        assert list(wrong.errors.values()) == [ENGLISH.say("words.bad_ratio", flag="ar", given="9")]
        assert not view.closed
        right = await s.wire.submit(s.wire.ada, view, "a fox --n 1")
        assert not right.errors
        assert view.closed
        again = await s.wire.again(right)  # a double click
        assert again.acknowledged
        await s.wire.until(lambda: s.wire.messages(s.wire.art))
        message = await s.ended(s.wire.messages(s.wire.art)[0])
        assert message.pictures
        assert len(s.wire.messages(s.wire.art)) == 1


@pytest.mark.parametrize(
    ("text", "title"), [("", "How to ask"), ("nonsense", "How to ask"), ("info", "Your wallet"), ("queue", "The queue"), ("history", "Your prompts")]
)
async def test_wordup_answers_privately(tmp_path: Path, text: str, title: str) -> None:
    async with scene(tmp_path) as s:
        said = await (await s.wire.command(s.wire.ada, s.wire.lounge, "/wordup", text)).ephemeral()
        assert said.plain.startswith(f"*{title}")
        assert s.wire.violations == []


async def test_show_brings_the_newest_back_without_uploading_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        first = await s.drawn()
        uploads = s.wire.table()["upload"]
        answer = await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "show")
        second = await answer.message()
        await second.until(lambda m: m.pictures)
        assert second.pictures == first.pictures
        assert s.wire.table()["upload"] == uploads
        assert s.wire.violations == []


# ------------------------------------------------------------------------------------------------ buttons


async def test_a_press_makes_a_child_in_the_channel(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn("a fox --n 4")
        answer = await s.wire.press(s.wire.bob, message, "V2")
        child = await s.ended(await answer.message())
        assert "V2 of “a fox”" in child.plain
        assert child.pictures
        assert s.wire.violations == []


async def test_in_a_thread_the_child_stays_in_the_thread(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        parent = await s.wire.say(s.wire.ada, s.wire.art, "look")
        message = await s.drawn("a fox --n 1")
        message.thread_ts = parent.ts
        answer = await s.wire.press(s.wire.ada, message, AGAIN)
        child = await s.ended(await answer.message())
        assert child.thread_ts == parent.ts
        grandchild = await (await s.wire.react(s.wire.ada, child, "arrows_counterclockwise")).message()
        assert grandchild.thread_ts == parent.ts
        await s.ended(grandchild)
        assert s.wire.violations == []


async def test_a_star_changes_the_message_it_is_on(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        await s.wire.press(s.wire.ada, message, STAR)
        await message.until(lambda m: KEPT in m.buttons and m.buttons[KEPT].style == "primary")
        await s.wire.press(s.wire.ada, message, KEPT)
        await message.until(lambda m: STAR in m.buttons and m.buttons[STAR].style == "")
        assert len(s.wire.messages(s.wire.art)) == 1
        refused = await (await s.wire.press(s.wire.bob, message, STAR)).ephemeral()
        assert ENGLISH.say("refused.not_yours") in refused.plain
        assert s.wire.violations == []


async def test_cancel_changes_the_message_and_nothing_else_comes(tmp_path: Path) -> None:
    async with scene(tmp_path, shut=True) as s:
        message = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox")).message()
        await message.until(lambda m: "▰" in m.plain)
        await s.wire.press(s.wire.ada, message, "Cancel")
        await message.until(lambda m: "Cancelled" in m.plain)
        s.gate.open.set()
        await asyncio.sleep(0.5)
        assert "Cancelled" in message.plain
        assert len(s.wire.messages(s.wire.art)) == 1
        assert s.wire.violations == []


async def test_delete_takes_the_message_and_its_files(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        answer = await s.wire.press(s.wire.ada, message, "Delete")
        assert "Deleted" in (await answer.ephemeral()).plain
        assert message.deleted
        assert all(file.deleted for file in s.wire.files.values())
        assert await s.house.store.recall(f"slack:files:{s.job(message)}") in (None, "")
        assert s.wire.violations == []


async def test_remix_opens_a_form_with_the_words(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn("a fox --n 1")
        view = await (await s.wire.press(s.wire.ada, message, "Remix")).modal()
        assert [each.initial for each in view.inputs.values()] == ["a fox --n 1", ""]  # and a place for a picture
        answer = await s.wire.submit(s.wire.ada, view, "a hen --n 1")
        assert not answer.errors
        await s.wire.until(lambda: len(s.wire.messages(s.wire.art)) == 2)
        child = await s.ended(s.wire.messages(s.wire.art)[1])
        assert "Remixed" in child.plain
        assert s.wire.violations == []


async def test_words_too_long_for_a_form_are_kept_whole(tmp_path: Path) -> None:
    words = "a fox " + "and a hen " * 400 + "--n 1"
    async with scene(tmp_path) as s:
        message = await s.drawn(words)
        view = await (await s.wire.press(s.wire.ada, message, "Remix")).modal()
        await s.wire.submit(s.wire.ada, view)
        await s.wire.until(lambda: len(s.wire.messages(s.wire.art)) == 2)
        child = await s.ended(s.wire.messages(s.wire.art)[1])
        assert (await s.house.store.shown(s.job(child))).job.words == words.strip()
        assert s.wire.violations == []


async def test_a_grid_of_nine_has_menus(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn("a fox --n 9")
        answer = await s.wire.choose(s.wire.ada, message, "Vary …", "V9")
        child = await s.ended(await answer.message())
        assert "V9 of “a fox”" in child.plain
        assert s.wire.violations == []


# ------------------------------------------------------------------------------------------------ reactions


async def test_reactions_do_what_buttons_do(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn("a fox --n 4")
        child = await (await s.wire.react(s.wire.bob, message, "two")).message()
        await s.ended(child)
        assert "U2 of “a fox”" in child.plain
        await s.wire.react(s.wire.ada, message, "star")
        await message.until(lambda m: KEPT in m.buttons and m.buttons[KEPT].style == "primary")
        await s.wire.unreact(s.wire.ada, message, "star")
        await message.until(lambda m: STAR in m.buttons and m.buttons[STAR].style == "")
        await s.wire.react(s.wire.ada, message, "envelope")
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        (letter,) = s.wire.dms(s.wire.ada)
        assert len(letter.pictures) == 4
        refused = await (await s.wire.react(s.wire.bob, message, "x")).ephemeral()
        assert ENGLISH.say("refused.not_yours") in refused.plain
        before = len(s.wire.spoken)
        await s.wire.react(s.wire.ada, message, "tada")
        await s.wire.unreact(s.wire.ada, message, "envelope")
        await s.wire.react(s.wire.ada, message, "x")
        await s.wire.until(lambda: message.deleted)
        await s.wire.until(lambda: len(s.wire.spoken) == before + 1)
        assert s.wire.violations == []


# ------------------------------------------------------------------------------------------------ where the bot may not be


async def test_where_it_is_not_invited_nothing_is_taken_and_a_button_leads_to_the_direct_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        for channel in (s.wire.lounge, s.wire.secret):
            answer = await s.wire.command(s.wire.ada, channel, "/imagine", "a fox & <hen> 100% --n 1")
            said = await answer.ephemeral()
            assert ENGLISH.say("refused.closed") in said.plain
            assert (await s.house.studio.history(s.actor())).items == ()
        await s.wire.press(s.wire.ada, said, "Send it to me directly")
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        letter = await s.ended(s.wire.dms(s.wire.ada)[0])
        assert letter.pictures
        assert "a fox & <hen> 100%" in letter.plain
        await said.until(lambda m: ENGLISH.say("chat.direct") in m.plain)
        assert s.wire.violations == []


async def test_private_pictures_go_to_the_member_directly(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.wire.command(s.wire.ada, s.wire.lounge, "/imagine", "a fox --n 1 --private")
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        letter = await s.ended(s.wire.dms(s.wire.ada)[0])
        assert letter.pictures
        assert s.wire.messages(s.wire.lounge) == []
        await s.wire.press(s.wire.ada, letter, AGAIN)
        await s.wire.until(lambda: len(s.wire.dms(s.wire.ada)) == 2)
        assert s.wire.violations == []


async def test_in_the_direct_message_everything_is_said_plainly(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        dm = s.wire.dm(s.wire.ada.id)
        await s.wire.command(s.wire.ada, dm, "/wordup", "help")
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        message = await s.drawn("a fox --n 1", dm)
        assert message in s.wire.dms(s.wire.ada)
        assert s.wire.violations == []


# ------------------------------------------------------------------------------------------------ told once, whatever happens


# ------------------------------------------------------------------------------------------------ members' files


async def test_imagine_from_a_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        shared = await s.wire.say(s.wire.bob, s.wire.art, "look", files=[("fox.png", paint(1), "image/png")])
        view = await (await s.wire.shortcut(s.wire.ada, shared, "imagine_from")).modal()
        await s.wire.submit(s.wire.ada, view, "in the snow --n 1")
        ours = lambda: [m for m in s.wire.messages(s.wire.art) if m.user == s.wire.bot_user_id]  # noqa: E731
        await s.wire.until(ours)
        message = await s.ended(ours()[0])
        assert (await s.house.store.shown(s.job(message))).job.request.pictures  # type: ignore[union-attr]
        own = await (await s.wire.shortcut(s.wire.ada, message, "imagine_from")).modal()
        await s.wire.submit(s.wire.ada, own, "at night --n 1")
        await s.wire.until(lambda: len(ours()) == 2)
        await s.ended(ours()[1])
        assert s.wire.violations == []


async def test_upscale_a_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        shared = await s.wire.say(s.wire.bob, s.wire.art, "look", files=[("fox.png", paint(1), "image/png")])
        first = await (await s.wire.shortcut(s.wire.ada, shared, "upscale")).message()
        await s.ended(first)
        second = await (await s.wire.shortcut(s.wire.ada, first, "upscale")).message()
        await s.ended(second)
        grid = await s.drawn("a fox --n 4")
        choice = await (await s.wire.shortcut(s.wire.ada, grid, "upscale")).ephemeral()
        assert choice.labels == ["U1", "U2", "U3", "U4"]
        assert s.wire.violations == []


async def test_what_is_no_picture_or_not_ours_to_fetch_is_refused(tmp_path: Path) -> None:
    async with scene(tmp_path, max_upload=1000) as s:
        words = await s.wire.say(s.wire.bob, s.wire.art, "")
        said = await (await s.wire.shortcut(s.wire.ada, words, "imagine_from")).ephemeral()
        assert ENGLISH.say("refused.no_picture_there") in said.plain
        heavy = await s.wire.say(s.wire.bob, s.wire.art, "look", files=[("fox.png", paint(1), "image/png")])
        said = await (await s.wire.shortcut(s.wire.ada, heavy, "upscale")).ephemeral()
        assert ENGLISH.say("error.picture_too_heavy", limit=1) in said.plain
        s.wire.scopes -= {"files:read"}
        said = await (await s.wire.shortcut(s.wire.ada, heavy, "upscale")).ephemeral()
        assert ENGLISH.say("chat.unreachable") in said.plain
        assert s.wire.violations == []


async def test_the_token_goes_to_no_foreign_host(tmp_path: Path) -> None:
    async with scene(tmp_path, file_hosts=frozenset({"files.slack.com"})) as s:
        shared = await s.wire.say(s.wire.bob, s.wire.art, "look", files=[("fox.png", paint(1), "image/png")])
        said = await (await s.wire.shortcut(s.wire.ada, shared, "upscale")).ephemeral()
        assert ENGLISH.say("chat.foreign") in said.plain
        assert "url_private" not in s.wire.table()


# ------------------------------------------------------------------------------------------------ the home tab


async def test_the_home_tab_shows_the_wallet_and_the_latest_pictures(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.wire.open_home(s.wire.ada)
        await s.wire.until(lambda: s.wire.homes)
        assert "credits" in s.wire.homes[s.wire.ada.id].plain
        await s.drawn("a fox & <hen> --n 1")
        await s.wire.open_home(s.wire.ada)
        home = await s.wire.homes[s.wire.ada.id].until(lambda view: view.pictures)
        assert "a fox & <hen>" in home.plain
        await s.wire.press(s.wire.ada, home, "Show")
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        await s.wire.dms(s.wire.ada)[0].until(lambda m: m.pictures)
        assert s.wire.violations == []


async def test_the_home_tab_is_refreshed_after_an_end_but_not_often(tmp_path: Path) -> None:
    clock = [0.0]
    async with scene(tmp_path, monotonic=lambda: clock[0]) as s:
        await s.wire.open_home(s.wire.ada)
        await s.wire.until(lambda: s.wire.homes)
        clock[0] = 29.9
        await s.drawn()
        await s.wire.homes[s.wire.ada.id].until(lambda view: view.pictures)
        assert s.wire.table()["views.publish"] == 2
        assert s.wire.violations == []


# ------------------------------------------------------------------------------------------------ starting, pausing, stopping


async def test_signed_http(tmp_path: Path) -> None:
    async with scene(tmp_path, socket=False) as s:
        assert await s.wire.challenge() == "the challenge"
        assert await s.wire.deliver(signature="bad") == 401
        assert await s.wire.deliver(signature="none") == 401
        assert await s.wire.deliver(timestamp=time.time() - 3600) == 401
        message = await s.drawn()
        view = await (await s.wire.press(s.wire.ada, message, "Remix")).modal()
        assert (await s.wire.submit(s.wire.ada, view, "a hen --ar x")).errors
        assert message.pictures
        assert s.wire.violations == []


async def test_an_address_that_is_tried_twice_within_a_second_is_answered_twice(tmp_path: Path) -> None:
    async with scene(tmp_path, socket=False) as s:
        body, now = {"token": s.wire.verification_token, "challenge": "the challenge", "type": "url_verification"}, time.time()
        answers = [await s.wire.post_signed("events", body, timestamp=now) for _ in range(2)]
        assert [(status, told.get("challenge", told.get("text"))) for status, told, _ in answers] == [(200, "the challenge")] * 2


# ------------------------------------------------------------------------------------------------ odd days


async def test_an_invitation_counts_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await (await s.wire.command(s.wire.ada, s.wire.lounge, "/imagine", "a fox --n 1")).ephemeral()
        s.wire.invite(s.wire.lounge)
        assert (await s.drawn(channel=s.wire.lounge)).pictures
        assert s.wire.violations == []


async def test_a_picture_too_heavy_for_slack_is_sent_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path) as s:
        monkeypatch.setattr(limits, "FILE", 3000)
        message = await s.drawn("a fox --n 4")
        assert len(message.pictures[0].content) <= 3000
        assert message.pictures[0].content.startswith(b"\xff\xd8\xff")
        assert ENGLISH.say("card.smaller", limit=20) in message.plain
        again = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "show")).message()
        assert ENGLISH.say("card.smaller", limit=20) in again.plain
        assert s.wire.violations == []


async def test_a_queue_seen_by_one_member_is_answered_in_its_place(tmp_path: Path) -> None:
    async with scene(tmp_path, shut=True) as s:
        message = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox")).message()
        listed = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "queue")).ephemeral()
        await s.wire.press(s.wire.ada, listed, "Cancel: a fox")
        await listed.until(lambda m: "Cancelled" in m.plain)
        await message.until(lambda m: "Cancelled" in m.plain)
        assert s.wire.violations == []


async def test_a_job_shown_while_it_runs_ends_where_it_was_shown_last(tmp_path: Path) -> None:
    async with scene(tmp_path, shut=True) as s:
        first = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")).message()
        await first.until(lambda m: "▰" in m.plain)
        second = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "show")).message()
        s.gate.open.set()
        await s.ended(second)
        assert s.wire.violations == []
