"""A file of prompts → the prompts in it: one a line, or a CSV whose columns fill `{name}` slots of the words beside it. Pure; called by `bot.usecases`.

What stands in the file is read like anything typed: a line may have flags of its own, braces and wildcards.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping

from bot.errors import Refused
from bot.prompts.clean import MAX_LENGTH, MAX_TYPED
from bot.prompts.flags import nearest
from bot.prompts.permutations import MAX_PROMPTS

MAX_BYTES = 256_000
_SLOT = re.compile(r"\{([^{},\\]{1,60})\}")
_PROMPT = "prompt"  #: the column, or the slot, for whole prompts


def read_list(data: bytes, name: str, template: str = "") -> tuple[str, ...]:
    """The prompts of a file called `name`, at most MAX_PROMPTS; `template` are the words that came beside it.

    A slot in the template takes a column's value (`{prompt}`: the line); what a template without slots says goes behind each prompt. Raises Refused, with the
    line's number where a line is to blame.
    """
    if len(data) > MAX_BYTES:
        raise Refused("words.list_too_large", limit=MAX_BYTES // 1000)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("words.list_not_utf8", line=data.count(b"\n", 0, error.start) + 1) from None
    if "\0" in text:
        raise Refused("words.list_not_utf8", line=text.count("\n", 0, text.index("\0")) + 1)
    is_table = name.casefold().endswith((".csv", ".tsv"))
    prompts = _table(text, template) if is_table else _lines(text, template)
    if not prompts:
        raise Refused("words.list_empty")
    if len(prompts) > MAX_PROMPTS:
        raise Refused("words.list_too_long", count=len(prompts), limit=MAX_PROMPTS)
    return prompts


def _lines(text: str, template: str) -> tuple[str, ...]:
    has_slot = any(found[1].strip().casefold() == _PROMPT for found in _SLOT.finditer(template))
    prompts: list[str] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if line := line.strip():
            is_wanted = len(prompts) < MAX_PROMPTS  # the others are only counted
            prompts.append(_one({_PROMPT: line}, template, number, has_slot) if is_wanted else "")
    return tuple(prompts)


def _table(text: str, template: str) -> tuple[str, ...]:
    head = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True, skipinitialspace=True)
    try:
        columns = [each.strip().casefold() for each in next((row for row in reader if any(map(str.strip, row))), [])]
        slots = _slots(template, columns)
        prompts: list[str] = []
        for row in reader:
            if any(cell.strip() for cell in row):
                is_wanted = len(prompts) < MAX_PROMPTS  # the others are only counted
                prompts.append(_row(row, reader.line_num, columns, slots, template) if is_wanted else "")
    except csv.Error:
        raise Refused("words.list_broken", line=max(1, reader.line_num)) from None
    return tuple(prompts)


def _slots(template: str, columns: list[str]) -> tuple[str, ...]:
    """The columns that are needed. Raises Refused."""
    if not columns:
        return ()  # nothing is in the file
    if len(set(columns)) < len(columns) or not all(columns):
        raise Refused("words.list_header")
    slots = tuple(dict.fromkeys(found[1].strip() for found in _SLOT.finditer(template)))
    for each in slots:
        if each.casefold() not in columns:
            near = nearest(each, tuple(columns))
            if near:
                raise Refused("words.list_no_column_near", given=each[:40], near=near)
            raise Refused("words.list_no_column", given=each[:40], available=tuple(columns[:8]))
    if not slots and _PROMPT not in columns:
        raise Refused("words.list_no_slots", available=tuple(columns[:8]))
    return tuple(each.casefold() for each in slots) or (_PROMPT,)


def _row(row: list[str], line: int, columns: list[str], slots: tuple[str, ...], template: str) -> str:
    if len(row) > len(columns):
        raise Refused("words.list_long_row", line=line, cells=len(row), columns=len(columns))
    cells = dict(zip(columns, (each.strip() for each in row), strict=False))
    for slot in slots:
        if not cells.get(slot):
            raise Refused("words.list_empty_cell", line=line, column=slot[:40])
    return _one(cells, template, line, bool(_SLOT.search(template)))


def _one(cells: Mapping[str, str], template: str, line: int, has_slots: bool) -> str:
    """The template with its slots filled (braces that name no column stay), or the prompt with the template behind it."""
    if not has_slots:
        return " ".join(filter(None, (cells[_PROMPT], template.strip())))

    def value(found: re.Match[str]) -> str:
        return cells.get(found[1].strip().casefold(), found[0])

    if len(template) + sum(len(value(found)) for found in _SLOT.finditer(template)) > MAX_TYPED:
        raise Refused("words.list_long_prompt", line=line, limit=MAX_LENGTH)
    return _SLOT.sub(value, template).strip()
