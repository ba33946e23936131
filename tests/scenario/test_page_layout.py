"""How the page stands in headless Chromium: long answers, many buttons, narrow windows. The studio behind it is the page's fake one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from bot.domain import Action, Button, Card, Verb
from tests.scenario.browser import PATIENCE, chromium, tab
from tests.scenario.test_painter import Elsewhere

expect.set_options(timeout=PATIENCE)
OFFER = "01KD0000000000000000000077"
LONG = Card(
    title="How to ask",
    text="\n".join(f"--flag{number}: what it does" for number in range(40)),
    details=tuple((f"/command{number}", "what it does for you, in some words") for number in range(20)),
    rows=((Button(label="a fox in the snow", hint="Draw a fox", action=Action(verb=Verb.RUN, job_id=OFFER, index=0)),),),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


def asked(page: Page, words: str) -> None:
    page.fill("#words", words)
    page.press("#words", "Enter")
    expect(page.locator("#sheet")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_answer_is_read_from_its_beginning(browser: Browser, width: int) -> None:
    with Elsewhere() as elsewhere, tab(browser, elsewhere.site.address, width=width) as page:
        elsewhere.site.studio.cards["help"] = LONG
        asked(page, "/help")
        heading = page.get_by_role("heading", name="How to ask")
        expect(heading).to_be_focused()
        expect(heading).to_be_in_viewport()
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Draw a fox")).to_be_focused()


def test_nothing_is_wider_than_a_phone(browser: Browser) -> None:
    with Elsewhere() as elsewhere:
        job = elsewhere.drawn()
        with tab(browser, elsewhere.site.address, width=390) as page:
            for path in ("/", f"/job/{job}", f"/region/{job}/0", "/history"):
                page.goto(path)
                assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_a_large_picture_stays_in_the_window_of_a_phone_however_many_buttons_it_has(browser: Browser) -> None:
    with Elsewhere() as elsewhere:
        job = elsewhere.drawn()
        with tab(browser, elsewhere.site.address, width=390, height=844) as page:
            page.goto(f"/job/{job}")
            row = page.locator(".card .row").first
            row.evaluate("(row) => { for (let i = 0; i < 20; i++) row.append(row.lastElementChild.cloneNode(true)); }")
            page.locator(".pic").first.click()
            box = page.locator("#viewer > img").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["height"] > 500
