"""The Store's contract, over SQLite and Postgres: what members keep: preferences, styles, lists of words, offers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection
from ulid import ULID

from bot.domain import Actor, Offer, Place, Style
from bot.errors import NotFound, Refused
from bot.store.housekeeping import OFFERS_KEPT
from bot.store.keeping import KEPT, LONGEST_NAME
from bot.store.sql import SqlStore
from bot.store.tables import jobs, offers
from tests.contract.jobs import ALICE, BOB, WHEN, OpenStore, digest, execute, job, submit

SERVER = Place(platform="discord", server="42").owner
ODD = ["with space", "a:b/c", "'; DROP TABLE styles; --", "%_\\", "\N{FOX FACE}", "\u202e", "null"]


# ------------------------------------------------------------------------------------------------ preferences


async def test_who_never_chose_anything_prefers_nothing(store: SqlStore) -> None:
    assert await store.preferences(ALICE.key) == {}
    assert await store.preferences("") == {}


async def test_preferences_are_set_changed_and_taken_back_by_name(store: SqlStore) -> None:
    assert await store.prefer(ALICE.key, {"flags": "--ar 3:2", "direct": True}) == {"flags": "--ar 3:2", "direct": True}
    assert await store.prefer(ALICE.key, {"direct": None, "sets": {"wide": "--ar 16:9"}}) == {"flags": "--ar 3:2", "sets": {"wide": "--ar 16:9"}}
    assert await store.preferences(ALICE.key) == {"flags": "--ar 3:2", "sets": {"wide": "--ar 16:9"}}
    assert await store.prefer(ALICE.key, {"flags": None, "sets": None, "never": None}) == {}
    assert await store.preferences(ALICE.key) == {}


@pytest.mark.parametrize("value", [*ODD, "", 0, False, 2.5, ["a", "b"], {"deep": {"er": [1, None]}}, "nul \0", "x" * 10_000])
async def test_any_plain_json_comes_back_as_it_was(store: SqlStore, value: Any) -> None:
    await store.prefer(ALICE.key, {"it": value})
    assert (await store.preferences(ALICE.key))["it"] == value


async def test_a_member_and_a_server_prefer_apart(store: SqlStore) -> None:
    await store.prefer(ALICE.key, {"lane": "relax"})
    await store.prefer(SERVER, {"lane": "fast", "channels": ["1", "2"]})
    assert await store.preferences(ALICE.key) == {"lane": "relax"}
    assert await store.preferences(SERVER) == {"lane": "fast", "channels": ["1", "2"]}
    assert await store.preferences(BOB.key) == {}


async def test_two_who_choose_at_once_lose_nothing(store: SqlStore) -> None:
    await asyncio.gather(*(store.prefer(SERVER, {f"choice {number}": number}) for number in range(20)))
    assert await store.preferences(SERVER) == {f"choice {number}": number for number in range(20)}


async def test_nothing_is_kept_for_nobody(store: SqlStore) -> None:
    for refused in (store.prefer("", {"flags": "--n 1"}), store.save_style(Style(name="noir", words="film noir")), store.save_word_list("", "animal", ["fox"])):
        with pytest.raises(ValueError, match="nobody"):
            await refused
    assert await execute(store, "SELECT owner FROM preferences") == []


# ------------------------------------------------------------------------------------------------ styles and lists


def noir(words: str = "film noir", owner: str = ALICE.key, name: str = "Noir") -> Style:
    return Style(name=name, words=words, owner=owner)


async def test_a_style_is_kept_under_its_name_in_whatever_case(store: SqlStore) -> None:
    await store.save_style(noir())
    assert await store.styles([ALICE.key]) == (noir(),)
    await store.save_style(noir("blacker", name="NOIR"))
    assert await store.styles([ALICE.key]) == (noir("blacker", name="NOIR"),)
    assert not await store.drop_style(BOB.key, "noir")
    assert await store.drop_style(ALICE.key, "noir")
    assert not await store.drop_style(ALICE.key, "noir")
    assert await store.styles([ALICE.key]) == ()


async def test_styles_of_several_owners_come_by_name_and_the_first_owners_wins(store: SqlStore) -> None:
    for style in (noir("theirs", SERVER), noir("mine", name="noir"), noir("brand", SERVER, "brand"), noir("bob's", BOB.key)):
        await store.save_style(style)
    assert [(style.name, style.words) for style in await store.styles([ALICE.key, SERVER])] == [("brand", "brand"), ("noir", "mine")]
    assert [(style.name, style.words) for style in await store.styles([SERVER, ALICE.key])] == [("brand", "brand"), ("Noir", "theirs")]
    assert await store.styles([]) == await store.styles(["", "web:nobody"]) == ()


@pytest.mark.parametrize("odd", ODD)
async def test_odd_names_and_words_are_only_names_and_words(store: SqlStore, odd: str) -> None:
    await store.save_style(noir(odd, name=odd))
    assert await store.styles([ALICE.key]) == (noir(odd, name=odd),)
    await store.save_word_list(ALICE.key, odd, [odd, odd])
    assert await store.word_lists([ALICE.key]) == {odd.casefold(): (odd, odd)}


async def test_an_owner_keeps_so_many_and_may_still_change_them(store: SqlStore) -> None:
    for number in range(KEPT):
        await store.save_style(noir(name=f"style {number}"))
    with pytest.raises(Refused) as caught:
        await store.save_style(noir(name="one more"))
    assert (caught.value.message, caught.value.parameters) == ("refused.kept_enough", {"limit": KEPT})
    await store.save_style(noir("changed", name="Style 5"))
    await store.save_style(noir(owner=BOB.key))
    await store.save_word_list(ALICE.key, "animal", ["fox"])
    assert len(await store.styles([ALICE.key])) == KEPT


async def test_many_who_save_at_once_stay_within_the_limit(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.keeping.KEPT", 4)
    answers = await asyncio.gather(*(store.save_style(noir(name=f"style {number}")) for number in range(12)), return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [Refused] * 8
    assert len(await store.styles([ALICE.key])) == 4


async def test_a_name_that_is_too_long_is_refused(store: SqlStore) -> None:
    await store.save_style(noir(name="ß" * LONGEST_NAME))  # twice as long when folded
    for refused in (store.save_style(noir(name="x" * (LONGEST_NAME + 1))), store.save_word_list(ALICE.key, "x" * 1000, ["fox"])):
        with pytest.raises(Refused) as caught:
            await refused
        assert caught.value.message == "refused.long_name"


async def test_lists_of_words_are_kept_replaced_and_dropped(store: SqlStore) -> None:
    await store.save_word_list(ALICE.key, "Animal", ["fox", "owl"])
    await store.save_word_list(SERVER, "animal", ["dog"])
    await store.save_word_list(SERVER, "colour", ["red"])
    assert await store.word_lists([ALICE.key, SERVER]) == {"animal": ("fox", "owl"), "colour": ("red",)}
    assert await store.word_lists([SERVER, ALICE.key]) == {"animal": ("dog",), "colour": ("red",)}
    await store.save_word_list(ALICE.key, "ANIMAL", [])
    assert await store.word_lists([ALICE.key]) == {"animal": ()}
    assert await store.drop_word_list(ALICE.key, "animal")
    assert not await store.drop_word_list(ALICE.key, "animal")
    assert await store.word_lists([ALICE.key]) == {}


# ------------------------------------------------------------------------------------------------ offers


def offer(actor: Actor = ALICE, **changes: Any) -> Offer:
    fields: dict[str, Any] = {"id": str(ULID()), "actor": actor, "kind": "prompts", "prompts": ("a fox", "an owl"), "created_at": WHEN}
    return Offer(**(fields | changes))


async def made_ago(store: SqlStore, table: Any, row_id: str, column: str, ago: timedelta) -> None:
    """Set a time back."""
    then = await store.now() - ago

    async def verb(db: AsyncConnection) -> None:
        await db.execute(update(table).where(table.c.id == row_id).values({column: then}))

    await store.write(verb)


async def test_an_offer_comes_back_as_it_was_with_the_databases_time(store: SqlStore) -> None:
    made = offer(replace(ALICE, locale="de"), kind="confirm", facts={"title": "six", "pictures": [digest("a")], "flags": {"n": 2}})
    before = await store.now()
    await store.offer(made)
    found = await store.offered(made.id)
    assert replace(found, created_at=WHEN) == made
    assert before <= found.created_at <= await store.now()
    with pytest.raises(NotFound):
        await store.offered("0" * 26)


async def test_who_may_change_settings_is_not_written_down(store: SqlStore) -> None:
    made = offer(replace(ALICE, admin=True))
    await store.offer(made)
    assert (await store.offered(made.id)).actor == ALICE
    (asked,) = (await submit(store, job(replace(ALICE, admin=True)))).jobs
    assert (await store.shown(asked.id)).job.actor == ALICE


async def test_an_offer_made_again_is_the_new_one(store: SqlStore) -> None:
    made = offer(facts={"picture": digest("a")})
    await store.offer(made)
    await store.offer(replace(made, prompts=("a whale",), facts={"picture": digest("b")}))
    assert (await store.offered(made.id)).prompts == ("a whale",)
    assert await store.referenced([digest("a"), digest("b")]) == {digest("b")}


async def test_pictures_that_an_offer_names_are_needed_as_long_as_it_is(store: SqlStore) -> None:
    made = offer(facts={"pictures": [digest("a"), digest("a")], "deep": {"er": [{"mask": digest("b")}]}, "words": "c" * 63, "number": 3})
    await store.offer(made)
    assert await store.referenced(map(digest, ("a", "b", "c"))) == {digest("a"), digest("b")}
    await made_ago(store, offers, made.id, "created_at", OFFERS_KEPT + timedelta(seconds=1))
    await store.retire(None)
    assert await store.referenced(map(digest, ("a", "b", "c"))) == frozenset()


async def test_offers_go_after_a_while_and_not_before(store: SqlStore) -> None:
    old, young = offer(), offer(BOB)
    for made, age in ((old, timedelta(seconds=1)), (young, timedelta(hours=-1))):
        await store.offer(made)
        await made_ago(store, offers, made.id, "created_at", OFFERS_KEPT + age)
    assert await store.retire(None) == 0
    with pytest.raises(NotFound):
        await store.offered(old.id)
    assert (await store.offered(young.id)).actor == BOB


# ------------------------------------------------------------------------------------------------ memos of jobs


async def test_memos_that_end_with_a_deleted_jobs_id_go_a_week_later(store: SqlStore) -> None:
    gone, kept = (await submit(store, job(), job())).jobs
    await store.cancel(gone.id)
    keys = [f"slack:files:{gone.id}", f"slack:files:{kept.id}", "discord:commands:1", "x", gone.id]
    for key in keys:
        await store.remember(key, "value")
    assert await store.retire(timedelta(0)) == 1
    assert [await store.recall(key) for key in keys] == ["value"] * 5
    await made_ago(store, jobs, gone.id, "deleted_at", timedelta(days=8))
    await store.retire(None)
    assert [await store.recall(key) for key in keys] == [None, "value", "value", "value", None]


async def test_what_members_keep_survives_closing_and_opening(open_store: OpenStore) -> None:
    first, made = await open_store(), offer()
    await first.prefer(ALICE.key, {"lane": "relax"})
    await first.save_style(noir())
    await first.save_word_list(ALICE.key, "animal", ["fox"])
    await first.offer(made)
    await first.aclose()
    second = await open_store()
    assert await second.preferences(ALICE.key) == {"lane": "relax"}
    assert await second.styles([ALICE.key]) == (noir(),)
    assert await second.word_lists([ALICE.key]) == {"animal": ("fox",)}
    assert (await second.offered(made.id)).prompts == made.prompts


async def test_everybodys_preferences_are_read_at_once(store: SqlStore) -> None:
    await store.prefer("web:ada", {"suffix": "in ink"})
    await store.prefer("server:web:guild", {"lane": "relax"})
    await store.prefer("web:bob", {"remix": True})
    await store.prefer("web:bob", {"remix": None})
    assert await store.all_preferences() == {"web:ada": {"suffix": "in ink"}, "server:web:guild": {"lane": "relax"}}
