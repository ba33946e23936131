"""Form → modal. Pure; `bot.chat.slack.handlers` opens what comes out, `bot.chat.slack.events` reads what members send back."""

from __future__ import annotations

from bot.chat.slack import limits
from bot.chat.slack.blocks import Block, Catalogue, plain
from bot.domain import Field, Form

PICTURES = ("png", "jpg", "jpeg", "webp")  #: endings of what may be sent
LISTS = ("txt", "csv", "tsv")
LIST = "list"
_SINGLE = ("style", "sketch", "mask", LIST)  #: of which a form asks for one


def modal(form: Form, catalogue: Catalogue, private_metadata: str) -> Block:
    """`callback_id` is the form's name: an encoded action, or a word of ours."""
    pictures = [each for each in form.fields if each.kind == "picture" and each.name not in _SINGLE]
    room = {each.name: 1 for each in pictures}
    if pictures:
        room[pictures[-1].name] = max(1, limits.FORM_FILES + 1 - len(pictures))  # one each, and the last takes what else may come along
    return {
        "type": "modal",
        "callback_id": form.name,
        "title": plain(form.title, limits.VIEW_TITLE),
        "submit": plain(catalogue.say("chat.send"), limits.VIEW_TITLE),
        "close": plain(catalogue.say("chat.close"), limits.VIEW_TITLE),
        "private_metadata": private_metadata,
        "blocks": [_input(each, room.get(each.name, 1)) for each in form.fields],
    }


def shortened(form: Form) -> tuple[str, ...]:
    """The fields whose words are too long for Slack's forms: only their beginning is shown."""
    return tuple(each.name for each in form.fields if each.kind == "text" and len(each.value) > limits.INPUT)


def _input(field: Field, room: int) -> Block:
    match field.kind:
        case "picture":
            element = _files(field, room)
        case "choice" if options := _options(field):
            element = _menu(field, options)
        case _:
            element = _typed(field)
    label = plain(field.label, limits.INPUT_LABEL)
    made: Block = {"type": "input", "block_id": f"field:{field.name}", "label": label, "element": element, "optional": not field.required}
    return made | {"hint": plain(field.hint, limits.FORM_HINT)} if field.hint else made


def _typed(field: Field) -> Block:
    element: Block = {"type": "plain_text_input", "action_id": field.name, "multiline": field.long, "max_length": limits.INPUT}
    return element | {"initial_value": field.value[: limits.INPUT]} if field.value else element


def _files(field: Field, room: int) -> Block:
    endings = LISTS if field.name == LIST else PICTURES
    return {"type": "file_input", "action_id": field.name, "filetypes": list(endings), "max_files": room}


def _options(field: Field) -> list[Block]:
    """A value too long for Slack is left out: a shortened one would be another value."""
    fitting = [(value, label) for value, label in field.choices if 0 < len(value) <= limits.CHOICE]
    return [{"text": plain(label or value, limits.OPTION), "value": value} for value, label in fitting[: limits.OPTIONS]]


def _menu(field: Field, options: list[Block]) -> Block:
    element: Block = {"type": "static_select", "action_id": field.name, "options": options}
    chosen = next((each for each in options if each["value"] == field.value), None)
    return element | {"initial_option": chosen} if chosen else element
