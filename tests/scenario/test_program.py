"""The whole program as a real process with the real pocket model: drawing, dying, coming back, and saying no."""

import asyncio
import io
import os
import re
import struct
import subprocess
import sys
import uuid
import zlib
from datetime import UTC, datetime

import pytest
from PIL import Image, ImageChops

from bot.provenance import Provenance, authority
from bot.provenance.manifest import TRUSTED, VALID
from tests.scenario.program import PATIENCE, ROOT, Program, log_events, until
from tests.scenario.visitor import Visitor, actions, pictures

APPLE = "a red apple on a blue background, 3d render"


@pytest.fixture
def program(tmp_path):
    with Program(tmp_path / "data", WORDUP_LOG_FORMAT="json") as running:
        yield running


def wallet(html: str) -> str:
    found = re.search(r'class="wallet"[^>]*>(.*?)</', html, re.S)
    assert found, "the page shows no wallet"
    return found[1].strip()


async def test_words_become_pictures_and_buttons_make_children(program):
    async with Visitor(program.url) as member:
        queued = await member.imagine(f"{APPLE} --seed 7 --n 2 --steps 4")
        assert queued["kind"] == "job"
        done = await member.ended(queued["job"])
        assert len(pictures(done)) == 2
        for path in pictures(done):
            async with member.session.get(program.url + path) as answer:
                picture = Image.open(io.BytesIO(await answer.read()))
                assert picture.format == "PNG" and min(picture.size) >= 64
                assert "Seed: 7" in picture.text["parameters"] or "Seed: 8" in picture.text["parameters"]
        child = await member.press(actions(done)["V2"])
        assert child["kind"] == "job" and child["job"] != queued["job"]
        assert len(pictures(await member.ended(child["job"]))) == 4
        family = await member.page(f"/job/{queued['job']}")
        assert child["job"] in family


async def test_a_job_running_at_a_power_cut_is_drawn_after_the_restart_once(tmp_path):
    data = tmp_path / "data"
    with Program(data) as first:
        async with Visitor(first.url) as member:
            queued = await member.imagine("a fox in the snow, 3d render --seed 3 --n 6 --steps 60")
            waiting = await member.imagine("an owl at night --seed 4 --n 1 --steps 4")
            await asyncio.to_thread(until, lambda: first.metric("wordup_steps") >= 2)
            first.kill()
    with Program(data) as second:
        async with Visitor(second.url) as member:
            assert len(pictures(await member.ended(queued["job"]))) == 6
            assert len(pictures(await member.ended(waiting["job"]))) == 1
            history = await member.page("/history")
            assert len(set(re.findall(r"/job/([0-9A-Z]{26})", history))) == 2
        assert second.metric("wordup_jobs_ended_total") == 2


async def test_sigterm_gives_a_running_job_back_and_exits_cleanly(tmp_path):
    data = tmp_path / "data"
    with Program(data, WORDUP_LOG_FORMAT="json") as first:
        async with Visitor(first.url) as member:
            queued = await member.imagine("a rocket in space --n 6 --steps 60")
            await asyncio.to_thread(until, lambda: first.metric("wordup_steps") >= 1)
        assert await asyncio.to_thread(first.terminate) == 0
        assert any(event["event"] == "stopping" for event in log_events(first.output))
    with Program(data) as second:
        async with Visitor(second.url) as member:
            assert len(pictures(await member.ended(queued["job"]))) == 6


async def test_an_old_picture_is_varied_after_a_restart(tmp_path):
    data = tmp_path / "data"
    with Program(data) as first:
        async with Visitor(first.url) as member:
            queued = await member.imagine(f"{APPLE} --n 2 --steps 4")
            buttons = actions(await member.ended(queued["job"]))
        first.terminate()
    with Program(data) as second:
        async with Visitor(second.url) as member:
            large = await member.press(buttons["U1"])
            assert len(pictures(await member.ended(large["job"]))) == 1


async def test_the_same_delivery_twice_is_one_job(program):
    async with Visitor(program.url) as member:
        delivery = str(uuid.uuid4())
        answers = await asyncio.gather(*(member.imagine(f"{APPLE} --n 1 --steps 2", delivery=delivery) for _ in range(5)))
        assert len({answer["job"] for answer in answers}) == 1


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is large; its pixels are missing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + b"\x00" * 64


WRONG = {
    "an unknown flag": {"text": "a fox --sead 7"},
    "a value out of bounds": {"text": "a fox --steps 100000"},
    "a ratio that is none": {"text": "a fox --ar wide"},
    "only flags": {"text": "--seed 7"},
    "only spaces and a flag": {"text": "  --n 2 "},
    "6,001 characters": {"text": "a" * 6001},
    "fifty megapixels": {"text": "a fox", "upload": ("large.png", png_header(10_000, 5_000))},
    "a text file named .png": {"text": "a fox", "upload": ("notes.png", b"dear diary, " * 50)},
    "half a picture": {"text": "a fox", "upload": ("half.png", png_header(64, 64))},
}


async def test_what_is_wrong_gets_one_sentence_and_costs_nothing(program):
    async with Visitor(program.url) as member:
        before = wallet(await member.page("/"))
        for what, sent in WRONG.items():
            answer = await member.imagine(**sent)
            assert answer["kind"] == "note", what
            said = answer["text"].split("\n")[0]
            assert 10 < len(said) < 300 and said.rstrip().endswith((".", "?", "!")), (what, said)
            assert "Traceback" not in answer["text"]
        assert (await member.imagine(""))["kind"] == "form", "without words, the page asks for them"
        assert wallet(await member.page("/")) == before
        assert (await member.page("/history")).count("/job/") == 0


async def test_an_empty_wallet_and_a_full_queue_are_one_sentence_each(tmp_path):
    with Program(tmp_path / "data", WORDUP_CREDITS_CAP="3", WORDUP_CREDITS_PER_HOUR="1", WORDUP_QUEUED_PER_MEMBER="2") as program:
        async with Visitor(program.url) as member:
            answers = await asyncio.gather(*(member.imagine(f"{APPLE} --n 4") for _ in range(8)))
            accepted = [answer for answer in answers if answer["kind"] == "job"]
            refused = [answer for answer in answers if answer["kind"] == "note"]
            assert accepted and refused
            for answer in accepted:
                assert 'data-status="done"' in await member.ended(answer["job"])
            big = await member.imagine(f"{APPLE} --n 9 --steps 100")
            assert big["kind"] == "note" and "credit" in big["text"].lower()


def test_a_second_process_is_turned_away_with_one_sentence(program):
    second = subprocess.run([sys.executable, "-m", "bot", "run"], cwd=ROOT, env=program.environment, capture_output=True, text=True, timeout=PATIENCE)
    assert second.returncode == 1
    lines = [line for line in second.stderr.splitlines() if line and not line.startswith("{")]
    assert len(lines) == 1 and "Traceback" not in second.stderr


async def test_logs_hold_neither_words_nor_keys(program):
    async with Visitor(program.url) as member:
        queued = await member.imagine("xylophone-marmalade secret garden --n 1 --steps 2")
        await member.ended(queued["job"])
        await member.imagine("xylophone-marmalade --nonsense")
    written = "".join(program.output)
    assert "xylophone" not in written
    assert (program.data / "secret.key").read_bytes().hex() not in written
    assert (program.data / "secret.key").stat().st_mode & 0o077 == 0


def imagine(folder, name, words):
    out = folder / name
    done = subprocess.run([sys.executable, "-m", "bot", "imagine", words, "-o", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    with Image.open(out) as picture:
        return picture.convert("RGB")


async def test_a_seed_is_a_picture_in_the_terminal_and_in_company(tmp_path, monkeypatch):
    monkeypatch.setenv("WORDUP_REPRODUCIBLE", "true")
    first, second = (imagine(tmp_path, f"{k}.png", f"{APPLE} --seed 7") for k in range(2))
    assert first.tobytes() == second.tobytes()
    with Program(tmp_path / "data", WORDUP_REPRODUCIBLE="true") as program:
        async with Visitor(program.url) as member:
            others = [
                await member.imagine(words)
                for words in ("a fox in the snow --seed 1 --steps 30", "an owl at night --seed 2 --n 2", "a castle at sunset --seed 3 --cfg 5")
            ]
            mine = await member.imagine(f"{APPLE} --seed 7 --n 1")
            (path,) = pictures(await member.ended(mine["job"]))
            async with member.session.get(program.url + path) as answer:
                in_company = Image.open(io.BytesIO(await answer.read())).convert("RGB")
            for other in others:
                await member.ended(other["job"])
    assert in_company.size == first.size
    largest = max(high for _, high in ImageChops.difference(first, in_company).getextrema())
    assert largest == 0, f"a channel differs by {largest}"


async def test_a_picture_from_the_terminal_is_signed_by_this_installations_own_authority(tmp_path):
    data, out = tmp_path / "data", tmp_path / "x.png"
    authority.own(data / "signing", datetime.now(UTC))
    before = {file.name: file.read_bytes() for file in (data / "signing").iterdir()}
    environment = {**os.environ, "WORDUP_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "bot", "imagine", "a fox --steps 2", "-o", str(out)]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    here, elsewhere = (Provenance(folder, clock=lambda: datetime.now(UTC)) for folder in (data / "signing", tmp_path / "another"))
    try:
        claims = [await reader.read(out.read_bytes()) for reader in (here, elsewhere)]
    finally:
        here.close()
        elsewhere.close()
    assert [claim.state if claim else None for claim in claims] == [TRUSTED, VALID]
    assert {file.name: file.read_bytes() for file in (data / "signing").iterdir()} == before and [each.name for each in data.iterdir()] == ["signing"]


def test_a_mistake_in_the_terminal_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bot", "imagine", "a fox --sead 7", "-o", str(tmp_path / "x.png")], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 2 and "--seed" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "x.png").exists()


def test_a_set_in_the_terminal_is_a_file_a_prompt(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bot", "imagine", "a {red, blue} apple --steps 2", "-o", str(tmp_path / "x.png")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["x-01.png", "x-02.png"]


def test_doctor_finds_a_healthy_house(tmp_path, monkeypatch):
    monkeypatch.setenv("WORDUP_DATA_DIR", str(tmp_path / "data"))
    done = subprocess.run([sys.executable, "-m", "bot", "doctor"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout
    for what in ("Python", "torch", "database", "model", "studio page"):
        assert what in done.stdout


def test_doctor_says_what_to_fix(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("WORDUP_DATA_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("WORDUP_MODELS", str(tmp_path / "nothing"))
    done = subprocess.run([sys.executable, "-m", "bot", "doctor"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "WORDUP_DATA_DIR" in done.stdout and "WORDUP_MODELS" in done.stdout and "Traceback" not in done.stderr
