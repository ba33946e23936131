"""Somebody who wants of a model what its licence forbids, in a place that allows everything: every road by which a model is chosen, moderators, and time."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from bot.domain import Action, Card, Job, Place, Status, Verb, Visibility
from bot.drawing import Drawing
from bot.gate import Gate, People, Policy, Sexual
from bot.gate.output import OutputGate
from bot.licences import Licences
from bot.workshop import Workshop
from engine.fake import FAKE_MODEL, FakeEngine
from tests.unit.house import ADA, ENGLISH, House, open_house
from tests.unit.moderated import PICTURES, Moderated, moderated

#: What a place may allow at the most.
OPEN = Policy(sexual=Sexual.ALLOW, people=People.ALLOW, edits=True, artists=False)
#: On the shelf a model that may draw everything comes first, then one whose licence forbids some of it.
BOUND = replace(FAKE_MODEL, model="bound", title="Bound", licence="Some licence", refuses=frozenset({"sexual", "degrading"}))
GRACE = replace(ADA, id="grace", name="Grace", admin=True)
SERVER = Place(platform="web", server="s", channel="art")
WANTED = "a naked woman"
TOLD = ENGLISH.say("refused.gate_licence_sexual_other", model="Bound", other="fake")
ALONE = ENGLISH.say("refused.gate_licence_sexual", model="Bound")
PEOPLE = ENGLISH.say("refused.gate_licence_people_other", model="Bound", other="fake")
GONE = ENGLISH.say("error.gate_picture_licence", model="Bound")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(f"sqlite:///{tmp_path / 'bot.db'}", tmp_path, FakeEngine((FAKE_MODEL, BOUND))) as opened:
        opened.studio.policy = OPEN
        yield opened


async def refused(house: House, card: Card, sentence: str = TOLD, *, spent: float = 0.0) -> None:
    """To this member alone, for nothing, and with no button that sends it anywhere."""
    assert card.text.startswith(sentence), card
    assert card.visibility is Visibility.PRIVATE and not card.job_id and not [each for row in card.rows for each in row if each.action.verb is Verb.CONTEST]
    assert await house.balance() == 60 - spent
    assert (await house.store.load()).queued == 0


def form(verb: Verb, card: Card) -> str:
    return Action(verb=verb, job_id=card.job_id, index=0).encode()


def photograph(red: int = 90) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (red, 90, 90)).save(out, "PNG")
    return out.getvalue()


# ------------------------------------------------------------------------------------------------ roads to a model

Road = Callable[[House], Awaitable[Card]]


async def by_flag(house: House) -> Card:
    return await house.imagine(f"{WANTED} --model bound")


async def by_preference(house: House) -> Card:
    await house.say("prefer", "flags=--model bound")
    return await house.imagine(WANTED)


async def by_servers_default(house: House) -> Card:
    await house.say("settings", "model=bound", place=SERVER, actor=GRACE)
    await house.say("settings", "adult=<#art>", place=SERVER, actor=GRACE)
    assert (await house.imagine(f"{WANTED} --model fake --n 1", place=SERVER, actor=GRACE)).job_id, "the channel allows it"
    return await house.imagine(WANTED, place=replace(SERVER, age_restricted=True))


async def by_style(house: House) -> Card:
    await house.say("styles", "save bare naked woman --model bound")
    return await house.imagine("a portrait --style bare")


async def by_set(house: House) -> Card:
    return await house.imagine("a {clothed, naked} woman --model bound --n 1")


async def by_many(house: House) -> Card:
    return await house.imagine("a {red, green, blue, white, black, grey, naked} woman --model bound --n 1")


async def by_morph(house: House) -> Card:
    return await house.say("morph", f"a fox | {WANTED} --model bound")


async def by_long_words(house: House) -> Card:
    return await house.imagine("a fox in the snow, " * 200 + f"{WANTED} --model bound")


@pytest.mark.parametrize("road", [by_flag, by_preference, by_style, by_set, by_many, by_morph, by_long_words])
async def test_on_every_road_to_a_model_its_licence_holds_whatever_the_place_allows(house: House, road: Road) -> None:
    await refused(house, await road(house))
    assert (await house.imagine(f"{WANTED} --model fake --n 1")).job_id, "that one may"


async def test_a_channel_that_allows_it_and_a_servers_default_model_change_nothing(house: House) -> None:
    card = await by_servers_default(house)
    assert card.text.startswith(TOLD) and not card.job_id and await house.balance() == 60


async def test_the_operators_default_model_is_bound_as_well(tmp_path: Path) -> None:
    async with open_house(f"sqlite:///{tmp_path / 'bot.db'}", tmp_path, FakeEngine((BOUND,))) as house:
        house.studio.policy = OPEN
        await refused(house, await house.imagine(WANTED), ALONE)
        house.studio.policy = replace(OPEN, sexual=Sexual.HIDE)
        await refused(house, await house.imagine(WANTED), ALONE)


async def test_it_is_told_already_when_it_is_acknowledged_and_to_its_author_alone(house: House) -> None:
    ack = house.studio.greet(house.command("imagine", f"{WANTED} --model bound"))
    assert ack.visibility is Visibility.PRIVATE and ack.card is not None and ack.card.text.startswith(TOLD)


async def test_another_model_is_named_only_where_that_may_draw_it(house: House) -> None:
    house.studio.policy = replace(OPEN, sexual=Sexual.REFUSE)
    await refused(house, await by_flag(house), ALONE)


async def test_a_remix_with_another_model_and_the_forms_of_a_bound_picture(house: House) -> None:
    free, bound = await house.drawn("a woman --n 1"), await house.drawn("a woman --n 1 --model bound")
    spent = 60 - await house.balance()
    for verb, card, words in (
        (Verb.REMIX, free, f"{WANTED} --model bound"),
        (Verb.REMIX, bound, WANTED),
        (Verb.VARY, bound, WANTED),
        (Verb.ZOOM, bound, WANTED),
    ):
        answer = await house.studio.handle(house.submit(form(verb, card), words, factor="2"))
        await refused(house, answer, spent=spent)


async def test_real_people_and_photographs(house: House) -> None:
    await refused(house, await house.imagine("angela merkel on a leash --model bound"), PEOPLE)
    await refused(house, await house.imagine("in lingerie --model bound", uploads=(photograph(),)))
    assert (await house.imagine("angela merkel on a leash --n 1")).job_id and (await house.imagine("angela merkel as a knight --n 1 --model bound")).job_id


async def test_minors_are_told_as_ever(house: House) -> None:
    card = await house.imagine("nude girl, 9 years old --model bound")
    assert card.text.startswith(ENGLISH.say("refused.gate_minors"))


async def test_buttons_of_a_picture_from_before_the_card_said_so(tmp_path: Path) -> None:
    engine = FakeEngine((FAKE_MODEL, replace(BOUND, refuses=frozenset())))
    async with open_house(f"sqlite:///{tmp_path / 'bot.db'}", tmp_path, engine) as house:
        house.studio.policy = OPEN
        card = await house.drawn(f"{WANTED} --n 1 --model bound")
        spent = 60 - await house.balance()
        engine._models = (FAKE_MODEL, BOUND)
        for verb, argument in ((Verb.REROLL, None), (Verb.VARY, "subtle"), (Verb.ZOOM, None), (Verb.PAN, "l"), (Verb.UPSCALE, None), (Verb.CREATIVE, None)):
            await refused(house, await house.push(card, verb, argument=argument), spent=spent)


# ------------------------------------------------------------------------------------------------ moderators, and time


async def test_moderators_cannot_allow_it(tmp_path: Path) -> None:
    async with moderated(f"sqlite:///{tmp_path / 'bot.db'}", tmp_path) as day:
        day.house.engine._models = (FAKE_MODEL, BOUND)
        await day.admin("moderators here", place=replace(PICTURES, channel="mods"))
        assert (await allowed(day)).job_id, "with the model that may"
        await day.say("prefer", "flags=--model bound --n 1")
        card = await day.say("imagine", WANTED)
        assert card.text.startswith((TOLD, ALONE)) and not card.job_id
        assert not [each for row in card.rows for each in row if each.action.verb is Verb.CONTEST]


async def allowed(day: Moderated) -> Card:
    """The words, once moderators have allowed them to this member."""
    await day.say("prefer", "flags=--n 1")
    card = await day.say("imagine", WANTED)
    (contest,) = [each.action for row in card.rows for each in row if each.action.verb is Verb.CONTEST]
    await day.press(contest, actor=ADA, place=PICTURES)
    (case,) = await day.book.waiting(PICTURES.owner)
    await day.decide(case, "approve")
    return await day.say("imagine", WANTED)


class Eyes:
    """Sees the same in every picture."""

    number = 0.1

    def __call__(self, picture: Image.Image) -> float:
        return self.number


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[tuple[House, Eyes]]:
    """A house whose pictures are looked at, one job at a time."""
    eyes = Eyes()
    async with open_house(f"sqlite:///{tmp_path / 'bot.db'}", tmp_path, FakeEngine((FAKE_MODEL, BOUND)), queue=False) as house:
        gate = OutputGate(Gate.load(), load=lambda: eyes)
        await gate.start()
        house.studio.policy = OPEN

        async def policy(job: Job) -> Policy:
            return OPEN

        house.workshop = Workshop(house.store, house.blobs, house.engine, house.board, worker="here", output=gate, policy=policy)
        yield house, eyes
        gate.close()


async def drawn(house: House, text: str, before: Callable[[], None] = lambda: None) -> Job:
    """`before`: what happens while it waits."""
    card = await house.imagine(text)
    assert card.job_id, card
    before()
    job = await house.store.claim("here", timedelta(seconds=60))
    assert job is not None
    await house.workshop.draw(job)
    return (await house.store.shown(job.id)).job


async def test_harmless_words_whose_picture_is_not(watched: tuple[House, Eyes]) -> None:
    house, eyes = watched
    eyes.number = 0.95
    assert (await drawn(house, "a fox --n 1 --model fake")).status is Status.DONE, "the place allows it"
    before = await house.balance()
    job = await drawn(house, "a fox --n 1 --model bound")
    assert job.status is Status.FAILED and job.error is not None and ENGLISH.tell(job.error) == GONE
    assert await house.balance() == before
    eyes.number = 0.5
    doubtful = await drawn(house, "an owl --n 1 --model bound")
    assert doubtful.status is Status.DONE and doubtful.hidden


async def test_words_that_waited_while_the_card_came_to_say_so(watched: tuple[House, Eyes]) -> None:
    house, _ = watched
    engine = house.engine
    engine._models = (FAKE_MODEL, replace(BOUND, refuses=frozenset()))

    def changed() -> None:
        engine._models = (FAKE_MODEL, BOUND)

    before = await house.balance()
    job = await drawn(house, "angela merkel on a leash --n 1 --model bound", changed)
    assert job.status is Status.FAILED and job.error is not None and ENGLISH.tell(job.error) == GONE
    assert await house.balance() == before and not [each for each in engine.seen if each.model == "bound"], "it was not even begun"


# ------------------------------------------------------------------------------------------------ earning money with it


async def test_a_model_that_may_not_earn_money_is_not_had_by_any_name(house: House) -> None:
    house.engine._models = (FAKE_MODEL,)
    studio: Drawing = house.studio
    studio.licences = Licences(studio.gate, house.store, studio.models, {"Loan"})
    sentence = ENGLISH.say("refused.model_forbidden", model="loan", available=("fake",))
    await refused(house, await house.imagine("a fox --model loan"), sentence)
    await refused(house, await house.say("morph", "a fox | an owl --model loan"), sentence)
    await refused(house, await house.say("settings", "model=loan", place=SERVER, actor=GRACE), sentence)
    await house.studio.wishes.change(SERVER.owner, {"model": "loan"})
    await house.studio.wishes.change(ADA.key, {"flags": "--model loan"})
    card = await house.imagine("a fox --n 1", place=SERVER)
    assert (await house.shown(card)).job.request.model == "fake", "what was chosen before falls to one that is offered"
