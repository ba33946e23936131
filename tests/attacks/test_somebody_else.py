"""Somebody else asks for a member's private picture by every road there is: each command, button, reaction, form and query.

The routes of the page are in `test_somebody_at_the_page`. Roads are read from the program itself (commands, verbs, reactions, ports), so that a new one
cannot be forgotten: what the tests do not know how to walk makes them fail. And the owner walks the same roads, so that they lead somewhere.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot import ports
from bot.domain import Action, Actor, Card, Command, Inbound, Place, Press, Reaction, Receipt, ReplyTo, Upload, Verb
from bot.errors import NotFound
from tests.attacks.somebody import EVE, OWNER, PART, WORDS, Scene, a_scene, common, events
from tests.unit.moderated import CHIEF, ELSEWHERE, MODS, PICTURES


@pytest.fixture
async def scene(sqlite_url: str, memory: Path) -> AsyncIterator[Scene]:
    async with a_scene(sqlite_url, memory) as scene:
        yield scene


@pytest.mark.parametrize("painter", [False, True], ids=["forms", "painter"])
async def test_no_command_button_reaction_or_form_tells_somebody_else_of_a_private_picture(scene: Scene, painter: bool) -> None:
    studio, tried = scene.house.studio, 0
    studio.painter = (lambda actor, job, index: f"https://art.example/region/{job}/{index}") if painter else None
    for job in scene.ids:
        for what, make in events(scene, EVE, job):
            event = make()
            ack = studio.greet(event)
            assert not scene.told(ack, what) and not (ack.card and scene.told(ack.card, what)), what
            if ack.form is None and ack.card is None:
                answer = await studio.handle(event)
                assert not scene.told(answer, what), what
                assert answer.job_id not in scene.ids, what
            tried += 1
    assert tried > 1000
    assert await scene.is_untouched()
    assert await scene.day.book.waiting(PICTURES.owner) == (), "what nobody else can see nobody else reports"


async def test_its_owner_is_told_by_the_same_commands_and_buttons(scene: Scene) -> None:
    studio, job = scene.house.studio, scene.ids[0]
    told = set()
    said: tuple[Inbound, ...] = (
        *(Command(**common(scene, OWNER), name=name, text=text) for name, text in (("show", job), ("history", PART), ("privacy", "export"))),
        *(Press(**common(scene, OWNER), action=Action(verb=verb, job_id=job).encode()) for verb in (Verb.SHOW, Verb.PARAMS)),
        Reaction(**common(scene, OWNER), emoji="✉", job_id=job),
    )
    for event in said:
        assert scene.shown_to_owner(await studio.handle(event)), event
    for verb in (Verb.REMIX, Verb.ZOOM, Verb.REGION):
        form = studio.greet(Press(**common(scene, OWNER), action=Action(verb=verb, job_id=job, index=0).encode())).form
        told.add(form is not None and WORDS in repr(form))
    assert told == {True}


async def test_the_picture_itself_leads_somebody_else_to_nothing(scene: Scene) -> None:
    """Eve has the file, as a chat might have leaked it: whole, and encoded anew."""
    for data in scene.pictures.values():
        with Image.open(io.BytesIO(data)) as image:
            out = io.BytesIO()
            image.convert("RGB").save(out, "JPEG", quality=90)
        for given in (data, out.getvalue()):
            event = Command(**common(scene, EVE), name="verify", text="", uploads=(Upload(name="it.png", data=given),))
            answer = await scene.house.studio.handle(event)
            assert not scene.told(answer) and not answer.job_id and not any(each in repr(answer) for each in scene.ids)
    assert await scene.is_untouched()


async def test_moderators_of_another_server_are_shown_no_case(scene: Scene) -> None:
    day = scene.day
    card = await day.drawn("a heron in the reeds", actor=OWNER)
    case = await day.reported(card, "it is mine", actor=EVE)
    elsewhere = Place(platform="web", server=ELSEWHERE, channel=MODS.channel)
    for place, actor in itertools.product((elsewhere, replace(elsewhere, server="")), (CHIEF, EVE)):
        answers = [await day.admin(text, actor=actor, place=place) for text in ("", "cases", f"cases {case.id}", "log", "bans", "stats")]
        answers += [await day.decide(case, decision, actor=actor, place=place) for decision in ("approve", "remove", "warn", "ban")]
        assert not any(trace in repr(answer) for answer in answers for trace in (OWNER.name, OWNER.id, "heron", "it is mine"))
    assert (await day.book.case(case.id)).decision is None
    assert "heron" in repr(await day.admin(f"cases {case.id}", place=MODS)), "and here it is shown"


# ------------------------------------------------------------------------------------------------ what can be asked of the studio and the store


def asked_by(protocol: type, parameter: str) -> set[str]:
    """The verbs of a port that say who asks."""
    return {name for name, verb in inspect.getmembers(protocol, inspect.isfunction) if parameter in inspect.signature(verb).parameters}


async def outcome(ask: Callable[[Actor], Any], who: Actor) -> object:
    try:
        found = ask(who)
        return await found if inspect.isawaitable(found) else found
    except NotFound:
        return None


async def test_no_query_of_the_studio_tells_somebody_else(scene: Scene) -> None:
    studio, job, digest = scene.house.studio, scene.ids[0], next(iter(scene.pictures))
    asks: dict[str, Callable[[Actor], Any]] = {
        "read": lambda who: studio.read(who, job),
        "complete": lambda who: studio.complete(who, "a hidden", 8),
        "card": lambda who: studio.card(who, job),
        "seen": lambda who: studio.seen(who, job),
        "at_hand_for": lambda who: studio.at_hand_for(who, job),
        "history": lambda who: studio.history(who, search=PART),
        "family": lambda who: studio.family(who, job),
        "picture": lambda who: studio.picture(who, digest),
        "wallet": lambda who: studio.wallet(who),
        "wallet_at_hand": lambda who: studio.wallet_at_hand(who),
        "reply_here": lambda who: studio.reply_here(who, job),
        "watch": lambda who: first_of_watch(scene, who),
    }
    assert asked_by(ports.Studio, "actor") == asks.keys(), "say here how it is asked"
    spent = replace(await studio.wallet(OWNER), balance=7.5)
    studio.keep_wallet(OWNER, spent)  # as a command that the owner has given a moment ago
    for name, ask in asks.items():
        assert not scene.told(await outcome(ask, EVE)), name
    for name in ("card", "seen", "at_hand_for", "history", "family", "picture", "watch"):
        assert scene.shown_to_owner(await outcome(asks[name], OWNER)), name
    assert await outcome(asks["wallet_at_hand"], EVE) is None, "nor of what the owner has spent"
    left = studio.wallet_at_hand(OWNER)
    assert left is not None and left.balance == spent.balance, "and that is the owner's to read still"


async def first_of_watch(scene: Scene, who: Actor) -> Card:
    """The first that somebody who watches is shown: first something happens to the owner's job, then to a public one of their own."""
    house = scene.house
    own = scene.ids[0] if who == OWNER else (await house.drawn("an owl", actor=who)).job_id
    watched = house.studio.watch(who)
    first = asyncio.ensure_future(anext(watched))
    await asyncio.sleep(0)
    house.board.changed(scene.ids[0], OWNER.key)
    house.board.changed(own, who.key)
    try:
        async with asyncio.timeout(60):
            return await first
    finally:
        await watched.aclose()


async def test_no_query_of_the_store_tells_somebody_else(database_url: str, memory: Path) -> None:
    async with a_scene(database_url, memory) as scene:
        store, job, digest = scene.house.store, scene.ids[0], next(iter(scene.pictures))
        marks = [each.fingerprint for shown in scene.jobs for each in shown.artifacts if each.fingerprint]
        before = await store.reply_to(job)
        there = Receipt(platform="web", channel="eve", handle="1")
        asks: dict[str, Callable[[str], Awaitable[object]]] = {
            "history": lambda key: store.history(key, search=PART),
            "active": lambda key: store.active(key),
            "find_picture": lambda key: store.find_picture(digest, key),
            "look_alikes": lambda key: store.look_alikes(marks[0], key, within=64),
            "wallet": lambda key: store.wallet(key, cap=1, per_hour=1),
            "everything": lambda key: store.everything(key),
            "offers": lambda key: store.offers(key),
            "moved": lambda key: store.moved(job, key, there, ReplyTo(platform="web", channel="eve")),
            "forget": lambda key: store.forget(key),
        }
        assert asked_by(ports.Store, "actor_key") == asks.keys(), "say here how it is asked"
        for name in ("history", "find_picture", "look_alikes", "everything"):
            assert scene.shown_to_owner(await asks[name](OWNER.key)), name
        for name, ask in asks.items():
            assert not scene.told(await ask(EVE.key)), name
        assert await store.reply_to(job) == before
        assert await scene.is_untouched()
