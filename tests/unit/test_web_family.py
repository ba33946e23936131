"""What moves, and what came of what: the clip in a card and the family on a job's page."""

from __future__ import annotations

import re

from PIL import Image

from bot.chat.web import render
from bot.domain import Action, Button, Card, Origin, Status, Verb
from bot.messages import Catalogue
from engine.codec import encode_clip
from tests.contract.jobs import job
from tests.fakes.web import Site, Visitor


async def drawn(site: Site, visitor: Visitor) -> str:
    job = await visitor.imagine("a fox in the snow")
    await site.studio.finish(job)
    return job


async def filmed(site: Site, visitor: Visitor) -> tuple[str, bytes]:
    """A finished job with a clip, and the clip."""
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    clip = encode_clip(frames, [90, 1500])
    job = await visitor.imagine("a fox in the snow")
    await site.studio.finish(job, clip)
    return job, clip


async def test_a_clip_stands_in_the_card_and_whoever_wants_less_motion_sees_the_picture() -> None:
    async with Site() as site, site.visitor() as visitor:
        job, clip = await filmed(site, visitor)
        page = (await visitor.get(f"/job/{job}"))[1]
        film = re.search(r'<details class="film" open>.*?</details>', page, re.DOTALL)
        assert film is not None
        still = re.search(r'<source srcset="(/picture/[0-9a-f]{64}\.png)" media="\(prefers-reduced-motion: reduce\)">', film[0])
        moving = re.search(r'<img src="(/picture/[0-9a-f]{64}\.webp)" alt="a fox in the snow, a clip"', film[0])
        assert still is not None and moving is not None
        assert f'src="{still[1]}"' in page, "it is a picture of the same card"
        async with visitor.session.get(moving[1]) as answer:
            assert (answer.status, answer.content_type, await answer.read()) == (200, "image/webp", clip)
        async with visitor.session.get(f"{moving[1]}?save") as answer:
            assert re.fullmatch(r'attachment; filename="wordup-[0-9a-f]{12}\.webp"', answer.headers["Content-Disposition"])


async def test_in_the_feed_a_clip_waits_to_be_opened_and_others_have_none() -> None:
    async with Site() as site, site.visitor() as visitor:
        await filmed(site, visitor)
        await drawn(site, visitor)
        feed = (await visitor.get("/"))[1]
    assert feed.count('<details class="film">') == 1 and '<details class="film" open>' not in feed


async def test_what_came_of_it_leads_to_the_family_on_the_jobs_page() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site, visitor)
        await visitor.post("/press", {"action": Action(verb=Verb.VARY, job_id=job, index=1).encode()})
        page = (await visitor.get(f"/job/{job}"))[1]
    action = Action(verb=Verb.CHILDREN, job_id=job)
    card = Card(title="a fox", job_id=job, status=Status.DONE, rows=((Button(label="What came of it", action=action),),))
    (button,) = render.card_view(Catalogue.load("en"), card).rows[0]
    path, _, place = button.href.partition("#")
    assert path == f"/job/{job}" and f'<nav class="family" id="{place}"' in page


def test_a_remix_says_so_in_the_family() -> None:
    child = job(parent=Origin(job_id="01KD0000000000000000000001", verb=Verb.REMIX.value, index=-1))
    assert render.relation(Catalogue.load("en"), child) == "Remix"
