"""What a picture was made by and what it took, and the way through its family: the studio's use cases with a real store and queue."""

from __future__ import annotations

import pytest

from bot.domain import Action, Verb, Visibility
from engine.api import Capabilities, ModelMissing
from tests.contract.stores import sqlite_url  # noqa: F401  (a fixture)
from tests.unit.house import BOB, ENGLISH, House, button


async def test_params_tell_of_the_model_and_what_it_took(house: House):
    grid = await house.drawn("a fox --seed 7")
    found = dict((await house.push(grid, Verb.PARAMS)).details)
    assert (found["Model"], found["Licence"], found["Credits"]) == ("Fake (fake)", "MIT", "1")
    assert found["Energy"].endswith("an estimate at 100 W")


async def test_params_of_a_model_that_left_the_shelf_still_come(house: House, monkeypatch: pytest.MonkeyPatch):
    grid = await house.drawn("a fox --seed 7")

    def gone(model: str) -> Capabilities:
        raise ModelMissing(model)

    monkeypatch.setattr(house.engine, "capabilities", gone)
    found = dict((await house.push(grid, Verb.PARAMS)).details)
    assert found["Model"] == "fake" and "Licence" not in found and found["Seed"] == "7"


async def test_show_walks_down_the_family_and_up_again(house: House):
    grid = await house.drawn("a fox")
    first = await house.end(await house.push(grid, Verb.VARY, 1, actor=BOB), BOB)
    second = await house.end(await house.push(grid, Verb.PICK, 0))
    shown = await house.say("show", grid.job_id)
    listed = await house.push(shown, Verb.CHILDREN, actor=BOB)
    assert listed.visibility is Visibility.PRIVATE
    assert [line.split(":")[0] for line in listed.text.splitlines()] == ["1. V2", "2. U1"]
    down = [await house.studio.handle(house.press(each.action, actor=BOB)) for each in listed.rows[0]]
    assert [card.job_id for card in down] == [first.job_id, second.job_id]
    assert (await house.push(down[0], Verb.SHOW)).job_id == grid.job_id
    assert (await house.studio.handle(house.press(listed.rows[-1][0].action))).job_id == grid.job_id


async def test_nobody_is_told_of_somebody_elses_private_children(house: House):
    grid = await house.drawn("a fox")
    child = await house.studio.handle(house.submit(button(grid, Verb.REMIX).action.encode(), "a wolf --private", actor=BOB))
    await house.end(child, BOB)
    card = await house.say("show", grid.job_id)
    assert all(each.action.verb is not Verb.CHILDREN for row in card.rows for each in row)
    listed = await house.studio.handle(house.press(Action(verb=Verb.CHILDREN, job_id=grid.job_id)))
    assert listed.text == ENGLISH.say("family.none")
