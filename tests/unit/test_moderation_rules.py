"""What moderation decides, without a house: who may, what a decision does, whom a ban keeps out, and what a server's settings come to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain import Actor, Limits, Place, ReplyTo
from bot.domain.moderation import (
    Ban,
    Case,
    Decision,
    Kind,
    Outcome,
    bars,
    is_moderator,
    need_contestable,
    need_decider,
    need_reporter,
    outcome,
)
from bot.errors import Refused
from bot.gate import LOOSENED, Policy, Rule
from bot.messages import Catalogue
from bot.moderation.policy import is_paused, limits_of, loosens, needs_private
from bot.usecases.admin import CONTESTED

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA, BOB = Actor(platform="discord", id="1", name="Ada"), Actor(platform="discord", id="2")
CHIEF = Actor(platform="discord", id="3", admin=True)
HERE = Place(platform="discord", server="g", channel="mods")
THERE, DIRECT = replace(HERE, server="h"), replace(HERE, server="")
CASE = Case(id="0" * 26, kind=Kind.REPORT, owner=HERE.owner, subject=ADA, reply_to=ReplyTo(platform="discord"), opened_at=NOW)


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.message


# ------------------------------------------------------------------------------------------------ decisions


def test_each_decision_holds_what_the_one_before_it_does() -> None:
    does = [outcome(Kind.REPORT, each) for each in Decision]
    assert [each.hides for each in does] == [False, True, True, True]
    assert [each.bans for each in does] == [False, False, False, True]
    assert [bool(each.to_member) for each in does] == [False, True, True, True]
    assert all(each.to_reporters and not each.allows for each in does)
    contests = [outcome(Kind.CONTEST, each) for each in Decision]
    assert [each.allows for each in contests] == [True, False, False, False]
    assert [each.bans for each in contests] == [False, False, False, True]
    assert all(each.to_member and not each.to_reporters and not each.hides for each in contests)


def test_every_text_that_a_decision_sends_is_in_the_catalogue() -> None:
    english = Catalogue.load("en")
    texts = {text for kind in Kind for decision in Decision for does in [outcome(kind, decision)] for text in (does.to_member, does.to_reporters) if text}
    assert len(texts) == 9 and all(text in english for text in texts)
    assert Outcome() not in [outcome(kind, decision) for kind in Kind for decision in Decision]


@pytest.mark.parametrize(
    ("actor", "place", "channel", "may"),
    [
        (CHIEF, HERE, "", True),
        (CHIEF, replace(HERE, channel="any"), "mods", True),
        (BOB, HERE, "mods", True),
        (BOB, replace(HERE, channel="mods/thread"), "mods", True),
        (BOB, replace(HERE, channel="any"), "mods", False),
        (BOB, HERE, "", False),
        (BOB, replace(HERE, channel=""), "", False),
        (CHIEF, THERE, "mods", False),
        (CHIEF, DIRECT, "mods", False),
    ],
)
def test_moderators_are_who_manages_the_server_or_can_be_in_the_channel(actor: Actor, place: Place, channel: str, may: bool) -> None:
    assert is_moderator(actor, place, HERE.owner, channel) is may


def test_nobody_decides_elsewhere_about_themselves_or_twice() -> None:
    need_decider(BOB, HERE, CASE, "mods")
    assert refusal(need_decider, BOB, HERE, CASE, "other") == "refused.moderators_only"
    assert refusal(need_decider, ADA, HERE, CASE, "mods") == "refused.own_case"
    assert refusal(need_decider, BOB, HERE, replace(CASE, decision=Decision.APPROVE), "mods") == "refused.decided_before"


def test_a_picture_is_reported_to_the_server_it_was_asked_for_on() -> None:
    need_reporter(BOB, HERE, ADA, HERE)
    need_reporter(BOB, DIRECT, ADA, HERE)
    assert refusal(need_reporter, ADA, HERE, ADA, HERE) == "refused.own_picture"
    assert refusal(need_reporter, BOB, HERE, ADA, DIRECT) == "refused.no_moderators"
    assert refusal(need_reporter, BOB, THERE, ADA, HERE) == "refused.no_moderators"


def test_only_the_rule_about_minors_is_beyond_contest() -> None:
    assert refusal(need_contestable, "minors") == "refused.not_contested"
    assert {rule.value for rule in Rule} - {"minors"} == CONTESTED
    for rule in CONTESTED:
        need_contestable(rule)


def test_a_ban_holds_on_its_server_and_where_there_is_none_until_it_ends() -> None:
    ban = Ban(owner=HERE.owner, alias="a", since=NOW)
    assert bars(ban, ADA, HERE, NOW) and bars(ban, ADA, DIRECT, NOW)
    assert not bars(ban, ADA, THERE, NOW) and not bars(None, ADA, HERE, NOW)
    week = replace(ban, until=NOW + timedelta(days=7))
    assert bars(week, ADA, HERE, NOW + timedelta(days=7, seconds=-1)) and not bars(week, ADA, HERE, NOW + timedelta(days=7))
    assert not bars(ban, CHIEF, HERE, NOW)  # who could not take it back otherwise


def test_a_contest_is_known_by_its_member_rule_and_words() -> None:
    one = replace(CASE, kind=Kind.CONTEST, words="a  b", rule="sexual")
    assert one.target == replace(one, words="a b ", id="1" * 26).target
    for other in (replace(one, words="a c"), replace(one, rule="words"), replace(one, subject=BOB)):
        assert other.target != one.target
    assert len(one.target) <= 100 and "a b" not in one.target


# ------------------------------------------------------------------------------------------------ settings


def test_what_makes_no_sense_counts_as_unsaid() -> None:
    assert not needs_private({"private": "on"}) and not is_paused({}) and not is_paused({"paused": 1})
    assert needs_private({"private": True}) and is_paused({"paused": True})


def test_the_largest_limit_of_a_members_roles_counts() -> None:
    limits = Limits(cap=60, per_hour=30, queued_per_actor=4, queued_total=6, most_given=10)
    server = {"roles": {"a": 2, "b": 0.5, "*": 0.25, "none": 0}}
    with_roles = [replace(ADA, roles=roles) for roles in (("a", "b"), ("b",), (), ("c",))]
    assert [limits_of(server, each, limits).cap for each in with_roles] == [120, 30, 15, 15]
    assert limits_of(server, with_roles[0], limits).per_hour == 60
    assert limits_of({}, ADA, limits) is limits
    assert limits_of({"roles": {"*": 1e9}}, ADA, limits).cap == 600
    assert refusal(limits_of, server, replace(ADA, roles=("none",)), limits) == "refused.no_role"
    assert limits_of({"roles": {"*": "many"}}, ADA, limits).cap == 60


@pytest.mark.parametrize(
    ("name", "before", "after", "is_loose"),
    [
        ("adult", None, ["a"], True),
        ("adult", ["a", "b"], ["a"], False),
        ("spoiler", None, ["a"], True),
        ("spoiler", ["a", "b"], ["a"], False),
        ("people", None, "refuse", False),
        ("people", None, "allow", True),
        ("people", "refuse", None, True),
        ("edits", None, True, True),
        ("edits", True, None, False),
        ("artists", None, False, True),
        ("artists", False, None, False),
        ("rules", "a\nb", "a", True),
        ("rules", "a", "b\na", False),
        ("private", True, None, True),
        ("private", None, True, False),
        ("off", ["imagine"], None, True),
        ("off", None, ["imagine"], False),
        ("channels", ["a"], ["a", "b"], True),
        ("channels", ["a"], None, True),
        ("channels", None, ["a"], False),
        ("roles", None, {"*": 2}, True),
        ("roles", {"*": 2}, {"*": 0.5}, False),
        ("roles", {"*": 0.5}, None, True),
        ("flags", None, "--ar 3:2", False),
    ],
)
def test_what_loosens_is_told_apart(name: str, before: object, after: object, is_loose: bool) -> None:
    usual = Policy(servers=frozenset(LOOSENED))  # what servers may not loosen holds for none of them, and is not told
    assert loosens(name, {name: before}, {name: after}, usual) is is_loose
