"""Several workspaces: each lets the app in by itself, is answered with its own token, and can throw it out again."""

from __future__ import annotations

import json
from functools import partial

import pytest

from bot.chat.slack.installs import key
from bot.domain import Ack, Card, Field, Form, ReplyTo, Status
from tests.fakes.slack import SlackWire
from tests.fakes.studio import HEAD
from tests.scenario.slack_stage import ENGLISH, Stage, adapter_on, stage


async def installed(s: Stage, mark: str = "1") -> SlackWire:
    """Another workspace that has let the app in."""
    other = s.wire.neighbour(mark)
    status, page = await s.wire.install(s.adapter.install_url, other, other.ada)
    assert (status, ENGLISH.say("chat.installed_title", team=f"Team {other.team_id}") in page) == (200, True)
    return other


@pytest.mark.parametrize("socket", [True, False], ids=["socket", "http"])
@pytest.mark.parametrize("own", [True, False], ids=["beside-its-own", "no-token-of-its-own"])
async def test_a_workspace_that_let_the_app_in_is_answered_with_its_own_token(own: bool, socket: bool) -> None:
    async with stage(own=own, installable=True, socket=socket) as s:
        other = await installed(s)
        answer = await other.command(other.ada, other.art, "/imagine", "a fox")
        message = await answer.message()
        assert message.user == other.bot_user_id
        event = s.studio.last("imagine")
        assert (event.actor.id, event.place.server) == (f"{other.team_id}:{other.ada.id}", other.team_id)
        assert event.reply_to.channel == f"{other.team_id}:{other.art.id}"
        assert event.actor.admin
        job_id = message.metadata["event_payload"]["job_id"]
        await s.studio.finish(job_id)
        at = await s.adapter.show(event.reply_to, await s.studio.card(event.actor, job_id), await s.studio.place(job_id))
        assert at is not None
        assert message.pictures
        assert s.wire.spoken == []


async def test_both_workspaces_have_their_own_words_forms_and_home_tabs() -> None:
    async with stage(installable=True) as s:
        other = await installed(s)
        s.studio.acks["imagine"] = Ack(form=Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What"),)))
        forms = [await (await wire.command(wire.ada, wire.art, "/imagine", "")).modal() for wire in (s.wire, other)]
        s.studio.acks["imagine"] = Ack()
        for wire, view in zip((s.wire, other), forms, strict=True):
            await wire.submit(wire.ada, view, "a fox")
            await wire.until(partial(wire.messages, wire.art))
        assert [event.place.server for event in s.studio.events] == [s.wire.team_id, other.team_id]
        assert [event.reply_to.channel for event in s.studio.events] == [s.wire.art.id, f"{other.team_id}:{other.art.id}"]
        await other.open_home(other.ada)
        await other.until(lambda: other.homes)
        assert s.wire.homes == {}


async def test_a_press_and_a_reaction_stay_in_their_workspace() -> None:
    async with stage(installable=True) as s:
        other = await installed(s)
        message = await (await other.command(other.ada, other.art, "/imagine", "a fox")).message()
        await other.until(lambda: s.studio.places)
        await other.press(other.bob, message, "Cancel")
        event = await s.heard("press:c")
        assert (event.actor.id, event.reply_to.channel) == (f"{other.team_id}:{other.bob.id}", f"{other.team_id}:{other.art.id}")


async def test_what_is_owed_arrives_after_a_restart() -> None:
    async with stage(own=False, installable=True) as s:
        other = await installed(s)
        await s.adapter.aclose()
        s.adapter = adapter_on(s.wire, s.memory, own=False, installable=True)
        await s.adapter.start(s.studio)
        reply_to = ReplyTo(platform="slack", channel=f"{other.team_id}:{other.art.id}", user=other.ada.id)
        assert await s.adapter.show(reply_to, Card(title="a fox", job_id=f"{HEAD}000001", status=Status.DONE), None)
        assert [message.user for message in other.messages(other.art)] == [other.bot_user_id]


async def test_a_workspace_that_threw_the_app_out_is_forgotten() -> None:
    async with stage(installable=True) as s:
        other = await installed(s)
        assert key(other.team_id) in s.memory.sealed
        await other.uninstall()
        await other.until(lambda: not s.memory.sealed)
        reply_to = ReplyTo(platform="slack", channel=f"{other.team_id}:{other.art.id}", user=other.ada.id)
        assert await s.adapter.show(reply_to, Card(title="a fox", job_id=f"{HEAD}000001", status=Status.DONE), None) is None
        assert other.spoken == s.wire.spoken == []


async def test_a_token_that_was_revoked_unheard_ends_what_is_owed() -> None:
    async with stage(installable=True) as s:
        other = await installed(s)
        reply_to = ReplyTo(platform="slack", channel=f"{other.team_id}:{other.art.id}", user=other.ada.id)
        s.wire.fail("chat.postMessage", error="token_revoked")
        assert await s.adapter.show(reply_to, Card(title="a fox", job_id=f"{HEAD}000001", status=Status.DONE), None) is None


async def test_a_token_that_another_process_was_given_is_taken_up() -> None:
    async with stage(installable=True) as s:
        other = await installed(s)
        reply_to = ReplyTo(platform="slack", channel=f"{other.team_id}:{other.art.id}", user=other.ada.id)
        card = Card(title="a fox", job_id=f"{HEAD}000001", status=Status.DONE)
        assert await s.adapter.show(reply_to, card, None)
        told = json.loads(s.memory.sealed[key(other.team_id)])
        other.bot_token = told["bot_token"] = "xoxb-another"
        s.memory.sealed[key(other.team_id)] = json.dumps(told).encode()
        s.wire.fail("chat.update", error="invalid_auth")
        with pytest.raises(ConnectionError):  # worth another try
            await s.adapter.show(reply_to, card, None)
        assert await s.adapter.show(reply_to, card, None)


async def test_nobody_comes_in_by_a_way_of_somebody_elses_making() -> None:
    async with stage(installable=True) as s:
        other = s.wire.neighbour()
        tries = {
            "another browser": await s.wire.install(s.adapter.install_url, other, other.ada, other_browser=True),
            "another state": await s.wire.install(s.adapter.install_url, other, other.ada, tampered="9999999999.x.y"),
            "a no": await s.wire.install(s.adapter.install_url, other, other.ada, refused=True),
        }
        assert {how: status for how, (status, _) in tries.items()} == {"another browser": 400, "another state": 400, "a no": 200}
        assert all(ENGLISH.say("chat.not_installed_title") in page for _, page in tries.values())
        assert s.memory.sealed == {}
        assert "oauth.v2.access" not in s.wire.table()


async def test_slack_that_does_not_answer_is_said() -> None:
    async with stage(installable=True) as s:
        other = s.wire.neighbour()
        s.wire.cut("oauth.v2.access")
        status, page = await s.wire.install(s.adapter.install_url, other, other.ada)
        assert (status, ENGLISH.say("chat.not_installed_title") in page) == (502, True)
        assert s.memory.sealed == {}


async def test_a_workspace_that_never_let_it_in_is_not_answered() -> None:
    async with stage(own=False, installable=True) as s:
        other = s.wire.neighbour()
        answer = await other.command(other.ada, other.art, "/imagine", "a fox")
        assert answer.acknowledged
        assert s.studio.events == []


async def test_tokens_are_written_nowhere_but_into_the_vault(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    async with stage(installable=True) as s:
        caplog.set_level(0)
        other = await installed(s)
        s.wire.fail("chat.postMessage", status=500, times=1)
        await (await other.command(other.ada, other.art, "/imagine", "a fox")).message()
        code = "not-a-code"
        s.wire.fail("oauth.v2.access", error="invalid_code")
        assert (await s.wire.install(s.adapter.install_url, s.wire.neighbour("2"), other.ada))[0] == 401
    written = caplog.text + "".join(capsys.readouterr())
    secrets = [other.bot_token, s.wire.client_secret, s.wire.app_token, code, *s.wire.codes]
    assert "slack.installed" in written
    assert [secret for secret in secrets if secret in written] == []
    assert other.bot_token not in json.dumps(s.memory.memos)
