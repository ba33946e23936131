"""Whole conversations from plain-text scripts, on Discord, Slack and the studio page: the same words and presses, the same cards.

A script (`conversations/*.txt`) has a line for what a member does and, indented, what they see then::

    ada /imagine a fox          a command (on the page: typed where a prompt is typed)
    ada /imagine (foxes.txt)    … with a file: a list beside the scripts, or a picture that is painted after its name
    bob 1 V2                    a button on the 1st card seen; a select's as "placeholder: label"
    ada 4: a fox in the rain    the form seen as the 4th, filled in; more fields as "before=a fox; after=an owl", a file as "image=fox.png"
    ada 1 +🔄                   a reaction
    ada 1 @Describe             an entry of the message's menu
    grace in mods /admin        a command in another channel; "#mods" in what is said is a mention of it
    grace reads mods            the newest message of a channel, or of the "letters" that the bot told somebody directly

"drawn.png" is the picture the member drew last. Whatever is still being drawn is waited for before the next line.

Durations, ids and what is random are written as ``…``. ``RECORD_CONVERSATIONS=1`` writes the cards down as they come (look at them before you keep them).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.app import App
from tests.scenario.files import File, file
from tests.scenario.stages import Seen, Stage, stage

SCRIPTS = sorted((Path(__file__).parent / "conversations").glob("*.txt"))
ID = re.compile(r"\b0[0-9A-HJKMNP-TV-Z]{25}\b")
FIELDS = re.compile(r"[a-z0-9]+=.*")
FILE = re.compile(r"[\w-]+\.(png|txt|csv)")
PATIENCE = 60.0
RECORDS = "RECORD_CONVERSATIONS" in os.environ
#: What differs from run to run: durations, ids, times of day, and whether a job of a set that was just asked for is begun.
CHANGES = [
    (re.compile(r"\b\d+ (s|min|hours?)\b"), "… s"),
    (ID, "…"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d"), "…"),
    (re.compile(r"\(Drawing\)$"), "(Waiting)"),
    (re.compile(r"\S+ \(([TU]0\w+:?\w*|\d{15,})\)"), "…"),  # a member, as moderators are told
]


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


async def play(on: Stage, app: App, line: str, seen: list[Seen]) -> Seen:
    who, what = line.split(" ", 1)
    if read_there := re.fullmatch(r"reads (\w+)", what):
        return on.newest(who, read_there[1])
    where = "art"
    if there := re.match(r"in (\w+) (?=/)", what):
        where, what = there[1], what[there.end() :]
    if what.startswith("/"):
        command, _, text = what[1:].partition(" ")
        files: list[File] = []
        if found := re.search(r" ?\(([\w-]+\.\w+)\)$", text):
            text, files = text[: found.start()], [await sent(on, app, who, found[1])]
        return await on.say(who, command, text, files=files, where=where)
    if filled := re.match(r"(\d+): (.*)", what):
        return await on.fill(who, seen[int(filled[1]) - 1], await values(on, app, who, filled[2]))
    number, label = what.split(" ", 1)
    card = seen[int(number) - 1]
    if label.startswith("@"):
        return await on.menu(who, card, label[1:])
    return await (on.react(who, card, label[1:]) if label.startswith("+") else on.press(who, card, label))


async def values(on: Stage, app: App, who: str, text: str) -> Mapping[str, str | File]:
    if not FIELDS.fullmatch(text):
        return {"words": text}
    pairs = (each.partition("=") for each in text.split("; "))
    return {name: await sent(on, app, who, value) if FILE.fullmatch(value) else value for name, _, value in pairs}


async def sent(on: Stage, app: App, who: str, name: str) -> File:
    """A member's file."""
    if name != "drawn.png":
        return file(name)
    (shown,) = await app.store.history(on.key(who), limit=1)
    return name, await app.blobs.get(shown.artifacts[0].digest)


async def settled(app: App, platform: str) -> None:
    """Nothing waits, nothing is drawn, and nobody is owed a card."""
    async with asyncio.timeout(PATIENCE):
        while True:
            load = await app.studio.load()
            if not (load.queued or load.running or await app.store.notices([platform]) or await app.moderation.book.due()):
                return
            await asyncio.sleep(0.02)


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
    try:
        async with stage(platform, tmp_path) as (on, app):
            for act in acts:
                await settled(app, platform)
                try:
                    card = await play(on, app, act.line, seen)
                except (AssertionError, LookupError) as error:
                    raise AssertionError(f"{act.line} (card {len(seen) + 1}): {error!r}") from error
                seen.append(card)
                if not RECORDS:
                    assert written(card) == act.expected, f"{act.line} (card {len(seen)})"
    finally:
        if RECORDS:
            keep(script, acts, seen)


def keep(script: Path, acts: list[Act], seen: list[Seen]) -> None:
    """What came goes into the script; what was not reached stays."""
    head = [line for line in script.read_text().splitlines() if line.startswith(("#", "on: "))]
    came = [*map(written, seen), *(act.expected for act in acts[len(seen) :])]
    blocks = ["\n".join([act.line, *(f"    {line}" for line in lines)]) for act, lines in zip(acts, came, strict=True)]
    script.write_text("\n".join([*head, "", *blocks]) + "\n")


def test_every_script_expects_something_after_every_act() -> None:
    for script in SCRIPTS:
        platforms, acts = read(script)
        assert platforms and acts, script.name
        for act in acts:
            assert act.expected, f"{script.name}: {act.line}"
