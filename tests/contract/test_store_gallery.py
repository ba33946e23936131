"""The Store's contract, continued: history, search, families, favourites, deleting, retention, what the collection of files needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain import CLIP, GRID, Artifact, Job, Origin, Status
from bot.errors import NotFound
from bot.store.sql import SqlStore
from tests.contract.jobs import ALICE, BOB, digest, execute, job, pictures, submit

LEASE = timedelta(minutes=5)
NOW = timedelta(0)  # everything that has ended is older than that


async def drawn(store: SqlStore, asked: Job, *names: str) -> Job:
    """Submit and finish one job."""
    await submit(store, asked)
    taken = await store.claim("w", LEASE)
    assert taken is not None and taken.id == asked.id
    assert await store.finish("w", taken.id, pictures(taken.id, *names), 0.5)
    return (await store.shown(taken.id)).job


async def found(store: SqlStore, search: str) -> list[str]:
    return [shown.job.words for shown in await store.history(ALICE.key, search=search)]


async def test_a_drawn_job_is_shown_with_its_sheet_first_its_pictures_and_its_children(store: SqlStore) -> None:
    parent = await drawn(store, job(), "a", "b")
    origin = Origin(job_id=parent.id, verb="v", index=1)
    first, second = (await submit(store, job(BOB, parent=origin), job(BOB, parent=origin))).jobs
    shown = await store.shown(parent.id)
    assert shown.artifacts == pictures(parent.id, "a", "b")
    assert [artifact.index for artifact in shown.artifacts] == [GRID, 0, 1]
    assert shown.children == (first, second) and first.parent == origin


def clip_of(asked: Job, name: str = "clip") -> Artifact:
    return Artifact(job_id=asked.id, index=CLIP, digest=digest(name), seed=7, width=512, height=384)


async def filmed(store: SqlStore, asked: Job) -> Job:
    """Submit and finish one job that has a clip beside its pictures."""
    await submit(store, asked)
    taken = await store.claim("w", LEASE)
    assert taken is not None
    assert await store.finish("w", taken.id, (*pictures(taken.id, "a", "b"), clip_of(taken)), 0.5)
    return (await store.shown(taken.id)).job


async def test_a_clip_is_kept_beside_the_pictures_and_leads_to_its_job(store: SqlStore) -> None:
    made = await filmed(store, job())
    assert (await store.shown(made.id)).artifacts == (clip_of(made), *pictures(made.id, "a", "b"))
    assert await store.find_picture(digest("clip"), BOB.key) == (made, clip_of(made))


async def test_a_private_clip_is_found_by_its_owner_alone(store: SqlStore) -> None:
    await filmed(store, job(private=True))
    assert await store.find_picture(digest("clip"), BOB.key) is None
    assert await store.find_picture(digest("clip"), ALICE.key) is not None


async def test_a_clip_is_needed_as_long_as_its_job_is_there(store: SqlStore) -> None:
    made = await filmed(store, job())
    assert await store.referenced([digest("clip"), digest("nowhere")]) == {digest("clip")}
    await store.delete(made.id)
    assert await store.referenced([digest("clip")]) == frozenset()
    assert await store.find_picture(digest("clip"), ALICE.key) is None


async def test_retention_takes_clips_too_and_spares_a_favourites(store: SqlStore) -> None:
    await filmed(store, job())
    assert await store.retire(NOW) == 1
    assert await store.referenced([digest("clip")]) == frozenset()
    liked = await filmed(store, job())
    await store.favourite(liked.id, 0, True)
    assert await store.retire(NOW) == 0
    assert await store.referenced([digest("clip")]) == {digest("clip")}


async def test_the_largest_seed_fits(store: SqlStore) -> None:
    await submit(store, job(seed=2**32 - 1))
    taken = await store.claim("w", LEASE)
    assert taken is not None and taken.request.seed == 2**32 - 1
    await store.finish("w", taken.id, [replace(picture, seed=2**32 - 1) for picture in pictures(taken.id, "a")], 0.0)
    assert {artifact.seed for artifact in (await store.shown(taken.id)).artifacts} == {2**32 - 1}


async def test_an_unknown_job_is_not_found(store: SqlStore) -> None:
    with pytest.raises(NotFound):
        await store.shown("0" * 26)


async def test_history_is_ones_own_newest_first_and_pages_to_the_end(store: SqlStore) -> None:
    mine = sorted([(await submit(store, job())).jobs[0].id for _ in range(7)], reverse=True)
    await submit(store, job(BOB))
    pages, before = [], None
    while page := await store.history(ALICE.key, before=before, limit=3):
        pages.append([shown.job.id for shown in page])
        before = pages[-1][-1]
    assert pages == [mine[:3], mine[3:6], mine[6:]]


async def test_search_finds_every_word_in_any_case_and_order_and_takes_nothing_for_a_pattern(store: SqlStore) -> None:
    for words in ("A Red Fox in snow", "100% red_fox", "ÉTUDE en Straße", "back\\slash/and ' quote"):
        await submit(store, job(words=words))
    assert await found(store, "fox RED") == ["100% red_fox", "A Red Fox in snow"]
    assert await found(store, "snow fox") == ["A Red Fox in snow"]
    assert await found(store, "%") == ["100% red_fox"]
    assert await found(store, "d_f") == ["100% red_fox"]
    assert await found(store, "étude") == ["ÉTUDE en Straße"]
    assert await found(store, "STRASSE") == ["ÉTUDE en Straße"]
    assert await found(store, "k\\s h/a '") == ["back\\slash/and ' quote"]
    assert await found(store, "fox wolf") == []
    assert len(await found(store, "  ")) == 4
    assert await found(store, "\0") == await found(store, "")


async def test_words_no_database_can_hold_are_stored_without_what_is_impossible(store: SqlStore) -> None:
    await submit(store, job(words="nul \0 and \ud800 alone"))
    assert await found(store, "alone") == ["nul  and ? alone"]


async def test_active_is_what_waits_and_runs_oldest_first(store: SqlStore) -> None:
    one, two, three = (await submit(store, job(), job(), job())).jobs
    await submit(store, job(BOB))
    await store.cancel(two.id)
    await store.claim("w", LEASE)
    assert sorted(each.id for each in await store.active(ALICE.key)) == [each.id for each in await store.active(ALICE.key)]
    assert {each.id: each.status for each in await store.active(ALICE.key)} == {one.id: Status.RUNNING, three.id: Status.QUEUED}


async def test_favourites_are_marked_listed_and_unmarked(store: SqlStore) -> None:
    liked, other = await drawn(store, job(), "a"), await drawn(store, job(), "b")
    await store.favourite(liked.id, 0, True)
    assert [shown.job.id for shown in await store.history(ALICE.key, favourites=True)] == [liked.id]
    assert [artifact.favourite for artifact in (await store.shown(liked.id)).artifacts] == [False, True]
    await store.favourite(liked.id, 0, False)
    assert await store.history(ALICE.key, favourites=True) == ()
    with pytest.raises(NotFound):
        await store.favourite(other.id, 5, True)


async def test_a_picture_leads_to_the_job_that_drew_it_or_was_given_it(store: SqlStore) -> None:
    upload = digest("upload")
    oldest = await drawn(store, job(source=upload), "same")
    await drawn(store, job(BOB, source=upload), "same")
    await submit(store, job(BOB, source=digest("same")))
    job_found, artifact = await store.find_picture(digest("same"), ALICE.key) or pytest.fail("not there")
    assert (job_found, artifact.index) == (oldest, 0)
    job_found, artifact = await store.find_picture(upload, ALICE.key) or pytest.fail("not there")
    assert (job_found, artifact.index, artifact.digest, artifact.job_id) == (oldest, -2, upload, oldest.id)
    assert await store.find_picture(digest("nowhere"), ALICE.key) is None


async def test_somebody_elses_private_twin_hides_no_picture(store: SqlStore) -> None:
    private = await drawn(store, job(private=True), "twin")
    assert await store.find_picture(digest("twin"), BOB.key) is None
    open_one = await drawn(store, job(BOB), "twin")
    found, _ = await store.find_picture(digest("twin"), BOB.key) or pytest.fail("not there")
    assert found == open_one
    found, _ = await store.find_picture(digest("twin"), ALICE.key) or pytest.fail("not there")
    assert found == private


async def test_a_deleted_job_is_nowhere_and_its_pictures_are_not_needed_but_what_came_from_it_is(store: SqlStore) -> None:
    parent = await drawn(store, job(words="gone", source=digest("upload")), "a", "b")
    child = await drawn(store, job(parent=Origin(job_id=parent.id, verb="v", index=0), source=digest("a")), "c")
    await store.delete(parent.id)
    await store.delete(parent.id)
    with pytest.raises(NotFound):
        await store.shown(parent.id)
    with pytest.raises(NotFound):
        await store.favourite(parent.id, 0, True)
    assert [shown.job.id for shown in await store.history(ALICE.key)] == [child.id]
    assert await store.find_picture(digest("b"), ALICE.key) is None
    assert await store.referenced(map(digest, ("a", "b", "c", "upload", "nowhere"))) == {digest("a"), digest("c")}
    assert [notice.job_id for notice in await store.notices(["web"])] == [child.id]
    assert await execute(store, "SELECT status FROM jobs WHERE id = :id", id=parent.id) == [("done",)]
    assert await store.discrepancies() == ()


async def test_a_deleted_child_is_not_in_the_family(store: SqlStore) -> None:
    parent = await drawn(store, job(), "a")
    child = await drawn(store, job(parent=Origin(job_id=parent.id, verb="r", index=GRID)), "b")
    await store.delete(child.id)
    assert (await store.shown(parent.id)).children == ()


async def test_a_job_that_has_not_ended_is_not_deleted(store: SqlStore) -> None:
    (waiting,) = (await submit(store, job())).jobs
    await store.delete(waiting.id)
    assert (await store.shown(waiting.id)).job.status is Status.QUEUED
    assert await store.claim("w", LEASE) is not None


async def test_the_pictures_a_waiting_job_starts_from_are_needed(store: SqlStore) -> None:
    await submit(store, job(source=digest("upload")))
    many = [digest(str(number)) for number in range(1000)]
    assert await store.referenced([*many, digest("upload"), *many]) == {digest("upload")}
    assert await store.referenced([]) == frozenset()


async def test_retention_takes_old_ended_jobs_that_nobody_marked(store: SqlStore) -> None:
    old, liked = await drawn(store, job(), "a"), await drawn(store, job(), "b")
    (cancelled, waiting) = (await submit(store, job(), job())).jobs
    await store.cancel(cancelled.id)
    await store.favourite(liked.id, GRID, True)
    assert await store.retire(timedelta(hours=1)) == 0
    assert await store.retire(NOW) == 2
    assert await store.retire(NOW) == 0
    assert {shown.job.id for shown in await store.history(ALICE.key)} == {liked.id, waiting.id}
    assert old.status is Status.DONE


async def test_retention_of_many_takes_them_all(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.housekeeping.BATCH", 3)
    for each in (await submit(store, *(job() for _ in range(8)))).jobs:
        await store.cancel(each.id)
    assert await store.retire(NOW) == 8


async def test_deliveries_are_remembered_for_a_week_whatever_the_retention(store: SqlStore) -> None:
    await store.seen("web", "d")
    await store.retire(NOW)
    assert await store.seen("web", "d")
    long_ago = "2001-01-01 00:00:00.000000"
    past = long_ago if store.engine.dialect.name == "sqlite" else (await store.now()) - timedelta(days=8)
    await execute(store, "UPDATE deliveries SET at = :past", past=past)
    await store.retire(NOW)
    assert not await store.seen("web", "d")
