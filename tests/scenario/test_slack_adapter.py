"""Slack, from the member's side: the adapter over slack-bolt and slack_sdk, a fake of Slack's wire, and the whole house behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.chat.slack import limits
from bot.chat.slack.adapter import SlackAdapter
from bot.domain import Actor, Card, Inbound, Receipt, ReplyTo, Status
from bot.errors import Fault
from bot.outbox import Outbox
from engine.api import Request
from engine.fake import FakeEngine
from tests.fakes.slack import Message, SlackWire
from tests.fakes.studio import paint
from tests.unit.house import ENGLISH, LIMITS, House, open_house

PATIENCE = 30.0


class Gate:
    """Holds every request before its last steps until it is opened."""

    def __init__(self, *, shut: bool = False) -> None:
        self.open = asyncio.Event()
        if not shut:
            self.open.set()

    async def __call__(self, request: Request, step: int) -> None:
        if step >= 4:
            await self.open.wait()


@dataclass(kw_only=True)
class Scene:
    wire: SlackWire
    house: House
    adapter: SlackAdapter
    outbox: Outbox
    gate: Gate

    async def ended(self, message: Message) -> Message:
        """The message once the job's end stands in it."""
        return await message.until(lambda m: "Drawn in" in m.plain, PATIENCE)

    async def drawn(self, text: str = "a fox in the snow --n 1", channel: Any = None) -> Message:
        answer = await self.wire.command(self.wire.ada, channel or self.wire.art, "/imagine", text)
        return await self.ended(await answer.message(PATIENCE))

    def job(self, message: Message) -> str:
        return str(message.metadata["event_payload"]["job_id"])

    async def card(self, message: Message) -> Card:
        shown = await self.house.store.shown(self.job(message))
        return await self.house.studio.card(shown.job.actor, shown.job.id)

    async def told(self, message: Message) -> tuple[ReplyTo, Receipt]:
        """Where the job's end was shown, once the outbox has written that down."""
        async with asyncio.timeout(PATIENCE):
            while True:
                reply_to, receipt = await self.house.store.reply_to(self.job(message))
                if receipt is not None and not await self.house.store.notices(["slack"]):
                    return reply_to, receipt
                await asyncio.sleep(0.02)

    def actor(self) -> Actor:
        return Actor(platform="slack", id=f"{self.wire.team_id}:{self.wire.ada.id}", name="ada")


def adapter_for(wire: SlackWire, memos: Any, *, socket: bool = True, **more: Any) -> SlackAdapter:
    settings: dict[str, Any] = {
        "bot_token": wire.bot_token,
        "app_token": wire.app_token if socket else "",
        "signing_secret": "" if socket else wire.signing_secret,
        "catalogue": ENGLISH,
        "memos": memos,
        "api_url": wire.api_url,
        "file_hosts": frozenset({wire.host}),
        "port": 0,
        "clock": lambda: datetime.now(UTC),
        "max_upload": 4 * 2**20,
    }
    return SlackAdapter(**(settings | more))


@asynccontextmanager
async def scene(folder: Path, *, socket: bool = True, shut: bool = False, **more: Any) -> AsyncIterator[Scene]:
    gate = Gate(shut=shut)
    url = f"sqlite+aiosqlite:///{folder / 'bot.db'}"
    generous = replace(LIMITS, cap=1e6, queued_per_actor=40, queued_total=60)
    async with SlackWire() as wire, open_house(url, folder, FakeEngine(on_step=gate), limits=generous) as house:
        adapter = adapter_for(wire, house.store, socket=socket, **more)

        async def render(job_id: str) -> Card:
            shown = await house.store.shown(job_id)
            return await house.studio.card(shown.job.actor, job_id)

        outbox = Outbox(house.store, {"slack": adapter}, render, house.board, interval=0.05, poll=0.1, jitter=lambda: 0.0)
        runner = asyncio.create_task(outbox.run())
        await adapter.start(house.studio)
        if not socket:
            wire.events_url = adapter.url
        try:
            yield Scene(wire=wire, house=house, adapter=adapter, outbox=outbox, gate=gate)
        finally:
            gate.open.set()
            await outbox.drain(0)
            await runner
            await adapter.aclose()
            assert wire.late == []


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
        assert [picture.alt_text for picture in message.pictures] == ["“a fox & a <hen> in the snow”: 4 pictures side by side, drawn by fake."]
        assert {"U1", "U4", "V1", "V4", "🔄", "⭐", "Delete"} <= set(message.labels)
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
        assert s.wire.violations == []


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
        assert s.wire.violations == []


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
        assert "V2 of an earlier picture" in child.plain
        assert child.pictures
        assert s.wire.violations == []


async def test_in_a_thread_the_child_stays_in_the_thread(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        parent = await s.wire.say(s.wire.ada, s.wire.art, "look")
        message = await s.drawn("a fox --n 1")
        message.thread_ts = parent.ts
        answer = await s.wire.press(s.wire.ada, message, "🔄")
        child = await s.ended(await answer.message())
        assert child.thread_ts == parent.ts
        grandchild = await (await s.wire.react(s.wire.ada, child, "arrows_counterclockwise")).message()
        assert grandchild.thread_ts == parent.ts
        await s.ended(grandchild)
        assert s.wire.violations == []


async def test_a_star_changes_the_message_it_is_on(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        await s.wire.press(s.wire.ada, message, "⭐")
        await message.until(lambda m: m.buttons["⭐"].style == "primary")
        await s.wire.press(s.wire.ada, message, "⭐")
        await message.until(lambda m: m.buttons["⭐"].style == "")
        assert len(s.wire.messages(s.wire.art)) == 1
        refused = await (await s.wire.press(s.wire.bob, message, "⭐")).ephemeral()
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
        assert [each.initial for each in view.inputs.values()] == ["a fox --n 1"]
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
        assert "V9 of an earlier picture" in child.plain
        assert s.wire.violations == []


# ------------------------------------------------------------------------------------------------ reactions


async def test_reactions_do_what_buttons_do(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn("a fox --n 4")
        child = await (await s.wire.react(s.wire.bob, message, "two")).message()
        await s.ended(child)
        assert "U2 of an earlier picture" in child.plain
        await s.wire.react(s.wire.ada, message, "star")
        await message.until(lambda m: m.buttons["⭐"].style == "primary")
        await s.wire.unreact(s.wire.ada, message, "star")
        await message.until(lambda m: m.buttons["⭐"].style == "")
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
        await s.wire.press(s.wire.ada, letter, "🔄")
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


# ------------------------------------------------------------------------------------------------ told once, whatever happens


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
        await s.wire.press(s.wire.ada, message, "⭐")
        await message.until(lambda m: m.buttons["⭐"].style == "primary")
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
        s.wire.limit("chat.update", retry_after=60)
        asked = s.wire.table()["chat.update"]
        for _ in range(5):
            await s.adapter.progress(reply_to, other, receipt)
        assert s.wire.table()["chat.update"] == asked + 1
        await s.adapter.show(reply_to, await s.card(message), receipt)
        assert s.wire.violations == []


# ------------------------------------------------------------------------------------------------ members' files


async def test_imagine_from_a_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        shared = await s.wire.say(s.wire.bob, s.wire.art, "look", files=[("fox.png", paint(1), "image/png")])
        view = await (await s.wire.shortcut(s.wire.ada, shared, "imagine_from")).modal()
        await s.wire.submit(s.wire.ada, view, "in the snow --n 1")
        ours = lambda: [m for m in s.wire.messages(s.wire.art) if m.user == s.wire.bot_user_id]  # noqa: E731
        await s.wire.until(ours)
        message = await s.ended(ours()[0])
        assert (await s.house.store.shown(s.job(message))).job.request.source  # type: ignore[union-attr]
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
        words = await s.wire.say(s.wire.bob, s.wire.art, "look")
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
        SlackAdapter(bot_token="x", catalogue=ENGLISH, memos=None, file_hosts=frozenset(), clock=lambda: datetime.now(UTC), max_upload=1)  # type: ignore[arg-type]


async def test_no_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    async with scene(tmp_path) as s:
        s.wire.fail("chat.postMessage", status=500, times=1)
        await s.drawn("a secret wish --n 1")
        await s.wire.drop()
        written = caplog.text + capsys.readouterr().out + capsys.readouterr().err
        for secret in (s.wire.bot_token, s.wire.app_token, "/response/", "ticket=", "a secret wish"):
            assert secret not in written


# ------------------------------------------------------------------------------------------------ odd days


async def test_when_the_command_cannot_be_answered_the_end_still_comes(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.fail("chat.postMessage", status=500, times=4)
        await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")
        await s.wire.until(lambda: [m for m in s.wire.messages(s.wire.art) if m.pictures], PATIENCE)
        assert len(s.wire.messages(s.wire.art)) == 1
        assert s.wire.violations == []


async def test_an_invitation_counts_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await (await s.wire.command(s.wire.ada, s.wire.lounge, "/imagine", "a fox --n 1")).ephemeral()
        s.wire.invite(s.wire.lounge)
        assert (await s.drawn(channel=s.wire.lounge)).pictures
        assert s.wire.violations == []


async def test_a_private_word_gets_through_without_a_response_url(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.fail("response_url", status=500, times=2)
        said = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "info")).ephemeral()
        assert "Your wallet" in said.plain
        await s.wire.command(s.wire.ada, s.wire.lounge, "/wordup", "info")  # not there either: directly, then
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
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


async def test_without_the_right_to_look_or_to_write_directly_it_does_what_it_can(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.scopes -= {"im:write", "channels:read", "channels:history", "im:history", "im:read"}
        message = await s.drawn()
        await s.wire.react(s.wire.ada, message, "envelope")
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        assert s.wire.violations == []


async def test_a_queue_seen_by_one_member_is_answered_in_its_place(tmp_path: Path) -> None:
    async with scene(tmp_path, shut=True) as s:
        message = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox")).message()
        listed = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "queue")).ephemeral()
        await s.wire.press(s.wire.ada, listed, "Cancel: a fox")
        await listed.until(lambda m: "Cancelled" in m.plain)
        await message.until(lambda m: "Cancelled" in m.plain)
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


async def test_a_job_shown_while_it_runs_ends_where_it_was_shown_last(tmp_path: Path) -> None:
    async with scene(tmp_path, shut=True) as s:
        first = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")).message()
        await first.until(lambda m: "▰" in m.plain)
        second = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "show")).message()
        s.gate.open.set()
        await s.ended(second)
        assert s.wire.violations == []
