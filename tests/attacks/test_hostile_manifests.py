"""Manifests made to break whoever reads them: read by a process that may fail, within bounds, and never by the bot itself or where finished pictures wait."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import provenance
from bot.apart import Fallen
from bot.domain import Upload
from bot.provenance import Provenance, authority, manifest, reading
from bot.provenance.reading import Child
from tests.attacks import pictures
from tests.contract.jobs import job
from tests.unit.house import ADA, BOB, ENGLISH, House, open_house
from tests.unit.test_provenance import ABOUT, PICTURE, signed

#: What the reading process does with a question, in the place of reading: `r` is the module that it runs.
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; import bot.provenance.reading as r; {}; r.main()"
STUCK = PROGRAM.format("import time; r.answer = lambda *_: time.sleep(600)")
DEADLY = PROGRAM.format("import os; r.answer = lambda *_: os.abort()")
GREEDY = PROGRAM.format("r.answer = lambda *_: bytes(4 * 2**30)")
BUSY = PROGRAM.format("r.SECONDS = 1; r.answer = lambda *_: any(iter(int, 1))")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> authority.Credentials:
    return authority.own(tmp_path_factory.mktemp("signing"), datetime.now(UTC))


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.end()


@pytest.fixture
async def marker(tmp_path: Path) -> AsyncIterator[Provenance]:
    made = Provenance(tmp_path / "signing", clock=lambda: datetime.now(UTC))
    await made.start()
    yield made
    made.close()


async def both_busy(marker: Provenance) -> None:
    """As many manifests are being read as are read at once."""
    async with asyncio.timeout(60):
        while len(marker._readers._busy) < provenance.READERS:  # noqa: ASYNC110 (other threads)
            await asyncio.sleep(0.01)


async def marked(marker: Provenance) -> bytes:
    return (await marker.mark(job(), 0, 7, PICTURE)).data


# ------------------------------------------------------------------------------------------------ read apart


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_this_installation_signed_is_known_by_a_process_that_can_open_nothing(child: Child, own: authority.Credentials, kind: str):
    data = PICTURE if kind == "PNG" else pictures.saved(pictures.plain(), kind)
    claim = child.ask(own.anchor, own.leaf, signed(own, data))
    assert claim is not None and (claim.state, claim.job_id, claim.index) == (manifest.TRUSTED, ABOUT.job_id, ABOUT.index)
    assert child.ask(own.anchor, own.leaf, data) is None


async def test_the_bot_itself_parses_no_strangers_manifest(marker: Provenance, monkeypatch: pytest.MonkeyPatch):
    data = await marked(marker)
    monkeypatch.setattr(manifest.c2pa, "Reader", None)  # whoever calls it here fails
    claim = await marker.read(data)
    assert claim is not None and claim.state == manifest.TRUSTED


async def test_what_cannot_hold_a_manifest_starts_no_process(marker: Provenance, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    for data in (PICTURE, b"", b"jumd", b"GIF89a jumd", bytes(32_000_001)):
        assert await marker.read(data) is None
    assert marker._readers._idle.empty()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_reading_process_holds_no_secret_and_no_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORDUP_DISCORD_TOKEN", "planted-in-the-environment")
    made = Child()
    try:
        proc = Path(f"/proc/{made.pid}")
        assert b"planted" not in (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()
        assert len(list((proc / "fd").iterdir())) == 3
    finally:
        made.end()


@pytest.mark.parametrize("what", ["open('/etc/passwd')", "__import__('socket').socket()", "open('left-behind', 'w')", "bytearray(2 * 2**30)"])
def test_what_took_over_the_reading_process_could_open_nothing_and_call_nobody(what: str):
    """It tries when it is asked, and says 9 where it could: what is no answer ends it."""
    tried = f"import sys\ndef tried(*_):\n    try: {what}\n    except (OSError, MemoryError): return r.ANSWER.pack(0, 0, 0, 0, 0, 0, 0)\n    return bytes([9])"
    made = run(f"import sys; sys.path[:] = sys.argv[1:]; import bot.provenance.reading as r\nexec({tried!r})\nr.answer = tried; r.main()")
    try:
        assert made.ask("", "", b"whatever") is None
    finally:
        made.end()


def run(code: str) -> Child:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_PROGRAM", code)
        return Child()


# ------------------------------------------------------------------------------------------------ what it costs


async def test_while_manifests_hang_finished_pictures_are_marked_and_others_are_looked_at(marker: Provenance, monkeypatch: pytest.MonkeyPatch):
    """More of them than are read at once."""
    data = await marked(marker)
    monkeypatch.setattr(reading, "_PROGRAM", STUCK)
    monkeypatch.setattr(reading, "PATIENCE", 120.0)
    monkeypatch.setattr(provenance, "PATIENCE", 120.0)
    stuck = [asyncio.create_task(marker.read(data)) for _ in range(3)]
    await both_busy(marker)
    for index in range(3):
        assert manifest.may_hold_one((await marker.mark(job(), index, 7, PICTURE)).data)
    assert not any(each.done() for each in stuck)
    marker.close()  # nor does the bot wait for them when it is told to leave
    done = await asyncio.gather(*stuck, return_exceptions=True)
    assert done[:2] == [None, None] and marker._readers._idle.empty()


@pytest.mark.parametrize("code", [DEADLY, GREEDY, BUSY, STUCK], ids=["dies", "wants all memory", "never ends its work", "sleeps"])
async def test_a_manifest_that_ends_its_reader_costs_itself_alone(marker: Provenance, monkeypatch: pytest.MonkeyPatch, code: str):
    data = await marked(marker)
    with monkeypatch.context() as patch:
        patch.setattr(reading, "_PROGRAM", code)
        if code is STUCK:
            patch.setattr(reading, "PATIENCE", 0.2)
        assert await marker.read(data) is None
        assert marker._readers._idle.empty() and not marker._readers._busy
    claim = await marker.read(data)
    assert claim is not None and claim.state == manifest.TRUSTED


def test_a_manifest_has_so_much_processor_time_and_no_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "PATIENCE", 120.0)
    with pytest.raises(Fallen, match=f"ended with {-signal.SIGXCPU}"):
        run(BUSY).ask("", "", b"whatever")


async def test_who_waits_for_a_reader_in_vain_is_answered_by_other_means(marker: Provenance, monkeypatch: pytest.MonkeyPatch):
    data = await marked(marker)
    monkeypatch.setattr(reading, "_PROGRAM", STUCK)
    monkeypatch.setattr(provenance, "PATIENCE", 0.2)
    assert await asyncio.gather(*(marker.read(data) for _ in range(4))) == [None] * 4
    assert await marker.fingerprint(PICTURE) and await marker.read_own(data), "what needs no reader waits for none"


async def test_where_no_process_can_be_started_no_manifest_is_read(marker: Provenance, monkeypatch: pytest.MonkeyPatch):
    data = await marked(marker)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nonexistent/python")
        assert await marker.read(data) is None
    assert await marker.read(data) is not None


@pytest.mark.parametrize(
    "answer",
    [
        "r.ANSWER.pack(4, 0, 0, 0, 0, 0, 0)",
        "r.ANSWER.pack(1, 1000, 0, 0, 0, 0, 0)",
        "r.ANSWER.pack(1, 0, 2**31, 0, 0, 0, 0) + bytes(1000)",
        "r.ANSWER.pack(1, 0, 0, 0, 0, 0, 2**31) + bytes(1000)",
        "r.ANSWER.pack(1, 0, 2, 0, 0, 0, 0) + bytes([0xFF, 0xFE])",
    ],
)
def test_what_is_no_answer_is_not_believed(answer: str):
    made = run(PROGRAM.format(f"r.answer = lambda *_: {answer}"))
    with pytest.raises(Fallen):
        made.ask("", "", b"whatever")
    assert not made.lives


def test_of_an_answer_no_trick_of_the_eye_and_no_made_up_number_is_taken():
    words = ["Word\u202e Up\u0000", "a\nb", "", "'; drop table jobs", "{}"]
    made = run(PROGRAM.format(f"w = [each.encode() for each in {words!r}]; r.answer = lambda *_: r.ANSWER.pack(1, 3, *map(len, w)) + b''.join(w)"))
    try:
        claim = made.ask("", "", b"whatever")
        assert claim is not None and (claim.issuer, claim.generator, claim.job_id, claim.index) == ("Word Up", "ab", "", 0)
    finally:
        made.end()


def test_no_reading_process_outlives_the_bot():
    code = "from bot.provenance.reading import Child; import os, signal; made = Child(); print(made.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    pid = int(done.stdout)
    for _ in range(600):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.05)
    raise AssertionError("it is still there")


# ------------------------------------------------------------------------------------------------ bytes that nobody thought of


def box(data: bytes) -> tuple[int, int]:
    """Where the manifest's bytes begin and end in a signed PNG."""
    begin = data.index(b"caBX") + 4
    return begin, begin + int.from_bytes(data[begin - 8 : begin - 4])


@st.composite
def damage(draw: st.DrawFn) -> list[tuple[int, int, int, bytes]]:
    """What is done to a manifest's bytes, one after the other: (how, where in thousandths, how many, with what)."""
    return [
        (draw(st.integers(0, 4)), draw(st.integers(0, 999)), draw(st.integers(1, 256)), draw(st.binary(min_size=1, max_size=8)))
        for _ in range(draw(st.integers(1, 5)))
    ]


def damaged(data: bytes, done: list[tuple[int, int, int, bytes]]) -> bytes:
    """The file with such a manifest in a whole chunk, so that it is the boxes that are broken and not the PNG."""
    begin, end = box(data)
    boxes = bytearray(data[begin:end])
    for how, where, count, what in done:
        at = where * len(boxes) // 1000
        match how:
            case 0:
                boxes[at : at + len(what)] = what
            case 1:
                boxes[at : at + 1] = bytes([boxes[at] ^ 1 << count % 8]) if boxes else b""
            case 2:
                del boxes[at : at + count]
            case 3:
                boxes[at:at] = boxes[at : at + count]
            case _:
                at = bytes(boxes).find(b"jum", at)  # the length before a box's name
                boxes[max(0, at - 4) : max(0, at)] = what[:4].rjust(4, b"\0") if at >= 4 else b""
    chunk = b"caBX" + bytes(boxes)
    return data[: begin - 8] + len(boxes).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + data[end + 4 :]


@given(done=damage())
@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_manifest_is_read_or_none_and_the_process_lives_on(child: Child, own: authority.Credentials, done: list[tuple[int, int, int, bytes]]):
    data = signed_once(own)
    claim = child.ask(own.anchor, own.leaf, damaged(data, done))
    assert child.lives
    if claim is not None and claim.state == manifest.TRUSTED:  # what was changed is padding: it says what it said
        assert (claim.job_id, claim.index) == (ABOUT.job_id, ABOUT.index)


_SIGNED: dict[str, bytes] = {}


def signed_once(own: authority.Credentials) -> bytes:
    if own.leaf not in _SIGNED:
        _SIGNED[own.leaf] = signed(own)
    return _SIGNED[own.leaf]


def test_a_manifest_that_is_whole_again_is_trusted(own: authority.Credentials, child: Child):
    """The fuzzing is of what it says it is: with nothing done the file is the same."""
    data = signed_once(own)
    assert damaged(data, []) == data
    claim = child.ask(own.anchor, own.leaf, data)
    assert claim is not None and claim.state == manifest.TRUSTED


# ------------------------------------------------------------------------------------------------ the whole house


@pytest.fixture
async def house(tmp_path: Path, marker: Provenance) -> AsyncIterator[House]:
    async with open_house(f"sqlite:///{tmp_path / 'wordup.db'}", tmp_path) as made:
        made.workshop._provenance = made.studio.provenance = marker
        yield made


async def test_a_picture_whose_manifest_could_not_be_read_is_known_by_its_file(house: House, monkeypatch: pytest.MonkeyPatch):
    card = await house.drawn("a fox --n 1")
    data = await house.studio.picture(ADA, card.pictures[0].digest)
    monkeypatch.setattr(reading, "_PROGRAM", DEADLY)
    answer = await house.say("verify", uploads=(Upload(name="a.png", data=data),), actor=BOB)
    assert answer.text == ENGLISH.say("verify.made_here") and "a fox" in answer.code


async def test_while_manifests_hang_other_members_pictures_are_drawn(house: House, marker: Provenance, monkeypatch: pytest.MonkeyPatch):
    card = await house.drawn("a fox --n 1")
    data = await house.studio.picture(ADA, card.pictures[0].digest)
    monkeypatch.setattr(reading, "_PROGRAM", STUCK)
    monkeypatch.setattr(reading, "PATIENCE", 120.0)
    monkeypatch.setattr(provenance, "PATIENCE", 120.0)
    stuck = [asyncio.create_task(house.say("verify", uploads=(Upload(name="a.png", data=data),), actor=BOB)) for _ in range(3)]
    await both_busy(marker)
    drawn = await house.drawn("a hen --n 1")
    assert manifest.may_hold_one(await house.studio.picture(ADA, drawn.pictures[0].digest)) and not any(each.done() for each in stuck)
    marker._readers.close()
    assert {(await each).text for each in stuck[:2]} == {ENGLISH.say("verify.made_here")}
    await asyncio.gather(*stuck)
