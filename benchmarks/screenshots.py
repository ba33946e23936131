"""The pictures in README and docs/screens.md: the studio, the mask painter, Slack's App Home, and eight samples (`make screenshots`).

All of it is drawn by the running program with the pocket model, in a browser; Slack is the tests' stand-in, and the App Home is made of the blocks the program
published there. Needs Chromium, and a font with Japanese letters (Debian's fonts-ipafont-gothic) for the names of the languages. Nothing is picked: the prompts
and seeds below are what is drawn. `python -m benchmarks.screenshots job painter` takes these alone.
"""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, Locator, Page, async_playwright

from benchmarks.block_page import page as block_page
from tests.fakes.slack import SlackWire, View
from tests.scenario.bots import environment, slack_settings
from tests.scenario.program import ROOT, Program
from tests.scenario.visitor import Visitor, actions, pictures

OUT = ROOT / "docs" / "images"
EDGE = 256
MOST = 120_000  #: bytes of a picture
#: Words and seed of the eight samples.
SAMPLES = (
    ("a fox in the snow, 3d render", 7),
    ("a red apple on a blue background, 3d render", 7),
    ("a rocket in space, 3d render", 7),
    ("a penguin on a beach, cartoon", 7),
    ("a robot in a city at night, 3d render", 7),
    ("a sunflower in a meadow, cartoon", 7),
    ("a car in the desert, 3d render", 7),
    ("a snowman at sunset", 7),
)
GRIDS = (
    "a puppy in the snow --seed 20",
    "a robot in a city at night, 3d render --seed 8",
    "a penguin on a beach, cartoon --seed 2",
    "a fox in the snow, 3d render --seed 7",
)
SINGLE = "a car in the desert, 3d render --n 1 --seed 7"
SET = "a {red apple, pumpkin, cupcake} on a {blue, green} background, 3d render --n 1 --seed 7"
SLOW = "an owl in a forest at night, 3d render --n 9 --steps 60"
GERMAN = "a pumpkin in the snow, 3d render --n 1 --seed 7"
DESKTOP, PHONE = (1280, 900), (390, 844)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What the pictures show: ids of jobs."""

    child: str  #: a grid of variations
    single: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """Where everything is: the program, a browser, the stand-in for Slack."""

    url: str
    browser: Browser
    wire: SlackWire
    drawn: Drawn

    @asynccontextmanager
    async def open(self, path: str, *, dark: bool = False, phone: bool = False, locale: str = "en-US", size: tuple[int, int] = DESKTOP) -> AsyncIterator[Page]:
        """A page of the studio in a window of its own."""
        width, height = PHONE if phone else size
        context = await self.browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": height},
            locale=locale,
            has_touch=phone,
            is_mobile=phone,
            device_scale_factor=1.5 if phone else 1,
        )
        try:
            page = await context.new_page()
            await page.goto(self.url + path)
            await _still(page)
            yield page
        finally:
            await context.close()


# ------------------------------------------------------------------------------------------------ what there is to see


async def fetched(member: Visitor, path: str) -> Image.Image:
    async with member.session.get(member.url + path) as answer:
        return Image.open(io.BytesIO(await answer.read())).convert("RGB")


async def samples(member: Visitor) -> None:
    """A sheet of eight single pictures at twice their size, in the order of SAMPLES."""
    sheet = Image.new("RGB", (4 * EDGE + 3 * 8, 2 * EDGE + 8), "white")
    for k, (words, seed) in enumerate(SAMPLES):
        drawn = await member.imagine(f"{words} --seed {seed} --n 1")
        (path,) = pictures(await member.ended(drawn["job"]))
        picture = (await fetched(member, path)).resize((EDGE, EDGE), Image.Resampling.LANCZOS)
        sheet.paste(picture, (k % 4 * (EDGE + 8), k // 4 * (EDGE + 8)))
    sheet.save(OUT / "samples.webp", quality=90, method=6)


async def draw(member: Visitor) -> Drawn:
    """The gallery: a few grids, a child of the last one, and a picture of its own."""
    html = ""
    for words in GRIDS:
        html = await member.ended((await member.imagine(words))["job"])
    child = (await member.press(actions(html)["V2"]))["job"]
    await member.ended(child)
    single = (await member.imagine(SINGLE))["job"]
    await member.ended(single)
    return Drawn(child=child, single=single)


# ------------------------------------------------------------------------------------------------ taking them


async def _still(page: Page) -> None:
    """Until every picture is there and nothing moves."""
    await page.wait_for_load_state("load")
    await page.evaluate("Promise.all([...document.images].map((image) => image.decode().catch(() => undefined)))")
    await page.wait_for_timeout(600)


async def keep(of: Page | Locator, name: str, **options: bool) -> None:
    """As WebP: exact where that is smaller (a card of words), else nearly so."""
    image = Image.open(io.BytesIO(await of.screenshot(**options))).convert("RGB")  # type: ignore[arg-type]
    data = min(_webp(image, quality=82), _webp(image, lossless=True), key=len)
    if len(data) > MOST:
        raise ValueError(f"{name} has {len(data)} bytes")
    (OUT / f"{name}.webp").write_bytes(data)


def _webp(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", method=6, **options)
    return out.getvalue()


async def studio(scene: Set) -> None:
    """One picture large, grids below it, and words that cost something."""
    async with scene.open("/", size=(1280, 1320)) as page:
        await page.fill("#words", "a mushroom in a forest, 3d render --ar 3:2 --no fog")
        await page.locator("#reading:not(:empty)").wait_for()
        await page.press("#words", "Escape")
        await keep(page, "studio")


async def hints(scene: Set) -> None:
    async with scene.open("/", size=(1280, 520)) as page:
        await page.fill("#words", "a mushroom in a forest, 3d render --ar 3:2 --st")
        await page.wait_for_selector("#hints li")
        await _still(page)
        await keep(page, "hints")


async def gallery(scene: Set) -> None:
    async with scene.open("/history", dark=True) as page:
        await keep(page, "studio-dark")


async def job(scene: Set) -> None:
    """A child with its family."""
    async with scene.open(f"/job/{scene.drawn.child}", size=(1280, 1060)) as page:
        await keep(page, "job")


async def single(scene: Set) -> None:
    async with scene.open(f"/job/{scene.drawn.single}") as page:
        await keep(page, "single")


async def phone(scene: Set) -> None:
    async with scene.open("/", phone=True, dark=True) as page:
        await keep(page, "phone")


async def single_phone(scene: Set) -> None:
    async with scene.open(f"/job/{scene.drawn.single}", phone=True) as page:
        await keep(page, "single-phone", full_page=True)


async def _paint(page: Page, *strokes: tuple[float, float, float, float]) -> None:
    """Strokes with the mouse, in shares of the picture's width and height."""
    box = await page.locator("#mask").bounding_box()
    assert box is not None
    for x1, y1, x2, y2 in strokes:
        await page.mouse.move(box["x"] + x1 * box["width"], box["y"] + y1 * box["height"])
        await page.mouse.down()
        await page.mouse.move(box["x"] + x2 * box["width"], box["y"] + y2 * box["height"], steps=12)
        await page.mouse.up()


async def painter(scene: Set) -> None:
    """Painting over the sky of the single picture."""
    for name, on_phone in (("painter", False), ("painter-phone", True)):
        async with scene.open(f"/region/{scene.drawn.single}/0", phone=on_phone, size=(1280, 780)) as page:
            await page.fill("textarea[name='value.words']", "a car in the desert at night, 3d render")
            await page.locator("#size").fill("18")
            await _paint(page, (0.04, 0.08, 0.96, 0.08), (0.96, 0.22, 0.04, 0.22), (0.04, 0.34, 0.12, 0.44), (0.97, 0.36, 0.93, 0.46))
            await page.evaluate("scrollTo(0, 0)")
            await keep(page, name, full_page=on_phone)


async def _asked(scene: Set, words: str, name: str, *, locale: str = "en-US", width: int = 1000, height: int = 900) -> None:
    """What the words bring up in the box, typed on the first page."""
    async with scene.open("/", size=(width, height), locale=locale) as page:
        await page.fill("#words", words)
        await page.press("#words", "Enter")
        await page.wait_for_selector("#sheet[open] .note")
        await _still(page)
        await keep(page.locator("#sheet"), name)


async def preferences(scene: Set) -> None:
    async with Visitor(scene.url) as member:
        await member.imagine("/prefer flags=--ar 3:2 --quality 2")
        await member.imagine("/prefer suffix=3d render")
    try:
        await _asked(scene, "/prefer", "preferences", height=760)
    finally:
        async with Visitor(scene.url) as member:
            await member.imagine("/prefer flags=")
            await member.imagine("/prefer suffix=")


async def prompts(scene: Set) -> None:
    await _asked(scene, SET, "set", height=620)


async def helping(scene: Set) -> None:
    await _asked(scene, "/help", "help", height=1400, width=1200)


async def german(scene: Set) -> None:
    """Somebody whose browser is German draws a picture; its card is in the language it was asked for in."""
    async with scene.open("/", locale="de-DE", size=(1280, 900)) as page:
        await page.fill("#words", GERMAN)
        await page.press("#words", "Enter")
        drawn = page.locator(".card", has_text=GERMAN.partition(" --")[0])
        await drawn.and_(page.locator("[data-status=done]")).wait_for(timeout=300_000)
        await page.goto(f"{scene.url}{await drawn.locator('.words a').get_attribute('href')}")
        await _still(page)
        await keep(page, "german")


async def app_home(scene: Set) -> None:
    """A member of Slack's stand-in draws, waits for a long job, and opens the tab."""
    wire = scene.wire
    for words in GRIDS[1:3]:
        answer = await wire.command(wire.ada, wire.art, "/imagine", words)
        await (await answer.message()).until(lambda message: "Drawn in" in message.plain, 300)
    slow = await (await wire.command(wire.ada, wire.art, "/imagine", SLOW)).message()
    await slow.until(lambda message: "▰" in message.plain, 300)
    await wire.open_home(wire.ada)
    await wire.until(lambda: wire.homes.get(wire.ada.id), 60)
    home: View = wire.homes[wire.ada.id]
    await home.until(lambda view: "▰" in view.plain and len(view.pictures) == 2)
    await wire.press(wire.ada, slow, "Cancel")
    context = await scene.browser.new_context(viewport={"width": 820, "height": 600})
    page = await context.new_page()
    await page.set_content(block_page("Word Up!", home.blocks, lambda name: _data_url(wire, name)))
    await _still(page)
    await keep(page, "app-home", full_page=True)
    await context.close()


def _data_url(wire: SlackWire, name: str) -> str:
    file = wire.named_file({"id": name})
    assert file is not None and file.content
    return f"data:{file.kind[0]};base64,{base64.b64encode(file.content).decode()}"


SCREENS: dict[str, Callable[[Set], Awaitable[None]]] = {
    "studio": studio,
    "hints": hints,
    "studio-dark": gallery,
    "job": job,
    "single": single,
    "phone": phone,
    "single-phone": single_phone,
    "painter": painter,
    "preferences": preferences,
    "help": helping,
    "set": prompts,
    "german": german,
    "app-home": app_home,
}


async def take(wanted: Collection[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with SlackWire() as wire:
            program = Program(Path(folder), WORDUP_CREDITS_CAP="1000", **environment(slack_settings(wire)))
            try:
                await asyncio.to_thread(program.start)
                await wire.connected()
                async with Visitor(program.url) as member, async_playwright() as playwright:
                    if "samples" in wanted:
                        await samples(member)
                    browser = await playwright.chromium.launch(
                        executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox", "--disable-gpu"]
                    )
                    scene = Set(url=program.url, browser=browser, wire=wire, drawn=await draw(member))
                    for name, screen in SCREENS.items():
                        if name in wanted:
                            await screen(scene)
                    await browser.close()
            finally:
                program.__exit__()


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:] or ["samples", *SCREENS]
    if unknown := set(wanted) - {"samples", *SCREENS}:
        raise SystemExit(f"no such picture: {', '.join(sorted(unknown))}; there are samples, {', '.join(SCREENS)}")
    asyncio.run(take(wanted))
    print(*sorted(path.name for path in OUT.iterdir() if path.suffix), sep="\n")


if __name__ == "__main__":
    main()
