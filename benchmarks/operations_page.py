"""docs/operations.md: every operation, drawn by the shipped model on two threads (`python -m benchmarks.operations_page`, a few minutes).

Nothing is picked: the words, seeds and numbers below are what is drawn. Run it again after changing an operation, and look.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from engine.api import (
    Control,
    Emphasis,
    ImagePrompt,
    ImagineRequest,
    Lora,
    MorphRequest,
    Part,
    Request,
    Result,
    Spot,
    UnsupportedOperation,
    UpscaleRequest,
)
from engine.local import LocalEngine
from engine.shelf import POCKET, Shelf

DOCS = Path(__file__).resolve().parent.parent / "docs"
IMAGES = DOCS / "images" / "operations"
EDGE = 128
MODEL = "pocket"
FOX, APPLE = "a fox in the snow, 3d render", "a red apple on a blue background, 3d render"
LION, CASTLE = "a lion at sunset, cartoon", "a castle at sunset, cartoon"
#: What the page may weigh, in bytes: one picture, and all of them.
MOST, MOST_TOGETHER = 25_000, 700_000
#: Around a picture the pocket model can only carry on what is there: given more freedom it draws its one big thing again.
CAUTIOUS: Mapping[str, Any] = {"strength": 0.03, "steps": 40, "guidance": 1.0}

Cell = tuple[str, Image.Image | bytes]
"""A caption, and a picture or the bytes of a clip."""


def words(*parts: str | Part, **changes: Any) -> ImagineRequest:
    fields: dict[str, Any] = {"width": EDGE, "height": EDGE, "count": 1, "steps": 16, "guidance": 2.0, "seed": 7}
    return ImagineRequest(model=MODEL, parts=tuple(Part(text=each) if isinstance(each, str) else each for each in parts), **{**fields, **changes})


def stressed(text: str, phrase: str, weight: float) -> Part:
    start = text.index(phrase)
    return Part(text=text, emphasis=(Emphasis(start=start, end=start + len(phrase), weight=weight),))


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class Page:
    """The page so far. Pictures are drawn as they are asked for and kept by digest, so that later ones can start from them."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._inputs: dict[str, bytes] = {}
        self._lines: list[str] = []
        self._bytes = 0

    async def run(self, request: Request) -> Result:
        return await self._engine.run(request, self._inputs, lambda progress: None)

    async def draw(self, request: Request) -> Image.Image:
        """The first picture of a request."""
        result = await self.run(request)
        return Image.open(io.BytesIO(result.frames[0].png)).convert("RGB")

    def keep(self, image: Image.Image) -> str:
        """A picture that requests can start from: its digest."""
        data = png(image)
        digest = hashlib.sha256(data).hexdigest()
        self._inputs[digest] = data
        return digest

    def say(self, *lines: str) -> None:
        self._lines += [*lines, ""]

    def show(self, title: str, text: str, cells: Sequence[Cell], across: int = 4, width: int = 160) -> None:
        """A section: a sentence or two, and pictures with their captions, some in a row, each so many pixels wide."""
        self.say(f"## {title}", "", text)
        name = "".join(letter if letter.isalnum() else "-" for letter in title.lower()).strip("-")
        files = [self._file(f"{name}-{k}.webp", picture) for k, (_, picture) in enumerate(cells, start=1)]
        pairs = list(zip(cells, files, strict=True))
        for row in (pairs[k : k + across] for k in range(0, len(pairs), across)):
            captions = [caption for (caption, _), _ in row]
            pictures = [f'<img src="images/operations/{file}" alt="{_plain(caption)}" width="{width}">' for (caption, _), file in row]
            self.say("| " + " | ".join(captions) + " |", "|" + " --- |" * len(captions), "| " + " | ".join(pictures) + " |")

    def _file(self, name: str, picture: Image.Image | bytes) -> str:
        data = picture if isinstance(picture, bytes) else _webp(picture)
        self._bytes += len(data)
        if len(data) > MOST or self._bytes > MOST_TOGETHER:
            raise ValueError(f"{name}: {len(data)} bytes, {self._bytes} with those before it")
        (IMAGES / name).write_bytes(data)
        return name

    def text(self) -> str:
        return "\n".join(self._lines).rstrip() + "\n"


def _plain(caption: str) -> str:
    """For a reader that does not see the picture."""
    return caption.replace("`", "").replace('"', "")


def _webp(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=82, method=6)
    return out.getvalue()


def side_by_side(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    width, height = pictures[0].size
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height))
    for k, picture in enumerate(pictures):
        sheet.paste(picture, (k % columns * width, k // columns * height))
    return sheet


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
        f"(strength {CAUTIOUS['strength']:g}); larger models take 0.7 and more."
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
    page.show("Upscale", "As it is; or `creative`, drawn anew in overlapping tiles of the size the model knows, each told the words.", cells)


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
        await from_pictures(page, apple, fox)
        await regions(page, fox, lion)
        await around(page, lion)
        await ways(page)
        await moving(page)
        await larger(page, apple)
        await refusals(page, page.keep(apple))
    finally:
        await engine.aclose()
    (DOCS / "operations.md").write_text(page.text(), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
