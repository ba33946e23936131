"""The page that says where a picture comes from: whole file, manifest, parameters, family; for whoever may see the job."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.chat.web.permalink import parameters
from bot.chat.web.security import LOCAL
from bot.domain import Action, Actor, Verb
from bot.provenance import Provenance
from engine import codec
from tests.fakes.studio import paint
from tests.fakes.web import Site, shown_text

BOB = Actor(platform="discord", id="8", name="Bob")


@pytest.fixture
async def marker(tmp_path: Path) -> AsyncIterator[Provenance]:
    marker = Provenance(tmp_path / "signing", clock=lambda: datetime.now(UTC))
    yield marker
    marker.close()


@pytest.fixture
async def site(marker: Provenance) -> AsyncIterator[Site]:
    site = Site()
    site.adapter._read_manifest = marker.read_own
    async with site:
        yield site


async def drawn(site: Site, marker: Provenance | None, *, words: str = "a fox <b>in</b> the snow", actor: Actor = LOCAL, private: bool = False) -> str:
    """A finished grid whose pictures are marked, where there is who marks."""
    shown = site.studio.accept(actor, words, private=private)
    await site.studio.finish(shown.job.id)
    shown = site.studio.jobs[shown.job.id]
    if marker is not None:
        artifacts = []
        for each in shown.artifacts:
            plain = codec.encode_png(codec.decode(paint(each.seed)), codec.parameters_text(shown.job.request, each.seed))
            data = (await marker.mark(shown.job, each.index, each.seed, plain)).data
            digest = site.studio.keep(data, actor if private else None)
            artifacts.append(each.__class__(job_id=each.job_id, index=each.index, digest=digest, seed=each.seed, width=each.width, height=each.height))
        site.studio.jobs[shown.job.id] = shown.evolve(artifacts=tuple(artifacts))
    return shown.job.id


async def test_the_page_shows_manifest_parameters_and_the_whole_file(site: Site, marker: Provenance) -> None:
    job = await drawn(site, marker)
    async with site.visitor() as visitor:
        status, page, _ = await visitor.get(f"/origin/{job}/1")
        text = shown_text(page)
        assert status == 200
        assert "The file says so itself" in text and "trainedAlgorithmicMedia" in text and "Word Up!" in text
        assert "Steps: 20" in text and "Seed: 11" in text
        saved = re.search(r'href="(/picture/[0-9a-f]{64}\.png\?save)"', page)
        assert saved is not None
        async with visitor.session.get(saved[1]) as answer:
            claim = await marker.read(await answer.read())
        assert claim is not None and (claim.job_id, claim.index) == (job, 1)


async def test_words_are_words_whatever_is_in_them(site: Site, marker: Provenance) -> None:
    job = await drawn(site, marker)
    async with site.visitor() as visitor:
        _, page, _ = await visitor.get(f"/origin/{job}")
    assert "<b>in</b>" not in page and "&lt;b&gt;" in page


async def test_the_manifest_is_there_as_json(site: Site, marker: Provenance) -> None:
    job = await drawn(site, marker)
    async with site.visitor() as visitor:
        for path in (f"/origin/{job}/manifest.json", f"/origin/{job}/2/manifest.json"):
            async with visitor.session.get(path) as answer:
                assert (answer.status, answer.content_type) == (200, "application/json")
                assert json.loads(await answer.text())["active_manifest"]


async def test_a_picture_without_marks_says_so(site: Site) -> None:
    job = await drawn(site, None)
    async with site.visitor() as visitor:
        status, page, _ = await visitor.get(f"/origin/{job}")
        assert status == 200 and "carries no manifest" in shown_text(page)
        assert (await visitor.get(f"/origin/{job}/manifest.json"))[0] == 404


async def test_the_page_of_a_job_leads_there_once_it_is_drawn(site: Site) -> None:
    job = await drawn(site, None)
    async with site.visitor() as visitor:
        assert f'href="/origin/{job}"' in (await visitor.get(f"/job/{job}"))[1]
        await visitor.get("/")
        await visitor.post("/imagine", {"text": "an owl"})
        waiting = next(each for each in site.studio.jobs if each != job)
        assert "/origin/" not in (await visitor.get(f"/job/{waiting}"))[1]


async def test_its_family_is_there(site: Site, marker: Provenance) -> None:
    parent = await drawn(site, marker, words="a grandmother")
    async with site.visitor() as visitor:
        await visitor.get("/")
        await visitor.post("/press", {"action": Action(verb=Verb.VARY, job_id=parent, index=1).encode()})
        child = next(job for job in site.studio.jobs if job != parent)
        await site.studio.finish(child)
        for page in (f"/origin/{child}", f"/origin/{parent}"):
            text = (await visitor.get(page))[1]
            assert f'href="/job/{child}"' in text and f'href="/job/{parent}"' in text


@pytest.mark.parametrize("path", ["/origin/{job}/7", "/origin/{job}/7/manifest.json", "/origin/0000", "/origin/{none}", "/origin/{job}/-1"])
async def test_what_is_not_there_is_not_found(site: Site, marker: Provenance, path: str) -> None:
    job = await drawn(site, marker)
    async with site.visitor() as visitor:
        assert (await visitor.get(path.format(job=job, none="0" * 26)))[0] == 404


async def test_a_job_without_pictures_has_no_page(site: Site) -> None:
    job = site.studio.accept(LOCAL, "a fox").job.id
    async with site.visitor() as visitor:
        assert (await visitor.get(f"/origin/{job}"))[0] == 404


async def test_somebody_elses_private_picture_has_no_page(site: Site, marker: Provenance) -> None:
    job = await drawn(site, marker, actor=BOB, private=True)
    async with site.visitor() as visitor:
        for path in (f"/origin/{job}", f"/origin/{job}/1", f"/origin/{job}/manifest.json"):
            assert (await visitor.get(path))[0] == 404


async def test_who_has_not_signed_in_sees_nothing(marker: Provenance) -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        job = await drawn(site, marker)
        status, page, _ = await visitor.get(f"/origin/{job}")
        assert status == 401 and "fox" not in page


def test_a_file_that_says_nothing_has_no_parameters() -> None:
    assert parameters(paint(1)) == "" and parameters(b"nothing") == ""
