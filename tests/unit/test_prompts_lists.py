"""A file of prompts: one a line, or a CSV whose columns fill the slots of the words beside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refused
from bot.prompts import MAX_PROMPTS, read_list

TABLE = b'\xef\xbb\xbfColour,thing,prompt\r\nred,fox,a red fox\r\n\r\n"deep, dark blue",owl,"an owl\r\nat sea"\r\n'


def fault(data: bytes, name: str = "a.csv", template: str = "") -> tuple[str, dict[str, object]]:
    with pytest.raises(Refused) as caught:
        read_list(data, name, template)
    return caught.value.message, caught.value.parameters


def test_a_line_is_a_prompt():
    assert read_list(b"\xef\xbb\xbfa fox --n 2\r\n\r\n  an owl \rsea\n", "prompts.txt", "") == ("a fox --n 2", "an owl", "sea")


def test_what_came_beside_a_list_goes_behind_each_line_or_around_it():
    assert read_list(b"fox\nowl", "a", " --ar 3:2 ") == ("fox --ar 3:2", "owl --ar 3:2")
    assert read_list(b"fox\nowl", "a.txt", "a { Prompt } {at sea} --ar 3:2") == ("a fox {at sea} --ar 3:2", "a owl {at sea} --ar 3:2")


def test_columns_fill_the_slots():
    assert read_list(TABLE, "a.CSV", "a {colour} {Thing}, {day, night} --n 1") == (
        "a red fox, {day, night} --n 1",
        "a deep, dark blue owl, {day, night} --n 1",
    )


def test_a_column_of_prompts_needs_no_slots():
    assert read_list(TABLE, "a.csv", "--n 1") == ("a red fox --n 1", "an owl\r\nat sea --n 1")


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_other_programs_part_cells_otherwise(mark: str):
    assert read_list(f"a{mark} b\n1{mark} 2\n".encode(), "a.csv", "{b} {a}") == ("2 1",)


@pytest.mark.parametrize(
    ("data", "template", "message", "parameters"),
    [
        (b"", "", "words.list_empty", {}),
        (b"prompt\n\n", "", "words.list_empty", {}),
        (b"a,b\n1,2\n", "{a} {colr}", "words.list_no_column", {"given": "colr", "available": ("a", "b")}),
        (b"colour,b\n1,2\n", "{colr}", "words.list_no_column_near", {"given": "colr", "near": "colour"}),
        (b"a,b\n1,2\n", "fox", "words.list_no_slots", {"available": ("a", "b")}),
        (b"a,A\n1,2\n", "{a}", "words.list_header", {}),
        (b"a,\n1,2\n", "{a}", "words.list_header", {}),
        (b"\n ,\n", "{a}", "words.list_empty", {}),
        (b"a,b\n1,2\n\n1,2,3\n", "{a}", "words.list_long_row", {"line": 4, "cells": 3, "columns": 2}),
        (b"a,b\n1,2\n ,2\n", "{a}", "words.list_empty_cell", {"line": 3, "column": "a"}),
        (b"a,b\n1\n", "{b}", "words.list_empty_cell", {"line": 2, "column": "b"}),
        (b'a,b\n1,2\n"x" y,2\n', "{b}", "words.list_broken", {"line": 3}),
        (b"a\nfox\n\xe9t\xe9\n", "{a}", "words.list_not_utf8", {"line": 3}),
        ("a\nfox\n".encode("utf-16-le"), "{a}", "words.list_not_utf8", {"line": 1}),
        (b"a\n" + b"x" * 300_000, "{a}", "words.list_too_large", {"limit": 256}),
        (b"a\nfox\n" + b"x" * 9000, "{a}{a}{a}", "words.list_long_prompt", {"line": 3, "limit": 6000}),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_line(data: bytes, template: str, message: str, parameters: dict[str, object]):
    assert fault(data, "a.csv", template) == (message, parameters)


def test_forty_are_the_most_and_the_others_are_counted():
    assert len(read_list(b"fox\n" * MAX_PROMPTS, "a.txt", "")) == MAX_PROMPTS
    assert fault(b"fox\n" * 5000, "a.txt") == ("words.list_too_long", {"count": 5000, "limit": MAX_PROMPTS})
    assert fault(b"prompt\n" + b"fox\n" * 41) == ("words.list_too_long", {"count": 41, "limit": MAX_PROMPTS})


templates = st.sampled_from(["", "{a} x", "--n 2"])
pieces = st.sampled_from([b"a", b",", b"\n", b'"', b"prompt", b"\r", b" ", b";", b"\xff", b"\0", b"{a}", "é".encode()])


@given(st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=20).map(b"".join)), st.sampled_from(["a.csv", "a.txt"]), templates)
def test_any_file_is_some_prompts_or_one_mistake(data: bytes, name: str, template: str):
    try:
        found = read_list(data, name, template)
    except Refused:
        return
    assert 1 <= len(found) <= MAX_PROMPTS
    assert all(each.strip() for each in found)
