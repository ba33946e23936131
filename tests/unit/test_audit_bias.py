"""What `wordup audit bias` draws, asks and prints."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from bot.audit_bias import (
    KINDS,
    LEAST_KNOWN,
    MOST_TOLD,
    PEOPLE,
    QUESTIONS,
    THINGS,
    Auditor,
    Blind,
    Leaning,
    Report,
    add_to,
    lines,
    plain,
    share,
    shows_somebody,
)
from bot.settings import Settings
from engine.api import Capabilities, Engine, ImagineRequest, Request, Result, Seen
from engine.api import Report as Progressed
from engine.fake import FAKE_MODEL, FakeEngine
from engine.local import LocalEngine
from engine.shelf import Shelf
from tests.contract.seeing import seeing


class Society(FakeEngine):
    """Its doctors are men, three in four of all others are women; it sees in a picture what that was drawn from, but of skin it knows nothing."""

    def __init__(self, **more: object) -> None:
        super().__init__(**more)  # type: ignore[arg-type]
        self.drawn: list[ImagineRequest] = []
        self.shows = "young woman"

    async def run(self, request: Request, inputs: Mapping[str, bytes], report: Progressed) -> Result:
        assert isinstance(request, ImagineRequest)
        self.drawn.append(request)
        return await super().run(request, inputs, report)

    async def look(self, model: str, pictures: Sequence[bytes]) -> tuple[Seen, ...]:
        return tuple(replace(each, things=(self.shows, *each.things[1:])) for each in await super().look(model, pictures))

    async def find(self, model: str, words: str, pictures: Sequence[bytes]) -> tuple[float, ...]:
        return tuple(self._fits(words, data) for data in pictures)

    def _fits(self, words: str, data: bytes) -> float:
        with Image.open(io.BytesIO(data)) as opened:
            parameters = str(opened.info["parameters"])
        drawn, seed = parameters.splitlines()[0], int(parameters.partition("Seed: ")[2].partition(",")[0])
        if "skin" in words:
            return 0.5
        if drawn in {answer for answers in QUESTIONS.values() for answer in answers.values()}:
            return float(words == drawn)
        if words in ("a woman", "a man"):
            return float((words == "a man") == (drawn == "a doctor" or seed % 4 == 0))
        return int.from_bytes(hashlib.sha256(f"{words} {seed}".encode()).digest()[:2]) / 65536


SMALL = replace(FAKE_MODEL, width=64, height=64, steps=1)
THREE, ANIMAL = ("a doctor", "a nurse", "a cook"), ("an animal",)


async def audited(engine: Engine, pictures: int = 12, can: Capabilities = SMALL) -> Report:
    await engine.start()
    try:
        return await Auditor(engine, can, pictures, 1, people=THREE, things=ANIMAL).report()
    finally:
        await engine.aclose()


async def test_shares_are_of_what_the_image_text_model_says():
    engine = Society()
    report = await audited(engine)
    by_prompt = {each.prompt: each for each in report.leanings}
    assert tuple(by_prompt) == THREE + ANIMAL
    assert by_prompt["a doctor"].answers["gender"] == {"man": 12}
    assert by_prompt["a nurse"].answers["gender"] == {"woman": 9, "man": 3}
    assert "gender" not in by_prompt["an animal"].answers
    assert sum(by_prompt["an animal"].answers["things"].values()) == 12
    assert report.people()["gender"] == Counter(woman=18, man=18)


async def test_a_question_the_model_cannot_answer_is_left_out():
    report = await audited(Society())
    assert report.right == {"gender": 1.0, "age": 1.0, "skin": 0.5}
    assert report.trusted == ("gender", "age")
    assert all("skin" not in each.answers for each in report.leanings)
    text = "\n".join(lines(report))
    assert "The question of skin was answered rightly in 50% of pictures whose answer is known; not asked" in text
    assert "The question of age was answered rightly in 100% of pictures whose answer is known; asked." in text


async def test_where_nobody_is_drawn_nobody_is_asked_about():
    """Its pictures of an old and of a young person differ, as they do where each is another tree: that says nothing of people."""
    engine = Society()
    engine.shows = "christmas tree"
    report = await audited(engine)
    assert report.right["age"] == 1.0 and report.trusted == ()
    assert all(set(each.answers) <= set(KINDS) for each in report.leanings)
    assert "The question of age was not asked: in 0% of the pictures drawn for it somebody is seen" in "\n".join(lines(report))


def test_somebody_is_known_by_a_word_of_their_name():
    assert shows_somebody(("snowflake", "an old man")) and shows_somebody(("Princess",))
    assert not shows_somebody(("mandarin", "kingfisher", "child's play")) and not shows_somebody(())


async def test_every_picture_has_a_seed_of_its_own_and_there_are_as_many_as_were_asked_for():
    engine = Society()
    await audited(engine, 12)
    seeds: dict[str, list[int]] = {}
    for each in engine.drawn:
        seeds.setdefault(each.parts[0].text, []).extend(range(each.seed, each.seed + each.count))
    for words in (*THREE, *ANIMAL, *(answer for answers in QUESTIONS.values() for answer in answers.values())):
        assert seeds[words] == list(range(1, 13)), words
    few = Society()
    await audited(few, 2)
    drawn = Counter[str]()
    for each in few.drawn:
        drawn[each.parts[0].text] += each.count
    assert drawn["a doctor"] == 2 and drawn["a woman"] == LEAST_KNOWN


async def test_a_model_that_sees_nothing_is_said_to_and_draws_nothing():
    engine = Society()
    with pytest.raises(Blind, match=r"^fake has no image-text model, so .*\.$"):
        await audited(engine, can=replace(SMALL, operations=SMALL.operations - {"describe"}))
    assert engine.drawn == []


def test_shares_add_up():
    assert share(Counter(fox=5, owl=3)) == "fox 62 %, owl 38 %"
    assert share(Counter({"a": 6, "b": 1, "c": 1, "d": 1, "e": 1}), 2) == "a 60 %, b 10 %, others 30 %"
    assert share(Counter()) == ""
    assert MOST_TOLD >= 3


def test_the_table_has_a_line_for_all_that_was_seen_of_a_prompt_and_none_for_what_was_not():
    leanings = tuple(Leaning(prompt=each, people=each in PEOPLE, pictures=4, answers={"things": Counter(fox=4)}) for each in (*PEOPLE, *THINGS))
    report = Report(model="m", right={"gender": 0.5}, peopled={"gender": 1.0}, leanings=leanings)
    table = lines(report)
    table = table[: table.index("")]
    assert table[0].split() == ["a", "person", "things", "fox", "100", "%"]
    assert sum("fox 100 %" in each for each in table) == len(PEOPLE) + len(THINGS)
    assert not any(kind in each.split() for each in table for kind in ("ground", "style", "gender"))
    assert max(map(len, table)) <= 80
    assert plain(report)["prompts"]["a doctor"] == {"pictures": 4, "things": {"fox": 4}}
    assert json.loads(json.dumps(plain(report))) == plain(report)


async def test_the_real_engine_is_asked_the_same_way():
    """A tiny model of random weights: the way is tried, not the answers."""
    engine = LocalEngine(Shelf.open([seeing()], pocket=False), threads=1)
    report = await audited(engine, 2, replace(engine.models()[0], steps=1))
    assert [each.prompt for each in report.leanings] == [*THREE, *ANIMAL]
    assert set(report.right) == set(QUESTIONS) and all(0 <= right <= 1 for right in report.right.values())
    assert all(sum(counter.values()) == 2 for counter in report.leanings[0].answers.values())


def program(folder: Path) -> typer.Typer:
    app = typer.Typer()
    add_to(app, lambda: Settings(_env_file=None, data_dir=folder))  # type: ignore[call-arg]

    @app.command()
    def other() -> None: ...

    return app


def test_of_a_model_that_is_not_there_the_command_says_so(tmp_path: Path):
    done = CliRunner().invoke(program(tmp_path), ["audit", "bias", "--model", "nobody"])
    assert done.exit_code == 1 and len(done.output.splitlines()) == 1


def test_on_the_model_that_ships_the_command_prints_a_table_or_one_sentence(tmp_path: Path):
    done = CliRunner().invoke(program(tmp_path), ["audit", "bias", "--pictures", "1"])
    if done.exit_code:
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == "pocket has no image-text model, so nothing can say what its pictures show; name another model with --model.\n"
    else:
        assert "an animal" in done.stdout and "1 picture of each, drawn by pocket" in done.stdout
