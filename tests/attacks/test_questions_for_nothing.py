"""Questions that cost nothing, asked without end by one member or by many: nothing is stored for them, and the machine is everybody's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain import Action, Actor, Card, Command, Inbound, Upload, Verb, Visibility
from bot.looks import AT_ONCE, OF_ONE, WINDOW, Looks, is_look
from bot.provenance import Provenance
from bot.store.blobs import DiskBlobs
from bot.uploads import Uploads
from engine.api import Seen
from tests.unit.house import ADA, BOB, LIMITS, PLACE, REPLY, House, open_house
from tests.unit.test_studio_chats import png

MOST = 3
ENOUGH, MUCH = f"That is {MOST} within a minute", "as many pictures as I can at once"


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Where three questions a minute are allowed, and pictures are known by their marks."""
    marker = Provenance(tmp_path / "signing", clock=lambda: datetime.now(UTC))
    async with open_house(sqlite_url, tmp_path, limits=replace(LIMITS, looks_per_minute=MOST)) as made:
        made.workshop._provenance = made.studio.provenance = marker
        yield made
    marker.close()


def picture(number: int = 0) -> Upload:
    """One that nobody has sent before."""
    return Upload(name=f"{number}.png", data=png(64 + number, 48))


def stored(house: House) -> set[str]:
    return {path.name for path in house.blobs._folder.rglob("*") if path.is_file()}


async def ask(house: House, event: Inbound) -> Card:
    """As a chat does: it greets, fetches what was sent, and has it answered."""
    greeted = house.studio.greet(event)
    return greeted.card if greeted.card is not None else await house.studio.handle(event)


# ------------------------------------------------------------------------------------------------ the disk


async def test_what_is_only_looked_at_is_stored_nowhere(sqlite_url: str, tmp_path: Path):
    marker = Provenance(tmp_path / "signing", clock=lambda: datetime.now(UTC))
    async with open_house(sqlite_url, tmp_path) as house:
        house.studio.provenance = marker
        written: list[bytes] = []
        put = house.blobs.put

        async def seen(data: bytes) -> str:
            written.append(data)
            return await put(data)

        house.blobs.put = seen  # type: ignore[method-assign]
        for number, name in enumerate(("describe", "verify")):
            assert not (await house.say(name, uploads=(picture(number),))).refusal
            assert not (await house.studio.handle(house.submit(name, "", uploads=(picture(10 + number),)))).refusal
        assert stored(house) == set() and written == [], "not for a moment either"
        await house.imagine("a fox --n 1", uploads=(picture(),))
        assert stored(house) and written, "what is drawn from is kept"
    marker.close()


@pytest.mark.parametrize("words", ["a fox --sead 7", "a fox --size 100000x100000", "a fox --n 9 --steps 30"])
async def test_a_picture_that_came_with_what_is_refused_does_not_stay(sqlite_url: str, tmp_path: Path, words: str):
    """Also where it is the wallet that says no."""
    async with open_house(sqlite_url, tmp_path, limits=replace(LIMITS, cap=1.5)) as house:
        assert (await house.imagine(words, uploads=(picture(),))).status is None
        assert stored(house) == set()


async def test_a_picture_that_somebody_needs_stays_whoever_sends_it_again_in_vain(sqlite_url: str, tmp_path: Path):
    """Twelve at once, of whom the same picture is wanted by half."""
    async with open_house(sqlite_url, tmp_path, limits=replace(LIMITS, queued_per_actor=20, queued_total=20), queue=False) as house:
        members = [Actor(platform="web", id=f"m{number}") for number in range(12)]
        asked = [house.imagine("a fox --n 1" if number % 2 else "a fox --sead 1", uploads=(picture(),), actor=each) for number, each in enumerate(members)]
        cards = await asyncio.gather(*asked)
        assert [card.status is not None for card in cards] == [bool(number % 2) for number in range(12)]
        (kept,) = stored(house)
        assert (await house.blobs.get(kept)).startswith(b"\x89PNG")
        assert (await house.imagine("a fox --sead 1", uploads=(picture(),))).status is None and stored(house) == {kept}
        assert not house.studio.uploads._held


async def test_what_another_question_is_about_to_need_is_not_removed(tmp_path: Path):
    """Two members send the same picture; one is refused before the other's job is written down."""
    blobs = DiskBlobs(tmp_path)
    uploads = Uploads(blobs)

    async def needed(digests: Iterable[str]) -> frozenset[str]:
        return frozenset()

    async def refused() -> None:
        async with uploads.settled(needed):
            await uploads.keep(picture())

    try:
        async with uploads.settled(needed):
            source = await uploads.keep(picture())
            await asyncio.create_task(refused())
            assert await blobs.get(source.digest)
        with pytest.raises(KeyError):  # neither of them came to anything
            await blobs.get(source.digest)
        assert not uploads._held
        assert await blobs.get((await uploads.keep(picture())).digest), "outside of a question nothing is settled"
    finally:
        uploads.close()
        blobs.close()


async def test_a_picture_stays_for_what_is_only_offered(sqlite_url: str, tmp_path: Path):
    """A set that wants a yes first."""
    limits = replace(LIMITS, queued_total=20)
    async with open_house(sqlite_url, tmp_path, limits=limits, queue=False) as house:
        card = await house.imagine("{a,b,c,d,e,f} fox --n 1", uploads=(picture(),))
        kept = stored(house)
        await house.push(card, Verb.RUN, -1)
        wanted = [set(shown.job.request.pictures) for shown in await house.store.everything(ADA.key)]
        assert len(kept) == 1 and wanted == [kept] * 6


# ------------------------------------------------------------------------------------------------ one member


async def test_a_member_has_no_more_looked_at_in_a_minute_than_their_share_and_others_go_on(house: House):
    for number in range(MOST):
        assert not (await ask(house, house.command("verify", uploads=(picture(number),)))).refusal
    for name in ("verify", "describe"):
        assert ENOUGH in (await ask(house, house.command(name, uploads=(picture(),)))).text
    assert not (await ask(house, house.command("verify", uploads=(picture(),), actor=BOB))).refusal
    assert not (await ask(house, house.command("help"))).refusal, "what is nothing to look at is theirs as before"


async def test_every_road_to_a_look_counts(house: House):
    card = await house.drawn("a fox --n 1", actor=BOB)
    roads: Sequence[Inbound] = (
        house.command("describe", uploads=(picture(),)),
        house.command("describe", card.job_id),
        house.command("describe", job_id=card.job_id),
        house.command("verify", uploads=(picture(),)),
        house.command("shorten", "a fox in the snow"),
        house.submit("describe", "", uploads=(picture(),)),
        house.submit("verify", "", uploads=(picture(),)),
        house.press(Action(verb=Verb.DESCRIBE, job_id=card.job_id, index=0)),
        house.command("imagine", "a fox --n 1", uploads=(picture(),)),
        house.submit(Action(verb=Verb.REGION, job_id=card.job_id, index=0).encode(), "a hen", what="the fox"),
        house.command("blend", uploads=(picture(0), picture(1))),
        house.submit(Action(verb=Verb.REMIX, job_id=card.job_id).encode(), "a hen", uploads=(picture(),)),
    )
    for event in roads:
        house.studio.looks = Looks(1)
        assert ENOUGH.replace(str(MOST), "1") not in (await ask(house, event)).text
        again = await ask(house, replace(event, delivery_id=house.delivery()))
        assert again.text.startswith("That is 1 within a minute"), event


@pytest.mark.parametrize("name", ["describe", "verify", "imagine", "help", "history", "shorten"])
async def test_what_opens_a_form_or_only_shows_is_not_counted(house: House, name: str):
    assert not is_look(house.command(name, "a fox" if name == "imagine" else ""))
    assert not is_look(house.command("imagine", "", uploads=(Upload(name="prompts.txt", data=b"a fox", role="list"),)))


async def test_it_is_told_before_the_file_is_fetched_and_to_the_member_alone(house: House):
    """A chat greets with the files' places alone."""
    for number in range(MOST):
        house.studio.greet(house.command("verify", uploads=(Upload(name=f"{number}.png", data=b""),)))
    greeted = house.studio.greet(house.command("verify", uploads=(Upload(name="a.png", data=b""),)))
    assert greeted.visibility is Visibility.PRIVATE and greeted.card is not None and ENOUGH in greeted.card.text


async def test_one_question_is_counted_once_however_it_is_told_and_twice_when_it_is_asked_twice(house: House):
    """Its greeting and its answer are one; the delivery's name, which a page makes up, saves nobody anything."""
    cards = [await ask(house, house.command("verify", uploads=(picture(),), delivery="the same")) for _ in range(MOST + 1)]
    assert [ENOUGH in card.text for card in cards] == [False] * MOST + [True]


async def test_after_a_minute_there_is_room_again(house: House):
    now = 1000.0
    house.studio.looks = Looks(MOST, lambda: now)
    for _ in range(MOST):
        await ask(house, house.command("verify", uploads=(picture(),)))
        now += 10
    refused = await ask(house, house.command("verify", uploads=(picture(),)))
    assert ENOUGH in refused.text and "30 s" in refused.text, "the first of them was half a minute ago"
    now = 1000.0 + WINDOW
    assert not (await ask(house, house.command("verify", uploads=(picture(),)))).refusal
    assert ENOUGH in (await ask(house, house.command("verify", uploads=(picture(),)))).text, "one made room for one"


def test_nobody_is_remembered_for_longer_than_it_counts():
    now = 0.0
    looks = Looks(MOST, lambda: now)

    def greet(member: str) -> None:
        there = {"place": PLACE, "reply_to": REPLY, "delivery_id": member}
        looks.greet(Command(actor=Actor(platform="web", id=member), name="shorten", text="a fox in the snow", **there))  # type: ignore[arg-type]

    for number in range(1000):
        greet(f"alt-{number}")
    assert len(looks._looks) == 1000
    now = WINDOW
    greet("somebody")
    assert list(looks._looks) == ["web:somebody"]


async def test_where_no_bound_is_set_a_member_asks_as_often_as_they_like(house: House):
    house.studio.looks = Looks(0)
    for number in range(3 * MOST):
        assert not (await ask(house, house.command("verify", uploads=(picture(number),)))).refusal


# ------------------------------------------------------------------------------------------------ many of them


class Slow:
    """Looking, kept from ending until the test lets it."""

    def __init__(self, house: House) -> None:
        self.go, self.looking, self._look = asyncio.Event(), 0, house.engine.look
        house.engine.look = self  # type: ignore[method-assign]

    async def __call__(self, model: str, pictures: Sequence[bytes]) -> tuple[Seen, ...]:
        self.looking += 1
        await self.go.wait()
        return await self._look(model, pictures)


async def asked_at_once(house: House, slow: Slow, job_id: str, members: Sequence[Actor], going: int) -> list[Card]:
    """What each of them hears who asks while `going` are answered and nobody's question ends."""
    tasks = [asyncio.create_task(house.say("describe", job_id, actor=each)) for each in members]
    async with asyncio.timeout(60):
        while slow.looking < going or sum(each.done() for each in tasks) < len(members) - going:  # noqa: ASYNC110 (of many tasks)
            await asyncio.sleep(0.01)
    assert slow.looking == going
    slow.go.set()
    return list(await asyncio.gather(*tasks))


async def test_many_accounts_together_keep_a_few_readers_busy_and_no_more(house: House):
    card = await house.drawn("a fox --n 1")
    slow = Slow(house)
    cards = await asked_at_once(house, slow, card.job_id, [Actor(platform="web", id=f"alt-{number}") for number in range(AT_ONCE + 20)], AT_ONCE)
    assert sum(MUCH in each.text for each in cards) == 20
    assert MUCH not in (await house.say("describe", card.job_id, actor=BOB)).text, "when they have ended there is room"


async def test_one_member_takes_no_more_than_a_part_of_them(house: House):
    card = await house.drawn("a fox --n 1")
    house.studio.looks = Looks(0)
    slow = Slow(house)
    cards = await asked_at_once(house, slow, card.job_id, [ADA] * (OF_ONE + 5), OF_ONE)
    assert sum(MUCH in each.text for each in cards) == 5
    assert not house.studio.looks._answering


async def test_a_question_that_fails_gives_its_room_back(house: House):
    house.studio.looks = Looks(0)
    for _ in range(2 * OF_ONE):
        assert (await house.say("verify", uploads=(b"not a picture",))).refusal
    assert not house.studio.looks._answering
