"""How a press is acknowledged, and that a double click is one wish."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.domain import Action, Card, Event, Status, Verb, Visibility
from bot.presses import DRAWS, IN_PLACE, QUIET
from bot.studio import WordUpStudio
from tests.unit.house import BOB, House, button
from tests.unit.test_studio_chats import Clock, count, say, studio_of

# ------------------------------------------------------------------------------------------------ double clicks


async def push(studio: WordUpStudio, event: Event) -> Card:
    """As an adapter does it: greeted, and handled unless that was the answer."""
    ack = studio.greet(event)  # type: ignore[arg-type]
    return ack.card or await studio.handle(event)  # type: ignore[arg-type]


@pytest.fixture
async def clicks(house: House) -> AsyncIterator[tuple[House, WordUpStudio, Clock, Card]]:
    clock = Clock()
    grid = await house.drawn("a fox")
    async with studio_of(house, clock) as studio:
        yield house, studio, clock, grid


Clicks = tuple[House, WordUpStudio, Clock, Card]


async def test_a_double_click_is_one_job(clicks: Clicks):
    house, studio, clock, grid = clicks
    vary = button(grid, Verb.VARY, 0).action
    assert (await push(studio, house.press(vary))).job_id
    clock.go_on(0.2)
    again = await push(studio, house.press(vary))
    assert (again.text, again.visibility) == (say("refused.pressed_twice"), Visibility.PRIVATE)
    assert await count(house) == 2


async def test_the_same_delivery_again_is_the_same_click(clicks: Clicks):
    house, studio, _, grid = clicks
    press = house.press(button(grid, Verb.VARY, 0).action)
    first, second = await push(studio, press), await push(studio, press)
    assert first.job_id == second.job_id != "", "told twice by the platform, it is answered twice and drawn once"
    assert await count(house) == 2


async def test_after_a_second_the_same_button_is_another_wish(clicks: Clicks):
    house, studio, clock, grid = clicks
    vary = button(grid, Verb.VARY, 0).action
    await push(studio, house.press(vary))
    clock.go_on(0.99)
    assert not (await push(studio, house.press(vary))).job_id
    clock.go_on(0.01)  # a second after the first: the refused one does not count
    assert (await push(studio, house.press(vary))).job_id
    assert await count(house) == 3


async def test_another_member_and_another_button_are_other_wishes(clicks: Clicks):
    house, studio, _, grid = clicks
    first, other = button(grid, Verb.VARY, 0).action, button(grid, Verb.VARY, 1).action
    made = {(await push(studio, event)).job_id for event in (house.press(first), house.press(first, actor=BOB), house.press(other))}
    assert len(made) == 3 and "" not in made


async def test_a_reaction_is_no_click(clicks: Clicks):
    house, studio, _, grid = clicks
    made = {(await push(studio, event)).job_id for event in (house.press(button(grid, Verb.REROLL).action), house.reaction("🔄", grid.job_id))}
    assert len(made) == 2 and "" not in made


#: What some verbs need to be told.
ARGUMENTS = {Verb.UPSCALE: "2", Verb.CREATIVE: "2", Verb.ZOOM: "2", Verb.PAN: "l", Verb.CHOOSE: "lane=relax", Verb.ASK: "flags", Verb.DECIDE: "approve"}
#: Answered with a form at once (a part of a picture: where there is no page to paint on).
ASK = (Verb.REMIX, Verb.ASK, Verb.REGION, Verb.REPORT)


@pytest.mark.parametrize("verb", sorted(Verb))
async def test_only_buttons_that_draw_are_watched(clicks: Clicks, verb: Verb):
    house, studio, _, grid = clicks
    action = Action(verb=verb, job_id=grid.job_id, index=0, argument=ARGUMENTS.get(verb, ""))
    first, second = (studio.greet(house.press(action)) for _ in range(2))
    assert first.card is None
    assert (second.card is not None) == (verb in DRAWS)


# ------------------------------------------------------------------------------------------------ how a press is acknowledged


@pytest.mark.parametrize("verb", ASK)
async def test_a_button_that_asks_is_answered_with_its_form_at_once(still: House, verb: Verb):
    ack = still.studio.greet(still.press(Action(verb=verb, job_id="0" * 26, index=0, argument=ARGUMENTS.get(verb, ""))))
    assert ack.form is not None and ack.visibility is Visibility.PRIVATE


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb not in ASK])
@pytest.mark.parametrize("private", [False, True])
async def test_a_button_says_beforehand_who_sees_the_answer_and_whether_its_card_changes(still: House, verb: Verb, private: bool):
    argument = ARGUMENTS.get(verb, "") + ("p" if private and verb not in (Verb.CHOOSE, Verb.DECIDE) else "")
    ack = still.studio.greet(still.press(Action(verb=verb, job_id="0" * 26, index=0, argument=argument)))
    assert (ack.form, ack.card) == (None, None)
    assert ack.in_place is (verb in (Verb.CANCEL, Verb.DELETE, Verb.FAVOURITE, Verb.CHOOSE, Verb.DISMISS))
    assert ack.visibility is (Visibility.PRIVATE if private or verb in QUIET else Visibility.PUBLIC)


@pytest.mark.parametrize(("emoji", "in_place"), [("1️⃣", False), ("🔄", False), ("✉️", False), ("❌", True), ("⭐", True)])
async def test_so_does_a_reaction(still: House, emoji: str, in_place: bool):
    assert still.studio.greet(still.reaction(emoji, "0" * 26)).in_place is in_place


async def test_nothing_else_happens_in_place(still: House):
    for event in (still.command("imagine", "a fox"), still.command("show"), still.command("help"), still.submit("imagine", "a fox")):
        assert not still.studio.greet(event).in_place
    assert IN_PLACE <= QUIET, "a refusal of these is for the presser alone"


async def test_what_changes_in_place_comes_back_as_the_card_of_its_job(house: House):
    grid = await house.drawn("a fox")
    starred = await house.push(grid, Verb.FAVOURITE)
    assert (starred.job_id, starred.status) == (grid.job_id, Status.DONE) and button(starred, Verb.FAVOURITE).pressed
    refused = await house.push(grid, Verb.FAVOURITE, actor=BOB)
    assert (refused.job_id, refused.visibility) == ("", Visibility.PRIVATE), "no job: the card that was pressed stays as it is"
    deleted = await house.push(grid, Verb.DELETE)
    assert (deleted.job_id, deleted.status) == (grid.job_id, None), "the job of the message that may go"
