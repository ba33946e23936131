"""What goes wrong on the way to Slack: the picture still arrives, or the reason does, and once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.chat.slack.adapter import SlackAdapter
from bot.domain import Card, Inbound, Status
from bot.errors import Fault
from bot.messages import Catalogues
from tests.fakes.slack import SlackWire
from tests.scenario.slack_scene import PATIENCE, adapter_for, scene
from tests.unit.house import ENGLISH, open_house


@pytest.mark.parametrize("how", ["kick", "archive", "delete_message"])
async def test_an_end_finds_its_member_when_the_place_is_gone(tmp_path: Path, how: str) -> None:
    async with scene(tmp_path, shut=True) as s:
        message = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")).message()
        await message.until(lambda m: "▰" in m.plain)
        if how == "delete_message":
            await s.wire.delete_message(message)
        else:
            getattr(s.wire, how)(s.wire.art)
            if how == "kick":
                await s.wire.delete_message(message)
        s.gate.open.set()
        there = s.wire.art if how == "delete_message" else s.wire.dm(s.wire.ada.id)
        await s.wire.until(lambda: [m for m in s.wire.messages(there) if m.pictures], PATIENCE)
        assert s.wire.violations == []


async def test_the_same_delivery_twice_is_one_job_and_one_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        answer = await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")
        await s.wire.again(answer)
        await s.ended(await answer.message())
        await s.wire.again(answer)
        message = s.wire.messages(s.wire.art)[0]
        reaction = await s.wire.react(s.wire.ada, message, "arrows_counterclockwise")
        await s.wire.retry_later(reaction)
        child = await reaction.message()
        await s.ended(child)
        await s.wire.retry_later(reaction)
        await asyncio.sleep(0.5)
        assert len(s.wire.messages(s.wire.art)) == 2
        assert len((await s.house.studio.history(s.actor())).items) == 2
        assert s.wire.violations == []


async def test_an_event_that_slack_tells_again_after_a_restart_is_one_job_and_one_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        reaction = await s.wire.react(s.wire.ada, message, "arrows_counterclockwise")
        child = await s.ended(await reaction.message())
        await s.told(child)
        await s.restart()
        await s.wire.retry_later(reaction)
        await asyncio.sleep(0.5)
        assert [s.job(each) for each in s.wire.messages(s.wire.art)] == [s.job(message), s.job(child)]


METHODS = ["chat.postMessage", "chat.update", "conversations.info", "files.getUploadURLExternal", "upload", "files.completeUploadExternal", "files.info"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["limit", "500", "cut", "cut afterwards"])
async def test_bad_days_end_with_the_card_shown_once(tmp_path: Path, method: str, how: str) -> None:
    async with scene(tmp_path) as s:
        if how == "limit":
            s.wire.limit(method, times=2)
        elif how == "500":
            s.wire.fail(method, error="internal_error", status=500, times=2)
        else:
            s.wire.cut(method, times=1, afterwards=how == "cut afterwards")
        await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")
        mine = lambda: [m for m in s.wire.messages(s.wire.art) if m.pictures]  # noqa: E731
        await s.wire.until(mine, PATIENCE)
        await asyncio.sleep(0.2)
        assert len(s.wire.messages(s.wire.art)) == 1
        assert s.wire.violations == []


@pytest.mark.parametrize("how", ["limit", "500", "cut"])
async def test_bad_days_do_not_leave_presses_and_reactions_unanswered(tmp_path: Path, how: str) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn("a fox --n 1")

        def bad(method: str) -> None:
            s.wire.heal()
            if how == "limit":
                s.wire.limit(method)
            elif how == "500":
                s.wire.fail(method, status=500)
            else:
                s.wire.cut(method)

        bad("chat.update")
        await s.wire.press(s.wire.ada, message, "⭐ Keep")
        await message.until(lambda m: "⭐ Kept" in m.labels)
        if how != "limit":  # a trigger lives three seconds
            bad("views.open")
            await (await s.wire.press(s.wire.ada, message, "Remix")).modal()
        bad("conversations.open")
        await s.wire.react(s.wire.ada, message, "envelope")
        await s.wire.until(lambda: len(s.wire.dms(s.wire.ada)) == 1)
        bad("response_url")
        assert "Seed" in (await (await s.wire.press(s.wire.ada, message, "Details")).ephemeral()).plain
        bad("chat.postEphemeral")
        await s.wire.react(s.wire.bob, message, "x")
        await s.wire.until(lambda: s.wire.ephemerals(s.wire.bob) or s.wire.dms(s.wire.bob))
        bad("views.publish")
        await s.wire.open_home(s.wire.ada)
        await s.wire.until(lambda: s.wire.homes)
        bad("chat.delete")
        await s.wire.press(s.wire.ada, message, "Delete")
        await s.wire.until(lambda: message.deleted)
        assert s.wire.violations == []


async def test_a_crash_between_posting_and_writing_it_down_posts_no_second_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        reply_to, receipt = await s.told(message)
        other = adapter_for(s.wire, s.house.store)  # the program once more, with no receipt
        await other.start(s.house.studio)
        try:
            assert await other.show(reply_to, await s.card(message), None) == receipt
            s.wire.scopes -= {"channels:history"}
            third = adapter_for(s.wire, s.house.store)
            await third.start(s.house.studio)
            again = await third.show(reply_to, await s.card(message), None)
            await third.aclose()
            assert again is not None
            assert again != receipt  # it may not look: the window that the module's docstring speaks of
        finally:
            await other.aclose()
        assert s.wire.violations == []


async def test_without_the_right_to_upload_the_card_still_comes(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.scopes -= {"files:write"}
        message = await s.drawn()
        assert not message.pictures
        assert ENGLISH.say("chat.picture_kept") in message.plain
        s.wire.scopes |= {"files:write"}
        again = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "show")).message()
        await again.until(lambda m: m.pictures)
        assert s.wire.violations == []


async def test_a_file_that_somebody_deleted_is_uploaded_anew(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.drawn()
        for file in s.wire.files.values():
            file.deleted = True
        again = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "show")).message()
        await again.until(lambda m: m.pictures)
        assert [v.method for v in s.wire.violations] == ["chat.postMessage"]  # how we were told of it
        s.wire.violations.clear()


async def test_a_member_who_is_gone_is_given_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        reply_to, receipt = await s.told(message)
        s.wire.kick(s.wire.art)
        await s.wire.delete_message(message)
        del s.wire.users[s.wire.ada.id]
        s.adapter._wire._dms.clear()
        assert await s.adapter.show(reply_to, await s.card(message), receipt) is None


async def test_late_progress_does_not_undo_an_end_and_a_limit_hushes_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        reply_to, receipt = await s.told(message)
        running = Card(title="a fox", job_id=s.job(message), status=Status.RUNNING, percent=50)
        edits = message.edits
        await s.adapter.progress(reply_to, running, receipt)
        assert message.edits == edits
        other = Card(title="a fox", job_id="0" * 26, status=Status.RUNNING, percent=50)
        s.wire.limit("chat.update", retry_after=2)
        asked = s.wire.table()["chat.update"]
        for _ in range(5):
            await s.adapter.progress(reply_to, other, receipt)
        assert s.wire.table()["chat.update"] == asked + 1
        await s.adapter.show(reply_to, await s.card(message), receipt)
        assert s.wire.violations == []


async def test_a_paused_bot_takes_nothing_and_still_shows(tmp_path: Path) -> None:
    async with scene(tmp_path, shut=True) as s:
        message = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")).message()
        view = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "")).modal()
        await s.adapter.pause()
        said = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a hen")).ephemeral()
        assert ENGLISH.say("chat.paused") in said.plain
        assert ENGLISH.say("chat.paused") in (await (await s.wire.press(s.wire.ada, message, "Cancel")).ephemeral()).plain
        assert list((await s.wire.submit(s.wire.ada, view, "a hen")).errors.values()) == [ENGLISH.say("chat.paused")]
        s.gate.open.set()
        await s.ended(message)
        assert len((await s.house.studio.history(s.actor())).items) == 1
        assert s.wire.violations == []


async def test_a_form_that_comes_too_late_says_so(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.trigger_seconds = -1
        said = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "")).ephemeral()
        assert ENGLISH.say("chat.form_late") in said.plain


async def test_a_lost_connection_is_made_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.wire.refresh()
        await s.drawn()
        assert s.wire.violations == []


async def test_bad_tokens_are_named(tmp_path: Path) -> None:
    async with open_house(f"sqlite+aiosqlite:///{tmp_path / 'bot.db'}", tmp_path) as house, SlackWire() as wire:
        for more, message in (({"bot_token": "xoxb-none"}, "fault.slack_token"), ({"app_token": "xapp-none"}, "fault.slack_app_token")):
            adapter = adapter_for(wire, house.store, **more)
            with pytest.raises(Fault) as caught:
                await adapter.start(house.studio)
            assert caught.value.message == message
            assert "wordup doctor" in ENGLISH.say(caught.value.message, **caught.value.parameters)
            await adapter.aclose()


async def test_a_platform_that_is_down_is_reached_later(tmp_path: Path) -> None:
    async with open_house(f"sqlite+aiosqlite:///{tmp_path / 'bot.db'}", tmp_path) as house, SlackWire() as wire:
        wire.fail("auth.test", status=500)
        adapter = adapter_for(wire, house.store)
        await adapter.start(house.studio)
        await wire.connected()
        await adapter.aclose()


async def test_closing_twice_or_before_the_start(tmp_path: Path) -> None:
    async with open_house(f"sqlite+aiosqlite:///{tmp_path / 'bot.db'}", tmp_path) as house, SlackWire() as wire:
        adapter = adapter_for(wire, house.store)
        await adapter.aclose()
        adapter = adapter_for(wire, house.store)
        await adapter.start(house.studio)
        await adapter.aclose()
        await adapter.aclose()


async def test_without_any_secret_it_does_not_start() -> None:
    with pytest.raises(ValueError, match="signing secret"):
        SlackAdapter(bot_token="x", catalogues=Catalogues([ENGLISH]), memos=None, file_hosts=frozenset(), clock=lambda: datetime.now(UTC), max_upload=1)  # type: ignore[arg-type]


async def test_no_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    async with scene(tmp_path) as s:
        s.wire.fail("chat.postMessage", status=500, times=1)
        await s.drawn("a secret wish --n 1")
        await s.wire.drop()
        written = caplog.text + capsys.readouterr().out + capsys.readouterr().err
        for secret in (s.wire.bot_token, s.wire.app_token, "/response/", "ticket=", "a secret wish"):
            assert secret not in written


async def test_when_the_command_cannot_be_answered_the_end_still_comes(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.fail("chat.postMessage", status=500, times=4)
        await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")
        await s.wire.until(lambda: [m for m in s.wire.messages(s.wire.art) if m.pictures], PATIENCE)
        assert len(s.wire.messages(s.wire.art)) == 1
        assert s.wire.violations == []


async def test_a_private_word_gets_through_without_a_response_url(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.fail("response_url", status=500, times=2)
        said = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "info")).ephemeral()
        assert "Your wallet" in said.plain
        await s.wire.command(s.wire.ada, s.wire.lounge, "/wordup", "info")  # not there either: directly, then
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        assert s.wire.violations == []


async def test_without_the_right_to_look_or_to_write_directly_it_does_what_it_can(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.scopes -= {"im:write", "channels:read", "channels:history", "im:history", "im:read"}
        message = await s.drawn()
        await s.wire.react(s.wire.ada, message, "envelope")
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        assert s.wire.violations == []


async def test_cut_off_it_connects_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.wire.drop()
        await s.wire.connected()
        await s.drawn()
        assert s.wire.violations == []


async def test_a_show_that_was_overtaken_by_the_end_shows_the_end(tmp_path: Path) -> None:
    async with scene(tmp_path, shut=True) as s:
        first = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")).message()
        await first.until(lambda m: "▰" in m.plain)
        handle = s.house.studio.handle

        async def slowly(event: Inbound) -> Card:
            card = await handle(event)
            s.gate.open.set()
            await s.ended(first)
            return card

        s.house.studio.handle = slowly  # type: ignore[method-assign]
        second = await (await s.wire.command(s.wire.bob, s.wire.art, "/wordup", f"show {s.job(first)}")).message()
        await s.ended(second)
        assert s.wire.violations == []
