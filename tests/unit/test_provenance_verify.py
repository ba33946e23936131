"""`/verify` and `wordup verify FILE`: by the manifest, then by the very file, then by its looks; and nothing of what is private to somebody else."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from bot.cli import app
from bot.domain import Card
from bot.provenance import Provenance, marks
from tests.unit.house import ADA, BOB, ENGLISH, House, open_house
from tests.unit.test_studio_chats import png


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """With its database where the command line looks for it."""
    async with open_house(f"sqlite:///{tmp_path / 'wordup.db'}", tmp_path) as house:
        marker = Provenance(tmp_path / "signing", clock=lambda: datetime.now(UTC))
        await marker.start()
        house.workshop._provenance = house.studio.provenance = marker
        yield house
        marker.close()


async def picture(house: House, words: str = "a fox --n 1") -> tuple[Card, bytes]:
    card = await house.drawn(words)
    return card, await house.studio.picture(ADA, card.pictures[0].digest)


def said(message: str, **values: object) -> str:
    return ENGLISH.say(f"verify.{message}", **values)


def stripped(data: bytes) -> bytes:
    """As a chat leaves it: encoded anew, nothing written in it."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()


async def test_a_picture_is_known_by_its_manifest(house: House) -> None:
    card, data = await picture(house)
    answer = await house.say("verify", uploads=(data,), actor=BOB)
    assert answer.text == said("by_manifest") and "a fox" in answer.code
    assert card.job_id in dict(answer.details).values()


async def test_a_grid_is_known_by_its_manifest_too(house: House) -> None:
    _, data = await picture(house, "a fox")
    assert (await house.say("verify", uploads=(data,), actor=BOB)).text == said("by_manifest")


async def test_a_private_picture_is_said_to_be_made_here_and_no_more(house: House) -> None:
    card, data = await picture(house, "a secret fox --n 1 --private")
    answer = await house.say("verify", uploads=(data,), actor=BOB)
    assert answer.text == said("not_yours")
    assert "secret" not in repr(answer) and card.job_id not in repr(answer)
    assert (await house.say("verify", uploads=(data,))).text == said("by_manifest")


async def test_a_deleted_picture_is_still_known_to_have_been_made_here(house: House) -> None:
    card, data = await picture(house)
    await house.store.delete(card.job_id)
    assert (await house.say("verify", uploads=(data,))).text == said("not_yours")


async def test_what_a_chat_encoded_anew_is_known_by_its_looks(house: House) -> None:
    _, data = await picture(house)
    answer = await house.say("verify", uploads=(stripped(data),), actor=BOB)
    assert answer.text.startswith(said("looks_like", bits="#").split("#")[0]) and "a fox" in answer.code
    assert "Ada" not in repr(answer), "others may have drawn one that looks like it"


async def test_a_private_pictures_looks_are_known_to_its_owner_alone(house: House) -> None:
    _, data = await picture(house, "a secret fox --n 1 --private")
    answer = await house.say("verify", uploads=(stripped(data),), actor=BOB)
    assert answer.text == said("unknown") and "secret" not in repr(answer)
    assert "secret" in (await house.say("verify", uploads=(stripped(data),))).code


async def test_a_picture_of_a_house_without_marks_is_known_by_its_file(house: House) -> None:
    marker, house.workshop._provenance = house.workshop._provenance, None
    _, data = await picture(house)
    house.workshop._provenance = marker
    assert (await house.say("verify", uploads=(data,), actor=BOB)).text == said("made_here")


async def test_a_changed_picture_is_told_to_be_changed(house: House) -> None:
    _, data = await picture(house)
    answer = await house.say("verify", uploads=(marks.with_xmp(data, "drawn by hand"),), actor=BOB)
    assert answer.text.startswith(said("broken")) and "a fox" in answer.code, "by its looks it is still known"


async def test_a_picture_from_elsewhere_with_a_manifest_is_not_vouched_for(house: House, tmp_path: Path) -> None:
    await picture(house)
    other = Provenance(tmp_path / "other", clock=lambda: datetime.now(UTC))
    job = (await house.store.history(ADA.key))[0].job
    foreign = (await other.mark(job, 0, 1, png(64, 48))).data
    other.close()
    answer = await house.say("verify", uploads=(foreign,))
    assert answer.text.startswith(said("foreign", issuer="Word Up!")) and job.id not in repr(answer)


async def test_a_strange_picture_is_unknown(house: House) -> None:
    await picture(house)
    assert (await house.say("verify", uploads=(png(64, 48),))).text == said("unknown")


# ------------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [each for each in os.environ if each.startswith("WORDUP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORDUP_DATA_DIR", str(tmp_path))


async def verified(tmp_path: Path, data: bytes) -> tuple[int, str]:
    file = tmp_path / "picture"
    file.write_bytes(data)
    done = await asyncio.to_thread(CliRunner().invoke, app, ["verify", str(file)])
    return done.exit_code, done.output


@pytest.mark.usefixtures("alone")
async def test_the_command_tells_the_same_beside_a_running_bot(house: House, tmp_path: Path) -> None:
    card, data = await picture(house)
    code, output = await verified(tmp_path, data)
    assert code == 0 and said("by_manifest") in output and "a fox" in output and card.job_id in output and "Ada" in output
    code, output = await verified(tmp_path, stripped(data))
    assert code == 0 and "a fox" in output and "Ada" not in output
    assert await verified(tmp_path, png(64, 48)) == (3, said("unknown") + "\n")


@pytest.mark.usefixtures("alone")
async def test_the_command_says_of_a_private_picture_that_it_was_made_here_and_no_more(house: House, tmp_path: Path) -> None:
    _, data = await picture(house, "a secret fox --n 1 --private")
    assert await verified(tmp_path, data) == (0, said("not_yours") + "\n")
    assert await verified(tmp_path, stripped(data)) == (3, said("unknown") + "\n")


@pytest.mark.usefixtures("alone")
async def test_the_command_reads_manifests_and_pixels_apart_and_none_itself(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, data = await picture(house)
    assert await verified(tmp_path, b"\x89PNG\r\n\x1a\n and nothing else") == (3, said("unknown") + "\n")
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    code, output = await verified(tmp_path, data)
    assert code == 0 and said("made_here") in output and "a fox" in output, "its manifest is not read, its digest is known"
    code, output = await verified(tmp_path, stripped(data))
    assert code == 1 and "could not be read" in output, "rather than decoded here"


@pytest.mark.usefixtures("alone")
def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "none.png")])
    assert done.exit_code == 1 and "none.png" in done.output
