"""Block Kit as a page, for the pictures in docs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks.block_page import block, page
from bot.chat.slack.blocks import card_blocks
from bot.domain import Action, Button, Card, Picture, Select, Status, Verb

JOB = "01J00000000000000000000000"


def button(label: str, **more: Any) -> Button:
    return Button(label=label, action=Action(verb=Verb.SHOW, job_id=JOB), **more)


def address(name: str) -> str:
    return f"/files/{name}"


def test_a_card_as_the_bot_publishes_it_becomes_a_page() -> None:
    card = Card(
        title="a fox & <hen>",
        text="Drawing.",
        code="a fox --seed 7",
        job_id=JOB,
        status=Status.DONE,
        pictures=(Picture(digest="d", alt="a fox", name="fox.png", width=8, height=8),),
        rows=((button("U1"), button("Delete", style="danger")),),
        selects=(Select(placeholder="Enlarge …", choices=(button("U5"),)),),
        details=(("Seed", "7"),),
    )
    html = page("Word Up!", card_blocks(card, {"d": "F1"}), address)
    assert "<b>a fox &amp; &lt;hen&gt;</b>" in html and "<pre>a fox --seed 7</pre>" in html
    assert '<img src="/files/F1" alt="a fox">' in html
    assert re.findall(r'<span class="control ?(\w*)">([^<]+)<', html) == [("menu", "Enlarge …"), ("", "U1"), ("danger", "Delete")]
    assert "Seed 7" in html


def test_a_table_of_details_is_laid_out_in_fields() -> None:
    (section,) = card_blocks(Card(title="", details=(("Balance", "12"), ("Refill", "30 an hour"))), {})
    assert block(section, address).count('<div class="text">') == 2


def test_words_are_never_markup_of_the_page() -> None:
    shown = block({"type": "section", "text": {"type": "plain_text", "text": "&lt;script&gt; *not bold*"}}, address)
    assert "&lt;script&gt; *not bold*" in shown and "<b>" not in shown


def test_a_block_it_does_not_know_is_an_error_rather_than_a_gap() -> None:
    with pytest.raises(ValueError, match="video"):
        block({"type": "video"}, address)
    with pytest.raises(ValueError, match="datepicker"):
        block({"type": "actions", "elements": [{"type": "datepicker"}]}, address)
