"""Whole conversations from plain-text scripts, on Discord, Slack and the studio page: the same words and presses, the same cards.

A script (`conversations/*.txt`) has a line for what a member does and, indented, what they see then::

    ada /imagine a fox          a command (on the page: typed where a prompt is typed)
    bob 1 V2                    a button on the 1st card seen; a select's as "placeholder: label"
    ada 4: a fox in the rain    the form seen as the 4th, filled in
    ada 1 +🔄                   a reaction

Durations, ids and what is random are written as ``…``. ``RECORD_CONVERSATIONS=1`` writes the cards down as they come (look at them before you keep them).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.scenario.stages import Seen, Stage, stage

SCRIPTS = sorted((Path(__file__).parent / "conversations").glob("*.txt"))
ID = re.compile(r"\b0[0-9A-HJKMNP-TV-Z]{25}\b")
#: What differs from run to run: durations, ids.
CHANGES = [(re.compile(r"\b\d+ (s|min|hours?)\b"), "… s"), (ID, "…")]


@dataclass
class Act:
    line: str
    expected: list[str] = field(default_factory=list)


def read(script: Path) -> tuple[list[str], list[Act]]:
    """(platforms, what is done)."""
    platforms: list[str] = []
    acts: list[Act] = []
    for line in script.read_text().splitlines():
        if line.startswith("on: "):
            platforms = line.removeprefix("on: ").split()
        elif line.startswith("    "):
            acts[-1].expected.append(line.strip())
        elif line and not line.startswith("#"):
            acts.append(Act(line))
    return platforms, acts


async def play(on: Stage, line: str, seen: list[Seen]) -> Seen:
    who, what = line.split(" ", 1)
    if what.startswith("/"):
        command, _, text = what[1:].partition(" ")
        return await on.say(who, command, text)
    if filled := re.match(r"(\d+): (.*)", what):
        return await on.fill(who, seen[int(filled[1]) - 1], filled[2])
    number, label = what.split(" ", 1)
    card = seen[int(number) - 1]
    return await (on.react(who, card, label[1:]) if label.startswith("+") else on.press(who, card, label))


def written(card: Seen) -> list[str]:
    lines = []
    for line in card.lines():
        for changes, constant in CHANGES:
            line = changes.sub(constant, line)
        lines.append(line)
    return lines


def parameters() -> list[object]:
    return [pytest.param(script, platform, id=f"{script.stem}-{platform}") for script in SCRIPTS for platform in read(script)[0]]


@pytest.mark.parametrize(("script", "platform"), parameters())
async def test_the_same_conversation_shows_the_same_cards(script: Path, platform: str, tmp_path: Path) -> None:
    _, acts = read(script)
    seen: list[Seen] = []
    record = "RECORD_CONVERSATIONS" in os.environ
    async with stage(platform, tmp_path) as (on, _app):
        for act in acts:
            try:
                card = await play(on, act.line, seen)
            except AssertionError as error:
                raise AssertionError(f"{act.line} (card {len(seen) + 1}): {error}") from error
            seen.append(card)
            if not record:
                assert written(card) == act.expected, f"{act.line} (card {len(seen)})"
    if record:
        keep(script, acts, seen)


def keep(script: Path, acts: list[Act], seen: list[Seen]) -> None:
    head = [line for line in script.read_text().splitlines() if line.startswith(("#", "on: "))]
    blocks = ["\n".join([act.line, *(f"    {line}" for line in written(card))]) for act, card in zip(acts, seen, strict=True)]
    script.write_text("\n".join([*head, "", *blocks]) + "\n")


def test_every_script_expects_something_after_every_act() -> None:
    for script in SCRIPTS:
        platforms, acts = read(script)
        assert platforms and acts, script.name
        for act in acts:
            assert act.expected, f"{script.name}: {act.line}"
