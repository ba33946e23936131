"""Where cards stand, and what a reaction there means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain import GRID, Action, Card, Event, Origin, Place, Receipt, ReplyTo, Verb
from tests.unit.house import BOB, House, button

# ------------------------------------------------------------------------------------------------ cards that move about


def at(handle: str, channel: str = "pictures") -> Receipt:
    return Receipt(platform="web", channel=channel, handle=handle)


def elsewhere(event: Event) -> Event:
    """The same, asked for in another room."""
    reply_to = ReplyTo(platform="web", channel="elsewhere", token="t", user=event.actor.id, delivery=event.delivery_id)
    return replace(event, place=Place(platform="web", channel="elsewhere"), reply_to=reply_to)


async def placed(house: House, event: Event, handle: str) -> Card:
    """Handled and posted, as an adapter does it."""
    card = await house.studio.handle(event)  # type: ignore[arg-type]
    await house.studio.placed(event, card, at(handle))  # type: ignore[arg-type]
    return card


async def test_a_posted_job_is_found_by_its_message(still: House):
    command = still.command("imagine", "a fox")
    card = await placed(still, command, "m")
    assert await still.studio.job_at(at("m")) == card.job_id
    assert await still.studio.job_at(at("m", "other")) is None
    assert await still.store.reply_to(card.job_id) == (command.reply_to, at("m"))


@pytest.mark.parametrize("by_button", [False, True])
async def test_the_owners_running_job_goes_where_they_look_at_it(still: House, by_button: bool):
    card = await placed(still, still.command("imagine", "a fox"), "first")
    look = still.press(Action(verb=Verb.SHOW, job_id=card.job_id)) if by_button else still.command("show", card.job_id)
    event = elsewhere(look)
    await placed(still, event, "second")
    assert await still.store.reply_to(card.job_id) == (event.reply_to, at("second"))
    assert [await still.studio.job_at(at(name)) for name in ("first", "second")] == [card.job_id] * 2
    await still.store.cancel(card.job_id)
    [notice] = await still.store.notices(["web"])
    assert (notice.receipt, notice.reply_to) == (at("second"), event.reply_to), "its end will be shown there"


async def test_a_strangers_look_moves_nothing_but_means_the_job(still: House):
    card = await placed(still, still.command("imagine", "a fox"), "first")
    before = await still.store.reply_to(card.job_id)
    await placed(still, elsewhere(still.command("show", card.job_id, actor=BOB)), "theirs")
    assert await still.store.reply_to(card.job_id) == before
    assert await still.studio.job_at(at("theirs")) == card.job_id


async def test_an_ended_job_does_not_move_but_means_the_job(house: House):
    command = house.command("imagine", "a fox")
    grid = await placed(house, command, "first")
    await house.end(grid)
    before = await house.store.reply_to(grid.job_id)
    await placed(house, elsewhere(house.command("show", grid.job_id)), "later")
    assert await house.store.reply_to(grid.job_id) == before
    found = await house.studio.job_at(at("later"))
    assert found == grid.job_id
    again = await house.studio.handle(house.reaction("🔄", found, actor=BOB))
    assert (await house.shown(again)).job.parent == Origin(job_id=grid.job_id, verb=Verb.REROLL.value, index=GRID)


async def test_a_child_stands_where_it_was_posted_and_its_parent_stays(house: House):
    grid = await placed(house, house.command("imagine", "a fox"), "parent")
    grid = await house.end(grid)
    child = await placed(house, house.press(button(grid, Verb.REROLL).action, actor=BOB), "child")
    assert [await house.studio.job_at(at(name)) for name in ("parent", "child")] == [grid.job_id, child.job_id]
    assert (await house.store.reply_to(child.job_id))[1] == at("child")
    assert (await house.store.reply_to(grid.job_id))[1] == at("parent")


async def test_a_deleted_job_is_forgotten_wherever_it_stood(house: House):
    grid = await placed(house, house.command("imagine", "a fox"), "first")
    await house.end(grid)
    await placed(house, house.command("show", grid.job_id, actor=BOB), "second")
    deleted = await placed(house, house.press(Action(verb=Verb.DELETE, job_id=grid.job_id)), "first")
    assert deleted.job_id == grid.job_id
    assert [await house.studio.job_at(at(name)) for name in ("first", "second")] == [None, None]
    await house.studio.placed(house.command("show"), grid, at("late"))  # posted just before it was deleted
    assert await house.studio.job_at(at("late")) is None


async def test_cards_that_stand_for_no_job_are_not_remembered(house: House):
    grid = await house.drawn("a fox")
    events: list[Event] = [
        house.command("help"),
        house.command("queue"),
        house.command("history"),
        house.command("show", "0" * 26),
        house.command("upscale", grid.job_id),
        house.press(Action(verb=Verb.PARAMS, job_id=grid.job_id)),
    ]
    for number, event in enumerate(events):
        await placed(house, event, f"note {number}")
        assert await house.studio.job_at(at(f"note {number}")) is None, event
