"""`wordup soak`: what it takes for lost and doubled, and a very short one of the whole program without faults."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot import soak
from bot.cli import app
from bot.crowd import actions, is_waiting, job_of
from bot.domain import Action, Job, Said, Verb
from bot.soak import Found
from bot.store.sql import SqlStore
from tests.contract.jobs import ALICE, job, pictures, submit
from tests.fakes.discord import DiscordWire, Message
from tests.fakes.slack import SlackWire

RUN = "abc123"
LONG = timedelta(hours=1)


class Wall:
    """Discord with what the bot wrote there, and nobody behind it."""

    def __init__(self) -> None:
        self.wires = (DiscordWire(), SlackWire())

    def card(self, of: str, *verbs: Verb, drawn: bool = False) -> Message:
        wire = self.wires[0]
        buttons = [{"type": 2, "style": 2, "id": 1, "label": verb.name, "custom_id": Action(verb=verb, job_id=of).encode()} for verb in verbs]
        files = [wire.store("grid.png", b"\x89PNG", "image/png", wire.art)] if drawn else []
        row = {"type": 1, "components": buttons}
        message = Message(wire=wire, id=wire.snowflake(), channel=wire.art, author=wire.bot, components=[row], attachments=files)
        wire.keep(message)
        return message


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    opened = SqlStore(f"sqlite:///{tmp_path / 'soak.db'}")
    await opened.start()
    yield opened
    await opened.aclose()


async def drawn(store: SqlStore, words: str = f"a fox no {RUN}1") -> Job:
    made = (await submit(store, job(words=words))).jobs[0]
    assert await store.claim("w", LONG)
    assert await store.finish("w", made.id, pictures(made.id, made.id), 0.5)
    return made


async def found_on(store: SqlStore, wall: Wall) -> Found:
    found = Found()
    await soak.audit(store, found, [ALICE.key], RUN, wall.wires)
    return found


async def test_a_job_whose_pictures_stand_once_is_kept(store: SqlStore, wall: Wall) -> None:
    wall.card((await drawn(store)).id, Verb.REROLL, drawn=True)

    found = await found_on(store, wall)

    assert (found.accepted, found.shown, found.refunded, found.lost, found.doubled, found.wallet_exact) == (1, 1, 0, 0, 0, True)
    assert found.kept


async def test_a_failure_that_is_told_is_refunded_and_not_lost(store: SqlStore, wall: Wall) -> None:
    made = (await submit(store, job(words=f"a fox no {RUN}1"))).jobs[0]
    await store.fail(None, made.id, Said(message="error.fault"))
    wall.card(made.id, Verb.REROLL)

    found = await found_on(store, wall)

    assert (found.shown, found.refunded, found.lost) == (1, 1, 0)


async def test_what_is_drawn_and_stands_nowhere_is_lost(store: SqlStore, wall: Wall) -> None:
    await drawn(store)

    assert (await found_on(store, wall)).lost == 1


async def test_what_is_drawn_and_stands_without_its_pictures_is_lost(store: SqlStore, wall: Wall) -> None:
    wall.card((await drawn(store)).id, Verb.REROLL)

    assert (await found_on(store, wall)).lost == 1


async def test_a_card_that_still_promises_is_lost(store: SqlStore, wall: Wall) -> None:
    wall.card((await drawn(store)).id, Verb.CANCEL, drawn=True)

    assert (await found_on(store, wall)).lost == 1


async def test_a_job_that_never_ended_is_lost(store: SqlStore, wall: Wall) -> None:
    made = (await submit(store, job(words=f"a fox no {RUN}1"))).jobs[0]
    wall.card(made.id, Verb.REROLL, drawn=True)

    assert (await found_on(store, wall)).lost == 1


async def test_what_was_promised_and_never_written_down_is_lost(store: SqlStore, wall: Wall) -> None:
    wall.card("0" * 26, Verb.CANCEL)

    found = await found_on(store, wall)

    assert (found.accepted, found.lost) == (0, 1)


async def test_two_cards_of_one_job_are_one_too_many(store: SqlStore, wall: Wall) -> None:
    made = await drawn(store)
    for _ in range(2):
        wall.card(made.id, Verb.REROLL, drawn=True)

    assert (await found_on(store, wall)).doubled == 1


async def test_two_jobs_of_one_wish_are_one_too_many(store: SqlStore, wall: Wall) -> None:
    for _ in range(2):
        wall.card((await drawn(store)).id, Verb.REROLL, drawn=True)

    assert (await found_on(store, wall)).doubled == 1


async def test_jobs_of_another_run_in_the_same_database_are_not_counted(store: SqlStore, wall: Wall) -> None:
    await drawn(store, "a fox of somebody else's")

    assert (await found_on(store, wall)).accepted == 0


def test_a_card_is_its_own_jobs_though_a_button_leads_to_the_parent(wall: Wall) -> None:
    card = wall.card("1" * 26, Verb.REROLL)
    card.components.insert(0, {"type": 1, "components": [{"type": 2, "custom_id": Action(verb=Verb.SHOW, job_id="0" * 26).encode()}]})

    assert job_of(card) == "1" * 26
    assert not is_waiting(card)
    assert actions(card)[Verb.REROLL][1] == Action(verb=Verb.REROLL, job_id="1" * 26).encode()


# ------------------------------------------------------------------------------------------------ figures


def test_growth_is_from_the_second_to_the_last_quarter() -> None:
    assert soak.growth([10, 50, 100, 100, 100, 100, 103, 105]) == 4
    assert soak.growth([10, 50, 100]) is None


def test_lag_is_interpolated_inside_its_bucket() -> None:
    assert soak.lag_p99({0.001: 0, 0.01: 98, 0.02: 100, float("inf"): 100}) == pytest.approx(0.015)
    assert soak.lag_p99({}) is None


def test_the_figures_are_plain_and_leave_out_what_was_not_measured() -> None:
    found = Found(accepted=2, shown=2, lag_p99=0.01234567)
    found.times.acknowledged = [0.3, 0.1, 0.2]

    figures = found.figures()

    assert (figures["accepted"], figures["acknowledged_p50_s"], figures["acknowledged_p99_s"], figures["loop_lag_p99_s"]) == (2, 0.2, 0.3, 0.0123)
    assert "completed_p50_s" not in figures and "memory_mib" not in figures


# ------------------------------------------------------------------------------------------------ the command


def test_without_a_source_tree_it_says_so_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(soak, "ROOT", tmp_path)

    answer = CliRunner().invoke(app, ["soak"])

    assert answer.exit_code == 2
    assert "source tree" in answer.output and len(answer.output.strip().splitlines()) == 1


async def test_a_short_soak_keeps_every_promise() -> None:
    found = await soak.soak(minutes=0.4, members=4, seed=1, faults=False)

    assert found.accepted >= 1
    assert found.shown == found.accepted
    assert (found.lost, found.doubled, found.wallet_exact, found.violations) == (0, 0, True, 0)


@pytest.mark.full
async def test_two_bad_minutes_keep_every_promise_too() -> None:
    found = await soak.soak(minutes=2, members=8, seed=3)

    assert found.faults + found.kills > 5
    assert found.accepted > 10
    assert (found.lost, found.doubled, found.wallet_exact) == (0, 0, True)
