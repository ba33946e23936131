"""docs/operations.md: every operation, drawn by the shipped model on two threads (`python -m benchmarks.operations_page`, a few minutes).

Nothing is picked: the words, seeds and numbers below are what is drawn. Run it again after changing an operation, and look.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image, ImageDraw

from benchmarks.pages import DOCS, IMAGES, Cell, Page, png, side_by_side
from engine.api import (
    Control,
    Emphasis,
    ImagePrompt,
    ImagineRequest,
    Lora,
    MorphRequest,
    Part,
    Spot,
    UnsupportedOperation,
    UpscaleRequest,
)
from engine.local import LocalEngine
from engine.shelf import POCKET, Shelf

EDGE = 128
MODEL = "pocket"
FOX, APPLE = "a fox in the snow, 3d render", "a red apple on a blue background, 3d render"
LION, CASTLE = "a lion at sunset, cartoon", "a castle at sunset, cartoon"
STYLIZE = (
    "`--stylize`, the guidance scale counted from the model's own: how far each step goes from what would be drawn without words towards what is drawn with "
    "them. 0 is no guidance; the more of it, the plainer the words are followed and the harder the colours."
)
QUALITY = (
    "`--quality`, steps against the model's own number: the same way from noise to a picture in more, smaller steps. Below a number, too little is settled."
)
CHAOS = (
    "`--chaos`: in the first steps, where it is settled what a picture will show, each picture of a grid is told the words through noise of its own, which "
    "fades (condition-annealed sampling, arXiv:2310.17347). At 0 they differ by their seeds alone; at 100 each begins without having understood a word. A seed "
    "is still a picture, whatever is drawn beside it. It takes two steps or more. A model that knows one picture only for some words draws little else."
)
CARRIED = (
    "`/shorten` reads the words whole, and once more without each of them: how far the model's own reading of them turns is what the word carries. The one "
    "that carries most has 1."
)
SEEN = "`/describe`: of the words the model knows, those that its image-text model finds in a picture, tried in whole sentences; the best of them stands here."
ANIMATED = (
    "The picture redrawn at a low strength, from noise that walks once around a small circle: no frame is the first. The fine detail, which the noise decides, "
    "moves; the more strength, the more of it."
)
UPSCALE = (
    "As it is; or `creative`, drawn anew in overlapping tiles of the size the model knows, each told the words. Of a picture that the model's upscaler has "
    "already made larger than it was drawn, the tiles are drawn at the size the model drew, and the upscaler makes the rest again."
)
#: Around a picture the pocket model can only carry on what is there: given more freedom it draws its one big thing again.
CAUTIOUS: Mapping[str, Any] = {"strength": 0.01, "steps": 100, "guidance": 1.0}


def words(*parts: str | Part, **changes: Any) -> ImagineRequest:
    fields: dict[str, Any] = {"width": EDGE, "height": EDGE, "count": 1, "steps": 16, "guidance": 2.0, "seed": 7}
    return ImagineRequest(model=MODEL, parts=tuple(Part(text=each) if isinstance(each, str) else each for each in parts), **{**fields, **changes})


def stressed(text: str, phrase: str, weight: float) -> Part:
    start = text.index(phrase)
    return Part(text=text, emphasis=(Emphasis(start=start, end=start + len(phrase), weight=weight),))


# ------------------------------------------------------------------------------------------------ from words


async def from_words(page: Page) -> None:
    examples = [FOX, "a robot in a city at night, 3d render", "a penguin on a beach, cartoon", "a mushroom in a forest, watercolor painting"]
    page.show("From words", "A prompt, and one picture.", [(f"`{text}`", await page.draw(words(text))) for text in examples])
    rocket = "a rocket in space, 3d render"
    result = await page.run(words(rocket, count=4))
    grid = side_by_side([Image.open(io.BytesIO(frame.png)) for frame in result.frames], 2)
    page.show("A grid", "Four seeds that follow each other; each picture is the one its own seed gives alone.", [(f"`{rocket}` `--seed 7 --n 4`", grid)])


async def weighted(page: Page) -> None:
    penguin = "a penguin in the snow, 3d render"
    mixes = [(1.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 3.0)]
    cells: list[Cell] = [(f"fox::{a:g} penguin::{b:g}", await page.draw(words(Part(text=FOX, weight=a), Part(text=penguin, weight=b)))) for a, b in mixes]
    page.show("Weights", "Parts of a prompt with `::` weights: the denoiser's predictions are blended in that proportion, at every step.", cells)
    cells = [
        (f"`blue::{weight:g}`" if weight else "without", await page.draw(words(FOX, *([Part(text="blue", weight=weight)] if weight else []))))
        for weight in (0, -0.25, -0.5)
    ]
    page.show("Negative weights", f"`{FOX}` and a part that pushes away.", cells)
    cells = []
    for text, phrase in ((CASTLE, "at sunset"), (FOX, "in the snow")):
        cells += [(f"`({phrase}:{weight:g})`", await page.draw(words(stressed(text, phrase, weight)))) for weight in (0.5, 1.0, 1.8)]
    page.show("Emphasis", "How much some of the words count: what they change, times their weight.", cells, across=3)
    cells = []
    for text, no in ((FOX, "snow"), ("a cupcake, 3d render", "pink")):
        cells += [(f"`{text}`", await page.draw(words(text))), (f"`--no {no}`", await page.draw(words(text, unwanted=(no,), guidance=3.0)))]
    page.show("Unwanted words", "`--no`, by guidance away from them.", cells)


async def numbers(page: Page) -> None:
    cells: list[Cell] = [
        (f"`--stylize {said}`: {scale:g}", await page.draw(words(CASTLE, guidance=scale))) for said, scale in ((0, 1.0), (50, 1.41), (100, 2.0), (1000, 6.0))
    ]
    page.show("How much the words count", STYLIZE, cells)
    cells = [
        (f"`--quality {said:g}`: {steps} steps", await page.draw(words(CASTLE, steps=steps))) for said, steps in ((0.25, 4), (0.5, 8), (1.0, 16), (2.0, 32))
    ]
    page.show("How much work a picture is", QUALITY, cells)
    cells = []
    for chaos in (0.0, 0.5, 1.0):
        result = await page.run(words(FOX, count=4, chaos=chaos))
        cells.append((f"`--chaos {chaos * 100:.0f}`", side_by_side([Image.open(io.BytesIO(frame.png)) for frame in result.frames], 2)))
    page.show("Difference within a grid", CHAOS, cells, across=3, width=240)


async def carried(page: Page) -> None:
    weighed = await page.engine.weigh(MODEL, FOX)
    page.say("## What each word carries", "", CARRIED, "", f"`{FOX}`", "")
    page.say("| " + " | ".join(FOX[each.start : each.end] for each in weighed) + " |", "|" + " --- |" * len(weighed), _row(each.weight for each in weighed))


def _row(values: Iterable[float]) -> str:
    return "| " + " | ".join(f"{value:.2f}" for value in values) + " |"


async def seen(page: Page, *pictures: Image.Image) -> None:
    """What the model sees in its own pictures, where it has eyes."""
    if "describe" not in page.engine.capabilities(MODEL).operations:
        return
    found = await page.engine.look(MODEL, [png(picture) for picture in pictures])
    page.show("What a picture shows", SEEN, [(each.prompts[0], picture) for each, picture in zip(found, pictures, strict=True)])


# ------------------------------------------------------------------------------------------------ from pictures


async def from_pictures(page: Page, apple: Image.Image, fox: Image.Image) -> None:
    source = page.keep(apple)
    cells: list[Cell] = [("the source", apple)]
    cells += [(f"`{FOX}` `--strength {s:g}`", await page.draw(words(FOX, source=source, strength=s))) for s in (0.07, 0.15, 0.4)]
    page.show(
        "From a picture", "Image-to-image: the higher the strength, the further from the source. The pocket model is headstrong: a little goes far.", cells
    )
    source, again = page.keep(fox), {"source": page.keep(fox), "seed": 11}
    cells = [
        ("the source", fox),
        ("subtle", await page.draw(words(FOX, strength=0.3, **again))),
        ("strong", await page.draw(words(FOX, strength=0.8, **again))),
    ]
    page.show("Variations", "The same words over the picture they drew, with another seed: a low strength is subtle, a high one strong.", cells)
    mixed = {"source": source, "mix": (page.keep(apple),)}
    cells = [("one", fox), ("another", apple)]
    cells += [(f"both, `{text}`", await page.draw(words(text, strength=0.1, **mixed))) for text in ("a pumpkin in the snow, 3d render", FOX)]
    page.show("Blending pictures", "Several pictures start one together, each with the same share.", cells)


async def regions(page: Page, fox: Image.Image, lion: Image.Image) -> None:
    def mask(*box: float) -> Image.Image:
        image = Image.new("RGB", (EDGE, EDGE))
        ImageDraw.Draw(image).ellipse(box, fill="white")
        return image

    top = Image.new("RGB", (EDGE, EDGE))
    top.paste((255, 255, 255), (0, 0, EDGE, 62))
    changes = [
        (fox, mask(16, 14, 112, 118), "a penguin in the snow, 3d render"),
        (fox, top, "a rabbit in the snow, 3d render"),
        (lion, mask(14, 10, 114, 116), "a pumpkin at sunset, cartoon"),
    ]
    cells: list[Cell] = []
    for source, painted, text in changes:
        request = words(text, source=page.keep(source), mask=page.keep(painted), strength=0.9)
        cells += [("the source", source), ("the mask", painted), (f"`{text}`", await page.draw(request))]
    page.show(
        "Changing a region", "What is white in the mask is drawn anew. Everything else is the source's own pixels, but for a soft border.", cells, across=3
    )


async def around(page: Page, lion: Image.Image) -> None:
    source = page.keep(lion)

    async def placed(spot: Spot, width: int = EDGE, height: int = EDGE) -> Image.Image:
        return await page.draw(words(LION, source=source, spot=spot, width=width, height=height, **CAUTIOUS))

    def zoomed(factor: float) -> Spot:
        small = round(EDGE / factor)
        return Spot(left=(EDGE - small) // 2, top=(EDGE - small) // 2, width=small, height=small)

    cells: list[Cell] = [("the source", lion)]
    cells += [(f"{factor:g}×", await placed(zoomed(factor))) for factor in (1.5, 2.0)]
    page.show("Zoom out", "The source grows smaller and more is drawn around it: first its edges are carried outwards, then the model draws over them.", cells)
    whole, room = {"width": EDGE, "height": EDGE}, EDGE // 2
    cells = [
        ("←", await placed(Spot(left=room, top=0, **whole), width=EDGE + room)),
        ("→", await placed(Spot(left=0, top=0, **whole), width=EDGE + room)),
        ("↑", await placed(Spot(left=0, top=room, **whole), height=EDGE + room)),
        ("↓", await placed(Spot(left=0, top=0, **whole), height=EDGE + room)),
    ]
    page.show("Pan", "More on one side; the source keeps its size.", cells)
    wide = lion.crop((0, 20, EDGE, 108))
    square = words(LION, source=page.keep(wide), spot=Spot(left=0, top=20, width=EDGE, height=88), **CAUTIOUS)
    page.show("Make square", "What is missing above and below is drawn.", [("the source", wide), ("square", await page.draw(square))])
    page.say(
        "The pocket model knows one big thing in the middle of a picture and nothing else, so around a picture it is given little freedom "
        f"(strength {CAUTIOUS['strength']:g} of {CAUTIOUS['steps']} steps); larger models take 0.7 and more."
    )


# ------------------------------------------------------------------------------------------------ ways of drawing


async def ways(page: Page) -> None:
    forest = "a mushroom in a forest, watercolor painting"
    plain, tile = [await page.draw(words(forest, tile=tile)) for tile in (False, True)]
    cells: list[Cell] = [("one", tile), ("2 × 2", side_by_side([tile] * 4, 2)), ("2 × 2 without `--tile`", side_by_side([plain] * 4, 2))]
    page.show(
        "Seamless tiles",
        "`--tile`: every convolution wraps around, so left meets right and top meets bottom. A model that leans on the edges to know where the middle is, "
        "as this small one does, loses its thing and draws a texture.",
        cells,
    )
    cells = [(f"`--stop {round(share * 100)}`", await page.draw(words(CASTLE, stop=share))) for share in (0.3, 0.6, 1.0)]
    page.show("Stopping early", "Drawing ends after a share of the steps, on the forecast of the finished picture, so there is no noise left in it.", cells)
    clip = (await page.run(words(FOX, video=True, steps=12))).clip or b""
    page.show("The forming picture", "`--video`: a clip of the pictures as they form, ending on the finished ones.", [(f"`{FOX}` `--video`", clip)])


async def moving(page: Page) -> None:
    for before, after in ((CASTLE, "a castle at night, cartoon"), (FOX, "a penguin in the snow, 3d render")):
        ends = {"before": (Part(text=before),), "after": (Part(text=after),)}
        result = await page.run(MorphRequest(model=MODEL, **ends, seed=7, width=EDGE, height=EDGE, steps=16, guidance=2.0))
        frames = [(str(k), Image.open(io.BytesIO(frame.png))) for k, frame in enumerate(result.frames, start=1)]
        text = f"The same noise under words on the way from `{before}` to `{after}`: the clip, and its frames."
        page.show(f"A morph of {'a castle' if before is CASTLE else 'a fox'}", text, [("there and back", result.clip or b""), *frames], across=9, width=96)


async def animated(page: Page, fox: Image.Image) -> None:
    told = (Part(text=FOX),)
    for strength in (0.15, 0.3):
        request = MorphRequest(
            model=MODEL, before=told, after=told, seed=7, width=EDGE, height=EDGE, steps=16, guidance=2.0, source=page.keep(fox), strength=strength
        )
        result = await page.run(request)
        frames: list[Cell] = [(str(k), Image.open(io.BytesIO(frame.png))) for k, frame in enumerate(result.frames, start=1)]
        page.show(f"A picture that moves, {strength:g}", ANIMATED, [("round and round", result.clip or b""), *frames], across=9, width=96)


async def larger(page: Page, apple: Image.Image) -> None:
    source = page.keep(apple)

    def request(**changes: Any) -> UpscaleRequest:
        return UpscaleRequest(model=MODEL, source=source, seed=7, width=EDGE, height=EDGE, **changes)

    creative = request(factor=2, creative=True, parts=(Part(text=APPLE),), steps=50, guidance=1.0, strength=0.05)
    cells: list[Cell] = [
        ("the source", apple),
        ("2×", await page.draw(request(factor=2))),
        ("4×", await page.draw(request(factor=4))),
        ("2×, creative", await page.draw(creative)),
    ]
    page.show("Upscale", UPSCALE, cells)


# ------------------------------------------------------------------------------------------------ refusals


async def refusals(page: Page, picture: str) -> None:
    asked: list[tuple[str, ImagineRequest]] = [
        ("an image prompt", words(FOX, image_prompts=(ImagePrompt(picture=picture),))),
        ("a style reference", words(FOX, image_prompts=(ImagePrompt(picture=picture, style=True),))),
        ("a ControlNet", words(FOX, control=Control(kind="edges", picture=picture))),
        ("an adapter", words(FOX, loras=(Lora(name="ink"),))),
        ("the best of eight", words(FOX, best_of=8)),
        ("image-text guidance", words(FOX, clip=0.5)),
        ("no denoiser at all", words(FOX, synthesis=True)),
    ]
    rows = []
    for what, request in asked:
        try:
            await page.run(request)
        except UnsupportedOperation as error:
            rows.append(f"| {what} | {error} |")
        else:
            rows.append(f"| {what} | (drawn) |")
    page.say("## What needs further files", "", "The pocket model brings none of these along; it says so before anything is drawn or charged.")
    page.say("| asked for | answer |", "| --- | --- |", *rows)


async def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.glob("*.webp"):
        old.unlink()
    engine = LocalEngine(Shelf.open([POCKET], pocket=False), device="cpu", threads=2)
    page = Page(engine)
    page.say(
        "# Every operation, drawn by the pocket model",
        "",
        "Made by `python -m benchmarks.operations_page` with the model that ships with the program (11 million parameters, 128 × 128) on two threads of a CPU. "
        "Nothing is picked: words and seeds stand in that file.",
    )
    try:
        apple, fox, lion = [await page.draw(words(text)) for text in (APPLE, FOX, LION)]
        await from_words(page)
        await weighted(page)
        await numbers(page)
        await carried(page)
        await from_pictures(page, apple, fox)
        await regions(page, fox, lion)
        await around(page, lion)
        await ways(page)
        await moving(page)
        await animated(page, fox)
        await larger(page, apple)
        await seen(page, apple, fox, lion)
        await refusals(page, page.keep(apple))
    finally:
        await engine.aclose()
    (DOCS / "operations.md").write_text(page.text(), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
