"""Bytes and words that nobody thought of (hypothesis): the decoder answers every file, the grammar every text, with a result or one mistake."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.decoding import Ask, Said
from bot.errors import BadWords
from bot.prompts import clean as cleaning
from bot.prompts.clean import clean
from bot.prompts.grammar import parse
from bot.uploads import Child
from tests.attacks import pictures

SEEDS = [*pictures.good().values(), *pictures.malformed().values(), *pictures.bombs().values()]


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.end()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A picture with some of its bytes changed, taken out, repeated or put in: most of the decoder is reached by these, and by no random bytes."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 4)):
            case 0 if data:
                data[at] = draw(st.integers(0, 255))
            case 1 if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 2:
                del data[at : at + draw(st.integers(1, 64))]
            case 3:
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
            case _:
                data[at:at] = data[at : at + draw(st.integers(1, 256))]
    return bytes(data)


@given(data=damaged() | st.binary(max_size=256))
@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_a_picture_or_refused_and_the_process_lives_on(child: Child, data: bytes):
    answer = child.ask(Ask.PICTURE, data)
    if answer.said is Said.DONE:
        assert 0 < answer.width <= 2048 and 0 < answer.height <= 2048 and len(answer.data) == 3 * answer.width * answer.height
    else:
        assert answer.data == b""
    claim = child.ask(Ask.PARAMETERS, data).data.decode()
    assert len(claim) <= 1500
    assert child.lives


#: What the grammar gives a meaning, what tricks the eye, and what other languages give one.
PIECES = [
    "::",
    ":",
    "-",
    "--",
    "—",
    "--ar ",
    "--n 99",
    "--seed 1e9",
    "{",
    "}",
    ",",
    "|",
    "__",
    "__animals__",
    "(",
    ")",
    "[",
    "]",
    "\\",
    '"',
    "'",
    "::-1",
    ":1.5)",
]
PIECES += ["\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u0301", "\ufdfa", "\ud800", "\0", "\n", "@everyone", "<@1>", "<!channel>", "`", "]("]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=40).map("".join)


@given(text=texts)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_words_are_read_or_one_mistake_that_lies_in_them(text: str):
    try:
        parse(text)
    except BadWords as mistake:
        assert 0 <= mistake.start <= mistake.end <= len(text)


@given(text=texts)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_words_keep_what_tricks_the_eye(text: str):
    import unicodedata

    told = clean(text).text
    assert not [c for c in told if unicodedata.category(c) in cleaning._DROPPED]
    assert clean(told).text == told
    told.encode()
