"""What the studio promises to chats over a network: upscales of any picture, closed rooms, double clicks, and cards that move about."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from ulid import ULID

from bot import notes
from bot.cards import choose_card
from bot.chat.discord.layout import shorten
from bot.domain import Action, Actor, Card, Event, Origin, ReplyTo, Status, Submit, Verb, Visibility
from bot.presses import kept_whole
from bot.studio import WordUpStudio
from engine.api import UpscaleRequest
from tests.unit.house import ADA, BOB, ENGLISH, LANGUAGES, LIMITS, House, button
from tests.unit.test_cards import labels, shown

CLOSED = ReplyTo(platform="web", channel="closed", can_post=False)


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@asynccontextmanager
async def studio_of(house: House, clock: Clock, link: Callable[[Actor], str] | None = None) -> AsyncIterator[WordUpStudio]:
    """Another studio over the same house, with a clock of its own and perhaps a way to sign members in."""
    studio = WordUpStudio(
        house.store,
        house.blobs,
        house.engine,
        house.queue,
        house.board,
        LANGUAGES,
        LIMITS,
        clock=clock,
        new_id=lambda: str(ULID()),
        new_seed=lambda: 7,
        link=link,
    )
    try:
        yield studio
    finally:
        await studio.aclose()


def png(width: int = 32, height: int = 32) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 80, 20)).save(out, "PNG")
    return out.getvalue()


def say(message: str, **parameters: object) -> str:
    return ENGLISH.say(message, **parameters)


async def size_of(house: House, card: Card, actor: Actor = ADA) -> tuple[int, int]:
    return Image.open(io.BytesIO(await house.studio.picture(actor, card.pictures[0].digest))).size


async def count(house: House, actor: Actor = ADA) -> int:
    return len(await house.store.history(actor.key))


# ------------------------------------------------------------------------------------------------ /upscale


async def test_upscale_of_a_job_enlarges_its_picture(house: House):
    one = await house.drawn("a fox --n 1")
    width, height = await size_of(house, one)
    before = await house.balance()
    large = await house.end(await house.say("upscale", one.job_id))
    assert await size_of(house, large) == (2 * width, 2 * height)
    made = (await house.shown(large)).job
    assert made.parent == Origin(job_id=one.job_id, verb=Verb.UPSCALE.value, index=0)
    assert large.title == "a fox" and large.text.endswith("Enlarged from “a fox”.")
    assert await house.balance() == pytest.approx(before - made.cost) and made.cost > 0


async def test_a_number_may_be_typed_in_any_case_and_with_spaces_around(house: House):
    one = await house.drawn("a fox --n 1")
    assert (await house.end(await house.say("upscale", f"  {one.job_id.lower()} "))).status is Status.DONE


async def test_a_strangers_public_picture_may_be_enlarged_at_ones_own_cost(house: House):
    one = await house.drawn("a fox --n 1", actor=BOB)
    theirs = await house.balance(BOB)
    large = await house.end(await house.say("upscale", one.job_id))
    assert (await house.shown(large)).job.actor == ADA
    assert await house.balance(BOB) == theirs
    assert await house.balance() < LIMITS.cap


async def test_a_private_picture_is_enlarged_privately_and_for_its_owner_alone(house: House):
    one = await house.drawn("a fox --n 1 --private")
    refused = await house.say("upscale", one.job_id, actor=BOB)
    assert (refused.text, refused.visibility) == (say("error.not_found"), Visibility.PRIVATE)
    large = await house.say("upscale", one.job_id)
    assert large.visibility is Visibility.PRIVATE
    assert (await house.shown(large)).job.private


async def test_of_a_grid_it_asks_which_one_and_takes_nothing(house: House):
    grid = await house.drawn("a fox")
    before = await house.balance()
    which = await house.say("upscale", grid.job_id)
    assert (which.visibility, which.text) == (Visibility.PRIVATE, say("card.choose"))
    assert labels(which) == [["U1", "U2", "U3", "U4"]] and not which.selects
    assert await house.balance() == before and await count(house) == 1
    picked = await house.end(await house.push(which, Verb.PICK, 2))
    assert (await house.shown(picked)).job.parent == Origin(job_id=grid.job_id, verb=Verb.PICK.value, index=2)


async def test_what_is_not_drawn_yet_or_was_never_there_takes_nothing(still: House):
    waiting = await still.imagine("a fox --n 1")
    before = await still.balance()
    for job_id, said in ((waiting.job_id, "refused.not_done"), ("0" * 26, "error.not_found"), ("a fox", "error.not_found")):
        card = await still.say("upscale", job_id)
        assert (card.text, card.visibility, card.job_id) == (say(said), Visibility.PRIVATE, "")
    assert await still.balance() == before and await count(still) == 1


async def test_a_picture_from_elsewhere_is_enlarged_without_words(house: House):
    large = await house.end(await house.say("upscale", uploads=(png(40, 24),)))
    assert await size_of(house, large) == (80, 48)
    job = (await house.shown(large)).job
    assert isinstance(job.request, UpscaleRequest)
    assert (job.words, job.parent, large.title) == ("", None, say("card.untitled"))
    again = await house.end(await house.push(large, Verb.UPSCALE, argument="2"))
    assert await size_of(house, again) == (160, 96)


async def test_what_is_no_picture_is_told_and_takes_nothing(house: House):
    card = await house.say("upscale", uploads=(b"no picture",))
    assert (card.text, card.visibility) == (say("error.picture_unreadable"), Visibility.PRIVATE)
    assert await house.balance() == LIMITS.cap


async def test_the_same_delivery_upscales_once(house: House):
    one = await house.drawn("a fox --n 1")
    command = house.command("upscale", one.job_id)
    first, second = await house.studio.handle(command), await house.studio.handle(command)
    assert first.job_id == second.job_id and await count(house) == 2


async def test_without_a_picture_it_is_answered_at_once(still: House):
    ack = still.studio.greet(still.command("upscale"))
    assert ack.card is not None and ack.card.text == say("refused.no_picture_there") and ack.visibility is Visibility.PRIVATE
    for command in (still.command("upscale", "0" * 26), still.command("upscale", uploads=(b"",))):
        assert (still.studio.greet(command).card, still.studio.greet(command).visibility) == (None, Visibility.PUBLIC)


def test_choosing_from_a_large_grid_is_one_select():
    for number, rows, selects in ((2, [["U1", "U2"]], 0), (4, [["U1", "U2", "U3", "U4"]], 0), (9, [], 1)):
        card = choose_card(shown(Status.DONE, number), ENGLISH)
        assert labels(card) == rows and len(card.selects) == selects
        verbs = [each.action.verb for row in card.rows for each in row] + [each.action.verb for select in card.selects for each in select.choices]
        assert verbs == [Verb.PICK] * number
        assert (card.job_id, card.status) == ("", None), "it stands for no job: a reaction on it means nothing"


# ------------------------------------------------------------------------------------------------ /web


async def test_web_hands_each_member_a_link_of_their_own(still: House):
    async with studio_of(still, Clock(), lambda actor: f"https://pictures.example/sign-in?token={actor.key}") as studio:
        for actor in (ADA, BOB):
            command = still.command("web", actor=actor)
            assert studio.greet(command).visibility is Visibility.PRIVATE
            card = await studio.handle(command)
            assert card.visibility is Visibility.PRIVATE
            assert [link.url for link in card.links] == [f"https://pictures.example/sign-in?token={actor.key}"]


async def test_a_studio_page_nobody_can_reach_is_explained(still: House):
    card = await still.say("web")
    assert (card.text, card.visibility, card.links) == (say("refused.no_web"), Visibility.PRIVATE, ())
    assert "WORDUP_PUBLIC_URL" in card.text


# ------------------------------------------------------------------------------------------------ where the bot may not post


def closed(event: Event) -> Event:
    return replace(event, reply_to=CLOSED)


async def test_in_a_closed_room_words_are_given_back_with_a_way_on_and_nothing_is_taken(still: House):
    card = await still.studio.handle(closed(still.command("imagine", "a fox --seed 7")))  # type: ignore[arg-type]
    assert (card.text, card.visibility) == (say("refused.closed"), Visibility.PRIVATE)
    assert card.code == "a fox --seed 7"
    assert card.resend is not None and card.resend.words == "a fox --seed 7" and card.resend.label and card.resend.hint
    assert (card.job_id, card.status) == ("", None)
    assert await still.balance() == LIMITS.cap and await count(still) == 0


async def test_so_it_is_for_buttons_reactions_forms_and_upscales(house: House):
    one = await house.drawn("a fox --n 1 --seed 7")
    before = await house.balance()
    pick = button(one, Verb.UPSCALE, argument="2").action
    remix = Action(verb=Verb.REMIX, job_id=one.job_id).encode()
    only_words = [
        (house.press(Action(verb=Verb.REROLL, job_id=one.job_id)), "a fox --n 1"),
        (house.submit("imagine", "a hare"), "a hare"),
        (house.submit(remix, "a hare"), "a hare"),
    ]
    more_than_words = [
        (house.press(pick), ""),
        (house.press(Action(verb=Verb.VARY, job_id=one.job_id, index=0)), ""),
        (house.reaction("1️⃣", one.job_id), ""),
        (house.command("upscale", one.job_id), ""),
    ]
    events: list[tuple[Event, str]] = [*only_words, *more_than_words]
    for event, words in events:
        card = await house.studio.handle(closed(event))  # type: ignore[arg-type]
        assert (card.text, card.visibility) == (say("refused.closed"), Visibility.PRIVATE), event
        assert (card.resend.words if card.resend else "") == words, "only what words say whole can be sent again"
    nothing = await house.studio.handle(closed(house.command("upscale", uploads=(png(),))))  # type: ignore[arg-type]
    assert nothing.text == say("refused.closed") and nothing.resend is None, "there are no words to send again"
    assert await house.balance() == before and await count(house) == 1


async def test_a_closed_room_does_not_use_up_the_delivery(still: House):
    command = still.command("imagine", "a fox")
    await still.studio.handle(closed(command))  # type: ignore[arg-type]
    assert (await still.studio.handle(command)).status is Status.QUEUED


async def test_a_token_opens_a_closed_room(still: House):
    command = replace(still.command("imagine", "a fox"), reply_to=replace(CLOSED, token="t"))
    assert (await still.studio.handle(command)).status is Status.QUEUED


async def test_what_draws_nothing_works_in_closed_rooms(still: House):
    waiting = await still.imagine("a fox")
    shown_here = await still.studio.handle(closed(still.command("show", waiting.job_id)))  # type: ignore[arg-type]
    assert shown_here.job_id == waiting.job_id
    assert (await still.studio.handle(closed(still.command("queue")))).title == say("queue.title")  # type: ignore[arg-type]


def test_without_words_there_is_nothing_to_send_again():
    assert notes.closed_card("", ENGLISH).resend is None


# ------------------------------------------------------------------------------------------------ words too long for a form

LONG = "a fox in the snow, " * 300 + "--seed 7"


@pytest.mark.parametrize(
    ("text", "words", "kept"),
    [
        ("", "a fox", "a fox"),
        ("a hare", "a fox", "a hare"),
        (LONG, LONG, LONG),
        (shorten(LONG, 4000), LONG, LONG),
        (shorten(LONG, 3000), LONG, LONG),
        ("a hare" + shorten(LONG, 4000), LONG, "a hare" + shorten(LONG, 4000)),  # changed: what was typed counts
        (shorten(LONG, 4000)[:-1], LONG, shorten(LONG, 4000)[:-1]),  # cut by the member
        ("a fox…", "a fox in the snow", "a fox…"),  # short enough to have been typed so
        ("x" * 100 + "…", "x" * 200, "x" * 100 + "…"),
        ("x" * 101 + "…", "x" * 200, "x" * 200),
        ("y" * 200 + "…", "x" * 300, "y" * 200 + "…"),
        ("…", LONG, "…"),
    ],
)
def test_words_come_back_whole_from_a_form_too_small_for_them(text: str, words: str, kept: str):
    assert kept_whole(text, words) == kept


@given(st.text(st.sampled_from("ab \\\n…-"), min_size=200, max_size=400), st.integers(150, 199))
def test_however_they_are_cut(words: str, limit: int):
    cut = shorten(words, limit)
    if len(cut) > 101:
        assert kept_whole(cut, words) == words


async def test_a_remix_of_long_words_sent_back_as_they_were_shown_is_all_of_them(house: House):
    grid = await house.drawn(LONG + " --n 1")
    form = Action(verb=Verb.REMIX, job_id=grid.job_id).encode()
    event = house.submit(form, shorten(LONG + " --n 1", 4000))
    assert house.studio.greet(event).card is None
    remixed = (await house.shown(await house.studio.handle(event))).job
    assert remixed.words == LONG + " --n 1" and remixed.request.seed == 7
    empty = Submit(actor=ADA, place=event.place, reply_to=event.reply_to, delivery_id=house.delivery(), form=form, values={})
    assert (await house.shown(await house.studio.handle(empty))).job.words == LONG + " --n 1"
