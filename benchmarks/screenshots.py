"""The pictures in README and docs: the studio as a newcomer sees it, and eight samples, all drawn by the running program (`make screenshots`).

Needs Chromium. Nothing is picked: the prompts and seeds below are what is drawn.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.async_api import Page, async_playwright

from tests.scenario.program import ROOT, Program
from tests.scenario.visitor import Visitor, actions, pictures

OUT = ROOT / "docs" / "images"
EDGE = 256
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


async def shot(page: Page, name: str, *, full: bool = False) -> None:
    data = await page.screenshot(full_page=full)
    Image.open(io.BytesIO(data)).convert("RGB").save(OUT / f"{name}.webp", quality=86, method=6)


async def take(program: Program) -> None:
    async with Visitor(program.url) as member:
        await samples(member)
        html = ""
        for words in GRIDS:
            drawn = await member.imagine(words)
            html = await member.ended(drawn["job"])
        child = await member.press(actions(html)["V2"])
        await member.ended(child["job"])
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox", "--disable-gpu"]
            )
            for name, scheme, width, height, path in (
                ("studio", "light", 1280, 900, "/"),
                ("studio-dark", "dark", 1280, 900, "/history"),
                ("job", "light", 1280, 900, f"/job/{child['job']}"),
                ("phone", "dark", 390, 844, "/"),
            ):
                page = await browser.new_page(color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": height})
                await page.goto(program.url + path)
                await page.wait_for_load_state("load")
                if name == "studio":
                    await page.fill("#words", "a mushroom in a forest, 3d render --ar 3:2 --s")
                    await page.wait_for_timeout(2500)
                await page.wait_for_timeout(2500)
                await shot(page, name)
            await browser.close()


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Program(Path(folder), WORDUP_CREDITS_CAP="1000") as program:
        asyncio.run(take(program))
    print(*sorted(path.name for path in OUT.iterdir()), sep="\n")


if __name__ == "__main__":
    main()
