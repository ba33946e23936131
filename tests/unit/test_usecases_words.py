"""`/shorten`, `/morph`, `/blend`, `/describe`, `/verify`, `/models`, `/help`: commands about words and pictures, by the whole house."""

from __future__ import annotations

from bot.domain import Card, Status, Upload, Verb, Visibility
from bot.shorter import shorter
from engine.api import ImagineRequest, MorphRequest, Weight
from tests.unit.house import ADA, BOB, ENGLISH, House, button
from tests.unit.test_studio_chats import png


def weights_of(text: str, *values: float) -> tuple[Weight, ...]:
    found, at = [], 0
    for word, value in zip(text.split(), values, strict=True):
        start = text.index(word, at)
        found.append(Weight(start=start, end=(at := start + len(word)), weight=value))
    return tuple(found)


def test_a_shorter_version_keeps_what_carries_in_its_order():
    text = "a very beautiful fox in the deep snow"
    versions = shorter(text, weights_of(text, 0.05, 0.04, 0.3, 1, 0.1, 0.02, 0.3, 0.8))
    assert versions == ("beautiful fox in deep snow", "beautiful fox deep snow", "fox snow")


def test_nothing_is_shorter_than_two_words():
    assert shorter("red fox", weights_of("red fox", 0.5, 1)) == ()


async def test_shorten_offers_versions_that_can_be_drawn(house: House):
    card = await house.say("shorten", "a very beautiful extraordinary fox in the snow --ar 3:2 --n 1")
    assert card.visibility is Visibility.PRIVATE
    drawn = await house.end(await house.push(card, Verb.RUN, 0))
    assert drawn.status is Status.DONE
    assert (await house.shown(drawn)).job.words.endswith("--ar 3:2 --n 1")


async def test_a_morph_goes_from_one_prompt_to_another(house: House):
    card = await house.end(await house.say("morph", "a fox | an owl --seed 3"))
    request = (await house.shown(card)).job.request
    assert isinstance(request, MorphRequest) and request.seed == 3 and card.clip is not None
    assert request.before[0].text == "a fox" and request.after[0].text == "an owl"


async def test_a_morph_of_one_prompt_is_a_mistake(house: House):
    card = house.studio.greet(house.command("morph", "a fox")).card
    assert card is not None and card.text == ENGLISH.say("words.morph_needs_two")


async def test_commands_that_want_something_ask_for_it_in_a_form(house: House):
    for name in ("imagine", "blend", "describe", "shorten", "morph", "verify"):
        form = house.studio.greet(house.command(name)).form
        assert form is not None and form.fields, name


async def test_blending_takes_two_to_five_pictures(house: House):
    one = await house.say("blend", "", uploads=(png(),))
    assert one.text == ENGLISH.say("refused.blend_count", count=1, low=2, high=5)
    card = await house.end(await house.say("blend", "--n 1", uploads=(png(), png(48, 32))))
    request = (await house.shown(card)).job.request
    assert isinstance(request, ImagineRequest) and len(request.pictures) == 2 and card.status is Status.DONE


async def test_a_description_is_prompts_to_draw(house: House):
    card = await house.say("describe", uploads=(png(),))
    prompts = [b for row in card.rows for b in row if b.action.verb is Verb.RUN and b.action.index >= 0]
    assert prompts and card.visibility is Visibility.PRIVATE
    assert (await house.end(await house.push(card, Verb.RUN, 0))).status is Status.DONE


async def test_a_picture_made_here_is_described_by_its_button(house: House):
    one = await house.drawn("a fox --n 1")
    card = await house.push(one, Verb.DESCRIBE)
    assert button(card, Verb.RUN, 0)


async def test_a_picture_made_here_is_known(house: House):
    one = await house.drawn("a fox --n 1")
    data = await house.studio.picture(ADA, one.pictures[0].digest)
    known = await house.say("verify", uploads=(data,), actor=BOB)
    assert "a fox" in known.text + known.code
    strange = await house.say("verify", uploads=(png(),))
    assert "a fox" not in strange.text + strange.code


async def test_a_private_picture_is_not_known_to_others(house: House):
    one = await house.drawn("a fox --n 1 --private")
    data = await house.studio.picture(ADA, one.pictures[0].digest)
    card = await house.say("verify", uploads=(data + b"",), actor=BOB)
    mine = await house.say("verify", uploads=(data,))
    assert card.title != mine.title or card.text != mine.text


async def test_help_and_models_have_examples_that_run(house: House):
    for name in ("help", "models"):
        card = await house.say(name)
        assert (await house.end(await house.push(card, Verb.RUN, 0))).status is Status.DONE, name


def some(card: Card) -> str:
    return f"{card.title} {card.text} {card.code}"


async def test_a_sketch_or_style_that_the_model_cannot_follow_is_told(house: House):
    for role in ("sketch", "style"):
        card = await house.imagine("a fox --n 1", uploads=(Upload(name="x.png", data=png(), role=role),))
        assert card.status is None or card.visibility is Visibility.PRIVATE or card.job_id, some(card)
