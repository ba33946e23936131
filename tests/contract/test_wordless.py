"""Pictures that prompt without a word, with the model that ships: what they show is drawn again, unless words ask for something else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from engine import efforts
from engine.api import ImagePrompt, ImagineRequest, Part
from engine.local import LocalEngine
from engine.shelf import POCKET, Shelf


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    drawing = LocalEngine(Shelf.open([POCKET], pocket=False), device="cpu", threads=1)
    await drawing.start()
    yield drawing
    await drawing.aclose()


async def drawn(engine: LocalEngine, words: str, *pictures: bytes, weights: tuple[float, ...] = (1.0, 1.0), style: bool = False) -> bytes:
    can = engine.models()[0]
    held = {hashlib.sha256(each).hexdigest(): each for each in pictures}
    prompts = tuple(ImagePrompt(picture=digest, weight=weight, style=style) for digest, weight in zip(held, weights, strict=False))
    request = ImagineRequest(
        model=can.model,
        parts=(Part(text=words),),
        seed=11,
        width=can.width,
        height=can.height,
        steps=can.steps,
        guidance=can.guidance,
        count=1,
        image_prompts=prompts,
    )
    return (await engine.run(efforts.quickened(request, can), held, lambda progress: None)).frames[0].png


async def named(engine: LocalEngine, *pictures: bytes) -> list[str]:
    return [seen.things[0] for seen in await engine.look(engine.models()[0].model, pictures)]


async def test_a_picture_alone_is_drawn_again_as_what_it_shows(engine: LocalEngine) -> None:
    for words in ("a cactus on a red background, cartoon", "a doughnut on a blue background, 3d render"):
        picture = await drawn(engine, words)
        once, again = await named(engine, picture, await drawn(engine, "", picture))
        assert once == again


async def test_of_two_pictures_the_heavier_is_what_is_drawn(engine: LocalEngine) -> None:
    cactus, doughnut = [await drawn(engine, f"a {thing} on a blue background, cartoon") for thing in ("cactus", "doughnut")]
    shown = await named(engine, cactus, doughnut)
    assert shown[0] != shown[1]
    for weights, wanted in (((1.8, 0.2), shown[0]), ((0.2, 1.8), shown[1])):
        assert await named(engine, await drawn(engine, "", cactus, doughnut, weights=weights)) == [wanted]


async def test_a_reference_of_style_gives_its_style(engine: LocalEngine) -> None:
    can = engine.models()[0]
    painting = await drawn(engine, "a cactus on a red background, watercolour")
    (wanted,) = [seen.style for seen in await engine.look(can.model, [painting])]
    (before,) = [seen.style for seen in await engine.look(can.model, [await drawn(engine, "a car in the desert")])]
    (after,) = [seen.style for seen in await engine.look(can.model, [await drawn(engine, "a car in the desert", painting, style=True)])]
    assert before != wanted and after == wanted


async def test_words_have_the_say_where_there_are_any(engine: LocalEngine) -> None:
    picture = await drawn(engine, "a cactus on a red background, cartoon")
    assert await named(engine, await drawn(engine, "a castle at sunset, 3d render", picture)) == ["castle"]
