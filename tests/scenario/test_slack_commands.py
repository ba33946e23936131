"""Every command, shortcut and setting on Slack's wire, with the whole house behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.chat.slack import blocks
from bot.messages import Catalogue
from bot.usecases import COMMANDS
from tests.fakes.slack import View
from tests.fakes.studio import paint
from tests.scenario.slack_scene import scene
from tests.unit.house import ENGLISH


def test_every_command_there_is_can_be_typed() -> None:
    assert set(COMMANDS) == {*blocks.SUBCOMMANDS, "imagine"}


async def test_every_command_called_bare_is_answered_in_sight_of_who_called_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        wire = s.wire
        await s.drawn()
        told: dict[str, str] = {}
        for name in blocks.SUBCOMMANDS:
            answer = await wire.command(wire.ada, wire.art, "/wordup", name)
            assert answer.acknowledged
            await wire.until(lambda a=answer: a.opened or a.ephemerals or a.posted(), 60, lambda n=name: f"/wordup {n} was not answered")  # type: ignore[misc]
            told[name] = "form" if answer.opened else "alone" if answer.ephemerals else "all"
        assert {name for name, how in told.items() if how == "all"} == {"show"}
        assert {"blend", "shorten", "morph"} <= {name for name, how in told.items() if how == "form"}


async def test_a_form_of_two_pictures_draws_from_both(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        view = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "blend")).modal()
        first, second = (("a.png", paint(1), "image/png"), ("b.png", paint(2), "image/png"))
        answer = await s.wire.submit(s.wire.ada, view, image=[first], image2=[second], words="--n 1")
        assert not answer.errors
        await s.wire.until(lambda: s.wire.messages(s.wire.art))
        message = await s.ended(s.wire.messages(s.wire.art)[0])
        request = (await s.house.store.shown(s.job(message))).job.request
        assert len(request.pictures) == 2


async def test_what_is_chosen_in_the_home_tab_holds(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        wire = s.wire
        await wire.open_home(wire.ada)
        await wire.until(lambda: wire.homes.get(wire.ada.id))
        home: View = wire.homes[wire.ada.id]
        on, off = ENGLISH.say("prefer.remix_on"), ENGLISH.say("prefer.remix_off")
        await wire.press(wire.ada, home, on)
        await home.until(lambda view: off in view.labels)
        assert wire.dms(wire.ada) == []
        message = await s.drawn()
        assert await (await wire.press(wire.ada, message, ENGLISH.say("button.reroll"))).modal()  # remix mode: the form comes first


async def test_only_who_runs_the_workspace_changes_its_settings(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        wire = s.wire
        ours = await (await wire.command(wire.ada, wire.art, "/wordup", "settings")).ephemeral()
        theirs = await (await wire.command(wire.bob, wire.art, "/wordup", "settings")).ephemeral()
        assert ENGLISH.say("settings.title") in ours.plain
        assert ENGLISH.say("refused.admins_only") in theirs.plain


async def test_a_member_is_answered_in_their_own_language(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.wire.users[s.wire.bob.id] = bob = replace(s.wire.bob, locale="es-ES")
        said = await (await s.wire.command(bob, s.wire.art, "/wordup", "settings")).ephemeral()
        assert Catalogue.load("es").say("refused.admins_only") in said.plain


async def test_a_set_has_a_card_and_every_picture_its_own(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a {red, blue} fox --n 1")

        def jobs() -> set[str]:
            named = (message.metadata.get("event_payload", {}) for message in s.wire.messages(s.wire.art) if message.pictures)
            return {str(each["job_id"]) for each in named if "job_id" in each}

        await s.wire.until(lambda: len(jobs()) == 2)
        assert len(s.wire.messages(s.wire.art)) == 3
