"""Debian's headless Chromium, driven through playwright, for the browser tests. They are skipped, loudly, where there is none."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: It shall speak to nobody but the page it is given.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 120_000  #: milliseconds after which waiting for the page is a failure, not slowness


def find_chromium() -> str:
    """Its path; skips the test when there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("NO CHROMIUM: the studio page is NOT tested in a browser (as root: apt-get install chromium)")


LOADED = "async (image) => { try { await image.decode(); } catch {} return [image.naturalWidth, image.naturalHeight]; }"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own, thrown away afterwards."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Browser, url: str, *, script: bool = True, width: int = 1280, height: int = 860, dark: bool = False, quiet: bool = True) -> Iterator[Page]:
    """A page in a fresh context. `quiet`: fail when the console says anything bad or the content policy is broken."""
    context = browser.new_context(
        base_url=url, viewport={"width": width, "height": height}, java_script_enabled=script, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith((url, "blob:")) else None)
    try:
        page.goto("/")
        yield page
        assert not elsewhere, f"the page asked for something outside: {elsewhere}"
        if quiet:
            assert not complaints, complaints
    finally:
        context.close()


def picture_sizes(page: Page, within: str) -> list[tuple[int, int]]:
    """Real (width, height) of the pictures in an element, once they have loaded; (0, 0) for one that cannot be shown."""
    found = page.locator(f"{within} .pic img")
    sizes = []
    for index in range(found.count()):
        width, height = found.nth(index).evaluate(LOADED)
        sizes.append((width, height))
    return sizes


def keep_screenshot(page: Page, folder: Path, name: str) -> None:
    """For a person to look at when a test fails."""
    try:
        page.screenshot(path=folder / f"{name}.png")
    except Exception as error:
        warnings.warn(f"no screenshot: {error}", stacklevel=2)
