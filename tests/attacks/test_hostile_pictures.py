"""Pictures made to break whoever opens them: read by a process that may fail, within bounds, and never by the bot itself."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bot import decoding, uploads
from bot.decoding import Ask, Said
from bot.domain import Upload
from bot.errors import BadPicture
from bot.store.blobs import DiskBlobs
from bot.uploads import MAX_BYTES, Child, Decoders, Fallen, Uploads
from tests.attacks import pictures


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.end()


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[tuple[Uploads, DiskBlobs]]:
    blobs = DiskBlobs(tmp_path)
    taken = Uploads(blobs)
    yield taken, blobs
    taken.close()
    blobs.close()


def stored(blobs: DiskBlobs) -> set[str]:
    return {path.name for path in blobs._folder.rglob("*") if path.is_file()}


def upload(data: bytes, name: str = "a.png") -> Upload:
    return Upload(name=name, data=data)


# ------------------------------------------------------------------------------------------------ what comes out


@pytest.mark.parametrize("name", pictures.good())
def test_what_phones_and_programs_make_is_read(child: Child, name: str):
    """Also by a process that can open no file any more: nothing of the decoder may be loaded late."""
    answer = child.ask(Ask.PICTURE, pictures.good()[name])
    assert answer.said is Said.DONE
    with Image.open(io.BytesIO(answer.png()), formats=("PNG",)) as image:
        assert image.mode == "RGB" and image.size == (answer.width, answer.height) and getattr(image, "n_frames", 1) == 1
        assert image.size == ((30, 40) if name.startswith(("jpeg L", "jpeg RGB", "jpeg CMYK", "webp RGB", "png with exif")) else (40, 30))


@pytest.mark.parametrize("name", [name for name in pictures.good() if "moves" in name or "two" in name])
def test_of_pictures_that_move_the_first_is_taken(child: Child, name: str):
    answer = child.ask(Ask.PICTURE, pictures.good()[name])
    with Image.open(io.BytesIO(answer.png())) as image:
        assert np.abs(np.asarray(image.convert("L"), float) - np.asarray(pictures.plain("L"), float)).max() < 24


@pytest.mark.parametrize("name", [*pictures.good(), *pictures.polyglots()])
def test_what_is_kept_is_the_pixels_alone(child: Child, name: str):
    """No place where it was taken, no comment, no second file behind it."""
    data = (pictures.good() | pictures.polyglots())[name]
    answer = child.ask(Ask.PICTURE, data)
    assert answer.said is Said.DONE
    for mark in (pictures.SECRET, b"<script", b"PK\x05\x06", b"\x7fELF", b"eXIf", b"tEXt", b"iTXt", b"zTXt", b"prVt", b"acTL"):
        assert mark not in answer.png()
    assert answer.png().endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize("name", pictures.malformed())
def test_what_is_broken_is_unreadable_and_the_process_lives_on(child: Child, name: str):
    assert child.ask(Ask.PICTURE, pictures.malformed()[name]).said is Said.UNREADABLE
    assert child.lives and child.ask(Ask.PICTURE, pictures.good()["png RGB"]).said is Said.DONE


@pytest.mark.parametrize("name", pictures.other_formats())
def test_no_other_decoder_can_be_reached_whatever_the_file_is_called(child: Child, name: str):
    assert child.ask(Ask.PICTURE, pictures.other_formats()[name]).said is Said.UNREADABLE


@pytest.mark.parametrize("name", pictures.bombs())
def test_a_bomb_is_refused_by_its_header(child: Child, name: str):
    assert child.ask(Ask.PICTURE, pictures.bombs()[name]).said is Said.TOO_LARGE


@pytest.mark.parametrize("key", [b"parameters", b"Comment"])
@pytest.mark.parametrize("ask", [Ask.PICTURE, Ask.PARAMETERS])
def test_text_that_unpacks_to_much_is_not_unpacked(child: Child, key: bytes, ask: Ask):
    answer = child.ask(ask, pictures.with_text(key, 50 * 2**20))
    assert answer.said is Said.UNREADABLE or len(answer.data) < 10_000
    assert child.lives


def test_the_most_pixels_that_are_allowed_fit_into_the_memory_that_is_granted(child: Child):
    """With transparency, the way that takes the most: a bound that good pictures do not fit into would be none that can be kept."""
    large = pictures.saved(Image.new("RGBA", (8000, 5000), (200, 30, 30, 128)), "PNG", compress_level=1)
    answer = child.ask(Ask.PICTURE, large)
    assert (answer.said, answer.width, answer.height) == (Said.DONE, uploads.MAX_EDGE, 1280)


# ------------------------------------------------------------------------------------------------ the process


def run_as_child(code: str) -> subprocess.CompletedProcess[str]:
    """In a process that was confined like those that decode."""
    program = f"import socket, subprocess, resource; from bot import decoding; decoding._strictly(); decoding.confine(); decoding.grant()\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("what", "raised"),
    [
        ("open('/etc/passwd').read()", "OSError"),
        ("open('left-behind', 'w')", "OSError"),
        ("import socket; socket.socket()", "OSError"),
        ("import subprocess; subprocess.run(['true'])", "OSError"),
        ("bytearray(2 * 2**30)", "MemoryError"),
        ("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))", "Error"),
    ],
)
def test_the_process_can_open_nothing_call_nobody_and_fill_no_memory(what: str, raised: str):
    code = f"try: exec({what!r})\nexcept BaseException as error: print(type(error).__mro__)\nelse: print('done')"
    if os.getuid() == 0 and "setrlimit" in what:  # root may lift any limit
        code = f"import os; os.setgid(65534); os.setuid(65534)\n{code}"
    done = run_as_child(code)
    assert raised in done.stdout, done.stdout + done.stderr


def test_the_process_is_ended_when_it_takes_too_long():
    done = run_as_child("import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass")
    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)


def test_each_picture_has_time_of_its_own():
    code = "import resource\nlimit = lambda: resource.getrlimit(resource.RLIMIT_CPU)[0]\nfirst = limit()\n"
    code += "while resource.getrusage(resource.RUSAGE_SELF).ru_utime < first - decoding.SECONDS + 1: pass\ndecoding.grant()\nprint(first, limit())"
    first, second = map(int, run_as_child(code).stdout.split())
    assert first < second


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_process_holds_none_of_the_bots_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("WORDUP_DISCORD_TOKEN", "planted-in-the-environment")
    with (tmp_path / "open.db").open("wb") as database:
        os.set_inheritable(database.fileno(), True)
        made = Child()
        try:
            proc = Path(f"/proc/{made.pid}")
            held = {os.readlink(each) for each in (proc / "fd").iterdir()}
            assert b"planted" not in (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()
            assert not any("open.db" in each for each in held) and len(held) == 3
        finally:
            made.end()


def test_a_process_that_died_of_a_picture_is_replaced():
    decoders = Decoders()
    try:
        assert decoders.ask(Ask.PICTURE, pictures.good()["png RGB"]).said is Said.DONE
        victim = decoders._idle.queue[0]
        os.kill(victim.pid, signal.SIGSTOP)  # as one that hangs
        os.kill(victim.pid, signal.SIGKILL)
        victim._process.wait()
        assert decoders.ask(Ask.PICTURE, pictures.good()["jpeg RGB"]).said is Said.DONE
        assert decoders._idle.queue[0].pid != victim.pid
    finally:
        decoders.close()


@pytest.mark.parametrize(
    "answer",
    [
        "d.ANSWER.pack(1, 4, 4, 47) + bytes(47)",
        "d.ANSWER.pack(1, 0, 0, 0)",
        "d.ANSWER.pack(1, 60_000, 60_000, 2**32 - 1)",
        "d.ANSWER.pack(1, 4000, 4, 48_000) + bytes(48_000)",
        "d.ANSWER.pack(2, 0, 0, 2**31) + bytes(1000)",
        "d.ANSWER.pack(9, 0, 0, 0)",
    ],
)
def test_a_process_that_was_taken_over_is_not_believed(monkeypatch: pytest.MonkeyPatch, answer: str):
    """It may say any size; none but that of its pixels is taken, and no more than a picture's."""
    program = f"import sys; sys.path[:] = sys.argv[1:]; import bot.decoding as d; d._strictly = lambda: None; d.answer = lambda *_: {answer}; d.main()"
    monkeypatch.setattr(uploads, "_PROGRAM", program)
    made = Child()
    with pytest.raises(Fallen):
        made.ask(Ask.PICTURE, b"whatever")
    assert not made.lives


def test_a_process_that_hangs_is_ended_and_the_picture_refused(monkeypatch: pytest.MonkeyPatch):
    made = Child()
    monkeypatch.setattr(uploads, "PATIENCE", 0.2)
    os.kill(made.pid, signal.SIGSTOP)
    with pytest.raises(Fallen):
        made.ask(Ask.PICTURE, pictures.good()["png RGB"])
    assert not made.lives


async def test_where_no_process_can_be_started_nothing_is_decoded(kept: tuple[Uploads, DiskBlobs], monkeypatch: pytest.MonkeyPatch):
    """It is refused: the bot never reads a stranger's picture itself, not even in need."""
    taken, blobs = kept
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(OSError):
        await taken.keep(upload(pictures.good()["png RGB"]))
    monkeypatch.undo()
    monkeypatch.setattr(uploads, "_PROGRAM", "raise SystemExit(1)")
    with pytest.raises(OSError, match="does not start"):
        await taken.keep(upload(pictures.good()["png RGB"]))
    assert stored(blobs) == set()


async def test_a_picture_that_kills_its_process_costs_itself_alone(kept: tuple[Uploads, DiskBlobs], monkeypatch: pytest.MonkeyPatch):
    taken, blobs = kept
    deadly = "import sys; sys.path[:] = sys.argv[1:]; import bot.decoding as d, os; d._strictly = lambda: None"
    deadly += "; d.normalise = lambda data, edge: os.abort(); d.main()"
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "_PROGRAM", deadly)
        with pytest.raises(BadPicture) as refused:
            await taken.keep(upload(pictures.good()["png RGB"]))
    assert refused.value.message == "error.picture_unreadable"
    source = await taken.keep(upload(pictures.good()["png RGB"]))
    assert stored(blobs) == {source.digest}


def test_no_process_outlives_the_bot():
    """Killed as hard as can be: the pipe ends, and so does who reads it."""
    code = "from bot.uploads import Child; import os, signal; made = Child(); print(made.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    pid = int(done.stdout)
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("it is still there")


# ------------------------------------------------------------------------------------------------ as the bot keeps them


async def test_members_are_told_what_is_wrong_and_nothing_is_stored(kept: tuple[Uploads, DiskBlobs]):
    taken, blobs = kept
    for data, message in (
        (b"not a picture", "error.picture_unreadable"),
        (pictures.bombs()["more pixels than are read"], "error.picture_too_large"),
        (bytes(MAX_BYTES + 1), "error.picture_too_heavy"),
        (pictures.other_formats()["GIF"], "error.picture_unreadable"),
    ):
        with pytest.raises(BadPicture) as refused:
            await taken.keep(upload(data))
        assert refused.value.message == message
    assert stored(blobs) == set()


async def test_many_at_once_are_read_by_few_processes(kept: tuple[Uploads, DiskBlobs]):
    taken, blobs = kept
    sources = await asyncio.gather(*(taken.keep(upload(pictures.saved(pictures.plain(size=(16 + n, 16)), "PNG"))) for n in range(12)))
    assert [source.width for source in sources] == [16 + n for n in range(12)]
    assert 1 <= taken._decoders._idle.qsize() <= uploads.CHILDREN
    assert len(stored(blobs)) == 12


async def test_a_strange_files_own_parameters_are_cut_short_and_cleaned_of_nothing_else(kept: tuple[Uploads, DiskBlobs]):
    taken, _ = kept
    info = PngInfo()
    info.add_text("parameters", "a fox " * 2000)
    assert await taken.claims(pictures.saved(pictures.plain(), "PNG", pnginfo=info)) == ("a fox " * 2000)[: decoding.MAX_CLAIM]
    assert await taken.claims(b"nothing") == ""
