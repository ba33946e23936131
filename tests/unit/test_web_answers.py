"""What is typed and sent from the page beside words to draw: commands, files with a role, forms; and answers with everything a card may hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.chat.web import forms
from bot.chat.web.shelf import LIFE, Shelf
from bot.chat.web.words import command_hints, moved, said, words_at
from bot.domain import Action, Button, Card, Command, Document, Field, Form, Picture, Reading, Select, Submit, Upload, Verb, Visibility
from bot.messages import Catalogue
from tests.fakes.studio import NOW, paint
from tests.fakes.web import SECRET, Clock, Site, shown_text

JSON = {"Accept": "application/json"}
OFFER = "01KD0000000000000000000077"


def button(label: str, verb: Verb = Verb.RUN, index: int = 0, **more: str) -> Button:
    return Button(label=label, hint=f"Do {label}", action=Action(verb=verb, job_id=OFFER, index=index, **more))


RICH = Card(
    title="Four prompts",
    text="Press one.",
    details=(("Model", "pocket"),),
    pictures=(Picture(alt="a sample", data=paint(3), name="sample.png"),),
    documents=(Document(name="my words.csv", data=b"words\r\na fox", kind="text/csv"), Document(name="all.zip", data=b"PK", kind="application/zip")),
    rows=((button("1"), button("2", index=1)),),
    selects=(Select(placeholder="Which model …", choices=(button("pocket", Verb.CHOOSE, argument="model=pocket"),)),),
    visibility=Visibility.PRIVATE,
)


# ------------------------------------------------------------------------------------------------ commands


@pytest.mark.parametrize(
    ("typed", "name", "text"),
    [
        ("a fox", "imagine", "a fox"),
        ("/imagine a fox", "imagine", "a fox"),
        ("/morph a fox | an owl --seed 7", "morph", "a fox | an owl --seed 7"),
        ("  /Prefer suffix=in ink ", "prefer", "suffix=in ink"),
        ("/models", "models", ""),
        ("/nonsense x", "nonsense", "x"),  # the studio says that there is none
        ("/r/art, a fox", "imagine", "/r/art, a fox"),
        ("and/or a fox", "imagine", "and/or a fox"),
    ],
)
def test_a_command_is_typed_as_in_the_chats_and_everything_else_is_words(typed: str, name: str, text: str) -> None:
    assert said(typed) == (name, text)


async def test_every_command_reaches_the_studio_with_its_files() -> None:
    async with Site() as site, site.visitor() as visitor:
        site.studio.cards["blend"] = RICH
        await visitor.post("/imagine", {"text": "/blend --ar 3:2"}, files={"a.png": paint(1), "b.png": paint(2)})
    (event,) = site.studio.events
    assert isinstance(event, Command)
    assert (event.name, event.text, [each.data for each in event.uploads]) == ("blend", "--ar 3:2", [paint(1), paint(2)])


async def test_hints_for_words_behind_a_command_stand_where_the_words_do() -> None:
    async with Site() as site, site.visitor() as visitor:
        wrong = json.loads((await visitor.post("/read", {"text": "/imagine a fox --se", "at": "19"}))[1])
        about = json.loads((await visitor.post("/read", {"text": "/prefer --nothing", "at": "17"}))[1])
    assert wrong["mistakeAt"] == [15, 19] and wrong["spans"][0] == [0, 9, "flag"]
    assert [(hint["insert"], hint["start"], hint["end"]) for hint in wrong["hints"]] == [("--seed ", 15, 19)]
    assert (about["mistake"], about["cost"], about["hints"]) == ("", "", [])


def test_a_command_that_is_being_typed_is_completed() -> None:
    english = Catalogue.load("en")
    hints = command_hints("/h", 2, english)
    assert [(hint.insert, hint.start, hint.end) for hint in hints] == [("/history ", 0, 2), ("/help ", 0, 2)]
    assert hints[0].detail == english.say("command.history")
    assert command_hints("a fox /h", 8, english) == () and command_hints("/history", 2, english) == () and command_hints("/help", 5, english) == ()


def test_only_commands_of_words_are_read_by_the_grammar() -> None:
    assert (words_at("a fox"), words_at("/imagine a fox"), words_at("/shorten  a"), words_at("/cancel x"), words_at("/ima")) == (0, 9, 10, None, None)
    reading = Reading(spans=((0, 5, "text"),), mistake_at=(2, 3), cost=1.0)
    assert moved(reading, 0) == reading
    assert moved(reading, 9).spans == ((0, 9, "flag"), (9, 14, "text")) and moved(reading, 9).mistake_at == (11, 12)


async def test_the_cost_of_several_prompts_says_how_many_there_are() -> None:
    async with Site() as site, site.visitor() as visitor:
        site.studio.read = lambda actor, text: Reading(cost=5.2, prompts=4)  # type: ignore[method-assign]
        answer = json.loads((await visitor.post("/read", {"text": "a {red, blue} car", "at": "0"}))[1])
    assert answer["cost"] == "4 prompts, 5.2 credits"


# ------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize(("count", "buttons_first"), [(1, False), (9, True)])
async def test_buttons_stand_before_a_long_list_and_after_a_short_one(count: int, buttons_first: bool) -> None:
    async with Site() as site, site.visitor() as visitor:
        site.studio.cards["help"] = replace(RICH, details=tuple((f"/{number}", "what it does") for number in range(count)))
        _, page, _ = await visitor.post("/imagine", {"text": "/help"})
    assert (page.index('class="acts"') < page.index('class="details"')) is buttons_first
    assert page.count('class="acts"') == 1


async def test_an_answer_shows_everything_its_card_holds() -> None:
    async with Site() as site, site.visitor() as visitor:
        site.studio.cards["describe"] = RICH
        status, page, _ = await visitor.post("/imagine", {"text": "/describe"}, files={"a.png": paint(1)})
        note = json.loads((await visitor.post("/imagine", {"text": "/describe"}, files={"a.png": paint(1)}, headers=JSON))[1])
        picture = re.search(r'<img src="(/file/[^"]+)" alt="a sample"', page)
        saved = re.findall(r'<a href="(/file/[^"]+)" download>Save ([^<]+)</a>', page)
        assert picture is not None
        async with visitor.session.get(picture[1]) as answer:
            assert (answer.content_type, await answer.read()) == ("image/png", paint(3))
        found = []
        for url, _ in saved:
            async with visitor.session.get(url) as answer:
                found.append((answer.content_type, answer.headers["Content-Disposition"], await answer.read()))
    assert status == 200 and note["kind"] == "note" and not note["refused"]
    for text in (page, note["html"]):
        assert "Press one." in text and "<dd>pocket</dd>" in text
        assert re.search(r'<select name="action" aria-label="Which model …"', text)
        assert f'value="w1:w:{OFFER}:0:model=pocket"' in text and f'value="w1:b:{OFFER}:1:"' in text
    assert [name for _, name in saved] == ["my words.csv", "all.zip"]
    assert found[0] == ("text/csv", "attachment; filename*=UTF-8''my%20words.csv", b"words\r\na fox")
    assert found[1] == ("application/zip", "attachment; filename*=UTF-8''all.zip", b"PK")


async def test_files_are_for_whom_they_were_made_and_for_an_hour() -> None:
    async with Site() as site, site.visitor() as visitor, site.visitor() as other:
        site.studio.cards["privacy"] = RICH
        _, page, _ = await visitor.post("/imagine", {"text": "/privacy export"})
        found = re.search(r'href="(/file/[^"]+)" download', page)
        assert found is not None
        assert (await other.get(found[1]))[0] == 200  # nobody signs in here: everybody is the same member
        site.clock.go_on(hours=1)
        status, gone, _ = await visitor.get(found[1])
    assert status == 404 and "not kept any longer" in shown_text(gone)


def test_the_shelf_keeps_members_apart_and_its_room() -> None:
    clock = Clock()
    shelf = Shelf(SECRET, clock, room=10)
    first = shelf.put("web:1", name="a", kind="text/csv", data=b"123456")
    assert shelf.put("web:1", name="a", kind="text/csv", data=b"123456") == first
    assert shelf.get("web:2", first) is None
    kept = shelf.get("web:1", first)
    assert kept is not None and kept.data == b"123456"
    second = shelf.put("web:1", name="b", kind="text/csv", data=b"789012")
    assert shelf.get("web:1", first) is None and shelf.get("web:1", second) is not None
    large = shelf.put("web:1", name="c", kind="text/csv", data=b"x" * 50)
    assert shelf.get("web:1", large) is not None
    clock.now += LIFE - timedelta(seconds=1)
    assert shelf.get("web:1", large) is not None
    clock.now += timedelta(seconds=1)
    assert shelf.get("web:1", large) is None
    assert clock.now > NOW


async def test_a_stored_document_is_asked_of_the_studio_which_knows_whose_it_is() -> None:
    async with Site() as site, site.visitor() as visitor:
        digest = site.studio.keep(b"PK stored")
        site.studio.cards["privacy"] = Card(title="Here", documents=(Document(name="all.zip", digest=digest),))
        _, page, _ = await visitor.post("/imagine", {"text": "/privacy export"})
        found = re.search(r'href="(/file/[^"]+)" download', page)
        assert found is not None
        assert (await visitor.get(found[1]))[1] == "PK stored"
        del site.studio._blobs[digest]
        assert (await visitor.get(found[1]))[0] == 404


async def test_a_document_from_the_disk_is_sent_piece_by_piece_to_its_member_while_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "made.zip").write_bytes(b"PK made")
    async with Site() as site, site.visitor() as visitor:
        site.studio.cards["privacy"] = Card(title="Here", documents=(Document(name="my all.zip", path=str(tmp_path / "made.zip")),))
        _, page, _ = await visitor.post("/imagine", {"text": "/privacy export"})
        found = re.search(r'href="(/file/[^"]+)" download', page)
        assert found is not None and "made.zip" not in page, "where it lies is nobody's business"
        async with visitor.session.get(found[1]) as answer:
            assert (answer.content_type, await answer.read()) == ("application/zip", b"PK made")
            assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''my%20all.zip"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        (tmp_path / "made.zip").unlink()
        assert (await visitor.get(found[1]))[0] == 404


async def test_a_sentence_in_answer_to_a_command_that_only_tells_is_no_refusal() -> None:
    async with Site() as site, site.visitor() as visitor:
        site.studio.cards |= {"queue": Card(title="The queue", text="Nothing waits."), "morph": Card(title="Not this time", text="Too dear.")}
        told = json.loads((await visitor.post("/imagine", {"text": "/queue"}, headers=JSON))[1])
        refused = json.loads((await visitor.post("/imagine", {"text": "/morph a | b"}, headers=JSON))[1])
        status, page, _ = await visitor.post("/imagine", {"text": "/morph a | b"})
    assert (told["refused"], refused["refused"]) == (False, True)
    assert status == 422 and ">/morph a | b</textarea>" in page


async def test_an_answer_about_an_offer_leads_to_no_page_of_a_job() -> None:
    async with Site() as site, site.visitor() as visitor:
        site.studio.cards["i"] = Card(title="Left out")
        _, page, _ = await visitor.post("/press", {"action": button("no", Verb.DISMISS).action.encode()})
    assert "Left out" in page and "/job/" not in page


# ------------------------------------------------------------------------------------------------ forms and files


FORM = Form(
    name="prefer",
    title="Yours",
    fields=(
        Field(name="suffix", label="After every prompt", value="in ink", required=False, hint="Words only"),
        Field(name="lane", label="Lane", kind="choice", value="relax", choices=(("fast", "Quick"), ("relax", "When nobody waits"))),
        Field(name="sketch", label="A sketch", kind="picture", required=False),
        Field(name="picture", label="Pictures", kind="picture"),
    ),
)


async def test_a_form_has_a_control_for_every_kind_of_field() -> None:
    async with Site() as site, site.visitor() as visitor:
        site.studio.forms["prefer"] = FORM
        page = (await visitor.post("/imagine", {"text": "/prefer"}))[1]
        fragment = json.loads((await visitor.post("/imagine", {"text": "/prefer"}, headers=JSON))[1])
    assert fragment["kind"] == "form"
    for text in (page, fragment["html"]):
        assert '<input name="value.suffix" value="in ink" aria-describedby="hint-value.suffix">' in text
        assert '<small id="hint-value.suffix">Words only</small>' in text
        assert '<select name="value.lane" required>' in text and '<option value="relax" selected>When nobody waits</option>' in text
        assert '<input type="file" name="file.sketch" accept="image/*">' in text
        assert '<input type="file" name="file.picture" accept="image/*" multiple required>' in text


async def test_what_a_form_brings_is_said_with_the_role_of_each_file() -> None:
    sent = (Upload(name="s.png", data=paint(1), role="sketch"), Upload(name="m.png", data=paint(2), role="mask"), Upload(name="l", data=b"x", role="list"))
    async with Site() as site, site.visitor() as visitor:
        await visitor.post("/submit", {"form": "prefer", "value.words": "a fox", "value.lane": "fast"}, uploads=sent)
    (event,) = site.studio.events
    assert isinstance(event, Submit)
    assert (dict(event.values), event.uploads) == ({"words": "a fox", "lane": "fast"}, sent)


async def test_without_the_script_one_role_is_chosen_for_the_pictures_and_a_list_is_known_by_its_ending() -> None:
    async with Site() as site, site.visitor() as visitor:
        await visitor.post("/imagine", {"text": "a fox", "role": "style"}, files={"a.png": paint(1), "words.CSV": b"words\na fox"})
        page = (await visitor.get("/"))[1]
    assert [each.role for each in site.studio.events[0].uploads] == ["style", "list"]  # type: ignore[union-attr]
    assert re.findall(r'<option value="(\w+)">', page) == ["image", "style", "sketch", "list"]
    assert 'accept="image/*,.txt,.csv,text/plain,text/csv" multiple' in page


def test_a_role_nobody_knows_is_a_picture_to_start_from() -> None:
    assert [forms.role_of(*each) for each in (("file.x", "a", ""), ("picture", "a.png", "x"), ("file.style", "a.txt", ""))] == ["image", "image", "style"]


async def test_a_sixth_file_gets_one_sentence() -> None:
    async with Site() as site, site.visitor() as visitor:
        status, page, _ = await visitor.post("/imagine", {"text": "a fox"}, files={f"{number}.png": paint(number) for number in range(6)})
    assert status == 413 and "more than 5 files" in shown_text(page)
    assert site.studio.events == []
