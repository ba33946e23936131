"""What Discord refuses although its OpenAPI description lets it pass; every rule raises a `Refusal` that names the place.

Limits: https://discord.com/developers/docs/components/reference, .../resources/message and .../interactions/application-commands.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from tests.fakes.discord.errors import empty_message, invalid
from tests.fakes.discord.messages import COMPONENTS_V2, walk
from tests.fakes.discord.world import Json

ROW, BUTTON, STRING_SELECT, TEXT_INPUT, SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER, LABEL = 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 17, 18
UPLOAD = 19
SELECTS = (3, 5, 6, 7, 8)
IN_MESSAGES = {ROW, SECTION, TEXT, GALLERY, FILE, SEPARATOR, CONTAINER}
IN_CONTAINERS = IN_MESSAGES - {CONTAINER}
IN_MODALS = {ROW, TEXT, LABEL}


def longest(value: Any, limit: int, where: str, least: int = 0) -> None:
    if not isinstance(value, str):
        if value is None and least == 0:
            return
        raise invalid(where, "BASE_TYPE_REQUIRED", "This field is required")
    if not least <= len(value) <= limit:
        raise invalid(where, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {limit} in length: {len(value)}")


def count(value: Any, least: int, most: int, where: str) -> None:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise invalid(where, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length: {len(value) if isinstance(value, list) else value!r}")


def message(body: Json, *, flags: int, files: set[str], where: str = "") -> None:
    """A message as it would be after this body; `flags` are those it ends with, `files` the names that `attachment://` may mean."""
    longest(body.get("content"), 2000, f"{where}content")
    count(body.get("embeds") or [], 0, 10, f"{where}embeds")
    for index, told in enumerate(body.get("attachments") or []):
        longest(told.get("description"), 1024, f"{where}attachments.{index}.description")
    if flags & COMPONENTS_V2:
        for field in ("content", "embeds", "poll", "sticker_ids"):
            if body.get(field):
                text = f"The '{field}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
                raise invalid(f"{where}{field}", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", text)
    components = body.get("components")
    if components:
        (_modern if flags & COMPONENTS_V2 else _classic)(components, f"{where}components")
        for index, component in enumerate(components):
            _component(component, files, f"{where}components.{index}", IN_MESSAGES)
        _unique(components, f"{where}components")


def not_empty(*, flags: int, content: Any, embeds: Any, files: Any, components: Any, other: Any = None) -> None:
    """50006: a classic message of buttons alone is empty."""
    if not (components if flags & COMPONENTS_V2 else content or embeds or files or other):
        raise empty_message()


def _classic(components: list[Json], where: str) -> None:
    count(components, 0, 5, where)
    for index, component in enumerate(components):
        if component.get("type") != ROW:
            raise invalid(f"{where}.{index}.type", "UNION_TYPE_CHOICES", "Only action rows stand at the top without IS_COMPONENTS_V2")


def _modern(components: list[Json], where: str) -> None:
    everything = list(walk(components))
    if len(everything) > 40:
        raise invalid(where, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", f"The total number of components cannot exceed 40: {len(everything)}")
    letters = sum(len(c.get("content") or "") for c in everything if c.get("type") == TEXT)
    if letters > 4000:
        raise invalid(where, "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", f"The total displayable text cannot exceed 4000 characters: {letters}")


def _unique(components: list[Json], where: str) -> None:
    for key, code in (("custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED"), ("id", "COMPONENT_ID_DUPLICATED")):
        given = [c[key] for c in walk(components) if c.get(key)]
        twice = next((value for value in given if given.count(value) > 1), None)
        if twice is not None:
            raise invalid(where, code, f"Component {key} cannot be duplicated: {twice!r}")


def _component(c: Json, files: set[str], where: str, allowed: set[int]) -> None:
    kind = c.get("type")
    if kind not in allowed:
        raise invalid(f"{where}.type", "UNION_TYPE_CHOICES", f"Component type {kind} does not belong here")
    inner = c.get("components") or []
    if kind == ROW:
        _row(inner, where)
    elif kind == TEXT:
        longest(c.get("content"), 4000, f"{where}.content", 1)
    elif kind == GALLERY:
        count(c.get("items"), 1, 10, f"{where}.items")
        for index, item in enumerate(c["items"]):
            _media(item, files, f"{where}.items.{index}")
    elif kind == FILE:
        _reference((c.get("file") or {}).get("url"), files, f"{where}.file.url", uploads_only=True)
    elif kind == SECTION:
        count(inner, 1, 3, f"{where}.components")
        for index, text in enumerate(inner):
            _component(text, files, f"{where}.components.{index}", {TEXT})
        beside = c.get("accessory") or {}
        if beside.get("type") == THUMBNAIL:
            _media(beside, files, f"{where}.accessory")
        elif beside.get("type") == BUTTON:
            _button(beside, f"{where}.accessory")
        else:
            raise invalid(f"{where}.accessory", "BASE_TYPE_REQUIRED", "A section has a button or a thumbnail")
    elif kind == CONTAINER:
        count(inner, 1, 40, f"{where}.components")
        for index, child in enumerate(inner):
            _component(child, files, f"{where}.components.{index}", IN_CONTAINERS)


def _row(inner: list[Json], where: str) -> None:
    selects = [c for c in inner if c.get("type") in SELECTS]
    count(inner, 1, 1 if selects else 5, f"{where}.components")
    for index, c in enumerate(inner):
        place = f"{where}.components.{index}"
        if c.get("type") == BUTTON:
            _button(c, place)
        elif c.get("type") in SELECTS:
            _select(c, place)
        else:
            raise invalid(f"{place}.type", "UNION_TYPE_CHOICES", f"Component type {c.get('type')} does not belong in a row")


def _button(c: Json, where: str) -> None:
    longest(c.get("label"), 80, f"{where}.label")
    if c.get("style") == 5:
        longest(c.get("url"), 512, f"{where}.url", 1)
        if c.get("custom_id"):
            raise invalid(f"{where}.custom_id", "COMPONENT_CUSTOM_ID_NOT_ALLOWED", "A link has no custom id")
    elif c.get("style") != 6:
        longest(c.get("custom_id"), 100, f"{where}.custom_id", 1)
        if c.get("url"):
            raise invalid(f"{where}.url", "COMPONENT_URL_NOT_ALLOWED", "Only a link has a URL")
    if c.get("style") != 6 and not c.get("label") and not c.get("emoji"):
        raise invalid(where, "BUTTON_COMPONENT_REQUIRES_LABEL_OR_EMOJI", "A button has a label or an emoji")


def _select(c: Json, where: str) -> None:
    longest(c.get("custom_id"), 100, f"{where}.custom_id", 1)
    longest(c.get("placeholder"), 150, f"{where}.placeholder")
    if c["type"] != STRING_SELECT:
        return
    options = c.get("options")
    count(options, 1, 25, f"{where}.options")
    assert isinstance(options, list)
    for index, option in enumerate(options):
        longest(option.get("label"), 100, f"{where}.options.{index}.label", 1)
        longest(option.get("value"), 100, f"{where}.options.{index}.value", 1)
        longest(option.get("description"), 100, f"{where}.options.{index}.description")
    values = [option["value"] for option in options]
    if len(set(values)) != len(values):
        raise invalid(f"{where}.options", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "The specified option value is already used")
    if not (c.get("min_values") or 0) <= (c.get("max_values") or 1) <= len(options):
        raise invalid(f"{where}.max_values", "SELECT_COMPONENT_MAX_VALUES", "Must lie between min_values and the number of options")


def _media(item: Json, files: set[str], where: str) -> None:
    longest(item.get("description"), 1024, f"{where}.description")
    _reference((item.get("media") or {}).get("url"), files, f"{where}.media.url", uploads_only=False)


def _reference(url: Any, files: set[str], where: str, *, uploads_only: bool) -> None:
    longest(url, 2048, where, 1)
    name = url.removeprefix("attachment://")
    if name != url and name not in files:
        raise invalid(where, "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", f"The referenced attachment was not found: {name}")
    if name == url and (uploads_only or not url.startswith(("http://", "https://"))):
        raise invalid(where, "URL_TYPE_INVALID_SCHEME", f"Not a scheme for this place: {url}")


def modal(data: Json) -> None:
    longest(data.get("title"), 45, "data.title", 1)
    longest(data.get("custom_id"), 100, "data.custom_id", 1)
    components = data.get("components")
    count(components, 1, 5, "data.components")
    assert isinstance(components, list)
    for index, c in enumerate(components):
        place = f"data.components.{index}"
        if c.get("type") not in IN_MODALS:
            raise invalid(f"{place}.type", "UNION_TYPE_CHOICES", f"Component type {c.get('type')} does not belong in a modal")
        if c["type"] == LABEL:
            longest(c.get("label"), 45, f"{place}.label", 1)
            longest(c.get("description"), 100, f"{place}.description")
            if (c.get("component") or {}).get("type") in SELECTS:
                _select(c["component"], f"{place}.component")
            if (c.get("component") or {}).get("type") == UPLOAD:
                _upload(c["component"], f"{place}.component")
        elif c["type"] == ROW:
            count(c.get("components"), 1, 1, f"{place}.components")
            longest(c["components"][0].get("label"), 45, f"{place}.components.0.label", 1)
        for field in walk([c]):
            if field.get("type") == TEXT_INPUT:
                _text_input(field, place)
    _unique(components, "data.components")


def _text_input(field: Json, where: str) -> None:
    longest(field.get("custom_id"), 100, f"{where}.custom_id", 1)
    longest(field.get("placeholder"), 100, f"{where}.placeholder")
    longest(field.get("value"), min(4000, field.get("max_length") or 4000), f"{where}.value")
    if (field.get("min_length") or 0) > (field.get("max_length") or 4000):
        raise invalid(f"{where}.min_length", "TEXT_INPUT_COMPONENT_MIN_LENGTH", "Longer than max_length")


def _upload(field: Json, where: str) -> None:
    longest(field.get("custom_id"), 100, f"{where}.custom_id", 1)
    least, most = field.get("min_values"), field.get("max_values")
    if not 0 <= (1 if least is None else least) <= (1 if most is None else most) <= 10:
        raise invalid(f"{where}.max_values", "NUMBER_TYPE_MAX", "Must lie between min_values and 10")
    if field.get("required", True) and least == 0:
        raise invalid(f"{where}.min_values", "FILE_UPLOAD_COMPONENT_REQUIRED", "What is required has at least one file")


def choices(found: Any, where: str = "data.choices") -> None:
    count(found, 0, 25, where)
    for index, choice in enumerate(found):
        longest(choice.get("name"), 100, f"{where}.{index}.name", 1)
        _translations(choice, "name", 100, f"{where}.{index}.")
        if isinstance(choice.get("value"), str):
            longest(choice["value"], 100, f"{where}.{index}.value", 1)


def commands(bodies: list[Json]) -> None:
    """A whole set, as PUT brings it: 100 slash commands, 15 each of the two context menus."""
    for kind, most in ((1, 100), (2, 15), (3, 15)):
        names = [body.get("name") for body in bodies if body.get("type", 1) == kind]
        if len(names) > most:
            raise invalid("", "APPLICATION_COMMANDS_TOO_MANY", f"At most {most} commands of type {kind}: {len(names)}")
        if len(set(names)) != len(names):
            raise invalid("", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
    for index, body in enumerate(bodies):
        command(body, f"{index}." if len(bodies) > 1 else "")


def command(body: Json, where: str = "") -> None:
    if body.get("type", 1) == 1:
        _named(body, where)
        _options(body.get("options") or [], f"{where}options")
        letters = _letters(body)
        if letters > 8000:
            raise invalid(where.rstrip("."), "APPLICATION_COMMAND_TOO_LARGE", f"Command exceeds maximum size (8000): {letters}")
    else:
        longest(body.get("name"), 32, f"{where}name", 1)
        _translations(body, "name", 32, where)
        if body.get("description"):
            raise invalid(f"{where}description", "APPLICATION_COMMAND_INVALID_DESCRIPTION", "Context menu commands cannot have description")


def _named(body: Json, where: str) -> None:
    name = body.get("name")
    longest(name, 32, f"{where}name", 1)
    assert isinstance(name, str)
    if name != name.lower() or not all(c in "-_'" or unicodedata.category(c)[0] in "LNM" for c in name):
        raise invalid(f"{where}name", "APPLICATION_COMMAND_INVALID_NAME", f"Command name is invalid: {name!r}")
    longest(body.get("description"), 100, f"{where}description", 1)
    _translations(body, "description", 100, where)


def _translations(body: Json, field: str, limit: int, where: str) -> None:
    for locale, text in (body.get(f"{field}_localizations") or {}).items():
        longest(text, limit, f"{where}{field}_localizations.{locale}", 1)


def _options(options: list[Json], where: str) -> None:
    count(options, 0, 25, where)
    required = [bool(option.get("required")) for option in options]
    if required != sorted(required, reverse=True):
        raise invalid(where, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", "Required options must be placed before non-required options")
    names = [option.get("name") for option in options]
    if len(set(names)) != len(names):
        raise invalid(where, "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", "Option name already exists")
    for index, option in enumerate(options):
        _named(option, f"{where}.{index}.")
        found = option.get("choices") or []
        choices(found, f"{where}.{index}.choices")
        if found and option.get("autocomplete"):
            raise invalid(f"{where}.{index}.autocomplete", "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE", "Choices and autocomplete exclude each other")
        _options(option.get("options") or [], f"{where}.{index}.options")


def _letters(body: Json) -> int:
    """Of names, descriptions and values; what is translated counts in its longest language."""

    def longest_of(field: str) -> int:
        texts = [body.get(field) or "", *(body.get(f"{field}_localizations") or {}).values()]
        return max(map(len, texts))

    own = longest_of("name") + longest_of("description")
    own += sum(_letters(choice) + (len(choice["value"]) if isinstance(choice.get("value"), str) else 0) for choice in body.get("choices") or [])
    return own + sum(_letters(option) for option in body.get("options") or [])


def mentions(body: Json) -> str | None:
    """The house's rule, not Discord's: whatever carries text says that it mentions nobody by parsing."""
    has_text = body.get("content") or any(c.get("type") == TEXT for c in walk(body.get("components") or []))
    if not has_text:
        return None
    allowed = body.get("allowed_mentions")
    if not isinstance(allowed, dict) or allowed.get("parse") != []:
        return f"allowed_mentions without parse []: {allowed!r}"
    return None
