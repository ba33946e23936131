"""Work that somebody would have done without paying, or that one member would have all of: prices are what the server computes, and caps hold together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain import Action, Actor, Card, Place, Verb, Visibility
from bot.limits import DISCORD_BEGAN
from tests.unit.house import ADA, BOB, LIMITS, House, open_house


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Ada can pay for sixty grids, and nothing is drawn: what is reserved stays reserved."""
    generous = replace(LIMITS, queued_per_actor=100, queued_total=200)
    async with open_house(sqlite_url, tmp_path, limits=generous, queue=False) as made:
        yield made


async def spent(house: House, actor: Actor = ADA) -> float:
    return LIMITS.cap - await house.balance(actor)


async def reserved(house: House, actor: Actor = ADA) -> float:
    """What the jobs that were really written down cost."""
    return round(sum(shown.job.cost for shown in (await house.studio.history(actor, limit=200)).items), 6)


def accepted(card: Card) -> bool:
    return card.status is not None


@pytest.mark.parametrize(
    "words",
    [
        "a fox --size 100000x100000",
        "a fox --size 9999999999999999999x1",
        "a fox --size -64x-64",
        "a fox --steps 100000",
        "a fox --steps -1",
        "a fox --steps 1e9",
        "a fox --n 1000000",
        "a fox --n 0",
        "a fox --n -4",
        "a fox --repeat 1000",
        "a fox --ar 1000000:1",
        "a fox --cfg inf",
        "a fox --cfg nan",
        "a fox --best 1000",
        "a fox::1e308 hen::1e308",
        "a fox --stop nan",
    ],
)
async def test_sizes_steps_and_numbers_beyond_all_bounds_are_refused_and_cost_nothing(house: House, words: str):
    card = await house.imagine(words)
    assert not accepted(card) and await spent(house) == 0 and await reserved(house) == 0


@pytest.mark.parametrize("words", ["a fox", "a fox --n 9", "a fox --n 1 --steps 30", "{a,b} fox", "a fox --repeat 3", "{a,b} fox --repeat 2", "a::1 b::1 c::1"])
async def test_what_is_paid_is_the_sum_of_what_is_drawn(house: House, words: str):
    assert accepted(await house.imagine(words)) or await reserved(house) > 0
    assert await spent(house) == await reserved(house) > 0


async def test_more_costs_more_however_it_is_asked_for(house: House):
    async def price(words: str, actor: Actor) -> float:
        await house.imagine(words, actor=actor)
        return await spent(house, actor)

    members = [Actor(platform="web", id=f"m{n}") for n in range(5)]
    one, nine, repeated, chosen, both = [
        await price(words, actor)
        for words, actor in zip(
            ["a fox --n 1", "a fox --n 9", "a fox --n 1 --repeat 3", "{a,b,c} fox --n 1", "{a,b} fox --n 1 --repeat 2"], members, strict=True
        )
    ]
    assert nine == pytest.approx(9 * one, rel=0.1) and repeated == chosen == 3 * one and both == 4 * one


async def test_what_a_client_says_of_price_size_or_lane_counts_for_nothing(house: House):
    """A form's fields are words; others that somebody adds to the post are not looked at."""
    await house.studio.handle(house.submit("imagine", "a fox"))
    honest = await spent(house)
    forged = {"cost": "0", "price": "0", "relaxed": "1", "width": "8", "height": "8", "steps": "1", "count": "1", "credits": "1000", "lane": "relax"}
    await house.studio.handle(house.submit("imagine", "a fox", **forged))
    assert honest > 0 and await spent(house) == pytest.approx(2 * honest) and await spent(house, BOB) == 0


ARGUMENTS = ("1000000", "-1", "nan", "1e9", "inf", "0", "2;count=0", "x" * 40)


async def test_a_button_that_was_never_made_draws_nothing(sqlite_url: str, tmp_path: Path):
    async with open_house(sqlite_url, tmp_path) as house:
        card = await house.drawn("a fox --n 1")
        before = await house.balance()
        for verb in (Verb.UPSCALE, Verb.CREATIVE, Verb.ZOOM, Verb.PAN, Verb.VARY):
            for argument in ARGUMENTS:
                await house.studio.handle(house.press(f"w1:{verb}:{card.job_id}:0:{argument}"))
                assert await house.balance() == before, (verb, argument)
            await house.studio.handle(house.press(Action(verb=verb, job_id=card.job_id, index=99).encode()))
            assert await house.balance() == before, verb


async def test_forty_at_once_never_spend_what_is_not_there(sqlite_url: str, tmp_path: Path):
    """Every one of them sees a full wallet when it is read; the database decides."""
    poor = replace(LIMITS, cap=5.0, queued_per_actor=100, queued_total=200)
    async with open_house(sqlite_url, tmp_path, limits=poor, queue=False) as house:
        cards = await asyncio.gather(*(house.imagine("a fox") for _ in range(40)))
        assert sum(map(accepted, cards)) == 5
        assert await house.balance() == 0 and await reserved(house) == 5


async def test_one_delivery_told_twenty_times_at_once_is_paid_once(house: House):
    await asyncio.gather(*(house.imagine("a fox", delivery="the same") for _ in range(20)))
    assert await spent(house) == await reserved(house) == 1


async def test_one_member_fills_no_more_than_their_share_of_the_queue(sqlite_url: str, tmp_path: Path):
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        cards = [await house.imagine("a fox --n 1") for _ in range(10)]
        assert sum(map(accepted, cards)) == LIMITS.queued_per_actor
        assert accepted(await house.imagine("a fox --n 1", actor=BOB)), "others go on"


async def test_many_accounts_together_stop_at_what_may_wait_in_all(sqlite_url: str, tmp_path: Path):
    """Each has a fresh wallet; what bounds them is the whole, and nobody's refusal costs anything."""
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        alts = [Actor(platform="web", id=f"alt-{number}") for number in range(20)]
        cards = await asyncio.gather(*(house.imagine("a fox --n 1", actor=alt) for alt in alts))
        assert sum(map(accepted, cards)) == LIMITS.queued_total
        refused = [alt for alt, card in zip(alts, cards, strict=True) if not accepted(card)]
        assert [await spent(house, alt) for alt in refused] == [0.0] * len(refused)


async def test_many_accounts_of_one_server_stop_at_what_it_may_spend_and_other_servers_go_on(sqlite_url: str, tmp_path: Path):
    """Nothing waits for long, so the queue stops nobody: what bounds them is what a server's members, and then all, may spend together."""
    bounded = replace(LIMITS, queued_total=100, server_per_hour=4.0, total_per_hour=6.0)
    async with open_house(sqlite_url, tmp_path, limits=bounded, queue=False) as house:

        async def ask(number: int, server: str) -> Card:
            return await house.imagine("a fox", actor=Actor(platform="web", id=f"alt-{number}"), place=Place(platform="web", server=server, channel="art"))

        cards = [await ask(number, "one") for number in range(10)]
        assert sum(map(accepted, cards)) == 4 and "The members of this server have spent" in cards[-1].text
        others = [await ask(number, "two") for number in range(20, 30)]
        assert sum(map(accepted, others)) == 2 and "All members have spent" in others[-1].text
        assert await spent(house, Actor(platform="web", id="alt-9")) == await spent(house, Actor(platform="web", id="alt-29")) == 0


async def test_one_server_fills_no_more_than_its_share_of_the_queue(sqlite_url: str, tmp_path: Path):
    async with open_house(sqlite_url, tmp_path, limits=replace(LIMITS, queued_total=100, queued_per_server=3), queue=False) as house:
        places = [Place(platform="web", server=server, channel="art") for server in ("one", "two")]
        cards = [await house.imagine("a fox", actor=Actor(platform="web", id=f"alt-{n}"), place=places[0]) for n in range(5)]
        assert sum(map(accepted, cards)) == 3 and "This server has 3 waiting already" in cards[-1].text
        assert accepted(await house.imagine("a fox", place=places[1]))


def discord_account(age: timedelta) -> Actor:
    """As Discord numbers one that was made so long ago."""
    return Actor(platform="discord", id=str(int((datetime.now(UTC) - age - DISCORD_BEGAN).total_seconds() * 1000) << 22))


async def test_an_account_that_was_made_a_moment_ago_draws_nothing_where_that_is_set(sqlite_url: str, tmp_path: Path):
    async with open_house(sqlite_url, tmp_path, limits=replace(LIMITS, account_days=7), queue=False) as house:
        new, old = discord_account(timedelta(days=6, hours=23)), discord_account(timedelta(days=7, minutes=1))
        drawn = await house.imagine("a fox", actor=old)
        assert accepted(drawn)
        for event in (
            house.command("imagine", "a fox", actor=new),
            house.command("describe", drawn.job_id, actor=new),
            house.press(Action(verb=Verb.REROLL, job_id=drawn.job_id), actor=new),
            house.reaction("🔄", drawn.job_id, actor=new),
            house.submit(Action(verb=Verb.REMIX, job_id=drawn.job_id).encode(), "a hen", actor=new),
        ):
            greeted = house.studio.greet(event)
            assert greeted.visibility is Visibility.PRIVATE and greeted.card is not None
            assert greeted.card.text == (await house.studio.handle(event)).text
            assert "accounts that are at least 7 days old" in greeted.card.text
        assert await spent(house, new) == 0
        for name in ("help", "privacy", "info", "history"):
            assert not (await house.say(name, actor=new)).refusal, "what draws nothing is theirs as everybody's"


@pytest.mark.parametrize("member", [ADA, Actor(platform="slack", id="T1:U1"), Actor(platform="discord", id="ada"), Actor(platform="discord", id="9" * 30)])
async def test_where_nobody_knows_how_old_an_account_is_it_may_draw(sqlite_url: str, tmp_path: Path, member: Actor):
    async with open_house(sqlite_url, tmp_path, limits=replace(LIMITS, account_days=10_000), queue=False) as house:
        assert accepted(await house.imagine("a fox", actor=member))


async def test_a_cancelled_job_gives_back_what_it_cost_and_no_more(house: House):
    card = await house.imagine("a fox")
    assert await spent(house) > 0
    for _ in range(5):
        await house.studio.handle(house.press(Action(verb=Verb.CANCEL, job_id=card.job_id).encode()))
    assert await spent(house) == 0


async def test_nobody_spends_from_somebody_elses_wallet(house: House):
    card = await house.imagine("a fox")
    before = await spent(house)
    await house.studio.handle(house.press(Action(verb=Verb.REROLL, job_id=card.job_id).encode(), actor=BOB))
    await house.studio.handle(house.press(Action(verb=Verb.CANCEL, job_id=card.job_id).encode(), actor=BOB))
    assert await spent(house) == before
