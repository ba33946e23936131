"""The mask painter in headless Chromium: mouse, finger and keys, and what is sent. The studio behind it is the page's fake one."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from bot.chat.web.links import region_link
from bot.chat.web.security import LOCAL
from bot.domain import Actor, Submit
from tests.fakes.web import SECRET, Site, two_languages
from tests.scenario.browser import PATIENCE, chromium, tab

expect.set_options(timeout=PATIENCE)
T = TypeVar("T")


class Elsewhere:
    """A site in a thread of its own: the browser is driven by calls that block."""

    def __init__(self, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._options = options

    def do(self, deed: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(deed, self._loop).result(PATIENCE)

    def __enter__(self) -> Elsewhere:
        self._thread.start()
        self.site = Site(**self._options)
        self.do(self.site.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self.site.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def drawn(self, actor: Actor = LOCAL) -> str:
        job = self.site.studio.accept(actor, "a fox in the snow", count=1).job.id
        self.do(self.site.studio.finish(job))
        return job

    def mask(self) -> Image.Image:
        """The one that was sent last."""
        event = self.site.studio.events[-1]
        assert isinstance(event, Submit)
        return Image.open(io.BytesIO(event.uploads[0].data)).convert("RGB")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as one:
        yield one


def easel(page: Page, job: str, query: str = "") -> Locator:
    """The canvas of the painter's page."""
    page.goto(f"/region/{job}/0{query}")
    canvas = page.locator("#mask")
    expect(canvas).to_be_visible()
    return canvas


def paint(page: Page, canvas: Locator, *points: tuple[float, float]) -> None:
    """Drag the mouse through points given as parts of the picture."""
    box = canvas.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def sent(page: Page, elsewhere: Elsewhere) -> Image.Image:
    """Press Draw, and the mask that arrives."""
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page).to_have_url(re.compile("/job/"))
    return elsewhere.mask()


#: Which part of the canvas is painted over, 0 to 1.
FILLED = """() => {
    const canvas = document.querySelector("#mask"), { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, index) => index % 4 === 3 && value > 127).length / (canvas.width * canvas.height);
}"""
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def test_what_is_painted_with_the_mouse_is_drawn_anew_and_the_child_is_shown(browser: Browser, elsewhere: Elsewhere) -> None:
    job = elsewhere.drawn()
    with tab(browser, elsewhere.site.address) as page:
        canvas = easel(page, job)
        expect(page.get_by_label("What shall be there")).to_have_value("a fox in the snow")
        page.get_by_role("button", name="Draw", exact=True).click()
        expect(page.locator("#trouble")).to_contain_text("Paint over what shall change first")
        paint(page, canvas, (0.2, 0.25), (0.8, 0.25))
        expect(page.locator("#trouble")).to_be_hidden()
        page.get_by_label("What shall be there").fill("a fox with a red hat")
        mask = sent(page, elsewhere)
        expect(page.locator(".card")).to_contain_text("a fox with a red hat")
        expect(page.locator(".card progress")).to_be_visible()
    assert mask.size == (128, 128)
    assert {colour for _, colour in mask.getcolors() or ()} == {WHITE, BLACK}
    assert [mask.getpixel(at) for at in ((64, 32), (30, 32), (98, 32))] == [WHITE] * 3
    assert [mask.getpixel(at) for at in ((64, 64), (5, 32), (64, 2))] == [BLACK] * 3


def test_the_tools_do_what_they_say_and_every_deed_can_be_taken_back(browser: Browser, elsewhere: Elsewhere) -> None:
    job = elsewhere.drawn()
    with tab(browser, elsewhere.site.address) as page:
        canvas = easel(page, job)

        def share() -> float:
            return float(page.evaluate(FILLED))

        page.get_by_role("button", name="Fill").click()
        assert share() == 1
        page.get_by_label("Rub out").check()
        paint(page, canvas, (0.5, 0.5), (0.5, 0.6))
        hole = 1 - share()
        assert 0.005 < hole < 0.2
        page.get_by_role("button", name="Invert").click()
        assert share() == pytest.approx(hole, abs=0.01)
        page.get_by_role("button", name="Clear").click()
        assert share() == 0
        page.get_by_role("button", name="Undo").click()
        assert share() == pytest.approx(hole, abs=0.01)
        for _ in range(3):
            page.keyboard.press("Control+z")
        assert share() == 0
        page.keyboard.press("Control+z")
        assert share() == 0
        page.get_by_role("button", name="Fill").click()
        page.get_by_role("button", name="Invert").click()
        page.keyboard.press("Control+z")
        mask = sent(page, elsewhere)
    assert [colour for _, colour in mask.getcolors() or ()] == [WHITE]


def test_a_mask_is_painted_with_keys_alone(browser: Browser, elsewhere: Elsewhere) -> None:
    job = elsewhere.drawn()
    with tab(browser, elsewhere.site.address) as page:
        canvas = easel(page, job)
        size = page.locator("#size")
        page.keyboard.press("]")
        expect(size).to_have_value("19")
        for _ in range(3):
            page.keyboard.press("[")
        expect(size).to_have_value("10")
        canvas.focus()
        expect(page.locator("#ring")).to_be_visible()
        page.keyboard.press("Space")
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Space")
        page.get_by_label("What shall be there").focus()
        page.keyboard.press("End")
        page.keyboard.type("[]")  # in the words they are words
        expect(size).to_have_value("10")
        mask = sent(page, elsewhere)
    assert [mask.getpixel(at) for at in ((64, 64), (64 + 26, 64))] == [WHITE, WHITE]
    assert [mask.getpixel(at) for at in ((64 + 13, 64), (64, 74))] == [BLACK, BLACK]
    event = elsewhere.site.studio.events[-1]
    assert isinstance(event, Submit) and event.values["words"].endswith("[]")


def test_a_finger_paints_and_the_page_stays_where_it_is(browser: Browser, elsewhere: Elsewhere) -> None:
    job = elsewhere.drawn()
    context = browser.new_context(base_url=elsewhere.site.address, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        canvas = easel(page, job)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        box = canvas.bounding_box()
        assert box is not None and box["width"] > 250
        wire = context.new_cdp_session(page)
        x, y, width = box["x"], box["y"], box["width"]
        wire.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x + width / 2, "y": y + width * 0.8}]})
        for part in (0.6, 0.4, 0.2):
            wire.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + width / 2, "y": y + width * part}]})
        wire.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert page.evaluate("() => scrollY") == 0
        mask = sent(page, elsewhere)
    finally:
        context.close()
    assert [mask.getpixel((64, at)) for at in (100, 64, 28)] == [WHITE] * 3


def test_what_is_painted_by_a_link_says_that_it_comes_into_the_conversation(browser: Browser) -> None:
    ada = Actor(platform="discord", id="7", name="Ada")
    with Elsewhere(sign_in=True) as elsewhere:
        job = elsewhere.drawn(ada)
        token = region_link(SECRET, ada, job, 0, elsewhere.site.clock())
        with tab(browser, elsewhere.site.address, quiet=False) as page:  # the first page there asks to sign in
            canvas = easel(page, job, f"?token={token}")
            paint(page, canvas, (0.3, 0.3), (0.6, 0.6))
            page.get_by_role("button", name="Draw", exact=True).click()
            expect(page.locator("#sent")).to_contain_text("It will appear in the conversation")
            expect(page.locator("#sent")).to_be_focused()
        assert elsewhere.site.studio.events[-1].actor == ada


def test_without_a_script_a_file_with_the_mask_is_sent(browser: Browser, elsewhere: Elsewhere) -> None:
    job = elsewhere.drawn()
    out = io.BytesIO()
    Image.new("L", (128, 128), 255).save(out, "PNG")
    with tab(browser, elsewhere.site.address, script=False) as page:
        page.goto(f"/region/{job}/0")
        expect(page.locator("#brushes")).to_be_hidden()
        page.get_by_label("The mask").set_input_files({"name": "mask.png", "mimeType": "image/png", "buffer": out.getvalue()})
        assert [colour for _, colour in sent(page, elsewhere).getcolors() or ()] == [WHITE]


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_painter_fits_any_screen_and_says_what_everything_is(browser: Browser, width: int, dark: bool) -> None:
    with Elsewhere(catalogues=two_languages()) as elsewhere:
        job = elsewhere.drawn()
        with tab(browser, elsewhere.site.address, width=width, dark=dark) as page:
            easel(page, job)
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
            nameless = page.evaluate(
                "() => [...document.querySelectorAll('main :is(button, a, canvas, input:not([type=hidden]), textarea, select)')]"
                ".filter((one) => !(one.ariaLabel || one.innerText?.trim() || one.labels?.[0]?.innerText.trim())).map((one) => one.outerHTML)"
            )
            assert nameless == []
            page.get_by_role("link", name="Deutsch").click()
            expect(page.locator("html")).to_have_attribute("lang", "de")
