"""Every button under a picture, pressed in the whole house: what is drawn, what it comes from, who may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain import Action, Card, Origin, Place, Status, Upload, Verb, Visibility
from engine.api import Effort, ImagineRequest, MorphRequest, UpscaleRequest
from engine.fake import FAKE_MODEL, FakeEngine
from tests.unit.house import ADA, BOB, ENGLISH, House, button, open_house
from tests.unit.test_studio_chats import png

SERVER = Place(platform="web", server="guild", channel="art")
CHIEF = replace(BOB, admin=True)


async def child(house: House, card: Card, verb: Verb, argument: str | None = None) -> Card:
    made = await house.end(await house.push(card, verb, argument=argument))
    assert made.status is Status.DONE, made
    origin = (await house.shown(made)).job.parent
    assert origin == Origin(job_id=card.job_id, verb=verb.value, index=origin.index if origin else 0)
    return made


async def imagined(house: House, card: Card) -> ImagineRequest:
    request = (await house.shown(card)).job.request
    assert isinstance(request, ImagineRequest)
    return request


async def test_zooming_out_leaves_the_picture_in_the_middle_of_more(house: House):
    one = await house.drawn("a fox --n 1")
    for factor in ("1.5", "2"):
        request = await imagined(house, await child(house, one, Verb.ZOOM, factor))
        assert request.spot is not None and request.source
        assert request.spot.width == pytest.approx(request.width / float(factor), abs=8) and request.spot.left > 0 < request.spot.top


async def test_zooming_out_as_far_as_one_likes_asks_for_it(house: House):
    one = await house.drawn("a fox --n 1")
    form = house.studio.greet(house.press(button(one, Verb.ZOOM, argument="").action)).form
    assert form is not None
    made = await house.end(await house.studio.handle(house.submit(form.name, "a fox in a forest", factor="1.2")))
    request = await imagined(house, made)
    assert request.parts[0].text == "a fox in a forest" and request.spot is not None
    wrong = await house.studio.handle(house.submit(form.name, "a fox", factor="9"))
    assert wrong.visibility is Visibility.PRIVATE and wrong.status is None


@pytest.mark.parametrize(("direction", "side"), [("l", "left"), ("r", "left"), ("u", "top"), ("d", "top")])
async def test_panning_draws_more_on_one_side(house: House, direction: str, side: str):
    one = await house.drawn("a fox --n 1")
    request = await imagined(house, await child(house, one, Verb.PAN, direction))
    assert request.spot is not None
    longer = request.width > request.height if side == "left" else request.height > request.width
    assert longer and (getattr(request.spot, side) > 0) == (direction in "lu")


async def test_an_oblong_picture_is_made_square(house: House):
    one = await house.drawn("a fox --n 1 --ar 3:2")
    request = await imagined(house, await child(house, one, Verb.SQUARE))
    assert request.width == request.height
    square = await house.drawn("a fox --n 1")
    assert Verb.SQUARE not in {b.action.verb for row in square.rows for b in row}


async def test_subtle_stays_nearer_than_strong(house: House):
    one = await house.drawn("a fox --n 1")
    subtle, strong = [await imagined(house, await child(house, one, Verb.VARY, how)) for how in ("subtle", "strong")]
    assert subtle.strength < strong.strength and subtle.source == strong.source


async def test_a_creative_upscale_draws_new_detail(house: House):
    one = await house.drawn("a fox --n 1")
    made = await child(house, one, Verb.CREATIVE)
    request = (await house.shown(made)).job.request
    assert isinstance(request, UpscaleRequest) and request.creative and request.parts[0].text == "a fox"


async def test_a_picture_moves(house: House):
    one = await house.drawn("a fox --n 1")
    made = await child(house, one, Verb.ANIMATE)
    request = (await house.shown(made)).job.request
    assert isinstance(request, MorphRequest) and request.source and made.clip is not None


async def test_a_draft_is_drawn_in_full_from_the_same_seed(sqlite_url: str, tmp_path: Path):
    async with open_house(sqlite_url, tmp_path, FakeEngine((replace(FAKE_MODEL, draft=Effort(steps=2)),))) as house:
        draft = await house.drawn("a fox --n 1 --draft --seed 5")
        made = await child(house, draft, Verb.ENHANCE)
        request = await imagined(house, made)
        assert request.seed == 5 and request.steps > (await imagined(house, draft)).steps
        assert "--draft" not in (await house.shown(made)).job.words
        assert Verb.ENHANCE not in {b.action.verb for row in made.rows for b in row}


async def test_a_part_is_drawn_anew_behind_a_mask_or_by_its_name(house: House):
    one = await house.drawn("a fox --n 1")
    form = house.studio.greet(house.press(button(one, Verb.REGION).action)).form
    assert form is not None and form.fields[0].kind == "picture"
    nothing = await house.studio.handle(house.submit(form.name, "a cat"))
    assert nothing.text == ENGLISH.say("refused.no_region")
    for said in ({"uploads": (Upload(name="mask.png", data=png(128, 128), role="mask"),)}, {"what": "the hat"}):
        made = await house.end(await house.studio.handle(house.submit(form.name, "a cat", **said)))  # type: ignore[arg-type]
        request = await imagined(house, made)
        assert request.mask and request.source and request.parts[0].text == "a cat"


async def test_a_region_is_painted_on_the_page_where_there_is_one(house: House):
    one = await house.drawn("a fox --n 1")
    house.studio.painter = lambda actor, job_id, index: f"https://pictures.example/region/{job_id}/{index}?token=t"
    press = house.press(button(one, Verb.REGION).action)
    assert house.studio.greet(press).form is None
    card = await house.studio.handle(press)
    assert card.visibility is Visibility.PRIVATE and card.links[0].url.endswith(f"/region/{one.job_id}/0?token=t")


async def test_a_server_may_leave_pictures_to_their_owners(house: House):
    one = await house.drawn("a fox --n 1", place=SERVER)
    await house.say("settings", "press=owner", actor=CHIEF, place=SERVER)
    action = button(one, Verb.VARY, argument="strong").action
    other = await house.studio.handle(replace(house.press(action, actor=BOB), place=SERVER))
    assert other.text == ENGLISH.say("refused.not_yours")
    assert (await house.studio.handle(replace(house.press(action), place=SERVER))).job_id


async def test_a_remix_keeps_what_it_was_drawn_from(house: House):
    one = await house.drawn("a fox --n 1 --strength 0.4", uploads=(png(),))
    was = await imagined(house, one)
    form = house.studio.greet(house.press(button(one, Verb.REMIX).action)).form
    assert form is not None
    request = await imagined(house, await house.end(await house.studio.handle(house.submit(form.name, "an owl --n 1"))))
    assert (request.source, request.strength) == (was.source, 0.4) and request.parts[0].text == "an owl"


@pytest.mark.parametrize(("verb", "argument"), [(Verb.VARY, "s"), (Verb.VARY, "strongest"), (Verb.ZOOM, "1"), (Verb.ZOOM, "nan")])
async def test_a_form_of_a_button_that_was_never_made_draws_nothing_and_says_so(house: House, verb: Verb, argument: str):
    one = await house.drawn("a fox --n 1")
    before = await house.balance()
    for index in ("0", "100"):
        form = house.submit(f"w1:{verb}:{one.job_id}:{index}:{argument}", "an owl", factor="1.5")
        greeted = house.studio.greet(form).card
        assert greeted is not None and greeted.text == (await house.studio.handle(form)).text == ENGLISH.say("refused.unknown_form")
    assert await house.balance() == before


async def test_a_zoom_whose_form_was_not_given_is_asked_for_once_more(house: House):
    """The greeting gives no form where the server forbids the button; it may have been allowed a moment later."""
    one = await house.drawn("a fox --n 1")
    asked = Action(verb=Verb.ZOOM, job_id=one.job_id, index=0)
    assert (await house.studio.handle(house.press(asked))).text == ENGLISH.say("refused.once_more")


async def test_commands_on_a_message_mean_its_picture(house: House):
    one = await house.drawn("a fox --n 1")
    large = await house.end(await house.studio.handle(house.command("upscale", job_id=one.job_id)))
    assert isinstance((await house.shown(large)).job.request, UpscaleRequest)
    assert button(await house.studio.handle(house.command("describe", job_id=one.job_id)), Verb.RUN, 0)
    form = house.studio.greet(house.command("remix", job_id=one.job_id)).form
    assert form is not None and form.name == Action(verb=Verb.REMIX, job_id=one.job_id).encode()


async def test_a_child_told_of_elsewhere_comes_to_the_jobs_own_conversation(house: House):
    one = await house.drawn("a fox --n 1")
    place, reply_to = await house.studio.reply_here(ADA, one.job_id)
    assert place == (await house.shown(one)).job.place and not reply_to.token
