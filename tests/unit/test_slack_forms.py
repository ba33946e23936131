"""Forms as Slack's modals, and what members put into them as uploads and values."""

from __future__ import annotations

from typing import Any

from bot.chat.slack import events, forms, limits
from bot.domain import Field, Form
from bot.messages import Catalogue
from tests.fakes.slack.blocks import BlockKit
from tests.fakes.studio import NOW

ENGLISH = Catalogue.load("en")


def elements(*fields: Field) -> list[dict[str, Any]]:
    """Of the modal, once Slack has nothing against it."""
    view = forms.modal(Form(name="blend", title="Blend", fields=fields), ENGLISH, "{}")
    assert BlockKit(lambda named: True).view(view) == []
    return [block["element"] for block in view["blocks"]]


def test_a_picture_is_asked_for_as_a_file() -> None:
    several, one, prompts = elements(
        Field(name="image", label="Pictures", kind="picture"),
        Field(name="mask", label="Mask", kind="picture"),
        Field(name="list", label="Prompts", kind="picture"),
    )
    assert (several["type"], several["max_files"], several["filetypes"]) == ("file_input", 5, ["png", "jpg", "jpeg", "webp"])
    assert one["max_files"] == 1
    assert (prompts["max_files"], prompts["filetypes"]) == (1, ["txt", "csv", "tsv"])


def test_five_pictures_come_along_however_many_fields_ask_for_them() -> None:
    fields = [Field(name=name, label="Picture", kind="picture") for name in ("image", "image2", "image3", "image4")]
    assert [each["max_files"] for each in elements(*fields)] == [1, 1, 1, 2]
    assert [each["max_files"] for each in elements(fields[0])] == [5]


def test_a_choice_is_a_menu_that_stands_at_its_value() -> None:
    choices = (("fast", "Fast"), ("relax", ""), ("", "Nothing"), ("x" * 151, "Too long"))
    (menu,) = elements(Field(name="lane", label="Lane", kind="choice", choices=choices, value="relax"))
    assert [(option["value"], option["text"]["text"]) for option in menu["options"]] == [("fast", "Fast"), ("relax", "relax")]
    assert menu["initial_option"]["value"] == "relax"
    (other,) = elements(Field(name="lane", label="Lane", kind="choice", choices=choices, value="none of them"))
    assert "initial_option" not in other


def test_a_choice_of_nothing_is_typed() -> None:
    (typed,) = elements(Field(name="style", label="Style", kind="choice", value="noir"))
    assert (typed["type"], typed["initial_value"]) == ("plain_text_input", "noir")


def test_hundreds_of_choices_and_long_words_fit() -> None:
    many = tuple((f"style-{number}", "&" * 200) for number in range(300))
    menu, words = elements(
        Field(name="style", label="x" * 3000, kind="choice", choices=many), Field(name="words", label="&", value="x" * 9000, hint="y" * 3000)
    )
    assert len(menu["options"]) == limits.OPTIONS
    assert len(words["initial_value"]) == limits.INPUT


def view(**states: dict[str, Any]) -> dict[str, Any]:
    blocks = [{"type": "input", "block_id": f"field:{name}", "element": {"action_id": name}} for name in states]
    values = {f"field:{name}": {name: state} for name, state in reversed(states.items())}  # in whatever order
    return {"id": "V1", "blocks": blocks, "state": {"values": values}, "private_metadata": ""}


def test_files_of_a_form_come_in_the_order_of_its_fields_and_know_what_they_are_for() -> None:
    def sent(*ids: str) -> dict[str, Any]:
        return {"type": "file_input", "files": [{"id": each, "url_private": f"https://files.slack.com/{each}", "name": f"{each}.png"} for each in ids]}

    filled = view(image=sent("F1", "F2"), sketch=sent("F3"), reference=sent("F4"), mask={"type": "file_input", "files": None})
    refs = events.pictures_of(filled)
    assert [(ref.id, ref.role) for ref in refs] == [("F1", "image"), ("F2", "image"), ("F3", "sketch"), ("F4", "image")]
    assert (refs[0].holder().data, refs[2].holder().role) == (b"", "sketch")


def test_what_was_chosen_is_a_value_and_files_are_none() -> None:
    spot = events.Spot(team="T1", user="U1", delivery="V1")
    filled = view(
        words={"type": "plain_text_input", "value": "a fox"},
        lane={"type": "static_select", "selected_option": {"value": "relax"}},
        model={"type": "static_select", "selected_option": None},
        image={"type": "file_input", "files": []},
    )
    assert events.submit(spot, "blend", filled, NOW).values == {"words": "a fox", "lane": "relax", "model": ""}
