"""`wordup doctor` on the two chats: what it finds on the wire, and what it says to click."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.chat.discord import health as discord
from bot.chat.slack import health as slack
from bot.doctor import chat_findings
from bot.settings import Settings
from tests.fakes.discord import DiscordWire
from tests.fakes.slack import SlackWire

MANIFEST = Path(__file__).parents[2] / "docs" / "slack-manifest.yaml"
NOBODY = "http://127.0.0.1:9/"


async def test_without_tokens_it_names_the_variables() -> None:
    found = await chat_findings(Settings(_env_file=None))
    assert [(each.level, each.what) for each in found] == [("note", "Discord"), ("note", "Slack")]
    assert "WORDUP_DISCORD_TOKEN" in found[0].fix and "WORDUP_SLACK_BOT_TOKEN" in found[1].fix


async def test_good_tokens_are_good() -> None:
    async with DiscordWire() as one, SlackWire() as two:
        settings = Settings(
            _env_file=None,
            discord_token=one.token,
            discord_api_url=one.api_url,
            slack_app_token=two.app_token,
            slack_bot_token=two.bot_token,
            slack_api_url=two.api_url,
        )
        found = await chat_findings(settings)
        assert {each.level for each in found} == {"ok"}, found
        assert one.violations == [] and two.violations == []


async def test_refused_tokens_say_where_to_get_another() -> None:
    async with DiscordWire() as one, SlackWire() as two:
        (refused,) = await discord.examine("wrong", one.api_url)
        assert refused.level == "fail" and "Reset Token" in refused.fix
        (refused,) = await slack.examine("xoxb-wrong", "", two.api_url)
        assert refused.level == "fail" and "WORDUP_SLACK_BOT_TOKEN" in refused.fix
        good, refused = await slack.examine(two.bot_token, "xapp-wrong", two.api_url)
        assert good.level == "ok" and refused.level == "fail" and "connections:write" in refused.fix


@pytest.mark.parametrize("scope", sorted(slack.SCOPES))
async def test_a_missing_scope_is_named_with_what_it_is_for(scope: str) -> None:
    async with SlackWire() as wire:
        wire.scopes.discard(scope)
        found = await slack.examine(wire.bot_token, wire.app_token, wire.api_url)
    missing = next(each for each in found if each.level == "fail")
    assert f"{scope} ({slack.SCOPES[scope]})" in missing.text and "slack-manifest.yaml" in missing.fix


def test_the_manifest_asks_for_every_scope_that_is_checked() -> None:
    asked = set(re.findall(r"^      - ([a-z:]+)", MANIFEST.read_text(), re.M))
    assert set(slack.SCOPES) <= asked


async def test_nobody_at_the_other_end_is_one_sentence() -> None:
    for found in (await discord.examine("token", NOBODY), await slack.examine("token", "", NOBODY)):
        (only,) = found
        assert only.level == "fail" and "does not answer" in only.text


@pytest.mark.parametrize(
    ("application", "level", "said"),
    [
        ({"approximate_guild_count": 0}, "note", "client_id=42"),
        ({"approximate_guild_count": 3, "interactions_endpoint_url": "https://example.org"}, "fail", "Interactions Endpoint URL"),
        ({"approximate_guild_count": 3, "integration_types_config": {"0": {}}}, "note", "User Install"),
        ({"approximate_guild_count": 3, "integration_types_config": {"1": {}}}, "fail", "Guild Install"),
    ],
)
def test_what_is_switched_on_at_discord(application: dict[str, object], level: str, said: str) -> None:
    found = discord.findings({"id": "42", "name": "wordup", **application})
    assert any(each.level == level and said in each.fix for each in found)
