"""The output gate: what is decided of a number, and that what could not be looked at is held back. The numbers here are the tests' own, by colour."""

from __future__ import annotations

import asyncio
import io
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from PIL import Image

from bot.errors import Refused
from bot.gate import Answer, Asked, Gate, Policy, Rule, Sexual
from bot.gate.classifier import NoClassifier
from bot.gate.output import Bounds, Held, OutputGate, Unseen, decide
from engine import codec
from engine.api import Progress

FOX, CHILD = Asked(wanted="a fox"), Asked(wanted="a child on a beach")
REFUSE, HIDE, ALLOW = (Policy(sexual=each) for each in (Sexual.REFUSE, Sexual.HIDE, Sexual.ALLOW))
WORDS = Gate.load()


def by_red(picture: Image.Image) -> float:
    """As likely as the picture is red."""
    return Image.Image.getpixel(picture, (picture.width // 2, picture.height // 2))[0] / 255  # type: ignore[index]


def picture(number: float, size: tuple[int, int] = (64, 64)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (round(number * 255), 0, 0)).save(out, "PNG")
    return out.getvalue()


Open = Callable[..., Awaitable[OutputGate]]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    gates: list[OutputGate] = []

    async def make(look: Callable[[Image.Image], float] = by_red, **more: float) -> OutputGate:
        gate = OutputGate(WORDS, load=lambda: look, **more)  # type: ignore[arg-type]
        gates.append(gate)
        await gate.start()
        return gate

    yield make
    for gate in gates:
        gate.close()


# ------------------------------------------------------------------------------------------------ what is decided


@pytest.mark.parametrize(
    ("number", "policy", "answer"),
    [
        (0.39, REFUSE, None),
        (0.4, REFUSE, Answer.HIDE),
        (0.79, REFUSE, Answer.HIDE),
        (0.8, REFUSE, Answer.REFUSE),
        (0.39, HIDE, None),
        (0.4, HIDE, Answer.HIDE),
        (1.0, HIDE, Answer.HIDE),
        (1.0, ALLOW, None),
    ],
)
def test_the_channel_decides_what_is_done_with_a_number(number: float, policy: Policy, answer: Answer | None):
    verdict = decide(number, Bounds(), policy)
    assert (verdict and verdict.answer) == answer
    assert verdict is None or verdict.rule is Rule.SEXUAL


@pytest.mark.parametrize("policy", [REFUSE, HIDE, ALLOW, Policy(sexual=Sexual.ALLOW, edits=True)])
def test_a_doubt_is_enough_beside_words_for_the_young_whatever_the_settings(policy: Policy):
    verdict = decide(0.4, Bounds(), policy, young=True)
    assert verdict is not None and verdict.rule is Rule.MINORS and verdict.answer is Answer.REFUSE and not verdict.contestable
    assert decide(0.39, Bounds(), policy, young=True) is None


def test_what_is_made_of_a_photograph_needs_a_setting_of_its_own():
    edits = Policy(sexual=Sexual.ALLOW, edits=True)
    for policy in (REFUSE, HIDE, ALLOW):
        verdict = decide(0.9, Bounds(), policy, photograph=True)
        assert verdict is not None and verdict.rule is Rule.EDITS and verdict.answer is Answer.REFUSE
    assert decide(0.9, Bounds(), edits, photograph=True) is None
    assert decide(0.5, Bounds(), ALLOW, photograph=True) is None


@pytest.mark.parametrize(("doubtful", "sexual"), [(0.0, 0.8), (0.9, 0.8), (0.4, 1.1), (math.nan, 0.8)])
def test_bounds_out_of_order_are_a_mistake(doubtful: float, sexual: float):
    with pytest.raises(ValueError, match="bounds"):
        Bounds(doubtful=doubtful, sexual=sexual)


# ------------------------------------------------------------------------------------------------ finished pictures


async def test_the_most_telling_picture_of_a_job_decides(opened: Open):
    gate = await opened()
    assert await gate.check([picture(0.1), picture(0.2)], FOX, REFUSE) is False
    assert await gate.check([picture(0.1), picture(0.5), picture(0.1)], FOX, REFUSE) is True
    with pytest.raises(Held) as held:
        await gate.check([picture(0.1), picture(0.9), picture(0.1)], FOX, REFUSE)
    assert held.value.said.message == "error.gate_picture"
    assert gate.counted == {"shown": 1, "hidden": 1, "refused": 1}


async def test_what_moves_is_looked_at_from_beginning_to_end(opened: Open):
    gate = await opened()
    colours = [*[(0, 0, 0)] * 9, (250, 0, 0)]
    clip = codec.encode_clip([Image.new("RGB", (64, 64), each) for each in colours], [50] * len(colours), quality=100)
    assert await gate.check([picture(0)], FOX, REFUSE) is False
    with pytest.raises(Held):
        await gate.check([picture(0)], FOX, REFUSE, clip=clip)


async def test_a_long_picture_is_looked_at_in_squares(opened: Open):
    gate = await opened()
    wide = Image.new("RGB", (1200, 200))
    wide.paste((255, 0, 0), (0, 0, 200, 200))  # its middle, where `by_red` looks, is black
    for image in (wide, wide.rotate(90, expand=True)):
        out = io.BytesIO()
        image.save(out, "PNG")
        with pytest.raises(Held):
            await gate.check([out.getvalue()], FOX, REFUSE)


async def test_where_everything_may_be_shown_nothing_is_looked_at_but_words_for_the_young(opened: Open):
    looked: list[int] = []
    gate = await opened(lambda image: looked.append(1) or 0.9)  # type: ignore[func-returns-value]
    started = len(looked)
    assert await gate.check([picture(0.9)], FOX, ALLOW) is False
    assert len(looked) == started
    with pytest.raises(Held) as held:
        await gate.check([picture(0.9)], CHILD, ALLOW)
    assert held.value.said.message == "error.gate_picture_minors"
    with pytest.raises(Held) as held:
        await gate.check([picture(0.9)], Asked(wanted="", photograph=True), ALLOW)
    assert held.value.said.message == "error.gate_picture_edits"


# ------------------------------------------------------------------------------------------------ it fails closed


@pytest.mark.parametrize("number", [math.nan, -0.1, 1.1, math.inf])
async def test_a_number_that_is_none_holds_the_picture_back(opened: Open, number: float):
    answers = iter([0.5, number])  # the first is for the trial at the start
    gate = await opened(lambda image: next(answers))
    with pytest.raises(Held) as held:
        await gate.check([picture(0.1)], FOX, REFUSE)
    assert held.value.verdict is None and held.value.said.message == "error.gate_unseen"
    assert gate.counted == {"unseen": 1}


@pytest.mark.parametrize("error", [RuntimeError("the network broke"), MemoryError(), OSError(5, "Input/output error")])
async def test_an_error_holds_the_picture_back(opened: Open, error: Exception):
    fails = False

    def look(image: Image.Image) -> float:
        if fails:
            raise error
        return 0.1

    gate = await opened(look)
    fails = True
    with pytest.raises(Held):
        await gate.check([picture(0.1)], FOX, REFUSE)
    with pytest.raises(Refused) as refused:
        await gate.admit(picture(0.1), REFUSE)
    assert refused.value.message == "refused.gate_upload_unseen"


async def test_what_cannot_be_decoded_and_nothing_at_all_are_held_back(opened: Open):
    gate = await opened()
    for pictures in ([b"no picture"], []):
        with pytest.raises(Held):
            await gate.check(pictures, FOX, REFUSE)


async def test_who_takes_too_long_is_not_waited_for_and_the_next_is_looked_at(opened: Open):
    let_go, ended, slow = threading.Event(), False, False

    def look(image: Image.Image) -> float:
        nonlocal ended
        if slow:
            let_go.wait(60)
            ended = True
        return 0.1

    gate = await opened(look, patience=0.2)
    slow = True
    with pytest.raises(Held) as held:
        await gate.check([picture(0.1), picture(0.1)], FOX, REFUSE)
    assert held.value.verdict is None and not ended
    slow = False
    let_go.set()
    gate._patience = 60
    assert await gate.check([picture(0.1)], FOX, REFUSE) is False


async def test_a_gate_that_was_not_started_or_is_closed_shows_nothing(opened: Open):
    fresh = OutputGate(WORDS, load=lambda: by_red)
    with pytest.raises(Unseen):
        await fresh.judge([picture(0.1)], FOX, REFUSE)
    fresh.close()
    gate = await opened()
    gate.close()
    gate.close()
    with pytest.raises(Unseen):
        await gate.judge([picture(0.1)], FOX, REFUSE)


async def test_without_a_classifier_it_does_not_start():
    def load() -> None:
        raise NoClassifier("there is none")

    gate = OutputGate(WORDS, load=load)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="there is none"):
        await gate.start()
    gate.close()


async def test_the_loop_is_free_while_a_picture_is_looked_at(opened: Open):
    looking, seen = asyncio.Event(), threading.Event()
    loop, armed = asyncio.get_running_loop(), False

    def look(image: Image.Image) -> float:
        if armed:
            loop.call_soon_threadsafe(looking.set)
            assert seen.wait(60)  # only the loop can end this
        return 0.1

    gate = await opened(look)
    armed = True
    task = asyncio.create_task(gate.check([picture(0.1)], FOX, REFUSE))
    async with asyncio.timeout(60):
        await looking.wait()
    seen.set()
    assert await task is False


# ------------------------------------------------------------------------------------------------ uploads


async def test_a_sexual_upload_is_used_only_where_both_settings_say_so(opened: Open):
    gate = await opened()
    await gate.admit(picture(0.5), REFUSE)  # what comes of it is looked at again
    for policy in (REFUSE, HIDE, ALLOW, Policy(edits=True)):
        with pytest.raises(Refused) as refused:
            await gate.admit(picture(0.9), policy)
        assert refused.value.message == "refused.gate_upload"
    for sexual in (Sexual.HIDE, Sexual.ALLOW):
        await gate.admit(picture(0.9), Policy(sexual=sexual, edits=True))


# ------------------------------------------------------------------------------------------------ previews


class Board:
    """What a member would see of a running job."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.previews: list[bytes] = []
        self.came = asyncio.Event()

    def __call__(self, progress: Progress) -> None:
        self.steps.append(progress.step)
        if progress.preview is not None:
            self.previews.append(progress.preview)
            self.came.set()


def preview(*numbers: float) -> bytes:
    tiles = [Image.new("RGB", (64, 64), (round(number * 255), 0, 0)) for number in numbers]
    columns = codec.columns_of(len(tiles))
    sheet = Image.new("RGB", (64 * columns, 64 * -(-len(tiles) // columns)))
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k % columns * 64, k // columns * 64))
    return codec.encode_webp(sheet, 100)


async def test_steps_are_told_at_once_and_previews_once_they_were_looked_at(opened: Open):
    gate, board = await opened(), Board()
    shown = preview(0.1)
    async with gate.previews(board, FOX, REFUSE) as report:
        report(Progress(step=1, of=9, preview=shown))
        assert (board.steps, board.previews) == ([1], [])
        report(Progress(step=2, of=9))
        async with asyncio.timeout(60):
            await board.came.wait()
    assert board.previews == [shown]
    assert board.steps == [1, 2, 2]  # the preview comes with the step the job is at


async def test_after_a_preview_that_breaks_a_rule_none_is_shown_any_more(opened: Open):
    gate, board = await opened(), Board()
    async with gate.previews(board, FOX, HIDE, rows=4) as report:
        report(Progress(step=1, of=9, preview=preview(0.9, 0.0, 0.0, 0.0)))  # one of four, not the middle of the sheet
        async with asyncio.timeout(60):
            while not gate.counted["preview_withheld"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        report(Progress(step=2, of=9, preview=preview(0.0, 0.0, 0.0, 0.0)))
        await asyncio.sleep(0.1)
    assert board.previews == []
    assert board.steps == [1, 2]


async def test_a_preview_that_cannot_be_looked_at_is_not_shown_and_the_next_one_is(opened: Open):
    gate, board = await opened(), Board()
    good = preview(0.1)
    async with gate.previews(board, FOX, REFUSE) as report:
        report(Progress(step=1, of=9, preview=b"torn"))
        await asyncio.sleep(0)
        report(Progress(step=2, of=9, preview=good))
        async with asyncio.timeout(60):
            await board.came.wait()
    assert board.previews == [good]


async def test_no_preview_comes_when_the_job_has_ended(opened: Open):
    looking, let_go, armed = threading.Event(), threading.Event(), False

    def look(image: Image.Image) -> float:
        if armed:
            looking.set()
            assert let_go.wait(60)
        return 0.1

    gate, board = await opened(look), Board()
    armed = True
    async with gate.previews(board, FOX, REFUSE) as report:
        report(Progress(step=1, of=9, preview=preview(0.1)))
        assert await asyncio.to_thread(looking.wait, 60)
    let_go.set()
    armed = False
    await gate.check([picture(0.1)], FOX, REFUSE)  # the thread is done with the preview
    assert board.previews == []


async def test_where_nothing_is_held_back_previews_are_shown_as_they_come(opened: Open):
    gate, board = await opened(), Board()
    async with gate.previews(board, FOX, ALLOW) as report:
        report(Progress(step=1, of=9, preview=preview(0.9)))
        assert len(board.previews) == 1
