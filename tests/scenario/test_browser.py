"""The studio as its members meet it: headless Chromium against the real program with the real pocket model."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, FilePayload, Page, expect

from tests.scenario.browser import PATIENCE, chromium, picture_sizes, tab
from tests.scenario.program import Program

FOX = "a fox in the snow, 3d render"

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def program(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("studio")) as running:
        yield running


@pytest.fixture(scope="module")
def drawn(browser: Browser, program: Program) -> str:
    """The id of a finished grid of two."""
    with tab(browser, program.url) as page:
        return ask(page, f"{FOX} --steps 4 --n 2")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def newest(page: Page) -> str:
    """The id of the card on top."""
    return str(page.locator("#feed > .card").first.get_attribute("data-job"))


def ask(page: Page, words: str) -> str:
    """Ask for a picture and wait until it is drawn; the job's id."""
    before = page.locator("#feed > .card").count()
    page.locator("#words").fill(words)
    page.locator("#words").press("Enter")
    expect(page.locator("#feed > .card")).to_have_count(before + 1)
    job = newest(page)
    expect(page.locator(f"#card-{job}")).to_have_attribute("data-status", "done")
    return job


def test_from_typed_words_to_a_button_that_works_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    port = str(free_port())
    with Program(tmp_path, WORDUP_WEB_PORT=port) as first, tab(browser, first.url, quiet=False) as page:
        page.locator("#words").press_sequentially(f"{FOX} --steps 12")
        expect(page.locator("#reading")).to_contain_text("credits")
        page.keyboard.press("Enter")

        # It forms before one's eyes …
        card = page.locator("#feed > .card").first
        expect(card).to_have_attribute("data-status", "running")
        expect(card.locator("progress")).to_be_visible()
        expect(card.locator(".preview")).to_be_visible()
        fox = newest(page)
        expect(page.locator(f"#card-{fox}")).to_have_attribute("data-status", "done")
        sizes = picture_sizes(page, f"#card-{fox}")
        assert len(sizes) == 4
        assert all(min(size) >= 64 for size in sizes)

        # … and V2 makes four more from the second.
        page.locator(f"#card-{fox}").get_by_text("V2", exact=True).click()
        expect(page.locator("#feed > .card")).to_have_count(2)
        child = newest(page)
        expect(page.locator(f"#card-{child}")).to_have_attribute("data-status", "done")
        assert len(picture_sizes(page, f"#card-{child}")) == 4

        # The program stops and starts again; the page was open all the time.
        assert first.terminate() == 0
        with Program(tmp_path, WORDUP_WEB_PORT=port):
            page.locator(f"#card-{fox}").get_by_text("U1", exact=True).click()
            expect(page.locator("#feed > .card")).to_have_count(3)
            large = newest(page)
            expect(page.locator(f"#card-{large}")).to_have_attribute("data-status", "done")
            ((width, height),) = picture_sizes(page, f"#card-{large}")
            assert (width, height) > sizes[0]

            # Whoever opens the job's page sees where it comes from and what came of it.
            page.goto(f"/job/{fox}")
            family = page.locator(".family a")
            assert [family.nth(i).get_attribute("href") for i in range(family.count())] == [f"/job/{job}" for job in (fox, child, large)]


def test_everything_basic_works_without_a_script(browser: Browser, program: Program) -> None:
    with tab(browser, program.url, script=False) as page:
        page.fill("#words", f"{FOX} --steps 6 --n 2")
        page.get_by_role("button", name="Draw", exact=True).click()
        expect(page).to_have_url(re.compile("/job/"))
        expect(page.locator(".card")).to_have_attribute("data-status", "done")  # it reloads itself until then
        assert page.locator(".pic img").count() == 2
        parent = page.url
        page.get_by_text("V1", exact=True).click()
        expect(page).not_to_have_url(parent)
        expect(page.locator(".card")).to_have_attribute("data-status", "done")
        page.locator(".family a").first.click()
        expect(page).to_have_url(parent)
        page.goto("/history?search=fox")
        assert page.locator(".tile").count() >= 2


def test_the_prompt_helps_by_keyboard_and_a_mistake_is_said_before_anything_is_sent(browser: Browser, program: Program) -> None:
    with tab(browser, program.url) as page:
        words, options = page.locator("#words"), page.get_by_role("option")
        expect(words).to_be_focused()
        words.press_sequentially("an owl 🦉 --see")
        expect(options.first).to_be_visible()
        expect(words).to_have_attribute("aria-expanded", "true")
        words.press("ArrowDown")
        expect(words).to_have_attribute("aria-activedescendant", "hint-0")
        words.press("Enter")
        expect(words).to_have_value(re.compile("^an owl 🦉 --seed "))
        words.press_sequentially("7 --stepz 9")
        expect(page.locator("#reading")).to_contain_text("--stepz")
        expect(page.locator(".mirror .k-mistake")).to_have_text(re.compile("--stepz"))
        before = page.locator("#feed > .card").count()
        words.press("Enter")
        expect(page.locator("#notice")).to_contain_text("--stepz")
        expect(words).to_have_value("an owl 🦉 --seed 7 --stepz 9")
        words.press("Shift+Enter")
        assert "\n" in words.input_value()
        assert page.locator("#feed > .card").count() == before


def test_a_picture_to_start_from_is_shown_and_a_text_file_named_png_gets_one_sentence(browser: Browser, program: Program) -> None:
    with tab(browser, program.url) as page:
        page.set_input_files("[name=picture]", {"name": "notes.png", "mimeType": "image/png", "buffer": b"these are words"})
        page.locator("#words").fill(f"{FOX} --steps 4 --n 1")
        before = page.locator("#feed > .card").count()
        page.locator("#words").press("Enter")
        expect(page.locator("#notice")).to_contain_text("not a picture")
        page.wait_for_timeout(400)  # hints for the words just typed, if any were still to come, have come
        expect(page.locator("#notice")).to_contain_text("not a picture")
        assert page.locator("#feed > .card").count() == before

        page.get_by_label("Remove notes.png").click()
        page.set_input_files("[name=picture]", {"name": "red.png", "mimeType": "image/png", "buffer": a_red_picture()})
        expect(page.locator("#chosen img")).to_be_visible()
        expect(page.locator("#chosen select")).to_have_value("image")
        page.locator("#words").press("Enter")
        expect(page.locator("#feed > .card")).to_have_count(before + 1)
        expect(page.locator(f"#card-{newest(page)}")).to_have_attribute("data-status", "done")
        expect(page.locator("#chosen")).to_be_hidden()


def a_red_picture() -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (128, 128), "red").save(out, "PNG")
    return out.getvalue()


def test_a_picture_opens_large_and_its_own_buttons_come_along(browser: Browser, program: Program, drawn: str) -> None:
    with tab(browser, program.url) as page:
        card = page.locator(f"#card-{drawn}")
        card.locator(".pic").nth(1).click()
        viewer = page.locator("#viewer")
        expect(viewer).to_be_visible()
        assert viewer.locator(".hand button").all_inner_texts() == ["U2", "V2"]
        page.keyboard.press("ArrowRight")
        assert viewer.locator(".hand button").all_inner_texts() == ["U1", "V1"]
        page.keyboard.press("Escape")
        expect(viewer).to_be_hidden()
        card.get_by_text("Details", exact=True).click()
        expect(page.locator("#sheet")).to_contain_text("Seed")
        page.keyboard.press("Escape")
        star = card.locator("button[aria-pressed]")
        expect(star).to_have_attribute("aria-pressed", "false")
        star.click()
        expect(card.locator("button[aria-pressed]")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("width", [360, 768, 1600])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_fit_any_screen_and_say_what_everything_is(browser: Browser, program: Program, drawn: str, width: int, dark: bool) -> None:
    with tab(browser, program.url, width=width, dark=dark) as page:
        for path in ("/", "/history", f"/job/{drawn}"):
            page.goto(path)
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than {width} px"
            assert page.evaluate("() => document.querySelectorAll('img:not([alt])').length") == 0
            nameless = page.evaluate(
                "() => [...document.querySelectorAll('button, a, input:not([type=hidden]), textarea, select')]"
                ".filter((one) => !(one.ariaLabel || one.innerText?.trim() || one.labels?.[0]?.innerText.trim() || one.querySelector('img[alt]')))"
                ".filter((one) => !one.closest('dialog')).map((one) => one.outerHTML)"
            )
            assert nameless == []
            assert page.locator("main").count() == 1
            background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) is dark


def test_deleting_asks_first_and_then_the_card_leaves(browser: Browser, program: Program) -> None:
    with tab(browser, program.url) as page:
        card = page.locator(f"#card-{ask(page, f'{FOX} --steps 4 --n 1')}")
        questions: list[str] = []
        answers = iter(("no", "yes"))

        def answer(question: Dialog) -> None:
            questions.append(question.message)
            question.accept() if next(answers) == "yes" else question.dismiss()

        page.on("dialog", answer)
        card.get_by_text("Delete", exact=True).click()
        expect(card).to_be_visible()
        card.get_by_text("Delete", exact=True).click()
        expect(card).to_have_count(0)
        assert len(questions) == 2


def png(name: str) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": a_red_picture()}


def test_several_files_go_along_each_with_its_own_part_and_can_be_taken_back(browser: Browser, program: Program) -> None:
    listed: FilePayload = {"name": "prompts.csv", "mimeType": "text/csv", "buffer": b"prompt\na fox\n"}
    with tab(browser, program.url) as page:
        page.set_input_files("[name=picture]", [png("red.png"), listed])
        page.set_input_files("[name=picture]", [png("ink.png")])
        files = page.locator("#chosen li")
        expect(files).to_have_count(3)
        page.get_by_label("What ink.png is for").select_option("style")
        assert [files.nth(i).locator("select").input_value() for i in range(3)] == ["image", "list", "style"]
        page.get_by_label("Remove prompts.csv").click()
        expect(files).to_have_count(2)
        expect(page.get_by_label("What ink.png is for")).to_have_value("style")
        page.set_input_files("[name=picture]", [png(f"{number}.png") for number in range(4)])
        expect(page.locator("#notice")).to_contain_text("more than 5 files")
        expect(files).to_have_count(2)


def test_a_command_is_completed_and_its_answer_is_shown_over_the_page(browser: Browser, program: Program, drawn: str) -> None:
    with tab(browser, program.url) as page:
        words = page.locator("#words")
        words.press_sequentially("/hist")
        expect(page.get_by_role("option")).to_have_text(re.compile("/history"))
        words.press("ArrowDown")
        words.press("Tab")
        expect(words).to_have_value("/history ")
        words.press("Enter")
        expect(page.locator("#sheet")).to_contain_text(FOX)
        expect(page.locator(f"#sheet a[href='/job/{drawn}']")).to_be_visible()


def test_a_part_painted_over_is_drawn_anew_and_its_child_is_shown(browser: Browser, program: Program) -> None:
    with tab(browser, program.url) as page:
        job = ask(page, f"{FOX} --steps 4 --n 1")
        page.goto(f"/region/{job}/0")
        canvas = page.locator("#mask")
        expect(canvas).to_be_visible()
        box = canvas.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=6)
        page.mouse.up()
        page.get_by_role("button", name="Draw", exact=True).click()
        expect(page).to_have_url(re.compile("/job/"))
        expect(page.locator(".card")).to_have_attribute("data-status", "done")
        assert page.url.rpartition("/")[2] != job
        expect(page.locator(".family")).to_contain_text("A part anew")
