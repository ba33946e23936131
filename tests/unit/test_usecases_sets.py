"""Several prompts at once: permutations, repetitions, wildcards, files; a yes before many; everything of a set in one file."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

from bot.domain import Action, Card, Status, Upload, Verb, Visibility
from tests.unit.house import ADA, BOB, ENGLISH, House, button, open_house


async def jobs(house: House) -> list[str]:
    return [shown.job.words for shown in reversed(await house.store.history(ADA.key))]


async def until_drawn(house: House) -> None:
    for shown in await house.store.history(ADA.key):
        await house.end(await house.studio.card(ADA, shown.job.id))


async def test_braces_are_several_jobs_of_one_delivery(house: House):
    card = await house.imagine("a {red, blue} fox --n 1")
    assert card.title and card.job_id == "" and await jobs(house) == ["a red fox --n 1", "a blue fox --n 1"]
    again = await house.studio.handle(house.command("imagine", "an owl --n 1", delivery="one"))
    twice = await house.studio.handle(house.command("imagine", "an owl --n 1", delivery="one"))
    assert again.job_id == twice.job_id and len(await jobs(house)) == 3


async def test_a_set_told_twice_is_one_set(house: House):
    first = await house.studio.handle(house.command("imagine", "a {red, blue} fox --n 1", delivery="one"))
    second = await house.studio.handle(house.command("imagine", "a {red, blue} fox --n 1", delivery="one"))
    assert len(await jobs(house)) == 2 and [b.action for row in first.rows for b in row] == [b.action for row in second.rows for b in row]


async def test_a_repetition_has_a_seed_of_its_own(house: House):
    await house.imagine("a fox --n 1 --repeat 3")
    seeds = {shown.job.request.seed for shown in await house.store.history(ADA.key)}
    assert len(seeds) == 3


async def test_a_seed_repeats_what_a_wildcard_chose(house: House):
    house.studio.lists["animal"] = ("fox", "owl", "hare", "newt", "crow", "toad")
    for _ in range(2):
        await house.drawn("a __animal__ --seed 5 --n 1")
    first, second = await jobs(house)
    assert first == second and "__" not in first


async def test_more_than_five_want_a_yes_and_a_second_yes_draws_nothing_more(house: House):
    before = await house.balance()
    card = await house.imagine("a {red, blue, green, white, black, grey} fox --n 1")
    assert card.visibility is Visibility.PRIVATE and not await jobs(house) and await house.balance() == before
    await house.push(card, Verb.RUN)
    assert len(await jobs(house)) == 6
    await house.push(card, Verb.RUN)
    assert len(await jobs(house)) == 6


async def test_a_set_that_is_not_wanted_costs_nothing(house: House):
    card = await house.imagine("a {red, blue, green, white, black, grey} fox --n 1")
    answer = await house.push(card, Verb.DISMISS)
    assert answer.text == ENGLISH.say("offer.dismissed_text") and not await jobs(house)


async def test_somebody_elses_offer_is_not_there(house: House):
    card = await house.imagine("a {red, blue, green, white, black, grey} fox --n 1")
    answer = await house.push(card, Verb.RUN, actor=BOB)
    assert answer.text == ENGLISH.say("error.not_found") and not await jobs(house)


async def test_a_wallet_that_cannot_pay_the_whole_set_draws_none_of_it(house: House):
    card = await house.imagine("a {fox, owl, hare} in {snow, rain} --n 9 --steps 60")
    answer = await house.push(card, Verb.RUN) if card.rows else card
    assert not await jobs(house) and answer.visibility is Visibility.PRIVATE
    assert await house.balance() == 60


async def test_a_file_of_prompts_is_a_set(house: House):
    upload = Upload(name="list.txt", data=b"a fox\n\nan owl\r\n", role="list")
    await house.imagine("--n 1", uploads=(upload,))
    assert [words.split(" --")[0] for words in await jobs(house)] == ["a fox", "an owl"]


async def test_a_table_fills_the_slots_of_the_words(house: House):
    upload = Upload(name="list.csv", data=b"who,where\nfox,snow\nowl,rain\n", role="list")
    await house.imagine("a {who} in the {where} --n 1", uploads=(upload,))
    assert await jobs(house) == ["a fox in the snow --n 1", "a owl in the rain --n 1"]


async def test_a_mistake_in_a_list_costs_nothing_and_names_its_line(house: House):
    upload = Upload(name="list.txt", data=b"a fox\nan owl --nonsense 3\n", role="list")
    card = await house.imagine("--n 1", uploads=(upload,))
    assert card.visibility is Visibility.PRIVATE and not await jobs(house)


def opened(card: Card) -> zipfile.ZipFile:
    (document,) = card.documents
    return zipfile.ZipFile(document.path)


async def test_everything_of_a_set_comes_as_one_file(house: House):
    card = await house.imagine("a {red, =1+1} fox --n 2")
    await until_drawn(house)
    archive = opened(await house.push(await house.push(card, Verb.SHOW), Verb.COLLECT))
    names = archive.namelist()
    assert len([name for name in names if name.endswith(".png") and name[0].isdigit()]) == 4 and "contact-sheet.png" in names
    rows = list(csv.DictReader(io.StringIO(archive.read("pictures.csv").decode("utf-8-sig"))))
    assert [row["file"] for row in rows] == [name for name in names if name[0].isdigit()]
    assert {row["words"] for row in rows} == {"a red fox --n 2", "a =1+1 fox --n 2"} and {row["status"] for row in rows} == {"done"}


async def test_words_that_a_spreadsheet_would_run_are_words(house: House):
    card = await house.imagine("{=1+1, fox} --n 1")
    await until_drawn(house)
    table = opened(await house.push(await house.push(card, Verb.SHOW), Verb.COLLECT)).read("pictures.csv").decode("utf-8-sig")
    assert "'=1+1" in table


async def test_a_set_is_cancelled_as_one(sqlite_url: str, tmp_path: Path):
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        card = await house.imagine("a {red, blue} fox --n 1")
        collect = Action(verb=Verb.COLLECT, job_id=button(card, Verb.CANCEL).action.job_id)
        assert (await house.studio.handle(house.press(collect))).text == ENGLISH.say("refused.nothing_drawn_yet")
        await house.push(card, Verb.CANCEL)
        assert {shown.job.status for shown in await house.store.history(ADA.key)} == {Status.CANCELLED}
        assert await house.balance() == 60
