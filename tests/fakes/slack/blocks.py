"""Block Kit, checked as Slack checks it: the kinds, their keys and their limits (https://docs.slack.dev/reference/block-kit).

`BlockKit.blocks` and `BlockKit.view` answer the complaints, each with the JSON pointer to what is wrong, in Slack's words where those
are known. Nothing is wrong: an empty list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Check = Callable[["BlockKit", Any, str], None]
Keys = dict[str, Check]

MENUS = ("static_select", "users_select", "conversations_select", "channels_select", "external_select")
MULTI = tuple(f"multi_{kind}" for kind in MENUS)
CHOICES = ("checkboxes", "radio_buttons", "datepicker", "timepicker")
TYPED = ("plain_text_input", "number_input", "email_text_input", "url_text_input", "file_input")


def anything(kit: BlockKit, value: Any, at: str) -> None:
    del kit, value, at


def flag(kit: BlockKit, value: Any, at: str) -> None:
    if not isinstance(value, bool):
        kit.complain("must provide a boolean", at)


def number(least: int, most: int) -> Check:
    def check(kit: BlockKit, value: Any, at: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            kit.complain(f"must be a number from {least} to {most}", at)

    return check


def string(most: int, least: int = 1) -> Check:
    def check(kit: BlockKit, value: Any, at: str) -> None:
        if not isinstance(value, str):
            kit.complain("must provide a string", at)
        elif len(value) > most:
            kit.complain(f"must be less than {most + 1} characters", at)
        elif len(value) < least:
            kit.complain(f"must be more than {least - 1} characters", at)

    return check


def one_of(*allowed: str) -> Check:
    def check(kit: BlockKit, value: Any, at: str) -> None:
        if value not in allowed:
            kit.complain(f"must be one of {', '.join(allowed)}", at)

    return check


def each(item: Check, most: int, least: int = 1) -> Check:
    def check(kit: BlockKit, value: Any, at: str) -> None:
        if not isinstance(value, list):
            kit.complain("must provide an array", at)
            return
        if len(value) > most:
            kit.complain(f"no more than {most} items allowed", at)
        if len(value) < least:
            kit.complain(f"no fewer than {least} items allowed", at)
        for index, one in enumerate(value):
            item(kit, one, f"{at}/{index}")

    return check


def shape(required: Keys, optional: Keys | None = None) -> Check:
    """An object with these keys and no others."""

    def check(kit: BlockKit, value: Any, at: str) -> None:
        if not isinstance(value, dict):
            kit.complain("must provide an object", at)
            return
        for key in required.keys() - value.keys():
            kit.complain(f"missing required field: {key}", at)
        for key, part in value.items():
            rule = required.get(key) or (optional or {}).get(key)
            if rule is None:
                kit.complain(f"invalid additional property: {key}", at)
            else:
                rule(kit, part, f"{at}/{key}")

    return check


def text(most: int, *kinds: str) -> Check:
    kinds = kinds or ("plain_text", "mrkdwn")

    def check(kit: BlockKit, value: Any, at: str) -> None:
        extra: Keys = {"verbatim": flag} if isinstance(value, dict) and value.get("type") == "mrkdwn" else {"emoji": flag}
        shape({"type": one_of(*kinds), "text": string(most)}, extra)(kit, value, at)
        if isinstance(value, dict) and value.get("type") == "mrkdwn" and isinstance(value.get("text"), str):
            kit.mrkdwn.append((value["text"], f"{at}/text"))

    return check


def plain(most: int) -> Check:
    return text(most, "plain_text")


def slack_file(kit: BlockKit, value: Any, at: str) -> None:
    shape({}, {"id": string(255), "url": string(3000)})(kit, value, at)
    if not isinstance(value, dict) or len(value.keys() & {"id", "url"}) != 1 or not kit.file_is_usable(value):
        kit.complain("invalid slack file", at)


def options(most: int, extra: Keys | None = None, label: Check | None = None) -> Check:
    return each(shape({"text": label or plain(75), "value": string(150)}, {"description": plain(75), **(extra or {})}), most)


OPTION = shape({"text": text(75), "value": string(150)}, {"description": text(75), "url": string(3000)})
CONFIRM = shape({"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)}, {"style": one_of("primary", "danger")})
DISPATCH = shape({}, {"trigger_actions_on": each(one_of("on_enter_pressed", "on_character_entered"), 2)})
GROUPS = each(shape({"label": plain(75), "options": options(100)}), 100)
IMAGE: Keys = {"image_url": string(3000), "slack_file": slack_file}

_common: Keys = {"action_id": string(255), "confirm": CONFIRM, "focus_on_load": flag, "placeholder": plain(150)}
_typed: Keys = {"action_id": string(255), "placeholder": plain(150), "focus_on_load": flag, "dispatch_action_config": DISPATCH}
_filter: Keys = {"filter": anything, "default_to_current_conversation": flag, "response_url_enabled": flag, "min_query_length": number(0, 100)}
_firsts: Keys = {f"initial_{kind}": string(255) for kind in ("user", "conversation", "channel")} | {"initial_option": OPTION}
_many: Keys = {f"initial_{kind}s": each(string(255), 100) for kind in ("user", "conversation", "channel")} | {"initial_options": each(OPTION, 100)}

ELEMENTS: dict[str, tuple[Keys, Keys]] = {
    "button": (
        {"text": plain(75)},
        {
            "action_id": string(255),
            "url": string(3000),
            "value": string(2000),
            "style": one_of("primary", "danger"),
            "confirm": CONFIRM,
            "accessibility_label": string(75),
        },
    ),
    "image": ({"alt_text": string(2000)}, IMAGE),
    "static_select": ({}, {**_common, "options": options(100), "option_groups": GROUPS, "initial_option": OPTION}),
    "multi_static_select": (
        {},
        {**_common, "options": options(100), "option_groups": GROUPS, "initial_options": each(OPTION, 100), "max_selected_items": number(1, 100)},
    ),
    "overflow": ({"options": options(5, {"url": string(3000)})}, {"action_id": string(255), "confirm": CONFIRM}),
    "checkboxes": (
        {"options": options(10, {"description": text(75)}, text(75))},
        {"action_id": string(255), "confirm": CONFIRM, "focus_on_load": flag, "initial_options": each(OPTION, 10)},
    ),
    "radio_buttons": (
        {"options": options(10, {"description": text(75)}, text(75))},
        {"action_id": string(255), "confirm": CONFIRM, "focus_on_load": flag, "initial_option": OPTION},
    ),
    "datepicker": ({}, {**_common, "initial_date": string(10, 10)}),
    "timepicker": ({}, {**_common, "initial_time": string(5, 5), "timezone": string(100)}),
    "plain_text_input": (
        {},
        {**_typed, "initial_value": string(3000, 0), "multiline": flag, "min_length": number(0, 3000), "max_length": number(1, 3000)},
    ),
    "number_input": (
        {"is_decimal_allowed": flag},
        {**_typed, "initial_value": string(255), "min_value": string(255), "max_value": string(255)},
    ),
    "email_text_input": ({}, {**_typed, "initial_value": string(255)}),
    "url_text_input": ({}, {**_typed, "initial_value": string(3000)}),
    "file_input": ({}, {"action_id": string(255), "filetypes": each(string(20), 100), "max_files": number(1, 10)}),
    **{kind: ({}, {**_common, **_filter, **_firsts}) for kind in MENUS[1:]},
    **{kind: ({}, {**_common, **_filter, **_many, "max_selected_items": number(1, 100)}) for kind in MULTI[1:]},
}


def element(*kinds: str) -> Check:
    def check(kit: BlockKit, value: Any, at: str) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind not in kinds:
            kit.complain(f"unsupported type: {kind}", f"{at}/type")
            return
        required, optional = ELEMENTS[kind]
        shape({"type": anything, **required}, optional)(kit, value, at)
        if kind in ("static_select", "multi_static_select") and ("options" in value) == ("option_groups" in value):
            kit.complain("exactly one of options and option_groups is needed", at)
        if kind == "image" and ("image_url" in value) == ("slack_file" in value):
            kit.complain("exactly one of image_url and slack_file is needed", at)
        offered = list(value.get("options", [])) + [option for group in value.get("option_groups", []) for option in group.get("options", [])]
        chosen = [value["initial_option"]] if "initial_option" in value else value.get("initial_options", [])
        if kind != "external_select" and any(option not in offered for option in chosen):
            kit.complain("initial option is not among the options", at)
        if (action_id := value.get("action_id")) is not None:
            block = at.rsplit("/elements/", 1)[0]
            if (block, action_id) in kit.action_ids:
                kit.complain(f"action_id {action_id!r} is used twice in one block", f"{at}/action_id")
            kit.action_ids.add((block, action_id))

    return check


def in_context(kit: BlockKit, value: Any, at: str) -> None:
    if isinstance(value, dict) and value.get("type") == "image":
        element("image")(kit, value, at)
    else:
        text(2000)(kit, value, at)


BLOCKS: dict[str, tuple[Keys, Keys]] = {
    "section": (
        {},
        {
            "text": text(3000),
            "fields": each(text(2000), 10),
            "accessory": element("button", "image", "overflow", *MENUS, *MULTI, *CHOICES),
            "expand": flag,
        },
    ),
    "header": ({"text": plain(150)}, {}),
    "image": ({"alt_text": string(2000)}, {**IMAGE, "title": plain(2000)}),
    "context": ({"elements": each(in_context, 10)}, {}),
    "actions": ({"elements": each(element("button", "overflow", *MENUS, *MULTI, *CHOICES), 25)}, {}),
    "divider": ({}, {}),
    "input": (
        {"label": plain(2000), "element": element(*TYPED, *MENUS, *MULTI, *CHOICES)},
        {"hint": plain(2000), "optional": flag, "dispatch_action": flag},
    ),
    "rich_text": ({"elements": each(anything, 1000)}, {}),
    "markdown": ({"text": string(12000)}, {}),
}


class BlockKit:
    """One check of one message or view; `mrkdwn` gathers the texts in Slack's markup on the way."""

    def __init__(self, file_is_usable: Callable[[dict[str, Any]], bool]) -> None:
        self.file_is_usable = file_is_usable
        self.complaints: list[str] = []
        self.mrkdwn: list[tuple[str, str]] = []
        self.action_ids: set[tuple[str, str]] = set()

    def complain(self, what: str, at: str) -> None:
        self.complaints.append(f"{what} [json-pointer:{at or '/'}]")

    def blocks(self, value: Any, *, most: int, at: str = "/blocks") -> list[str]:
        each(_block, most, least=0)(self, value, at)
        seen: set[str] = set()
        for index, block in enumerate(value if isinstance(value, list) else []):
            block_id = block.get("block_id") if isinstance(block, dict) else None
            if block_id is not None and block_id in seen:
                self.complain(f"block_id {block_id!r} is used twice", f"{at}/{index}/block_id")
            seen.add(str(block_id))
        return self.complaints

    def view(self, value: Any) -> list[str]:
        """A modal or a home tab (https://docs.slack.dev/reference/views)."""
        if not isinstance(value, dict) or value.get("type") not in ("modal", "home"):
            self.complain("a view is a modal or a home", "/view/type")
            return self.complaints
        common: Keys = {"callback_id": string(255), "private_metadata": string(3000, 0), "external_id": string(255, 0)}
        modal: Keys = {"submit": plain(24), "close": plain(24), "clear_on_close": flag, "notify_on_close": flag, "submit_disabled": flag}
        required: Keys = {"type": anything, "blocks": anything}
        if value["type"] == "modal":
            shape({**required, "title": plain(24)}, {**common, **modal})(self, value, "/view")
        else:
            shape(required, common)(self, value, "/view")
        asks = any(isinstance(block, dict) and block.get("type") == "input" for block in value.get("blocks", []))
        if value["type"] == "modal" and asks and "submit" not in value:
            self.complain("missing required field: submit", "/view")
        return self.blocks(value.get("blocks"), most=100, at="/view/blocks")


def _block(kit: BlockKit, value: Any, at: str) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in BLOCKS:
        kit.complain(f"unsupported type: {kind}", f"{at}/type")
        return
    required, optional = BLOCKS[kind]
    shape({"type": anything, **required}, {"block_id": string(255), **optional})(kit, value, at)
    if kind == "section" and not value.keys() & {"text", "fields"}:
        kit.complain("missing required field: text", at)
    if kind == "image" and ("image_url" in value) == ("slack_file" in value):
        kit.complain("exactly one of image_url and slack_file is needed", at)
    if kind == "markdown" and isinstance(value.get("text"), str):
        kit.mrkdwn.append((value["text"], f"{at}/text"))
