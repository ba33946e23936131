"""The fake of Slack's wire, proven with a small real app: both transports, and the rules that an app is most likely to break."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import SlackWire, samples
from tests.fakes.slack.app import FORM, QUIET, Bot, responded, row, section

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


@pytest.fixture
async def wire() -> AsyncIterator[SlackWire]:
    async with SlackWire() as opened:
        yield opened


@pytest.fixture
def bot(wire: SlackWire) -> Bot:
    return Bot(wire)


@pytest.fixture(params=["socket", "http"])
async def running(request: pytest.FixtureRequest, wire: SlackWire, bot: Bot) -> AsyncIterator[Bot]:
    async with bot.on(wire, request.param):
        yield bot


async def refused(call: Any) -> SlackApiError:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value


# -- what members do


async def test_a_command_is_acknowledged_answered_updated_and_its_button_pressed(wire: SlackWire, running: Bot) -> None:
    answer = await wire.command(wire.ada, wire.art, "/imagine", "a fox & a <b>")
    assert answer.acknowledged_after < 3
    assert answer.ack["text"] == "On it."
    assert [note.plain for note in answer.ephemerals] == ["On it."]
    message = await (await answer.message()).until(lambda m: m.edits == 1)
    assert running.seen[0]["text"] == "a fox &amp; a &lt;b&gt;"
    assert message.plain == "done"
    assert message.labels == ["Again", "Remix & go"]
    assert message.buttons["Again"].value == "A"

    pressed = await wire.press(wire.bob, message, "Again")
    assert (await pressed.ephemeral()).plain == "once more"
    assert running.seen[1]["message"]["blocks"][1]["elements"][1]["text"]["text"] == "Remix &amp; go"
    assert wire.violations == []
    assert wire.table() | {"apps.connections.open": 1} == {
        "apps.connections.open": 1,
        "auth.test": 1,
        "chat.postMessage": 1,
        "chat.update": 1,
        "response_url": 1,
    }


async def test_an_acknowledgement_after_the_time_is_none(wire: SlackWire, running: Bot) -> None:
    wire.ack_seconds, running.slow = 0.2, 0.4
    answer = await wire.command(wire.ada, wire.art, "/imagine", "a slow fox")
    assert not answer.acknowledged
    assert (answer.failure, answer.attempts) == ("operation_timeout", 1)
    assert answer.ephemerals == []
    await wire.until(lambda: "chat.update" in wire.table())
    await asyncio.sleep(0.05)


async def test_an_event_without_acknowledgement_comes_again_with_its_id(wire: SlackWire, running: Bot) -> None:
    message = await wire.say(wire.bob, wire.art, "look")
    assert (await wire.react(wire.ada, message, "one")).attempts == 1
    assert running.seen[0]["item"]["ts"] == message.ts

    retries: list[Any] = []

    @running.app.middleware
    async def refuse_twice(request: Any, body: dict[str, Any], next: Any) -> Any:
        retries.append((body["event_id"], request.headers.get("x-slack-retry-num", ["0"])[0]))
        if len(retries) < 3:
            await asyncio.sleep(0.4)
        return await next()

    wire.ack_seconds = 0.2
    answer = await wire.react(wire.bob, message, "two")
    assert answer.acknowledged
    assert answer.attempts == 3
    assert [number for _, number in retries] == ["0", "1", "2"]
    assert len({event for event, _ in retries}) == 1
    await wire.until(lambda: len(running.seen) == 4)


async def test_the_same_delivery_twice_has_the_same_ids(wire: SlackWire, running: Bot) -> None:
    answer = await wire.command(wire.ada, wire.art, "/imagine", "a fox")
    once_more = await wire.again(answer)
    assert once_more.trigger_id == answer.trigger_id
    assert running.seen[0]["trigger_id"] == running.seen[1]["trigger_id"]
    reacted = await wire.react(wire.ada, await answer.message(), "one")
    assert (await wire.retry_later(reacted)).payload["event_id"] == reacted.payload["event_id"]
    await wire.until(lambda: wire.table().get("chat.update") == 2)


async def test_a_form_is_opened_refused_and_sent(wire: SlackWire, running: Bot) -> None:
    message = await (await wire.command(wire.ada, wire.art, "/imagine", "a fox")).message()
    form = await (await wire.press(wire.ada, message, "Remix & go")).modal()
    assert (form.title, list(form.inputs)) == ("Remix", ["Prompt", "Size"])
    with pytest.raises(AssertionError, match="required"):
        await wire.submit(wire.ada, form)
    assert (await wire.submit(wire.ada, form, "rude words")).errors == {"prompt": "Politely, please."}
    assert not form.closed
    assert (await wire.submit(wire.ada, form, words="kind words", size="Large")).errors == {}
    assert form.closed
    assert running.seen[-1]["prompt"]["words"]["value"] == "kind words"
    assert running.seen[-1]["size"]["pick"]["selected_option"]["value"] == "large"
    by_shortcut = await (await wire.shortcut(wire.bob, message, "remix")).modal()
    assert by_shortcut.user == wire.bob.id
    assert wire.violations == []


async def test_the_home_tab_is_published(wire: SlackWire, running: Bot) -> None:
    await wire.open_home(wire.ada)
    await wire.until(lambda: wire.ada.id in wire.homes)
    assert wire.homes[wire.ada.id].plain == "Welcome"
    assert (await wire.press(wire.ada, wire.homes[wire.ada.id], "Again")).acknowledged


async def test_no_reaction_is_heard_without_scope_or_membership(wire: SlackWire, running: Bot) -> None:
    message = await wire.say(wire.bob, wire.lounge, "look")
    assert (await wire.react(wire.ada, message, "one")).failure == "not_delivered"
    wire.invite(wire.lounge)
    assert (await wire.react(wire.ada, message, "two")).acknowledged
    wire.scopes.discard("reactions:read")
    assert (await wire.react(wire.ada, message, "three")).failure == "not_delivered"
    await wire.until(lambda: len(running.seen) == 1)


# -- the transports


@pytest.mark.parametrize("how", ["refresh", "close", "cut"])
async def test_the_app_comes_back_when_its_socket_goes(wire: SlackWire, bot: Bot, how: str) -> None:
    async with bot.on(wire, "socket"):
        if how == "refresh":
            await wire.refresh()
        else:
            await wire.drop(politely=how == "close")
            await wire.connected()
        assert wire.table()["apps.connections.open"] == 2
        assert (await wire.command(wire.ada, wire.art, "/imagine", "a fox")).acknowledged
        await wire.until(lambda: "chat.update" in wire.table())


async def test_only_what_slack_signed_is_let_in(wire: SlackWire, bot: Bot) -> None:
    async with bot.on(wire, "http"):
        assert await wire.deliver(signature="bad") == 401
        assert await wire.deliver(signature="none") == 401
        assert await wire.deliver(timestamp=time.time() - 3600) == 401
        assert bot.seen == []
        assert await wire.deliver() == 200
        assert await wire.challenge() == "the challenge"
        await wire.until(lambda: "chat.update" in wire.table())


async def test_the_wrong_token_and_a_missing_scope_are_refused(wire: SlackWire) -> None:
    stranger = AsyncWebClient("xoxb-nobody", base_url=wire.api_url)
    assert (await refused(stranger.auth_test())).response["error"] == "invalid_auth"
    client = AsyncWebClient(wire.bot_token, base_url=wire.api_url)
    assert (await refused(client.apps_connections_open(app_token=wire.bot_token))).response["error"] == "not_allowed_token_type"
    assert "chat:write" in (await client.auth_test()).headers["x-oauth-scopes"].split(",")
    wire.scopes.discard("chat:write")
    error = await refused(client.chat_postMessage(channel=wire.art.id, text="hello", **QUIET))
    assert (error.response["error"], error.response["needed"]) == ("missing_scope", "chat:write")
    assert (await refused(client.api_call("emoji.list"))).response["error"] == "unknown_method"
    assert [str(violation) for violation in wire.violations] == ["emoji.list: unknown method"]


# -- the rules of the Web API


async def upload(client: AsyncWebClient, content: bytes = PNG) -> str:
    return str((await client.files_upload_v2(filename="fox.png", content=content, title="A fox", alt_txt="a fox"))["files"][0]["id"])


def shown(file_id: str, **more: str) -> list[dict[str, Any]]:
    return [{"type": "image", "slack_file": {"id": file_id}, "alt_text": "a fox", **more}]


async def test_a_picture_is_shown_once_its_processing_has_ended(wire: SlackWire, bot: Bot) -> None:
    file_id = await upload(bot.client)
    early = await refused(bot.client.chat_postMessage(channel=wire.art.id, text="a fox", blocks=shown(file_id), **QUIET))
    assert early.response["error"] == "invalid_blocks"
    assert early.response["errors"] == ["invalid slack file [json-pointer:/blocks/0/slack_file]"]
    assert (await bot.client.files_info(file=file_id))["file"]["mimetype"] == ""
    await asyncio.sleep(wire.processing_seconds)
    assert (await bot.client.files_info(file=file_id))["file"]["mimetype"] == "image/png"
    await bot.client.chat_postMessage(channel=wire.art.id, text="a fox", blocks=shown(file_id), **QUIET)
    assert wire.messages(wire.art)[0].pictures == [(PNG, "a fox")]
    again = await refused(bot.client.files_completeUploadExternal(files=[{"id": file_id}]))
    assert again.response["error"] == "invalid_arguments"
    await bot.client.files_delete(file=file_id)
    assert (await refused(bot.client.chat_postMessage(channel=wire.art.id, text="a fox", blocks=shown(file_id), **QUIET))).response["errors"]


async def test_what_is_no_picture_or_of_another_length_is_refused(wire: SlackWire, bot: Bot) -> None:
    wire.processing_seconds = 0.0
    webp = await upload(bot.client, b"RIFF\0\0\0\0WEBPVP8 ")
    assert (await refused(bot.client.chat_postMessage(channel=wire.art.id, text="a fox", blocks=shown(webp), **QUIET))).response["errors"]
    promised = await bot.client.files_getUploadURLExternal(filename="fox.png", length=3)
    assert wire.session is not None
    async with wire.session.post(promised["upload_url"], data=PNG) as answer:
        assert answer.status == 400
    never = await refused(bot.client.chat_postMessage(channel=wire.art.id, text="a fox", blocks=shown(promised["file_id"]), **QUIET))
    assert never.response["error"] == "invalid_blocks"


async def test_a_members_file_is_served_to_the_token_only(wire: SlackWire) -> None:
    message = await wire.say(wire.ada, wire.art, "here", files=[("fox.png", PNG, "image/png")])
    assert wire.session is not None
    url = wire.url_private(message.files[0])
    async with wire.session.get(url) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
    async with wire.session.get(url, headers={"Authorization": f"Bearer {wire.bot_token}"}) as answer:
        assert (answer.content_type, await answer.read()) == ("image/png", PNG)


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        ([{**section("x"), "colour": "red"}], "invalid additional property: colour [json-pointer:/blocks/0]"),
        ([{"type": "image", "image_url": "https://example.com/x.png"}], "missing required field: alt_text [json-pointer:/blocks/0]"),
        ([section("x" * 3001)], "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        ([{"type": "divider"}] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
        ([row("Again", "Again")], "action_id 'press:again' is used twice in one block [json-pointer:/blocks/0/elements/1/action_id]"),
        ([{"type": "divider", "block_id": "x"}] * 2, "block_id 'x' is used twice [json-pointer:/blocks/1/block_id]"),
        ([row("A" * 76)], "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]"),
        ([{"type": "marquee"}], "unsupported type: marquee [json-pointer:/blocks/0/type]"),
    ],
)
async def test_blocks_are_checked(wire: SlackWire, bot: Bot, blocks: list[dict[str, Any]], complaint: str) -> None:
    error = await refused(bot.client.chat_postMessage(channel=wire.art.id, text="x", blocks=blocks, **QUIET))
    assert (error.response["error"], error.response["errors"]) == ("invalid_blocks", [complaint])
    assert [violation.what for violation in wire.violations] == [f"invalid_blocks: {complaint}"]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"text": "you & me"}, "unescaped '&'"),
        ({"text": "a <b> c"}, "unescaped '<'"),
        ({"text": "x", "blocks": [section("a > b")]}, "unescaped '>'"),
        ({"text": "x", "unfurl_media": True}, "unfurl_links and unfurl_media"),
        ({"text": "x", "colour": "red"}, "unknown argument colour"),
        ({"blocks": [section("x")]}, "blocks without the text"),
    ],
)
async def test_what_slack_lets_pass_is_noted(wire: SlackWire, bot: Bot, said: dict[str, Any], what: str) -> None:
    await bot.client.api_call("chat.postMessage", json={"channel": wire.art.id, **QUIET, **said})
    assert [violation.what.startswith(what) for violation in wire.violations] == [True]


async def test_slacks_own_sequences_are_no_violation(wire: SlackWire, bot: Bot) -> None:
    text = "<@U0ADA00000> &amp; <#C0ART00000|art>, <!here>, <https://example.com/?a=1&b=2|a link> &lt;b&gt;"
    await bot.client.chat_postMessage(channel=wire.art.id, text=text, **QUIET)
    assert wire.violations == []


async def test_messages_belong_to_channels_and_writers(wire: SlackWire, bot: Bot) -> None:
    post, change = bot.client.chat_postMessage, bot.client.chat_update
    assert (await refused(post(channel=wire.lounge.id, text="x", **QUIET))).response["error"] == "not_in_channel"
    assert (await refused(post(channel=wire.secret.id, text="x", **QUIET))).response["error"] == "channel_not_found"
    theirs = await wire.say(wire.ada, wire.art, "mine")
    assert (await refused(change(channel=wire.art.id, ts=theirs.ts, text="x"))).response["error"] == "cant_update_message"
    posted = await post(channel=wire.ada.id, text="x", **QUIET)
    assert posted["channel"].startswith("D")
    assert [message.plain for message in wire.dms(wire.ada)] == ["x"]
    await wire.delete_message(wire.dms(wire.ada)[0])
    assert (await refused(change(channel=posted["channel"], ts=posted["ts"], text="y"))).response["error"] == "message_not_found"
    wire.archive(wire.art)
    assert (await refused(post(channel=wire.art.id, text="x", **QUIET))).response["error"] == "is_archived"


async def test_an_update_keeps_the_blocks_that_it_does_not_name(wire: SlackWire, bot: Bot) -> None:
    told = {"event_type": "job", "event_payload": {"id": "1"}}
    posted = await bot.client.chat_postMessage(channel=wire.art.id, text="x", blocks=[section("x")], metadata=told, **QUIET)
    await bot.client.chat_update(channel=wire.art.id, ts=posted["ts"], text="y")
    message = wire.messages(wire.art)[0]
    assert (message.text, message.plain, message.metadata) == ("y", "x", told)


async def test_a_rate_limit_is_waited_out(wire: SlackWire) -> None:
    client = AsyncWebClient(wire.bot_token, base_url=wire.api_url, retry_handlers=[AsyncRateLimitErrorRetryHandler()])
    wire.limit("auth[.]test", retry_after=1)
    started = time.monotonic()
    assert (await client.auth_test())["ok"]
    assert 1 <= time.monotonic() - started < 3
    assert [(sent.error, sent.status) for sent in wire.requests] == [("ratelimited", 429), ("", 200)]


async def test_a_tier_is_enforced(wire: SlackWire, bot: Bot) -> None:
    wire.tier("users[.]info", 2, 30)
    for _ in range(2):
        assert (await bot.client.users_info(user=wire.bob.id, include_locale=True))["user"]["locale"] == "en-GB"
    error = await refused(bot.client.users_info(user=wire.bob.id))
    assert (error.response.status_code, error.response["error"]) == (429, "ratelimited")
    assert 28 <= int(error.response.headers["Retry-After"]) <= 30


async def test_a_cut_connection_may_hide_that_it_was_done(wire: SlackWire, bot: Bot) -> None:
    wire.cut("chat[.]postMessage", afterwards=True)
    await bot.client.chat_postMessage(channel=wire.art.id, text="x", **QUIET)
    assert len(wire.messages(wire.art)) == 2, "the SDK sends it again by itself, and Slack has it twice"
    wire.fail("chat[.]postMessage", error="fatal_error")
    assert (await refused(bot.client.chat_postMessage(channel=wire.art.id, text="x", **QUIET))).response["error"] == "fatal_error"


async def test_a_response_url_works_five_times_and_not_for_ever(wire: SlackWire, bot: Bot) -> None:
    async with bot.on(wire, "socket"):
        answer = await wire.command(wire.ada, wire.art, "/imagine", "a fox")
        for _ in range(5):
            assert await responded(wire, answer.response_url, {"text": "x"}) == (200, "ok")
        assert await responded(wire, answer.response_url, {"text": "x"}) == (404, '{"ok": false, "error": "used_url"}')
        assert len(answer.ephemerals) == 6
        other = await wire.command(wire.ada, wire.art, "/imagine", "a fox")
        wire.expire(other)
        assert await responded(wire, other.response_url, {"text": "x"}) == (404, '{"ok": false, "error": "expired_url"}')
        await wire.until(lambda: wire.table().get("chat.update") == 2)


async def test_a_response_url_replaces_and_deletes_what_was_pressed(wire: SlackWire, bot: Bot) -> None:
    async with bot.on(wire, "socket"):
        await bot.client.chat_postEphemeral(channel=wire.art.id, user=wire.ada.id, text="x", blocks=[section("yours"), row("Again")])
        note = wire.ephemerals(wire.ada)[0]
        with pytest.raises(AssertionError, match="one member"):
            await wire.press(wire.bob, note, "Again")
        pressed = await wire.press(wire.ada, note, "Again")
        assert "message" not in pressed.payload
        await responded(wire, pressed.response_url, {"text": "another", "replace_original": True})
        assert (note.plain, note.edits) == ("another", 1)
        await responded(wire, pressed.response_url, {"text": "for all", "response_type": "in_channel"})
        assert [message.plain for message in wire.messages(wire.art)] == ["for all"]
        await responded(wire, pressed.response_url, {"delete_original": True})
        assert note.deleted
        await wire.until(lambda: wire.table().get("response_url") == 4)


async def test_a_trigger_opens_one_view_and_soon(wire: SlackWire, running: Bot) -> None:
    answer = await wire.command(wire.ada, wire.art, "/imagine", "a fox")
    assert (await refused(running.client.views_open(trigger_id="1.2.3", view=FORM))).response["error"] == "invalid_trigger_id"
    long = {**FORM, "title": {"type": "plain_text", "text": "t" * 25}}
    error = await refused(running.client.views_open(trigger_id=answer.trigger_id, view=long))
    assert error.response["response_metadata"]["messages"] == ["[ERROR] must be less than 25 characters [json-pointer:/view/title/text]"]
    await running.client.views_open(trigger_id=answer.trigger_id, view=FORM)
    assert (await refused(running.client.views_open(trigger_id=answer.trigger_id, view=FORM))).response["error"] == "exchanged_trigger_id"
    wire.expire(answer)
    assert (await refused(running.client.views_open(trigger_id=answer.trigger_id, view=FORM))).response["error"] == "expired_trigger_id"


async def test_every_answer_has_the_keys_of_slacks_own(wire: SlackWire, bot: Bot) -> None:
    """The comparison with the sample payloads is made on every answer; a difference is a violation."""
    wire.processing_seconds, client = 0.0, bot.client
    file_id = await upload(client)
    await client.files_upload_v2(filename="fox.png", content=PNG, channel=wire.art.id, initial_comment="a fox")
    ts = wire.messages(wire.art)[0].ts
    await client.reactions_add(channel=wire.art.id, name="one", timestamp=ts)
    await client.reactions_remove(channel=wire.art.id, name="one", timestamp=ts)
    assert (await client.chat_getPermalink(channel=wire.art.id, message_ts=ts))["permalink"].endswith(f"/p{ts.replace('.', '')}")
    assert (await client.conversations_info(channel=wire.lounge.id, include_num_members=True))["channel"]["is_member"] is False
    talk = (await client.conversations_open(users=wire.ada.id))["channel"]["id"]
    assert (await client.conversations_info(channel=talk))["channel"]["user"] == wire.ada.id
    assert (await client.users_info(user=wire.bot_user_id))["user"]["is_bot"]
    assert [message["ts"] for message in (await client.conversations_history(channel=wire.art.id))["messages"]] == [ts]
    home = await client.views_publish(user_id=wire.ada.id, view={"type": "home", "blocks": shown(file_id)})
    assert wire.homes[wire.ada.id].pictures == [(PNG, "a fox")]
    stale = client.views_update(view_id=home["view"]["id"], hash="old", view={"type": "home", "blocks": []})
    assert (await refused(stale)).response["error"] == "hash_conflict"
    await client.chat_delete(channel=wire.art.id, ts=ts)
    assert (await refused(client.chat_postEphemeral(channel=wire.art.id, user="U0STRANGER", text="x"))).response["error"] == "user_not_in_channel"
    await client.files_delete(file=file_id)
    assert wire.violations == []


def test_a_payload_that_slack_does_not_send_is_an_error() -> None:
    if not samples.SPECS.exists():
        pytest.skip("the sample payloads are not beside the repository")
    payload = dict.fromkeys(samples.PAYLOADS["slash_commands"][1].split(), "")
    samples.check_payload("slash_commands", payload)
    with pytest.raises(AssertionError, match="colour"):
        samples.check_payload("slash_commands", {**payload, "colour": ""})
