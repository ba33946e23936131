"""The studio's pages as a browser without scripts, and the script, see them."""

from __future__ import annotations

import json
import re

import pytest

from bot.chat.web import render
from bot.chat.web.security import LOCAL
from bot.domain import Action, Button, Card, Command, Press, Select, Status, Submit, Verb
from bot.errors import Fault
from bot.messages import Catalogue
from tests.contract.jobs import job
from tests.fakes.studio import FakeStudio, paint
from tests.fakes.web import Site, Visitor, shown_text

JSON = {"Accept": "application/json"}


async def drawn(site: Site, visitor: Visitor, words: str = "a fox in the snow") -> str:
    job = await visitor.imagine(words)
    await site.studio.finish(job)
    return job


# ------------------------------------------------------------------------------------------------ asking for a picture


async def test_words_lead_to_the_page_of_their_job() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await visitor.imagine("a fox in the snow")
        status, page, _ = await visitor.get(f"/job/{job}")
    assert status == 200
    assert "a fox in the snow" in shown_text(page)
    (event,) = site.studio.events
    assert isinstance(event, Command)
    assert (event.name, event.text, event.uploads, event.actor) == ("imagine", "a fox in the snow", (), LOCAL)


async def test_a_waiting_page_refreshes_itself_where_there_is_no_script_and_a_finished_one_does_not() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await visitor.imagine("a fox")
        refresh = '<noscript><meta http-equiv="refresh"'
        assert refresh in (await visitor.get(f"/job/{job}"))[1]
        await site.studio.finish(job)
        assert refresh not in (await visitor.get(f"/job/{job}"))[1]


async def test_a_mistake_in_the_words_is_said_in_place_and_the_words_are_kept() -> None:
    async with Site() as site, site.visitor() as visitor:
        status, page, _ = await visitor.post("/imagine", {"text": "a fox --sed 7"})
    assert status == 422
    assert "There is no flag --sed." in shown_text(page)
    assert re.search(r"<textarea[^>]*>a fox --sed 7</textarea>", page)
    assert not site.studio.events


async def test_the_script_gets_the_same_answers_as_fragments() -> None:
    async with Site() as site, site.visitor() as visitor:
        status, text, _ = await visitor.post("/imagine", {"text": "a fox"}, headers=JSON)
        taken = json.loads(text)
        refused = json.loads((await visitor.post("/imagine", {"text": "a fox --sed"}, headers=JSON))[1])
    assert status == 200
    assert taken["kind"] == "job"
    assert f'id="card-{taken["job"]}"' in taken["html"]
    assert "credits" in taken["wallet"][0]
    assert (refused["kind"], refused["refused"]) == ("note", True)
    assert "--sed" in refused["text"]


async def test_a_picture_to_start_from_travels_with_the_words() -> None:
    async with Site() as site, site.visitor() as visitor:
        status, _, _ = await visitor.post("/imagine", {"text": "a fox"}, files={"fox.png": paint(1)})
    assert status == 303
    (event,) = site.studio.events
    assert isinstance(event, Command)
    assert [(upload.name, upload.data) for upload in event.uploads] == [("fox.png", paint(1))]


async def test_an_empty_file_field_is_no_picture() -> None:
    async with Site() as site, site.visitor() as visitor:
        await visitor.post("/imagine", {"text": "a fox"}, files={"": b""})
    (event,) = site.studio.events
    assert isinstance(event, Command)
    assert event.uploads == ()


@pytest.mark.parametrize("headers", [{}, JSON], ids=["form", "script"])
async def test_too_large_an_upload_gets_one_clear_sentence(headers: dict[str, str]) -> None:
    async with Site(max_upload=2**16) as site, site.visitor() as visitor:
        status, text, _ = await visitor.post("/imagine", {"text": "a fox"}, files={"a.png": b"x" * 2**15 + b"x", "b.png": b"x" * 2**15 + b"x"}, headers=headers)
        assert status == 413
        assert "0.0625 MB" in text
        assert not site.studio.events
        assert (await visitor.get("/"))[0] == 200


async def test_endless_words_are_cut_off() -> None:
    async with Site() as site, site.visitor() as visitor:
        for files in (None, {"a.png": b"x"}):
            status, _, _ = await visitor.post("/imagine", {"text": "x" * 300_000}, files=files)
            assert status == 413
        assert not site.studio.events


async def test_a_body_that_is_no_form_is_refused() -> None:
    async with Site() as site, site.visitor() as visitor:
        await visitor.get("/")
        for kind, status in (("text/plain", 415), ("application/json", 415), ("multipart/form-data", 400), ("multipart/form-data; boundary=x", 400)):
            async with visitor.session.post("/imagine", data=b"nonsense", headers={"Content-Type": kind}) as answer:
                assert answer.status == status
        assert not site.studio.events


# ------------------------------------------------------------------------------------------------ pressing


async def test_a_double_click_makes_one_job_and_the_next_page_another() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        action = Action(verb=Verb.VARY, job_id=job, index=1).encode()
        answers = [await visitor.post("/press", {"action": action, "delivery": "0123456789abcdef"}) for _ in range(2)]
        assert answers[0][2].headers["Location"] == answers[1][2].headers["Location"]
        assert len(site.studio.jobs) == 2
        await visitor.post("/press", {"action": action, "delivery": "fedcba9876543210"})
        assert len(site.studio.jobs) == 3


async def test_one_members_delivery_id_cannot_stand_in_for_anothers_or_another_buttons() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        for index in (0, 1):
            await visitor.post("/press", {"action": Action(verb=Verb.VARY, job_id=job, index=index).encode(), "delivery": "0123456789abcdef"})
    assert len({event.delivery_id for event in site.studio.events}) == 3


async def test_every_button_of_the_card_is_on_the_page_and_says_what_it_does() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        card = await site.studio.card(LOCAL, job)
        for path in ("/", f"/job/{job}", f"/card/{job}"):
            _, page, _ = await visitor.get(path)
            for button in (button for row in card.rows for button in row):
                assert f'value="{button.action.encode()}"' in page
                assert f'aria-label="{button.hint}"' in page


async def test_pressing_returns_to_the_page_it_was_pressed_on_unless_there_is_a_new_job() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        _, _, marked = await visitor.post("/press", {"action": Action(verb=Verb.FAVOURITE, job_id=job).encode(), "back": f"/job/{job}"})
        _, _, varied = await visitor.post("/press", {"action": Action(verb=Verb.VARY, job_id=job, index=1).encode(), "back": f"/job/{job}"})
    assert marked.headers["Location"] == f"/job/{job}"
    assert varied.headers["Location"] != f"/job/{job}"


async def test_details_are_a_note_to_the_member() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        action = Action(verb=Verb.PARAMS, job_id=job).encode()
        status, page, _ = await visitor.post("/press", {"action": action})
        note = json.loads((await visitor.post("/press", {"action": action}, headers=JSON))[1])
    assert status == 200
    assert "How it was made" in shown_text(page)
    assert f'href="/job/{job}"' in page
    assert (note["kind"], note["job"], note["refused"]) == ("note", job, False)
    assert f'id="card-{job}"' in note["card"]


async def test_after_deleting_the_script_is_told_that_the_card_is_gone() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        note = json.loads((await visitor.post("/press", {"action": Action(verb=Verb.DELETE, job_id=job).encode()}, headers=JSON))[1])
        assert (note["kind"], note["job"], note["card"]) == ("note", job, "")
        assert (await visitor.get(f"/job/{job}"))[0] == 404


async def test_a_button_that_stays_down_says_whether_it_is() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        assert (await visitor.get(f"/job/{job}"))[1].count('aria-pressed="false"') == 1
        await visitor.post("/press", {"action": Action(verb=Verb.FAVOURITE, job_id=job).encode()})
        page = (await visitor.get(f"/job/{job}"))[1]
        assert (page.count('aria-pressed="true"'), page.count('aria-pressed="false"')) == (1, 0)


@pytest.mark.parametrize("action", ["", "nonsense", "w1:z:01KD0000000000000000000001:0:", "w1:v:01KD0000000000000000009999:0:", "x" * 5000])
async def test_a_button_nobody_made_gets_a_sentence(action: str) -> None:
    async with Site() as site, site.visitor() as visitor:
        status, page, _ = await visitor.post("/press", {"action": action})
    assert status == 200
    assert "not one of mine" in shown_text(page)
    assert all(isinstance(event, Press) and len(event.action) <= 200 for event in site.studio.events)


async def test_remix_shows_a_form_and_its_words_make_a_new_job() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        status, page, _ = await visitor.post("/press", {"action": Action(verb=Verb.REMIX, job_id=job).encode()})
        assert status == 200
        assert 'name="value.words"' in page
        status, _, answer = await visitor.post("/submit", {"form": f"remix:{job}", "value.words": "a wolf"})
        assert status == 303
        assert answer.headers["Location"] != f"/job/{job}"
    event = site.studio.events[-1]
    assert isinstance(event, Submit)
    assert (event.form, dict(event.values)) == (f"remix:{job}", {"words": "a wolf"})


# ------------------------------------------------------------------------------------------------ looking


async def test_a_grid_stands_as_single_pictures_each_with_words_for_those_who_do_not_see_it() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        _, page, _ = await visitor.get(f"/job/{job}")
        singles = [artifact.digest for artifact in site.studio.jobs[job].artifacts if artifact.index >= 0]
        for digest in singles:
            assert (await visitor.get(f"/picture/{digest}.png"))[0] == 200
    assert re.findall(r'class="pic" href="/picture/(\w+).png"', page) == singles
    assert all(alt for alt in re.findall(r'<img src="/picture[^>]* alt="([^"]*)"', page))


async def test_a_preview_is_to_be_had_while_it_forms_and_not_after() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await visitor.imagine("a fox")
        assert (await visitor.get(f"/preview/{job}"))[0] == 204
        await site.studio.step(job, 10)
        status, _, answer = await visitor.get(f"/preview/{job}?at=50")
        assert (status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert f'src="/preview/{job}?at=50"' in (await visitor.get("/"))[1]
        await site.studio.finish(job)
        assert (await visitor.get(f"/preview/{job}"))[0] == 204


async def test_history_searches_pages_and_keeps_favourites_apart() -> None:
    async with Site() as site, site.visitor() as visitor:
        for number in range(30):
            await drawn(site, visitor, f"fox number {number}")
        owl = await drawn(site, visitor, "an owl")
        await visitor.post("/press", {"action": Action(verb=Verb.FAVOURITE, job_id=owl).encode()})
        _, first, _ = await visitor.get("/history")
        older = re.search(r'rel="next" href="([^"]+)"', first)
        assert older
        _, second, _ = await visitor.get(older[1].replace("&amp;", "&"))
        _, found, _ = await visitor.get("/history?search=NUMBER+12")
        _, marked, _ = await visitor.get("/history?favourites=1")
        _, nothing, _ = await visitor.get("/history?search=zebra")
    assert first.count('class="tile"') == 24
    assert second.count('class="tile"') == 7
    assert re.findall(r"fox number \d+", shown_text(found)) == ["fox number 12"]
    assert marked.count('class="tile"') == 1
    assert "Nothing matches" in nothing


async def test_a_jobs_page_shows_where_it_came_from_and_what_came_of_it() -> None:
    async with Site() as site, site.visitor() as visitor:
        root = await drawn(site, visitor, "a fox")
        _, _, answer = await visitor.post("/press", {"action": Action(verb=Verb.VARY, job_id=root, index=1).encode()})
        child = answer.headers["Location"].removeprefix("/job/")
        await site.studio.finish(child)
        _, _, answer = await visitor.post("/press", {"action": Action(verb=Verb.PICK, job_id=child, index=2).encode()})
        grandchild = answer.headers["Location"].removeprefix("/job/")
        _, page, _ = await visitor.get(f"/job/{child}")
    family = page[page.index('class="family"') :]
    assert re.findall(r'href="/job/(\w+)"', family) == [root, child, grandchild]
    assert re.findall(r"<b>(\w+)</b>", family) == ["Words", "V2", "U3"]
    assert f'href="/job/{child}" aria-current="page"' in family


async def test_hints_name_the_mistake_and_what_could_come_next() -> None:
    async with Site() as site, site.visitor() as visitor:
        _, text, _ = await visitor.post("/read", {"text": "a fox --se", "at": "10"})
        wrong = json.loads(text)
        fine = json.loads((await visitor.post("/read", {"text": "a fox", "at": "99999999999"}))[1])
    assert wrong["mistake"] == "There is no flag --se."
    assert wrong["mistakeAt"] == [6, 10]
    assert [(hint["insert"], hint["start"], hint["end"]) for hint in wrong["hints"]] == [("--seed ", 6, 10)]
    assert fine["cost"] == "1.3 credits"
    assert fine["hints"] == []


async def test_news_comes_over_the_stream_small_and_with_the_wallet_at_the_end() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await visitor.imagine("a fox")
        async with visitor.listening() as events:
            await site.studio.step(job, 10)
            _, running = await anext(events)
            await site.studio.finish(job)
            _, done = await anext(events)
            await site.adapter.aclose()
            assert (await anext(events))[0] == "goodbye"
    assert (running["status"], running["percent"], running["preview"], running["ended"]) == ("running", 50, f"/preview/{job}?at=50", False)
    assert (done["status"], done["ended"], done["wallet"][0]) == ("done", True, "742 credits")
    assert len(json.dumps(running)) < 1000


# ------------------------------------------------------------------------------------------------ when something is wrong


@pytest.mark.parametrize(
    "path", ["/nothing", "/job/01KD0000000000000000009999", "/card/x", "/picture/" + "0" * 64 + ".png", "/static/../server.py", "/static/x"]
)
async def test_what_is_not_there_gets_one_sentence(path: str) -> None:
    async with Site() as site, site.visitor() as visitor:
        status, page, _ = await visitor.get(path)
    assert status == 404
    assert 'role="alert"' in page
    assert "Traceback" not in page


async def test_a_fault_gets_an_apology_and_no_stack_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: FakeStudio, actor: object, **_: object) -> None:
        raise Fault("error.fault")

    monkeypatch.setattr(FakeStudio, "history", broken)
    async with Site() as site, site.visitor() as visitor:
        status, page, _ = await visitor.get("/history")
        assert (await visitor.get("/sign-in"))[0] == 200
    assert status == 500
    assert "Something went wrong" in page
    assert "Fault" not in page


async def test_a_closing_studio_says_so_and_still_shows_pictures() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        await site.adapter.pause()
        status, page, _ = await visitor.post("/imagine", {"text": "a fox"})
        assert status == 503
        assert "takes no new orders" in shown_text(page)
        assert (await visitor.post("/press", {"action": "w1:c:x:0:"}))[0] == 503
        assert (await visitor.get(f"/job/{job}"))[0] == 200
        assert (await visitor.post("/read", {"text": "a fox", "at": "5"}))[0] == 200
    assert len(site.studio.events) == 1


# ------------------------------------------------------------------------------------------------ rendering


def test_a_large_grid_has_selects_in_the_buttons_place() -> None:
    choice = Button(label="U5", hint="Take picture 5", action=Action(verb=Verb.PICK, job_id="0" * 26, index=4))
    card = Card(title="a fox", job_id="0" * 26, status=Status.DONE, selects=(Select(placeholder="Enlarge …", choices=(choice,)),))
    view = render.card_view(Catalogue.load("en"), card)
    assert view.selects[0].choices[0].value == choice.action.encode()
    assert view.selects[0].choices[0].hint == "Take picture 5"


def test_a_menu_of_values_says_the_values() -> None:
    choice = Button(label="Deutsch", hint="Language: set it to Deutsch", action=Action(verb=Verb.CHOOSE, job_id="0" * 26, argument="locale=de"))
    card = Card(title="What you prefer", selects=(Select(placeholder="My language …", choices=(choice,)),))
    assert render.card_view(Catalogue.load("en"), card).selects[0].choices[0].hint == "Deutsch"


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (9, 3)])
def test_pictures_stand_in_a_grid_as_square_as_it_can_be(count: int, expected: int) -> None:
    assert render.columns(count) == expected


def test_the_space_kept_for_a_picture_is_of_the_finished_pictures_shape() -> None:
    made = job(width=128, height=64, count=4)
    assert render.canvas(made) == (2, 256, 128)
    assert render.canvas(job(width=128, height=64, count=4, enlarge=4)) == (2, 1024, 512)


def test_links_of_a_card_lead_only_to_the_web() -> None:
    from bot.domain import Link

    card = Card(title="", links=(Link(label="bad", url="javascript:alert(1)"), Link(label="good", url="https://art.example")))
    assert render.card_view(Catalogue.load("en"), card).links == (("good", "https://art.example"),)


def test_every_word_of_the_pages_is_in_the_catalogue() -> None:
    from importlib import resources

    catalogue = Catalogue.load("en")
    sources = [*(resources.files("bot.chat.web") / "templates").iterdir(), *(f for f in resources.files("bot.chat.web").iterdir() if f.name.endswith(".py"))]
    used = {name for source in sources for name in re.findall(r"['\"](web\.[a-z_]+)['\"]", source.read_text("utf-8"))}
    events = {"web.listening", "web.broken", "web.signed_in", "web.deaf_page"}
    unknown = {name for name in used - events if name not in catalogue and name not in ("web.status_", "web.role_")}
    assert not unknown
    spoken = used | {f"web.status_{status}" for status in Status} | {f"web.role_{role}" for role in ("image", "style", "sketch", "list")}
    assert all(name in catalogue for name in spoken - events - {"web.status_", "web.role_"})
    assert not {name for name in catalogue if name.startswith("web.")} - spoken, "words nobody says"
