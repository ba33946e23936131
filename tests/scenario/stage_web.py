"""The studio page as a stage: what is typed and pressed there, and the cards as the page has them."""

from __future__ import annotations

import html.parser
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.domain import Upload
from tests.scenario.files import File
from tests.scenario.seen import Seen, form
from tests.scenario.visitor import Visitor


class _Page(html.parser.HTMLParser):
    """Reads a card's fragment."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {"h2": [], "p": [], "pre": [], "dt": [], "dd": []}
        self.rows: list[list[str]] = []
        self.menus: list[list[str]] = []  #: selects that act; a chat has them above the rows
        self.pictures = False
        self.actions: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.fields: list[list[str]] = []
        self.options: dict[str, str] = {}  #: of selects that act: what an option says → its action
        self.form = ""
        self._inside: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in self.texts:
            self.texts[tag].append("")
        if tag == "div" and given.get("class") == "row":
            self.rows.append([])
        if tag == "img" and "preview" not in given.get("class", ""):
            self.pictures = True
        if tag == "select" and given.get("name") == "action":
            self.menus.append([given["aria-label"]])
        if tag == "option" and given.get("value", "").startswith("w1:"):
            self.actions[given["value"]] = given["value"]
        elif tag == "option" and "selected" in given and self.fields:
            self.fields[-1][1] = given.get("value", "")
        if tag == "input" and given.get("name") == "form":
            self.form = given.get("value", "")
        if tag == "input" and given.get("name", "").startswith("value.") and self.fields:
            self.fields[-1][1] = given.get("value", "")
        if tag not in ("img", "input", "br", "rect"):
            self._inside.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag, given in reversed(self._inside):
            if tag == "button" and given.get("name") == "action":
                self.rows[-1].append(data.strip())
                self.actions[data.strip()] = given["value"]
                return
            if tag == "a" and given.get("class") == "button":
                self.rows[-1].append(data.strip())
                self.links[data.strip()] = given["href"]
                return
            if tag == "option":
                if given.get("value"):
                    self.options[data.strip()] = given["value"]
                return
            if tag == "small":
                return
            if tag == "label":
                if data.strip():
                    self.fields.append([data.strip(), ""])
                return
            if tag == "textarea" and self.fields:
                self.fields[-1][1] += data
                return
            if tag in self.texts:
                self.texts[tag][-1] += data
                return


def read_web(fragment: str, *, alone: bool) -> Seen:
    page = _Page()
    page.feed(fragment)
    details = " · ".join(f"{label} {value}" for label, value in zip(page.texts["dt"], page.texts["dd"], strict=True))
    return Seen(
        title="".join(page.texts["h2"][:1]).strip(),
        text="".join(page.texts["p"][:1]),
        code="".join(page.texts["pre"]),
        pictures=page.pictures,
        details=details,
        rows=tuple(tuple(row) for row in (*page.menus, *page.rows) if row),
        alone=alone,
        place=page,
    )


def _chosen(page: _Page, option: str) -> str:
    """The action of a select's choice by its label ("U5", "pocket"), which the page spells out."""
    if found := re.fullmatch(r"([A-Z])(\d+)", option):
        verb, index = found[1].lower(), str(int(found[2]) - 1)
        return next(value for value in page.actions.values() if value.startswith(f"w1:{verb}:") and value.split(":")[3] == index)
    return page.options.get(option) or next(value for value in page.options.values() if value.rpartition("=")[2] == option)


class WebStage:
    name = "web"

    def __init__(self, visitors: dict[str, Visitor]) -> None:
        self.visitors = visitors

    def key(self, who: str) -> str:
        return f"web:{who}"

    def newest(self, who: str, where: str) -> Seen:
        raise AssertionError("a page has no channels and no letters")

    async def say(self, who: str, command: str, text: str, *, files: Sequence[File] = (), begun: bool = False, where: str = "art") -> Seen:
        assert where == "art", "a page has no channels"
        typed = text if command == "imagine" else f"/{command} {text}".strip()
        more = {"upload": files[0]} if files else {}
        return await self._seen(who, await self.visitors[who].imagine(typed, **more), begun=begun)

    async def press(self, who: str, card: Seen, label: str) -> Seen:
        page: _Page = card.place
        if label in page.links:
            job = page.links[label].rpartition("/")[2]
            return read_web(await self.visitors[who].card(job), alone=False)
        action = _chosen(page, label.split(": ", 1)[1]) if ": " in label else page.actions[label]
        return await self._seen(who, await self.visitors[who].press(action))

    async def fill(self, who: str, form: Seen, values: Mapping[str, str | File]) -> Seen:
        typed = {f"value.{name}": value for name, value in values.items() if isinstance(value, str)}
        sent: Any = [(name, value) for name, value in values.items() if not isinstance(value, str)]
        files = [Upload(name=name, data=data, role=field) for field, (name, data) in sent]  # a form's field says what a file is for
        return await self._seen(who, await self.visitors[who].post("/submit", files=files, **{"form": form.place.form, **typed}))

    async def menu(self, who: str, card: Seen, entry: str) -> Seen:
        raise AssertionError("a page has no messages")

    async def react(self, who: str, card: Seen, emoji: str) -> Seen:
        raise AssertionError("nobody reacts on a page")

    async def _seen(self, who: str, answer: dict[str, Any], *, begun: bool = False) -> Seen:
        if answer["kind"] == "form":
            page = _Page()
            page.feed(answer["html"])
            return replace(form("".join(page.texts["h2"]).strip(), [(label, value) for label, value in page.fields], page))
        if answer["kind"] == "note":
            return read_web(answer["html"], alone=True)
        if not begun:
            return read_web(await self.visitors[who].ended(answer["job"]), alone=False)
        return read_web(await self.visitors[who].card(answer["job"]), alone=False)
