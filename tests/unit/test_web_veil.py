"""What may be sexual stands behind a click on the page: wherever the picture is shown, still or moving, until it is pressed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bot.chat import web
from bot.chat.web.security import LOCAL
from bot.domain import Card, Shown
from tests.fakes.studio import paint
from tests.fakes.web import Site

STYLES = (Path(web.__file__).parent / "static" / "studio.css").read_text("utf-8")


async def shown(site: Site, *, hidden: bool) -> str:
    """A job with pictures and a clip, as the output gate has it."""
    plain = site.studio.card_of

    def card_of(shown: Shown, *, reader: object) -> Card:
        return replace(plain(shown, reader=LOCAL), spoiler=shown.job.hidden)

    site.studio.card_of = card_of  # type: ignore[method-assign]
    job_id = site.studio.accept(LOCAL, "a fox").job.id
    site.studio.jobs[job_id] = site.studio.jobs[job_id].evolve(job=replace(site.studio.jobs[job_id].job, hidden=hidden))
    await site.studio.finish(job_id, clip=paint(7))
    return job_id


@pytest.mark.parametrize("hidden", [False, True])
async def test_what_is_hidden_is_veiled_wherever_it_stands(hidden: bool) -> None:
    async with Site() as site, site.visitor() as visitor:
        job_id = await shown(site, hidden=hidden)
        for path in ("/", f"/job/{job_id}", "/history"):
            page = (await visitor.get(path))[1]
            around = re.findall(r'<(?:div|span|details) class="((?:stage pics|thumb|film)[^"]*)"', page)
            assert around, path
            assert {"veiled" in names.split() for names in around} == {hidden}, (path, around)
        page = (await visitor.get(f"/job/{job_id}"))[1]
        assert bool(re.search(r'<details class="film[^"]*" open', page)) is not hidden, "the clip moves behind a click, too"
        assert re.search(r'<a class="pic" href="/picture/', page), "a press opens the picture itself"


def test_pointing_at_a_veil_or_passing_it_with_the_keyboard_is_no_press() -> None:
    rules = re.findall(r"([^{}]*\.veiled[^{}]*)\{([^}]*)\}", STYLES)
    assert any("blur(" in style for _, style in rules)
    for selector, style in rules:
        assert "filter: none" not in style, selector
        assert not re.search(r":(hover|focus)", selector), selector
