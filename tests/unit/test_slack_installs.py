"""Who let the app in: what is kept of it, and which way back from Slack is believed. And the manifest, against what the program does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from slack_bolt.error import BoltError
from slack_sdk.oauth.installation_store import Installation

from bot.chat.slack import blocks, events
from bot.chat.slack.doors import BACK, SCOPES
from bot.chat.slack.handlers import SHORTCUTS
from bot.chat.slack.health import SCOPES as EXAMINED
from bot.chat.slack.installs import LIFE, Installations, States, key
from tests.fakes.studio import NOW
from tests.scenario.slack_stage import Memory

MANIFEST = Path(__file__).parents[2] / "docs" / "slack-manifest.yaml"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def installation(**more: Any) -> Installation:
    told: dict[str, Any] = {"team_id": "T1", "team_name": "One", "bot_token": "xoxb-1", "bot_id": "B1", "bot_user_id": "U1", "user_id": "U2"}
    return Installation(**{**told, "user_token": "xoxp-1", **more})


# ------------------------------------------------------------------------------------------------ what is kept


async def test_an_installation_is_kept_and_found_by_its_workspace() -> None:
    changed: list[str] = []
    memory = Memory()
    kept = Installations(memory, changed.append)
    await kept.async_save(installation(bot_scopes="chat:write,commands"))
    bot = await kept.async_find_bot(enterprise_id=None, team_id="T1")
    assert bot is not None
    assert (bot.bot_token, bot.bot_user_id, bot.team_name, list(bot.bot_scopes)) == ("xoxb-1", "U1", "One", ["chat:write", "commands"])
    found = await kept.async_find_installation(enterprise_id=None, team_id="T1")
    assert found is not None
    assert (found.bot_token, found.user_token) == ("xoxb-1", None)
    assert b"xoxp" not in memory.sealed[key("T1")], "a member's own token is never kept"
    assert await kept.async_find_bot(enterprise_id=None, team_id="T2") is None
    assert changed == ["T1"]


async def test_installing_again_replaces_and_removing_forgets() -> None:
    memory = Memory()
    kept = Installations(memory)
    await kept.async_save(installation())
    await kept.async_save(installation(bot_token="xoxb-2"))
    bot = await kept.async_find_bot(enterprise_id=None, team_id="T1")
    assert bot is not None
    assert bot.bot_token == "xoxb-2"
    await kept.async_delete_installation(enterprise_id=None, team_id="T1", user_id="U2")
    assert memory.sealed
    await kept.async_delete_all(enterprise_id=None, team_id="T1")
    await kept.async_delete_all(enterprise_id=None, team_id="T1")
    assert memory.sealed == {}


@pytest.mark.parametrize("more", [{"is_enterprise_install": True, "team_id": None}, {"bot_token": None}, {"bot_user_id": None}])
async def test_what_could_not_be_answered_with_is_refused(more: dict[str, Any]) -> None:
    memory = Memory()
    with pytest.raises(BoltError):
        await Installations(memory).async_save(installation(**more))
    assert memory.sealed == {}


async def test_a_vault_that_cannot_keep_it_is_said_without_the_token() -> None:
    class Full(Memory):
        async def put(self, key: str, value: bytes) -> None:
            raise OSError(28, value.decode())

    with pytest.raises(BoltError) as caught:
        await Installations(Full()).async_save(installation())
    assert "xoxb" not in str(caught.value)


async def test_what_another_version_kept_is_no_installation() -> None:
    memory = Memory()
    for kept in (b"", b"[]", b"no json", json.dumps({"team_id": "T1"}).encode()):
        memory.sealed[key("T1")] = kept
        assert await Installations(memory).async_find_bot(enterprise_id=None, team_id="T1") is None


# ------------------------------------------------------------------------------------------------ the way back


async def test_a_state_is_good_once_and_in_another_process() -> None:
    clock = Clock()
    states, twin = States("secret", clock), States("secret", clock)
    state = await states.async_issue()
    assert await twin.async_consume(state)
    assert await states.async_consume(state)
    assert not await states.async_consume(state)


async def test_a_state_grows_old() -> None:
    clock = Clock()
    states = States("secret", clock)
    state = await states.async_issue()
    clock.now += LIFE
    assert not await states.async_consume(state)


async def test_a_state_of_somebody_elses_making_is_none() -> None:
    clock = Clock()
    states = States("secret", clock)
    expiry, chance, signature = (await states.async_issue()).split(".")
    forged = [
        await States("other", clock).async_issue(),
        f"{int(expiry) + 1}.{chance}.{signature}",
        f"{expiry}.x.{signature}",
        "",
        "..",
        "9.é.x",
        f".{chance}.{signature}",
    ]
    assert [await states.async_consume(state) for state in forged] == [False] * len(forged)


# ------------------------------------------------------------------------------------------------ whose it is


@pytest.mark.parametrize(
    ("body", "team"),
    [
        ({"team_id": "T1", "command": "/imagine"}, "T1"),
        ({"team_id": "T9", "authorizations": [{"team_id": "T1"}], "type": "event_callback"}, "T1"),
        ({"team": {"id": "T9"}, "view": {"app_installed_team_id": "T1"}, "type": "view_submission"}, "T1"),
        ({"team": {"id": "T9"}, "message": {"team": "T1"}, "type": "block_actions"}, "T1"),
        ({"team": {"id": "T1"}, "message": {"team": "T9"}, "type": "message_action"}, "T1"),
        ({"team": None, "user": {"id": "U1", "team_id": "T1"}}, "T1"),
        ({}, ""),
    ],
)
def test_the_workspace_that_is_asked(body: dict[str, Any], team: str) -> None:
    assert events.team_of(body) == team


def test_an_address_says_whose_token_writes_there() -> None:
    spot = events.Spot(team="T1", user="U1", channel="C1", thread="4.0", via="T1")
    there = spot.reply_to(NOW)
    assert (there.channel, events.addressed(there), events.via(there)) == ("T1:C1/4.0", ("C1", "4.0"), "T1")
    own = events.Spot(team="T1", user="U1", channel="C1").reply_to(NOW)
    assert (own.channel, events.addressed(own), events.via(own)) == ("C1", ("C1", ""), "")


# ------------------------------------------------------------------------------------------------ the manifest


def test_the_manifest_asks_for_what_the_program_uses() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == set(SCOPES)
    assert EXAMINED.keys() <= set(SCOPES)
    assert {each["callback_id"]: each["type"] for each in manifest["features"]["shortcuts"]} == {
        name: "global" if name == "imagine_anywhere" else "message" for name in SHORTCUTS
    }
    assert {each["command"] for each in manifest["features"]["slash_commands"]} == {"/imagine", "/wordup"}
    events_named = {"app_home_opened", "app_uninstalled", "reaction_added", "reaction_removed", "tokens_revoked"}
    assert set(manifest["settings"]["event_subscriptions"]["bot_events"]) == events_named
    assert BACK in MANIFEST.read_text()


def test_the_manifest_has_members_and_channels_come_by_their_ids_where_they_are_meant() -> None:
    commands = {each["command"]: each["should_escape"] for each in yaml.safe_load(MANIFEST.read_text())["features"]["slash_commands"]}
    assert commands == {"/imagine": False, "/wordup": True}, "`/wordup admin ban @somebody` and `settings channels=#here` mean somebody and somewhere"


def test_the_manifest_keeps_to_slacks_limits() -> None:
    features = yaml.safe_load(MANIFEST.read_text())["features"]
    assert all(len(each["name"]) <= 24 and len(each["description"]) <= 150 for each in features["shortcuts"])
    assert all(len(each["description"]) <= 2000 and len(each["usage_hint"]) <= 1000 for each in features["slash_commands"])


def test_every_word_of_wordup_is_a_command_spelled_as_it_is_typed() -> None:
    for name in blocks.SUBCOMMANDS:
        spot = events.Spot(team="T1", user="U1", channel="C1")
        assert events.command(spot, {"command": "/wordup", "text": f"{name} rest"}, NOW).name == name
        assert blocks.spelled(f"try /{name} now") == f"try /wordup {name} now"
