"""What the studio promises to chats over a network: upscales of any picture, closed rooms, double clicks, and cards that move about."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from ulid import ULID

from bot import notes
from bot.cards import choose_card
from bot.chat.discord.layout import shorten
from bot.domain import GRID, Action, Actor, Card, Event, Origin, Place, Receipt, ReplyTo, Status, Submit, Verb, Visibility
from bot.presses import DRAWS, IN_PLACE, QUIET, kept_whole
from bot.studio import WordUpStudio
from engine.api import UpscaleRequest
from tests.contract.stores import sqlite_url  # noqa: F401  (a fixture)
from tests.unit.house import ADA, BOB, ENGLISH, LANGUAGES, LIMITS, House, button, open_house
from tests.unit.test_cards import labels, shown

CLOSED = ReplyTo(platform="web", channel="closed", can_post=False)


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:  # noqa: F811
    async with open_house(sqlite_url, tmp_path) as house:
        yield house


@pytest.fixture
async def still(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:  # noqa: F811
    """Nothing is ever drawn."""
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        yield house


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
ARGUMENTS = {Verb.UPSCALE: "2", Verb.CREATIVE: "2", Verb.ZOOM: "2", Verb.PAN: "l", Verb.CHOOSE: "lane=relax", Verb.ASK: "flags"}
#: Answered with a form at once (a part of a picture: where there is no page to paint on).
ASK = (Verb.REMIX, Verb.ASK, Verb.REGION)


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
    argument = ARGUMENTS.get(verb, "") + ("p" if private and verb is not Verb.CHOOSE else "")
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
