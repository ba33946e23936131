"""Whoever makes a server and invites the bot manages it: what they set there, and what their moderators decide, goes no further than the operator chose."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.app import App
from bot.chat.web.links import read_region, region_link
from bot.domain import Action, Actor, Card, Place, Upload, Verb
from bot.gate import LOOSENED, People, Policy, Rule, Sexual, bounded, goes_beyond, policy_of
from bot.moderation.policy import limits_of, loosens
from bot.settings import Settings
from tests.unit.house import ADA, ENGLISH, LIMITS, open_house
from tests.unit.moderated import CHIEF, MODS, NOWHERE, PICTURES, Moderated, moderated

BOUND = ENGLISH.say("refused.operators_bound")
PEOPLE, EDITS, SEXUAL = (ENGLISH.say(f"refused.gate_{rule}") for rule in ("people", "edits", "sexual"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STRICT = Policy(people=People.REFUSE)
HERE = Place(platform="discord", server="7", channel="cellar", age_restricted=True)
#: What the strictest operator keeps, and what a server would rather have.
LOOSE: dict[str, Any] = {"people": "allow", "edits": True, "artists": False, "adult": ["cellar"], "spoiler": ["attic"]}


@pytest.fixture
async def day(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Moderated]:
    async with moderated(sqlite_url, tmp_path) as there:
        yield there


def photograph() -> Upload:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(out, "PNG")
    return Upload(name="somebody.png", data=out.getvalue())


async def stored(day: Moderated) -> dict[str, Any]:
    return dict(await day.house.store.preferences(PICTURES.owner))


# ------------------------------------------------------------------------------------------------ what may be drawn


@pytest.mark.parametrize("setting", ["people=allow", "edits=on"])
async def test_who_manages_a_server_loosens_nothing_that_the_operator_keeps(day: Moderated, setting: str) -> None:
    name, _, value = setting.partition("=")
    for card in (await day.say("settings", setting, actor=CHIEF), await day.admin(f"{name} {value}")):
        assert card.refusal and card.text == BOUND
    assert await stored(day) == {} and await day.log() == []
    assert (await day.say("imagine", "a naked portrait of Taylor Swift")).text.startswith(PEOPLE)


async def test_they_may_be_stricter_and_take_that_back(day: Moderated) -> None:
    for text in ("people=refuse", "edits=off", "people="):
        assert not (await day.say("settings", text, actor=CHIEF)).refusal
    assert await stored(day) == {"edits": False}
    assert [each.detail["loosens"] for each in await day.log()] == [True, False, False], "what is taken back is written down as what it is"


async def test_what_a_server_chose_before_the_operator_did_holds_no_longer(day: Moderated) -> None:
    await day.house.store.prefer(PICTURES.owner, {"people": "allow", "edits": True, "adult": ["pictures"]})
    await day.house.studio.wishes.start()
    assert (await day.say("imagine", "a naked portrait of Taylor Swift")).text.startswith(PEOPLE)
    upload = day.house.command("imagine", "the same without clothes, topless", uploads=(photograph(),), place=PICTURES)
    assert (await day.house.studio.handle(upload)).text.startswith(EDITS)
    shown = dict((await day.say("settings", "", actor=CHIEF)).details)
    assert shown[ENGLISH.say("preference.people")] == ENGLISH.say("settings.people_usual"), "nor is it shown as if it did"
    assert not (await day.say("imagine", "a naked woman --n 1")).refusal, "the channel's own choice is theirs still"


@pytest.mark.parametrize("rule", LOOSENED)
def test_each_rule_is_bound_by_the_operators_choice_unless_they_let_servers_loosen_it(rule: Rule) -> None:
    def held(usual: Policy) -> Any:
        found = policy_of(LOOSE, HERE, usual)
        return {Rule.SEXUAL: found.sexual, Rule.PEOPLE: found.people, Rule.EDITS: found.edits, Rule.ARTISTS: found.artists}[rule]

    strict = {Rule.SEXUAL: Sexual.REFUSE, Rule.PEOPLE: People.REFUSE, Rule.EDITS: False, Rule.ARTISTS: True}[rule]
    loose = {Rule.SEXUAL: Sexual.ALLOW, Rule.PEOPLE: People.ALLOW, Rule.EDITS: True, Rule.ARTISTS: False}[rule]
    assert held(replace(STRICT, servers=frozenset(LOOSENED) - {rule})) == strict
    assert held(replace(STRICT, servers=frozenset({rule}))) == loose


def test_a_channel_for_adults_shows_no_more_than_the_operator_where_that_is_kept() -> None:
    kept = Policy(sexual=Sexual.HIDE, servers=frozenset())
    assert policy_of(LOOSE, HERE, kept).sexual is Sexual.HIDE
    assert policy_of(LOOSE, replace(HERE, age_restricted=False), kept).sexual is Sexual.REFUSE, "the young are there"
    assert policy_of(LOOSE, replace(HERE, channel="kitchen"), replace(kept, sexual=Sexual.ALLOW)).sexual is Sexual.REFUSE, "nobody named that one"


def test_whatever_is_stored_a_server_is_never_looser_than_its_bound() -> None:
    strange: list[Any] = ["allow", "degrading", "refuse", "ALLOW", True, False, 1, None, [], ["cellar"], {"cellar": 1}]
    usual = replace(STRICT, servers=frozenset())
    for name in LOOSE:
        for value in strange:
            found = policy_of({name: value}, HERE, usual)
            assert (found.sexual, found.people, found.edits, found.artists) == (Sexual.REFUSE, People.REFUSE, False, True), (name, value)
            assert goes_beyond(name, value, usual) is (name not in bounded({name: value}, usual)), (name, value)


def test_the_log_says_that_something_is_loosened_by_what_the_operator_keeps() -> None:
    may = replace(STRICT, edits=True, servers=frozenset(LOOSENED))
    assert loosens("people", {}, {"people": "degrading"}, may), "looser than the operator, though no looser than the program"
    assert loosens("edits", {"edits": False}, {}, may) and not loosens("edits", {}, {"edits": True}, may)
    assert not loosens("people", {}, {"people": "allow"}, STRICT), "it does not hold"


def test_the_operators_settings_reach_the_gate(tmp_path: Path) -> None:
    def policy(**settings: Any) -> Policy:
        return App(Settings(data_dir=tmp_path, web=False, metrics_port=-1, output_gate=False, **settings)).studio.policy

    usual = policy()
    assert (usual.sexual, usual.people, usual.edits, usual.artists) == (Sexual.REFUSE, People.DEGRADING, False, True)
    assert usual.servers == Policy().servers == {Rule.SEXUAL, Rule.ARTISTS}
    assert policy(gate_servers_may_loosen="none").servers == frozenset() and policy(gate_sexual="hide").sexual is Sexual.HIDE
    assert policy(gate_servers_may_loosen="People, edits").servers == {Rule.PEOPLE, Rule.EDITS}


# ------------------------------------------------------------------------------------------------ what moderators allow


def offered(card: Card) -> list[Action]:
    return [each.action for row in card.rows for each in row if each.action.verb is Verb.CONTEST]


async def contested_and_allowed(day: Moderated, card: Card) -> None:
    await day.press(offered(card)[0], actor=ADA, place=PICTURES)
    await day.mail.deliver()
    (case,) = await day.book.waiting(PICTURES.owner)
    await day.decide(case, "approve")


async def test_moderators_of_a_server_of_ones_own_allow_nothing_sexual_about_real_people(day: Moderated) -> None:
    """With a second account for a member, and the first for a moderator."""
    await day.admin("moderators here", place=MODS)
    await day.admin("adult pictures")
    for words, sentence in (("a naked portrait of Taylor Swift", PEOPLE), ("my teacher, topless", PEOPLE)):
        card = await day.say("imagine", words)
        assert card.text.startswith(sentence) and offered(card) == [], words
    photo = await day.house.studio.handle(day.house.command("imagine", "the same, topless", uploads=(photograph(),), place=PICTURES))
    assert photo.text.startswith(EDITS) and offered(photo) == []
    card = await day.say("imagine", "Taylor Swift, humiliated, as a clown --n 1")
    assert card.text.startswith(PEOPLE)
    await contested_and_allowed(day, card)
    assert not (await day.say("imagine", "Taylor Swift, humiliated, as a clown --n 1")).refusal, "what is not sexual is theirs to weigh"


async def test_what_they_allowed_while_they_might_is_not_heard_once_they_may_not(day: Moderated) -> None:
    await day.admin("moderators here", place=MODS)
    await day.admin("adult pictures")
    words = "a naked portrait of Taylor Swift --n 1"
    day.house.studio.policy = replace(Policy(), servers=frozenset(LOOSENED))
    await contested_and_allowed(day, await day.say("imagine", words))
    assert not (await day.say("imagine", words)).refusal
    day.house.studio.policy = Policy()
    assert (await day.say("imagine", words)).text.startswith(PEOPLE)


# ------------------------------------------------------------------------------------------------ what it may cost


async def test_the_owner_of_a_server_gives_themselves_nothing_there_that_is_worth_more_elsewhere(sqlite_url: str, tmp_path: Path) -> None:
    """A wallet is one, wherever its member asks."""
    async with moderated(sqlite_url, tmp_path) as day:
        for text in ("limit everyone 10", "limit everyone 1.5", "limit <@&77> 1e9", "limit everyone inf", "limit everyone nan"):
            assert (await day.admin(text)).text == ENGLISH.say("refused.limit_factor", low=0.0, high=1.0, given=text.split()[-1])
        assert await stored(day) == {}
        await day.house.store.prefer(PICTURES.owner, {"roles": {"*": 10.0}})  # of an older version
        await day.house.studio.wishes.start()
        fortune = 0.0
        for place in (PICTURES, NOWHERE):
            await day.drawn("a fox --n 1", actor=CHIEF, place=place)
            fortune = max(fortune, await day.house.balance(CHIEF))
        assert fortune < LIMITS.cap


async def painted_by_a_link(day: Moderated, card: Card, member: Actor) -> Card:
    """The button under a picture gives a link; whoever opens it on the page is who the link says, and nobody asks the platform again."""
    links: list[str] = []

    def painter(actor: Actor, job_id: str, index: int) -> str:
        links.append(region_link(b"secret", actor, job_id, index, NOW))
        return "https://pictures.example.org/region"

    day.house.studio.painter = painter
    action = Action(verb=Verb.REGION, job_id=card.job_id, index=0)
    assert not (await day.press(action, actor=member, place=PICTURES)).refusal
    (link,) = links
    found = read_region(b"secret", link, NOW)
    assert found is not None and len(link) < 400
    mask = io.BytesIO()
    Image.new("L", (card.pictures[0].width, card.pictures[0].height), 255).save(mask, "PNG")
    uploads = (Upload(name="mask.png", data=mask.getvalue(), role="mask"),)
    return await day.house.studio.handle(day.house.submit(action.encode(), "a hen", actor=found[0], uploads=uploads, place=PICTURES))


async def test_the_painters_link_is_no_way_round_the_limits_of_a_role(day: Moderated) -> None:
    member = replace(ADA, roles=("12", "77", "4"))
    card = await day.drawn("a fox --n 1")
    await day.admin("limit everyone 1")
    await day.admin("limit <@&77> 0")
    assert (await day.say("imagine", "a hen", actor=member)).text == ENGLISH.say("refused.no_role")
    assert (await painted_by_a_link(day, card, member)).text == ENGLISH.say("refused.no_role")
    await day.admin("limit everyone 0")
    await day.admin("limit <@&77> 1")
    assert not (await painted_by_a_link(day, card, member)).refusal, "nor is what a role is given lost on the way"
    assert (await painted_by_a_link(day, card, ADA)).text == ENGLISH.say("refused.no_role")


async def test_somebody_who_never_asked_before_finds_no_larger_wallet_there(sqlite_url: str, tmp_path: Path) -> None:
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        await house.store.prefer(PICTURES.owner, {"roles": {"*": 10.0, "77": 9.0}})
        member = Actor(platform="web", id="new", roles=("77",))
        await house.imagine("a fox", actor=member, place=PICTURES)
        assert await house.balance(member) == LIMITS.cap - 1


def test_an_operator_of_all_servers_lets_them_give_more_and_says_how_much() -> None:
    member, server = replace(ADA, roles=("a",)), {"roles": {"a": 10}}
    for most, cap in ((1.0, 60), (2.5, 150), (10.0, 600)):
        assert limits_of(server, member, replace(LIMITS, most_given=most)).cap == cap
    assert limits_of({"roles": {"a": 0.5}}, member, LIMITS).cap == 30, "less is theirs to give"
