"""What a second reader of the Slack adapter found: answers that got lost, pauses that were not kept, words that were markup."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from bot.chat.slack import blocks, events
from bot.domain import Card, Status, Visibility
from bot.errors import Fault
from tests.fakes.slack import SlackWire, payloads
from tests.fakes.studio import paint
from tests.scenario.slack_scene import PATIENCE, scene
from tests.unit.house import ENGLISH

# ------------------------------------------------------------------------------------------------ accepted means kept, and told


@pytest.mark.parametrize("there", ["where it stands", "elsewhere"])
@pytest.mark.parametrize("how", ["500", "cut", "cut afterwards"])
async def test_a_show_that_had_a_bad_moment_comes_where_it_was_asked_for(tmp_path: Path, how: str, there: str) -> None:
    async with scene(tmp_path) as s:
        first = await s.drawn()
        if how == "500":
            s.wire.fail("chat.postMessage", status=500)
        else:
            s.wire.cut("chat.postMessage", afterwards=how == "cut afterwards")
        s.wire.invite(s.wire.lounge)
        channel = s.wire.art if there == "where it stands" else s.wire.lounge
        await s.wire.command(s.wire.ada, channel, "/wordup", "show")
        shown = lambda: [m for m in s.wire.messages(channel) if m.ts != first.ts]  # noqa: E731
        await s.wire.until(shown, 10)
        await asyncio.sleep(1)
        assert [m.metadata for m in shown()] == [first.metadata]
        assert s.wire.violations == []


async def test_a_private_wish_that_cannot_be_shown_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.fail("chat.postMessage", error="messages_tab_disabled", times=math.inf)
        said = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1 --private")).ephemeral()
        assert ENGLISH.say("chat.not_shown") in said.plain
        assert s.wire.messages(s.wire.art) == []


async def test_a_token_that_is_refused_for_a_while_does_not_lose_an_end(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        reply_to, _ = await s.told(message)
        private = replace(await s.card(message), job_id="0" * 26, visibility=Visibility.PRIVATE)
        s.adapter._wire._dms.clear()
        s.wire.fail("conversations.open", error="account_inactive")
        with pytest.raises(SlackApiError):
            await s.adapter.show(reply_to, private, None)


async def test_a_private_answer_between_two_members_is_given_on_a_bad_day_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.fail("conversations.info", status=500, times=math.inf)
        said = await (await s.wire.command(s.wire.ada, s.wire.talk, "/wordup", "info")).ephemeral()
        assert "Your wallet" in said.plain


@pytest.mark.parametrize("when", ["the shortcut", "the form"])
async def test_a_store_that_is_away_is_said_to_who_began_with_a_picture(tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()

        async def away(*_: Any) -> Any:
            raise Fault("error.fault")

        if when == "the shortcut":
            monkeypatch.setattr(s.house.studio, "job_at", away)
            await s.wire.shortcut(s.wire.ada, message, "imagine_from")
        else:
            view = await (await s.wire.shortcut(s.wire.ada, message, "imagine_from")).modal()
            monkeypatch.setattr(s.house.studio, "card", away)
            await s.wire.submit(s.wire.ada, view, "at night --n 1")
        await s.wire.until(lambda: [m for m in s.wire.ephemerals(s.wire.ada) if ENGLISH.say("error.fault") in m.plain], 10)
        monkeypatch.undo()


# ------------------------------------------------------------------------------------------------ told twice


async def test_words_sent_directly_by_a_double_click_are_drawn_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        said = await (await s.wire.command(s.wire.ada, s.wire.lounge, "/imagine", "a fox --n 1")).ephemeral()
        await asyncio.gather(*(s.wire.press(s.wire.ada, said, "Send it to me directly") for _ in range(2)))
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        await s.ended(s.wire.dms(s.wire.ada)[0])
        await asyncio.sleep(0.3)
        assert len((await s.house.studio.history(s.actor())).items) == 1
        assert len(s.wire.dms(s.wire.ada)) == 1


# ------------------------------------------------------------------------------------------------ Retry-After


def kept(wire: SlackWire, method: str, seconds: float) -> bool:
    """Whether nothing was asked of that method within so many seconds of each refusal."""
    sent = [each for each in wire.requests if each.method == method]
    return all(later.at - one.at >= seconds - 0.05 for one, later in itertools.pairwise(sent) if one.status == 429)


async def test_a_long_limit_is_kept_while_a_command_is_answered(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.limit("chat.postMessage", retry_after=1, times=4)
        message = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")).message(PATIENCE)
        await s.ended(message)
        assert kept(s.wire, "chat.postMessage", 1)


async def test_a_limit_told_to_one_is_kept_by_all(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        reply_to, receipt = await s.told(message)
        card = await s.card(message)
        s.wire.limit("chat.update", retry_after=2)
        other = Card(title="a hen", job_id="0" * 26, status=Status.RUNNING, percent=50)
        await s.adapter.progress(reply_to, other, receipt)  # it is told, and does not wait
        await asyncio.gather(*(s.adapter.show(replace(reply_to, delivery=str(n)), card, receipt) for n in range(3)))
        assert kept(s.wire, "chat.update", 2)
        assert s.wire.table()["chat.postMessage"] == 1


@pytest.mark.parametrize("method", ["views.open", "upload"])
async def test_a_limit_is_no_reason_to_ask_again_at_once(tmp_path: Path, method: str) -> None:
    async with scene(tmp_path) as s:
        s.wire.limit(method, retry_after=4)
        if method == "upload":
            await s.drawn()
        else:
            said = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "")).ephemeral()
            assert ENGLISH.say("chat.form_late") in said.plain
        assert kept(s.wire, method, 4)


# ------------------------------------------------------------------------------------------------ words, secrets, limits


MARKED = "a _fox_ in ~snow~ and _ice_, *bold* `code` snake_case"


def test_words_are_no_markup() -> None:
    made = blocks.card_blocks(Card(title=MARKED, details=(("By", f"> {MARKED}"),)), {})
    title, value = made[0]["text"]["text"], made[1]["fields"][0]["text"].partition("\n")[2]
    for text in (title[1:-1], value):
        assert not any(mark in text for mark in ("_fox_", "~snow~", "_ice_", "*bold*", "`code`")), text
        assert "snake_case" in text
    assert not value.startswith("&gt;")


async def test_no_trigger_is_logged_when_a_card_cannot_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    async with scene(tmp_path) as s:
        s.wire.fail("chat.postMessage", error="fatal_error", times=10_000)
        written: list[str] = []

        def told() -> bool:
            written.extend(capsys.readouterr())
            return "slack.not_shown" in "".join(written) + caplog.text

        answer = await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox --n 1")
        await s.wire.until(told, PATIENCE)
        s.wire.heal()
        await s.wire.until(lambda: s.wire.messages(s.wire.art), PATIENCE)
        told()
        assert answer.trigger_id not in "".join(written) + caplog.text


async def test_no_address_of_an_upload_is_logged(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        secret = "https://files.slack.com/upload/v1/secret"

        class Slow:
            closed = False

            def post(self, url: str, **_: Any) -> Any:
                raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {url}")

        session, s.adapter._wire.session = s.adapter._wire.session, Slow()  # type: ignore[assignment]
        with pytest.raises(OSError) as caught:
            await s.adapter._workspaces.own.files._send(secret, b"x")
        s.adapter._wire.session = session
        assert "secret" not in repr(caught.value)


async def test_names_that_may_not_be_asked_for_are_not_remembered_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.chat.slack.people.REMEMBERED", 3)
    async with scene(tmp_path) as s:
        s.wire.scopes -= {"users:read"}
        for number in range(6):
            assert (await s.adapter._wire.people.member(f"U{number}")).name == ""
        assert len(s.adapter._wire.people._kept) <= 3


# ------------------------------------------------------------------------------------------------ files of another workspace


async def test_a_picture_from_a_connected_workspace_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack tells no more of it than an id (https://docs.slack.dev/reference/objects/file-object: file_access)."""
    async with scene(tmp_path) as s:
        shared = await s.wire.say(s.wire.bob, s.wire.art, "look", files=[("fox.png", paint(1), "image/png")])
        stub = {"id": shared.files[0].id, "created": 0, "timestamp": 0, "mode": "file_access", "file_access": "check_file_info"}
        monkeypatch.setattr(payloads, "file_payload", lambda world, file: stub)
        await s.ended(await (await s.wire.shortcut(s.wire.ada, shared, "upscale")).message())
        assert s.wire.violations == []


def test_a_picture_that_is_told_of_in_full_comes_first() -> None:
    files = [{"id": "F1", "file_access": "check_file_info"}, {"id": "F2", "mimetype": "image/png", "url_private": "https://files.slack.com/f", "name": "f"}]
    assert events.shared_picture({"files": files}) == events.FileRef(id="F2", url="https://files.slack.com/f", name="f")
    assert events.shared_picture({"files": files[:1]}) == events.FileRef(id="F1")
    assert events.shared_picture({"files": [{"id": "F3", "file_access": "access_denied"}]}) is None


# ------------------------------------------------------------------------------------------------ doors


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=0"}, b"a=b"),
        ({"X-Slack-Request-Timestamp": "9" * 5000, "X-Slack-Signature": "v0=0"}, b"a=b"),
        ({"X-Slack-Request-Timestamp": "{now}", "X-Slack-Signature": "v0=é"}, b"a=b"),
        ({}, b"{no json"),
        ({}, b"payload=no json"),
        ({}, b"\xff\xfe"),
        ({}, b"[" * 100_000),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=none"}, b"a=b"),
    ],
    ids=range(8),
)
async def test_what_is_not_signed_is_not_read(tmp_path: Path, headers: dict[str, str], body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(tmp_path, socket=False) as s:
        assert s.wire.session is not None
        now = s.wire.signed("")["X-Slack-Request-Timestamp"]
        sent = {name: value.replace("{now}", now) for name, value in headers.items()}
        with caplog.at_level(logging.ERROR):
            async with s.wire.session.post(s.wire.events_url, data=body, headers=sent) as answer:
                assert answer.status == 401
        assert "Traceback" not in caplog.text


async def test_closing_while_it_connects_anew_leaves_no_task(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.limit("apps.connections.open", retry_after=30, times=math.inf)
        asked = s.wire.table()["apps.connections.open"]
        await s.wire.sockets[0].ws.send_json({"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "applink-1"}})
        await s.wire.until(lambda: s.wire.table()["apps.connections.open"] > asked)
        await s.adapter.aclose()
        await asyncio.sleep(0.1)
        left = [task for task in asyncio.all_tasks() if "SocketModeClient" in repr(task) or "run_message_listeners" in repr(task)]
        assert left == []
