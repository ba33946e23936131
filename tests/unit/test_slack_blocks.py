"""Cards and forms as Slack's blocks: what stands where, and within Slack's limits whatever members write."""

from __future__ import annotations

import pytest

from bot.chat.slack import blocks, forms, home, limits
from bot.domain import Action, Button, Card, Field, Form, Link, Picture, Resend, Select, Status, Verb, Visibility, Wallet
from bot.messages import Catalogue
from tests.fakes.slack.blocks import BlockKit
from tests.fakes.slack.readers import Readable, unescaped
from tests.fakes.slack.world import unescaped_in
from tests.fakes.studio import NOW

ENGLISH = Catalogue.load("en")
JOB = "01KD0000000000000000000001"
NASTY = "*a* _b_ ~c~ `d` ```e``` <!channel> <@U123> & &amp; :f: \n> g"


class Read(Readable):
    def __init__(self, made: list[blocks.Block]) -> None:
        self.blocks = [{"block_id": str(number), **block} for number, block in enumerate(made)]


def checked(card: Card, files: dict[str, str] | None = None, notes: tuple[str, ...] = ()) -> Read:
    """The card's blocks, once Slack has nothing against them."""
    message = blocks.message(card, files, notes)
    kit = BlockKit(lambda named: True)
    assert kit.blocks(list(message.blocks), most=limits.BLOCKS) == []
    assert [text for text in (message.text, *(text for text, _ in kit.mrkdwn)) if unescaped_in(text)] == []
    assert 0 < len(message.text) <= limits.FALLBACK
    return Read(list(message.blocks))


def press(label: str, index: int = 0, **more: object) -> Button:
    return Button(label=label, hint=f"Take picture {index}", action=Action(verb=Verb.PICK, job_id=JOB, index=index), **more)  # type: ignore[arg-type]


def test_a_finished_card_reads_from_top_to_bottom() -> None:
    card = Card(
        title="a fox",
        text="Drawn in 8 s.",
        job_id=JOB,
        status=Status.DONE,
        pictures=(Picture(alt="a fox, drawn", digest="d1"),),
        details=(("Seed", "7"), ("Size", "128 × 128")),
        rows=((press("U1"), press("U2", 1)), (press("⭐", pressed=True), press("Delete", style="danger"))),
        links=(Link(label="Open in the studio", url="https://example.org/job/1"),),
    )
    made = checked(card, {"d1": "F1"})
    assert [block["type"] for block in made.blocks] == ["section", "section", "image", "context", "actions", "actions"]
    assert made.plain == "*a fox*\nDrawn in 8 s.\nSeed 7 · Size 128 × 128"
    assert made.blocks[2]["slack_file"] == {"id": "F1"}
    assert made.blocks[2]["alt_text"] == "a fox, drawn"
    assert made.labels == ["U1", "U2", "⭐", "Delete", "Open in the studio"], "a link joins the last row where there is room"
    assert [made.buttons[label].style for label in made.labels] == ["", "", "primary", "danger", ""]
    assert Action.decode(made.buttons["U2"].value) == Action(verb=Verb.PICK, job_id=JOB, index=1)


def test_action_ids_are_the_same_every_time_and_unique_in_their_block() -> None:
    card = Card(title="a fox", rows=(tuple(press(f"U{i}", i) for i in range(40)),), selects=(Select(placeholder="Vary …", choices=(press("V1"),)),))
    first, second = checked(card), checked(card)
    assert [button.action_id for button in first.buttons.values()] == [f"wordup:0:{i}" for i in range(40)]
    assert first.blocks == second.blocks
    assert [len(block["elements"]) for block in first.blocks if block["type"] == "actions"] == [1, 25, 15]


def test_a_menu_carries_whole_actions() -> None:
    choices = tuple(press(f"U{i + 1}", i) for i in range(9))
    made = checked(Card(title="nine", job_id=JOB, status=Status.DONE, selects=(Select(placeholder="Enlarge …", choices=choices),)))
    (menu,) = (element for block in made.blocks if block["type"] == "actions" for element in block["elements"])
    assert [option["value"] for option in menu["options"]] == [each.action.encode() for each in choices]


@pytest.mark.parametrize("words", [NASTY, "& < >" * 1200, "x" * 6000, "`" * 6000, "&" * 6000, "\n".join(["a <fox> & `hen`"] * 400)], ids=range(6))
def test_whatever_members_write_fits_and_stays_what_it_is(words: str) -> None:
    wide = tuple(press(words, i) for i in range(25))
    card = Card(
        title=words,
        text=words,
        code=words,
        job_id=JOB,
        status=Status.DONE,
        pictures=tuple(Picture(alt=words, digest=str(i)) for i in range(9)),
        rows=(wide, wide),
        selects=(Select(placeholder=words, choices=tuple(press(words, i) for i in range(99))),),
        links=(Link(label=words, url="https://example.org/"), Link(label="too long", url="https://example.org/" + "x" * 3000)),
        details=((words, words),) * 9,
        resend=Resend(label=words, hint=words, words=words),
    )
    checked(card, {str(i): f"F{i}" for i in range(9)}, (words,))
    checked(Card(title=words, text=words, code=words, details=((words, words),) * 11, visibility=Visibility.PRIVATE))


def test_words_given_back_can_be_copied_whole() -> None:
    words = "a <fox> & " * 600
    made = checked(Card(title="Not this time", code=words))
    whole = "".join(unescaped(block["text"]["text"]).removeprefix("```").removesuffix("```") for block in made.blocks[1:])
    assert whole.replace("\u200b", "").strip() == words.strip()
    fenced = checked(Card(title="Not this time", code="a ```b``` c"))
    assert fenced.blocks[1]["text"]["text"].count("```") == 2
    assert fenced.blocks[1]["text"]["text"].replace("\u200b", "") == "```a ```b``` c```"


def test_what_runs_has_a_bar_and_no_preview() -> None:
    card = Card(title="a fox", text="Drawing.", job_id=JOB, status=Status.RUNNING, percent=47, pictures=(Picture(alt="forming", data=b"x"),))
    made = checked(card)
    assert made.plain == "*a fox*\n▰▰▰▰▱▱▱▱▱▱ 47 %\nDrawing."
    assert [block["type"] for block in made.blocks] == ["section", "section"]


def test_a_job_is_named_in_the_metadata_and_nothing_else_is() -> None:
    named = blocks.message(Card(title="a fox", job_id=JOB, status=Status.QUEUED)).arguments()
    assert named["metadata"] == {"event_type": "wordup_job", "event_payload": {"job_id": JOB}}
    assert "metadata" not in blocks.message(Card(title="Your wallet")).arguments()


def test_words_to_send_again_travel_in_the_button() -> None:
    words = "a fox & <hen> 100%"
    card = Card(title="Not this time", resend=Resend(label="Send", hint="Draw these words", words=words))
    button = checked(card).buttons["Send"]
    assert button.action_id == "wordup:direct"
    assert not set("&<>") & set(button.value)
    assert blocks.resent(button.value) == words
    assert checked(Card(title="Not this time", resend=Resend(label="Send", hint="", words="x" * 2001))).labels == []


def test_forms_fit_and_say_which_words_they_cut() -> None:
    form = Form(
        name=Action(verb=Verb.REMIX, job_id=JOB).encode(),
        title="A title that is rather long & <odd>",
        fields=(Field(name="words", label="What to draw", value="x" * 6000, long=True), Field(name="more", label="More", required=False)),
    )
    view = forms.modal(form, ENGLISH, "{}")
    assert BlockKit(lambda named: True).view(view) == []
    assert forms.shortened(form) == ("words",)
    assert [block["block_id"] for block in view["blocks"]] == ["field:words", "field:more"]
    assert [block["optional"] for block in view["blocks"]] == [False, True]


def test_the_home_tab_fits_whatever_was_drawn() -> None:
    wallet = Wallet(balance=7.25, at=NOW, cap=60, per_hour=30)
    running = [Card(title=NASTY, text=NASTY, job_id=JOB, status=Status.RUNNING, percent=10, rows=((press("Cancel"),),)) for _ in range(9)]
    drawn = [Card(title="&" * 6000, job_id=JOB, status=Status.DONE, pictures=(Picture(alt="x" * 3000, digest="d"),)) for _ in range(9)]
    view = home.view(wallet, running, drawn, {"d": "F1"}, ENGLISH)
    kit = BlockKit(lambda named: True)
    assert kit.view(view) == []
    assert [text for text, _ in kit.mrkdwn if unescaped_in(text)] == []
    made = Read(view["blocks"])
    assert "7.25 credits" in made.plain
    assert made.labels == ["Imagine …", *["Cancel"] * 5, *["Show"] * 6]
    assert home.view(wallet, [], [], {}, ENGLISH)["blocks"]


def test_commands_are_spelled_as_they_are_typed_in_slack() -> None:
    assert blocks.spelled("Try /help, or /imagine a fox; see https://example.org/help and /helper.") == (
        "Try /wordup help, or /imagine a fox; see https://example.org/help and /helper."
    )
