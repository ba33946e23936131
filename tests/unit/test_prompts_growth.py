"""Hostile text costs no more than honest text of its length: lines of the grammar that are run, counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from bot.errors import UserError
from bot.prompts import prepare, read, read_list
from bot.prompts.clean import MAX_LENGTH
from bot.prompts.permutations import expand
from bot.prompts.wildcards import fill
from engine.fake import FAKE_MODEL

HOSTILE = [
    "(", "()", "(a:1.3)", "(a:1.3", "((a:1.3)", "a:", ":", "::", "a::1 ", "a(", ")", ":1.3)", "{", "{a,", "{a,b}", "{},", "\\", "\\,", "__", "__a", "__a__",
    "_", "a_", "--n ", "--no a,", "—s ", "-", "e\u0301", "\u0301", "\u200b", "ｆ", "가", "a ", "--lora a:1 ", "--sede ", "--w ", "--style ink ", "{a,b} --r 2 ",
    "{ab} ", "a,b\n", "\"",
]  # fmt: skip


def steps(work: Callable[[], object]) -> int:
    """Lines of this program that `work` runs; what it refuses counts, too."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if "/bot/" in frame.f_code.co_filename.replace("\\", "/") else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(UserError):
            work()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("piece", HOSTILE)
def test_four_times_the_text_takes_four_times_the_steps(piece: str):
    def grown(work: Callable[[str], object]) -> float:
        long = (piece * MAX_LENGTH)[:MAX_LENGTH]
        return steps(lambda: work(long)) / max(500, steps(lambda: work(long[: MAX_LENGTH // 4])))

    sets = {"w": "--no b", "x": "--n 2"}
    works: list[Callable[[str], object]] = [
        expand,
        lambda text: prepare(text, lists={"a": ("b", "c")}, seed=int, sets=sets),
        lambda text: read_list(text.encode("utf-8", "replace"), "a.csv", text),
        lambda text: fill(text, {"a": ("b",)}, 1),
        lambda text: read(text, (FAKE_MODEL,), lambda message, **_: message),
    ]
    for work in works:
        assert grown(work) < 5
