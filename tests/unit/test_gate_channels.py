"""What a server has chosen for each of its channels about sexual content: refuse, behind a click, allow. Beside the channel's own mark, and when it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain import Place
from bot.gate import Policy, Sexual, choice_of, choose_channels, policy_of, stricter
from bot.moderation.policy import loosens

LOBBY = Place(platform="discord", server="7", channel="lobby", age_restricted=False)
SERVER = {"adult": ["cellar", "both"], "spoiler": ["lobby", "both"]}
REFUSE, HIDE, ALLOW = Sexual


def sexual(channel: str, server: dict[str, Any] = SERVER, *, marked: bool | None = True) -> Sexual:
    return policy_of(server, replace(LOBBY, channel=channel, age_restricted=marked), Policy(sexual=ALLOW)).sexual


@pytest.mark.parametrize("marked", [True, False, None])
def test_behind_a_click_may_be_chosen_for_any_channel(marked: bool | None) -> None:
    assert sexual("lobby", marked=marked) is HIDE


@pytest.mark.parametrize(("marked", "then"), [(True, ALLOW), (None, ALLOW), (False, REFUSE)])
def test_allowed_needs_the_platforms_own_mark_where_it_has_one(marked: bool | None, then: Sexual) -> None:
    assert sexual("cellar", marked=marked) is then


def test_a_channel_that_nobody_named_refuses_and_so_does_a_place_without_one() -> None:
    assert sexual("kitchen") is REFUSE and sexual("kitchen", {}) is REFUSE
    assert sexual("", {"adult": [""], "spoiler": [""]}) is REFUSE


def test_one_that_stands_in_both_lists_hides() -> None:
    assert sexual("both") is HIDE and sexual("both", marked=False) is HIDE


@pytest.mark.parametrize("nonsense", ["lobby", 7, {"lobby": True}, [7, None], None])
def test_a_setting_that_makes_no_sense_names_no_channel(nonsense: object) -> None:
    assert choice_of({"spoiler": nonsense, "adult": nonsense}, "lobby") is REFUSE


def test_without_a_server_the_operators_choice_holds() -> None:
    assert policy_of(SERVER, replace(LOBBY, server=""), Policy(sexual=HIDE)).sexual is HIDE


def test_a_channel_leaves_one_list_for_the_other() -> None:
    assert choose_channels({"adult": ["a", "b"]}, "spoiler", ["b", "c"]) == {"spoiler": ["b", "c"], "adult": ["a"]}
    assert choose_channels({"spoiler": ["a"]}, "adult", ["a"]) == {"adult": ["a"], "spoiler": None}
    assert choose_channels({"spoiler": ["a"]}, "adult", ["b"]) == {"adult": ["b"]}, "what does not change is not written"
    assert choose_channels({"adult": ["a"]}, "adult", []) == {"adult": None}


@pytest.mark.parametrize(
    ("before", "after", "is_loose"),
    [
        ({}, {"spoiler": ["a"]}, True),
        ({"spoiler": ["a"]}, {}, False),
        ({"spoiler": ["a"]}, {"adult": ["a"]}, True),
        ({"adult": ["a"]}, {"spoiler": ["a"]}, False),
        ({"adult": ["a"]}, {"adult": ["a"], "spoiler": ["a"]}, False),
        ({"adult": ["a"], "spoiler": ["a"]}, {"adult": ["a"]}, True),
        ({"spoiler": ["a", "b"]}, {"spoiler": ["b"]}, False),
        ({"adult": ["a"], "spoiler": ["b"]}, {"adult": ["b"], "spoiler": ["a"]}, True),
    ],
)
def test_what_loosens_looks_at_each_channel(before: dict[str, Any], after: dict[str, Any], is_loose: bool) -> None:
    assert any(loosens(name, before, after) for name in ("adult", "spoiler") if before.get(name) != after.get(name)) is is_loose


def test_of_two_moments_the_stricter_one_holds() -> None:
    held = {(one, other): stricter(one.value, other) for one in Sexual for other in Sexual}
    assert [one for one in Sexual if held[one, one] is not one] == []
    assert {held[pair] for pair in held if REFUSE in pair} == {REFUSE}
    assert (held[HIDE, ALLOW], held[ALLOW, HIDE]) == (HIDE, HIDE)
    assert stricter("whatever", ALLOW) is REFUSE
