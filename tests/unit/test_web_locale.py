"""In whose language the page speaks: what was chosen in the footer, else what the browser says."""

from __future__ import annotations

import re

import pytest

from bot.chat.web.links import region_link
from bot.chat.web.locales import accepted, wanted
from bot.domain import Actor
from tests.fakes.web import SECRET, Site, two_languages


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ""),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de-AT"),
        ("nl,en;q=0.3,de;q=0.7", "de"),
        ("fr,*;q=0.1", ""),
        ("de;q=0,en", "en"),
        ("de;q=x, en ;q=0.5", "en"),
        ("<script>, de", "de"),
        ("pt,ja", ""),
    ],
)
def test_the_browsers_first_language_that_there_is_counts(header: str, expected: str) -> None:
    assert wanted("", header, ("en", "de")) == expected
    assert wanted("en", header, ("en", "de")) == "en"
    assert wanted("xx", header, ("en", "de")) == expected


def test_a_language_of_several_countries_is_found_by_any_of_them() -> None:
    assert wanted("", "pt-PT", ("en", "pt-BR")) == "pt-PT"


def test_endless_headers_are_not_read_to_their_end() -> None:
    assert len(accepted(",".join(["de"] * 10_000))) == 20


async def test_a_page_is_in_the_language_of_its_reader_and_so_is_what_they_ask_for() -> None:
    async with Site(catalogues=two_languages()) as site, site.visitor() as visitor:
        _, english, _ = await visitor.get("/")
        _, german, _ = await visitor.get("/", **{"Accept-Language": "de-CH,en;q=0.5"})
        await visitor.post("/imagine", {"text": "a fox"}, headers={"Accept-Language": "de-CH"})
    assert "What shall we draw?" in english and "?ward ew llahs tahW" in german
    asker = site.studio.events[0].actor
    assert (asker.locale, asker.name) == ("de-CH", "you"[::-1]), "whoever sits at the machine is named in their language, too"


async def test_what_is_chosen_in_the_footer_is_remembered() -> None:
    async with Site(catalogues=two_languages()) as site, site.visitor() as visitor:
        _, page, _ = await visitor.get("/history?search=fox")
        chosen = re.search(r'<a href="([^"]+)" lang="de" hreflang="de">Deutsch</a>', page)
        assert chosen is not None and 'lang="en" hreflang="en" aria-current="true">English</a>' in page
        assert chosen[1].replace("&amp;", "&") == "/history?search=fox&lang=de"
        _, german, answer = await visitor.get(chosen[1].replace("&amp;", "&"))
        assert "HttpOnly" in answer.headers["Set-Cookie"]
        _, later, _ = await visitor.get("/", **{"Accept-Language": "en"})
        _, back, _ = await visitor.get("/?lang=en")
        _, nonsense, _ = await visitor.get("/?lang=xx")
    for text in (german, later):
        assert 'lang="de" hreflang="de" aria-current="true"' in text
    assert "What shall we draw?" in back and "What shall we draw?" in nonsense


async def test_errors_are_in_it_too() -> None:
    async with Site(catalogues=two_languages()) as site, site.visitor() as visitor:
        _, page, _ = await visitor.get("/nothing", **{"Accept-Language": "de"})
    assert "There is no such page."[::-1] in page


async def test_a_link_from_a_chat_speaks_its_members_language_unless_another_was_chosen() -> None:
    ada = Actor(platform="discord", id="7", name="Ada", locale="de")
    async with Site(sign_in=True, catalogues=two_languages()) as site, site.visitor() as visitor:
        job = site.studio.accept(ada, "a fox").job.id
        await site.studio.finish(job)
        path = f"/region/{job}/0?token={region_link(SECRET, ada, job, 0, site.clock())}"
        assert "Draw a part of it anew"[::-1] in (await visitor.get(path, **{"Accept-Language": "en"}))[1]
        assert "Draw a part of it anew" in (await visitor.get(f"{path}&lang=en"))[1]


async def test_where_there_is_one_language_nobody_is_asked() -> None:
    async with Site() as site, site.visitor() as visitor:
        assert "hreflang" not in (await visitor.get("/"))[1]
