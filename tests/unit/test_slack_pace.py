"""How fast Slack is asked, and who members are: both by a clock of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from bot.chat.slack import limits
from bot.chat.slack.pace import Pace
from bot.chat.slack.people import DAY, HOUR, Member, People, member_of
from tests.fakes.slack.methods import METHODS


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("bot.chat.slack.pace._now", made)
    return made


# ------------------------------------------------------------------------------------------------ tiers


def test_every_method_that_is_asked_has_its_tier() -> None:
    unused = {"chat.getPermalink", "views.push", "views.update", "reactions.add", "reactions.remove"}
    assert METHODS.keys() - unused == limits.METHODS.keys()
    assert all(method.per_minute >= {0: 1, 1: 1, 2: 20, 3: 50, 4: 100}[method.tier] for method in limits.METHODS.values())
    assert limits.method("anything.else") == limits.OTHERWISE


def test_what_may_be_lost_takes_its_share_of_a_minute_and_no_more(clock: Clock) -> None:
    pace, asked = Pace(), 0
    while pace.spare("chat.update"):
        pace.asked("chat.update")
        asked += 1
    assert asked == 30  # of fifty
    assert pace.spare("views.publish")
    clock.now += 59
    assert not pace.spare("chat.update")
    clock.now += 1
    assert pace.spare("chat.update")


def test_while_slack_asks_to_wait_nothing_is_to_spare(clock: Clock) -> None:
    pace = Pace()
    told = RuntimeError("ratelimited")
    pace.told("chat.update", told, 5.0)
    pace.told("chat.update", RuntimeError("earlier"), 1.0)
    assert (pace.left("chat.update"), pace.refusal("chat.update")) == (5.0, told)
    assert not pace.spare("chat.update")
    assert pace.spare("chat.postMessage")
    clock.now += 5
    assert (pace.left("chat.update"), pace.refusal("chat.update")) == (0.0, None)
    assert pace.spare("chat.update")


# ------------------------------------------------------------------------------------------------ members

ADA: Mapping[str, Any] = {"name": "ada", "profile": {"display_name": "Ada"}, "locale": "pt-BR", "is_admin": True}


class Slack:
    """Answers with what comes next."""

    def __init__(self, *answers: Mapping[str, Any] | Exception) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, user: str) -> Mapping[str, Any]:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused(error: str) -> SlackApiError:
    class Response:
        status_code, data = 200, {"ok": False, "error": error}

    return SlackApiError(error, Response())  # type: ignore[no-untyped-call]


def test_a_member_as_slack_tells_of_them() -> None:
    assert member_of(ADA) == Member(name="Ada", locale="pt-BR", admin=True)
    assert member_of({"real_name": "Bob", "is_owner": True}) == Member(name="Bob", admin=True)
    assert member_of({}) == Member()


async def test_a_member_is_believed_for_a_day() -> None:
    clock, slack = Clock(), Slack(ADA, {**ADA, "locale": "de-DE"})
    people = People(slack, clock)
    assert people.known("U1") == Member()
    assert (await people.member("U1")).locale == (await people.member("U1")).locale == people.known("U1").locale == "pt-BR"
    assert slack.asked == 1
    clock.now += DAY
    assert people.known("U1").locale == "pt-BR"
    assert (await people.member("U1")).locale == "de-DE"


async def test_two_events_ask_once() -> None:
    slack = Slack(ADA)
    people = People(slack, Clock())
    first, second = await asyncio.gather(people.member("U1"), people.soon("U1"))
    assert (first, slack.asked) == (second, 1)


async def test_a_slack_that_cannot_say_now_is_asked_again() -> None:
    slack = Slack(aiohttp.ClientError(), ADA)
    people = People(slack, Clock())
    assert await people.member("U1") == Member()
    assert (await people.member("U1")).name == "Ada"


async def test_whom_slack_does_not_tell_of_is_not_asked_for_with_every_event() -> None:
    clock, slack = Clock(), Slack(refused("user_not_found"), ADA)
    people = People(slack, clock)
    assert await people.member("U1") == await people.member("U1") == Member()
    clock.now += HOUR
    assert (await people.member("U1")).name == "Ada"


async def test_nobody_waits_long_for_a_slow_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.chat.slack.people.SOON", 0.01)
    told = asyncio.Event()

    async def slow(user: str) -> Mapping[str, Any]:
        await told.wait()
        return ADA

    people = People(slow, Clock())
    assert await people.soon("U1") == Member()
    told.set()
    assert (await people.member("U1")).name == "Ada"


async def test_members_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.chat.slack.people.REMEMBERED", 2)
    people = People(Slack(ADA, ADA, ADA), Clock())
    for user in ("U1", "U2", "U3"):
        await people.member(user)
    assert [people.known(user) == Member() for user in ("U1", "U2", "U3")] == [True, False, False]
    await people.aclose()
