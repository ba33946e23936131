"""What somebody reads and can press in a list of blocks: messages and views are read through these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Blocks = list[dict[str, Any]]
BUTTONS = ("button", "workflow_button")


def unescaped(text: str) -> str:
    """Slack's three entities as the characters that they show (https://docs.slack.dev/messaging/formatting-message-text)."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def text_of(thing: Any) -> str:
    return unescaped(str(thing["text"])) if isinstance(thing, dict) and "text" in thing else ""


@dataclass(frozen=True, slots=True)
class Button:
    text: str
    action_id: str
    value: str
    block_id: str
    style: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Select:
    #: The placeholder, or the `action_id` of a menu without one.
    placeholder: str
    action_id: str
    block_id: str
    options: tuple[str, ...]
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    label: str
    block_id: str
    action_id: str
    kind: str
    initial: str
    optional: bool
    options: tuple[str, ...] = ()


def elements(blocks: Blocks) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every element with the block that holds it, in reading order."""
    for block in blocks:
        if "accessory" in block:
            yield block, block["accessory"]
        if "element" in block:
            yield block, block["element"]
        if block["type"] in ("actions", "context"):
            for element in block["elements"]:
                yield block, element


def options_of(element: dict[str, Any]) -> Blocks:
    grouped = [option for group in element.get("option_groups", []) for option in group["options"]]
    return list(element.get("options", [])) + grouped


def lines(blocks: Blocks) -> Iterator[str]:
    """The texts that are read, without the labels of buttons and menus."""
    for block in blocks:
        match block["type"]:
            case "section":
                yield text_of(block.get("text"))
                yield from (text_of(field) for field in block.get("fields", []))
            case "header" | "markdown":
                yield text_of(block if block["type"] == "markdown" else block["text"])
            case "context":
                yield from (text_of(element) for element in block["elements"] if element["type"] != "image")
            case "image":
                yield text_of(block.get("title"))
            case "input":
                yield text_of(block["label"])
                yield text_of(block.get("hint"))
            case "rich_text":
                yield "".join(_rich(block))


def _rich(thing: dict[str, Any]) -> Iterator[str]:
    for element in thing.get("elements", []):
        yield str(element.get("text", element.get("url", "")))
        yield from _rich(element)


def _initial(element: dict[str, Any]) -> str:
    if "initial_option" in element:
        return text_of(element["initial_option"]["text"])
    if "initial_options" in element:
        return ", ".join(text_of(option["text"]) for option in element["initial_options"])
    return str(next((value for key, value in element.items() if key.startswith("initial_")), ""))


class Readable:
    """Has `blocks`; whatever is shown by them has a reader here."""

    blocks: Blocks

    @property
    def plain(self) -> str:
        return "\n".join(line for line in lines(self.blocks) if line)

    @property
    def labels(self) -> list[str]:
        return [text_of(element["text"]) for _, element in elements(self.blocks) if element["type"] in BUTTONS]

    @property
    def buttons(self) -> dict[str, Button]:
        found = [(block, element) for block, element in elements(self.blocks) if element["type"] in BUTTONS]
        return {
            text_of(e["text"]): Button(text_of(e["text"]), e["action_id"], e.get("value", ""), b["block_id"], e.get("style", ""), e.get("url", ""))
            for b, e in found
        }

    @property
    def selects(self) -> dict[str, Select]:
        """By placeholder (by `action_id` where there is none), the overflow menu among them."""
        found: dict[str, Select] = {}
        for block, element in elements(self.blocks):
            if element["type"].endswith("_select") or element["type"] == "overflow":
                name = text_of(element.get("placeholder")) or element["action_id"]
                texts = tuple(text_of(option["text"]) for option in options_of(element))
                found[name] = Select(name, element["action_id"], block["block_id"], texts, _initial(element))
        return found

    @property
    def inputs(self) -> dict[str, Input]:
        """By label, what a form asks for."""
        return {
            text_of(block["label"]): Input(
                text_of(block["label"]),
                block["block_id"],
                block["element"]["action_id"],
                block["element"]["type"],
                _initial(block["element"]),
                bool(block.get("optional", False)),
                tuple(text_of(option["text"]) for option in options_of(block["element"])),
            )
            for block in self.blocks
            if block["type"] == "input"
        }

    def element(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The element that carries this label, placeholder or `action_id`, and its block."""
        for block, element in elements(self.blocks):
            if name in (text_of(element.get("text")), text_of(element.get("placeholder")), element.get("action_id")):
                return block, element
        raise AssertionError(f"nothing to press is called {name!r}: {self.labels}, {list(self.selects)}\n{self.plain}")
