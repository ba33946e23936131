"""Every card as Discord shows it: within its limits, in the member's own words, and nothing of them taken for markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import notes
from bot.cards import choose_card
from bot.chat.discord import layout, limits
from bot.chat.discord.layout import WORDS_FILE, Attached, Parts, PressButton, PressSelect, escape, message
from bot.domain import Action, Button, Card, Link, Select, Status, Verb, Visibility
from bot.errors import BadWords
from tests.fakes.discord import rules
from tests.unit.test_cards import ENGLISH, IDS, card_of, every_card, shown

JOB = "01KD" + "0" * 22
NASTY = "**bold** __u__ ~~s~~ ||no|| `code` # no - list > quote [link](https://example.org) <@123456789012345678> <:a:1> @everyone \\ *"


def attached(count: int = 1, data: bytes = b"picture") -> tuple[Attached, ...]:
    return tuple(Attached(name=f"{number}.png", data=data, alt=f"picture {number}") for number in range(count))


def cards() -> Iterator[Card]:
    """Of `bot.cards` and `bot.notes`, and all that only Discord's way of showing them could break."""
    yield from every_card()
    yield choose_card(shown(Status.DONE, words=NASTY * 30), ENGLISH)
    yield choose_card(shown(Status.DONE, 9), ENGLISH)
    for words in ("", "a fox", "x" * 6000, "`" * 6000, NASTY * 50):
        yield notes.closed_card(words, ENGLISH)
        yield notes.error_card(BadWords("words.twice", start=0, end=1, flag="n"), ENGLISH, words)
        yield card_of(shown(Status.FAILED, words=words))
        yield Card(title=words[:250] or "-", text="*" * 2000, code=words)
    yield notes.web_card("https://pictures.example/sign-in?token=" + "t" * 200, ENGLISH)
    yield notes.deleted_card(next(IDS), ENGLISH)


def given_back(parts: Parts) -> str:
    """Of the words in the fixed-width face, or of the file when they are not all there."""
    for file in parts.files:
        if file.filename == WORDS_FILE:
            return file.fp.read().decode()
    text = parts.content + "".join(embed.description or "" for embed in parts.embeds)
    found = re.search(r"\n?```\n(.*)\n```", text, re.DOTALL)
    return found[1] if found else ""


def body(parts: Parts) -> dict[str, object]:
    """What discord.py makes of it for the wire."""
    embeds = [embed.to_dict() for embed in parts.embeds]
    return {"content": parts.content, "embeds": embeds, "components": parts.view.to_components() if parts.view else []}


def items(parts: Parts) -> list[discord.ui.Item[discord.ui.View]]:
    return list(parts.view.children) if parts.view else []


def labels(parts: Parts) -> list[list[str]]:
    """Of the buttons, by rows."""
    rows: dict[int, list[str]] = {}
    for item in items(parts):
        thing = getattr(item, "item", item)
        if isinstance(thing, discord.ui.Button):
            rows.setdefault(thing.row or 0, []).append(thing.label or "")
    return [rows[number] for number in sorted(rows)]


# ------------------------------------------------------------------------------------------------ limits


def test_every_card_is_within_discords_limits_and_gives_its_words_back_whole():
    for card in cards():
        parts = message(card, attached(len(card.pictures)), ["The picture is smaller than it was drawn."])
        assert 0 < len(parts.content) <= limits.CONTENT
        assert sum(len(embed.description or "") for embed in parts.embeds) <= limits.EMBED
        assert len(parts.files) <= limits.ATTACHMENTS
        rules.message(body(parts), flags=0, files={file.filename for file in parts.files})
        for thing in (getattr(item, "item", item) for item in items(parts)):
            assert thing.row is not None and 0 <= thing.row < limits.ROWS
        assert given_back(parts) == card.code, card.title[:80]


@given(
    st.builds(
        Card,
        title=st.text(min_size=1, max_size=250).filter(str.strip),
        text=st.one_of(st.text(max_size=2000), st.just("*" * 2000), st.just("_\n" * 1000)),
        code=st.one_of(st.text(max_size=100), st.text("a`", max_size=30), st.integers(0, 6000).map("x".__mul__), st.integers(0, 6000).map("`".__mul__)),
        status=st.none() | st.sampled_from(Status),
        percent=st.none() | st.integers(0, 100),
        details=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=100)), max_size=12).map(tuple),
    )
)
def test_whatever_a_card_holds_fits_and_its_words_come_back(card: Card):
    parts = message(card)
    assert 0 < len(parts.content) <= limits.CONTENT
    assert sum(len(embed.description or "") for embed in parts.embeds) <= limits.EMBED
    assert given_back(parts) == card.code


def test_a_long_card_keeps_its_title_where_notifications_show_it():
    parts = message(Card(title="a fox", text="Queued.", code="x" * 3000, status=Status.FAILED, details=(("Seed", "7"),)))
    assert parts.content == "**a fox**\n-# Seed 7"
    (embed,) = parts.embeds
    assert (embed.description or "").startswith("Queued.\n```\nxxx")
    assert not parts.files, "the words are whole in there: no file is needed"


def test_words_too_long_for_any_message_come_as_a_file():
    words = "word " * 1200
    parts = message(Card(title="Not this time", text="There is no flag --sead.", code=words))
    assert given_back(parts) == words
    assert "no flag --sead" in (parts.embeds[0].description or "")
    assert (parts.embeds[0].description or "").endswith("…\n```"), "what is shown of them is seen to be cut"


def test_a_fence_in_the_words_closes_nothing_and_is_not_lost():
    words = "a ```fox``` in ````snow"
    parts = message(Card(title="t", code=words))
    assert parts.content.count("```") == 2
    assert given_back(parts) == words


def test_small_print_without_end_is_cut():
    parts = message(Card(title="a fox", status=Status.DONE, details=(("Sampler", "*" * 3000),)))
    assert len(parts.content) == limits.CONTENT and parts.content.startswith("**a fox**\n-# Sampler") and parts.content.endswith("*…")


def test_hundreds_of_pictures_are_ten():
    assert len(message(Card(title="t"), attached(200)).files) == limits.ATTACHMENTS


@given(st.text(max_size=50), st.integers(0, 60))
def test_shortening_keeps_the_limit_and_never_ends_in_half_an_escape(text: str, limit: int):
    cut = layout.shorten(escape(text), limit)
    assert len(cut) <= max(limit, 1)
    if cut.endswith("…") and cut != escape(text):
        assert not cut[:-1].endswith("\\")


# ------------------------------------------------------------------------------------------------ words stay words

_ESCAPED = re.compile(r"\\([^0-9A-Za-z\s])")  # as Discord's clients read it
_FORMATS = re.compile(r"[*_~`|<]|\]\(|@everyone|@here|<@")


def read(text: str) -> str:
    """As a member sees it: escapes are gone, and so is the space of no width that stops a mention."""
    return _ESCAPED.sub(r"\1", text).replace("\u200b", "")


MARKUP = st.text(st.sampled_from("*_~`|<>[]()#-\\@!&: a1") | st.characters(codec="utf-8"), max_size=80)
PIECES = st.lists(
    st.sampled_from(
        ["**", "__", "||", "```", "[a](https://example.org)", "](", "[", "\\", "<@123456789012345678>", "@everyone", "@here", "<t:1>", "# ", "- ", "fox"]
    )
    | MARKUP
).map("".join)


@given(PIECES)
def test_a_title_is_bold_and_nothing_else_and_reads_as_it_was_typed(words: str):
    title = message(Card(title=words)).content
    assert title.startswith("**") and title.endswith("**")
    inner = title[2:-2]
    assert not _FORMATS.search(_ESCAPED.sub("", inner)), "what is not escaped formats nothing"
    assert "@everyone" not in inner and "@here" not in inner and not re.search(r"@[!&]?\d{17,20}", inner)
    assert not re.search(r"(?<!\\)<", inner), "no mention, emoji or timestamp"
    assert read(inner) == " ".join(words.split()).replace("\u200b", "")


@given(PIECES)
def test_no_line_of_a_text_is_a_heading_a_quote_or_a_list(words: str):
    content = message(Card(title="t", text=words)).content
    for line in content.split("\n")[1:]:
        assert not re.match(r"\s*(#{1,3}|-#|>|>>>|[-*+])\s", line), line


@given(PIECES)
def test_escaping_is_undone_by_reading(words: str):
    assert "".join(read(escape(words)).split()).replace("\\", "") == "".join(words.replace("\u200b", "").split()).replace("\\", "")


def test_a_link_in_the_words_leads_nowhere_and_hides_nothing():
    """discord.py's own escape_markdown escapes the first bracket only: a second link, and anything bold between, would be live."""
    inner = message(Card(title="[a](b) **bold** [free money](https://evil.example) (c)")).content[2:-2]
    assert inner == "\\[a\\](b) \\*\\*bold\\*\\* \\[free money\\](https://evil.example) (c)"


def test_under_a_job_details_and_remarks_are_small_print_and_escaped_too():
    parts = message(Card(title="t", status=Status.DONE, details=(("Seed", "7"), ("Model", "my_model_"))), remarks=["A *remark*.", ""])
    assert parts.content == "**t**\n-# Seed 7 · Model my\\_model\\_\n-# A \\*remark\\*."


def test_where_details_are_the_answer_each_has_a_line():
    parts = message(Card(title="t", details=(("Seed", "7"), ("Mod_el", "my_model_"))))
    assert parts.content == "**t**\n**Seed** 7\n**Mod\\_el** my\\_model\\_"


def test_a_running_job_has_a_bar():
    for percent, full in ((0, 0), (50, 10), (100, 20)):
        bar = message(Card(title="t", percent=percent)).content.split("\n")[1]
        assert bar == f"`{'█' * full}{'░' * (20 - full)}` {percent} %"
    assert "█" not in message(Card(title="t")).content


# ------------------------------------------------------------------------------------------------ pictures


def test_pictures_go_along_with_their_alt_text():
    parts = message(Card(title="t"), (Attached(name="a.png", data=b"12345", alt="x" * 3000), Attached(name="b.png", data=b"678", alt="")))
    assert [(file.filename, file.fp.read(), file.description) for file in parts.files] == [
        ("a.png", b"12345", "x" * limits.ALT),
        ("b.png", b"678", None),
    ]


def test_documents_come_after_the_pictures_and_are_hidden_by_nothing():
    parts = message(Card(title="t", spoiler=True), attached(), (), (Attached(name="set.zip", data=b"PK", alt=""),))
    assert [(file.filename, file.spoiler) for file in parts.files] == [("SPOILER_0.png", True), ("set.zip", False)]
    assert parts.size == 7 + 2


@pytest.mark.parametrize("spoiler", [False, True])
def test_a_spoiler_hides_its_pictures(spoiler: bool):
    (file,) = message(Card(title="t", spoiler=spoiler), attached()).files
    assert (file.spoiler, file.filename) == (spoiler, "SPOILER_0.png" if spoiler else "0.png")


def test_the_size_of_the_parts_is_that_of_their_files():
    parts = message(Card(title="t", code="`" * 3), attached(3, b"12345"))
    assert parts.size == 3 * 5 + 3, "the words' own file counts"
    assert message(Card(title="t")).size == 0


# ------------------------------------------------------------------------------------------------ things to press


def test_a_grid_of_four_has_the_familiar_rows():
    assert labels(message(card_of(shown(Status.DONE)))) == [
        ["U1", "U2", "U3", "U4", "🔄 Again"],
        ["V1", "V2", "V3", "V4", "⭐ Keep"],
        ["Details", "Remix", "Delete"],
    ]


def test_a_single_picture_has_upscales():
    assert labels(message(card_of(shown(Status.DONE, 1)))) == [["Upscale 2×", "Upscale 4×", "Vary", "🔄 Again"], ["⭐ Keep", "Details", "Remix", "Delete"]]


def test_a_grid_of_nine_has_selects_above_its_buttons():
    card = card_of(shown(Status.DONE, 9))
    parts = message(card)
    selects = [item.item for item in items(parts) if isinstance(item, PressSelect)]
    assert [(select.row, select.custom_id, select.placeholder) for select in selects] == [(0, "w1s:0", "Enlarge …"), (1, "w1s:1", "Vary …")]
    assert [[option.label for option in select.options] for select in selects] == [[f"{verb}{number}" for number in range(1, 10)] for verb in "UV"]
    assert [Action.decode(option.value).index for option in selects[0].options] == list(range(9))
    assert [option.description for option in selects[0].options] == [choice.hint for choice in card.selects[0].choices]
    assert labels(parts) == [["🔄 Again", "⭐ Keep", "Details", "Remix", "Delete"]]


def test_every_button_says_what_it_does_in_its_custom_id():
    card = card_of(shown(Status.DONE, private=True))
    pressed = [item.custom_id for item in items(message(card)) if isinstance(item, PressButton)]
    assert pressed == [button.action.encode() for row in card.rows for button in row]


def test_a_view_never_dies():
    assert items(message(card_of(shown(Status.DONE)))) and message(card_of(shown(Status.DONE))).view.is_persistent()  # type: ignore[union-attr]


def test_a_pressed_star_is_green_and_others_keep_their_style():
    def style(**changes: object) -> discord.ButtonStyle:
        button = Button(label="⭐ Keep", action=Action(verb=Verb.FAVOURITE, job_id=JOB), **changes)  # type: ignore[arg-type]
        (item,) = items(message(Card(title="t", rows=((button,),))))
        assert isinstance(item, PressButton)
        return item.item.style

    assert style(pressed=True) is style(pressed=True, style="danger") is discord.ButtonStyle.success
    assert style() is discord.ButtonStyle.secondary
    assert style(style="danger") is discord.ButtonStyle.danger
    assert style(style="primary") is discord.ButtonStyle.primary


def test_links_stand_beside_the_last_buttons_or_below_them_and_lead_only_to_the_web():
    links = (Link(label="Open in the studio", url="https://pictures.example/job/1"), Link(label="no", url="javascript:alert(1)"), Link(label="no", url=""))
    button = Button(label="Cancel", action=Action(verb=Verb.CANCEL, job_id=JOB))
    found = items(message(Card(title="t", rows=((button,),), links=links)))
    assert [(getattr(item, "url", None), item.row) for item in found] == [(None, 0), ("https://pictures.example/job/1", 0)]
    full = items(message(Card(title="t", rows=((button,) * 5,), links=links)))
    assert [item.row for item in full] == [0] * 5 + [1], "a full row leaves the link to the next"
    assert message(Card(title="t", links=links[1:])).view is None, "nothing to press is no view at all"


def test_too_many_rows_links_and_choices_are_cut_not_refused():
    def button(number: int) -> Button:
        return Button(label=f"{number}" * 200, hint="h" * 200, action=Action(verb=Verb.PICK, job_id=JOB, index=number % 100, argument=str(number // 100)))

    rows = tuple(tuple(button(7 * row + column) for column in range(7)) for row in range(7))
    select = Select(placeholder="p" * 300, choices=tuple(button(100 + number) for number in range(40)))
    links = tuple(Link(label="l" * 100, url=f"https://pictures.example/{number}") for number in range(9))
    for card in (Card(title="t", rows=rows, links=links), Card(title="t", rows=rows[:2], selects=(select,), links=links), Card(title="t", links=links)):
        parts = message(card)
        rules.message(body(parts), flags=0, files=set())
        assert len({item.row for item in items(parts)}) == min(limits.ROWS, len(card.rows) + len(card.selects) + 1)


def numbered(count: int) -> tuple[tuple[Button, ...], ...]:
    return tuple((Button(label=str(number), action=Action(verb=Verb.PICK, job_id=JOB, index=number)),) for number in range(count))


def test_rows_that_have_no_room_beside_selects_are_packed_closer():
    select = Select(placeholder="p", choices=tuple(each[0] for each in numbered(30)[20:29]))
    card = Card(title="t", rows=numbered(5), selects=(select, select), links=(Link(label="paint", url="https://pictures.example/1"),))
    assert labels(message(card)) == [["0", "1", "2", "3", "4"], ["paint"]], "nothing is lost"
    rules.message(body(message(card)), flags=0, files=set())


def test_what_has_no_room_at_all_is_the_last_of_the_buttons_never_a_link():
    select = Select(placeholder="p", choices=(Button(label="x", action=Action(verb=Verb.VARY, job_id=JOB, index=99)),))
    rows = tuple(tuple(each[0] for each in numbered(30)[5 * row : 5 * row + 5]) for row in range(5))
    card = Card(title="t", rows=rows, selects=(select, select), links=(Link(label="paint", url="https://pictures.example/1"),))
    assert labels(message(card)) == [[str(number) for number in range(5 * row, 5 * row + 5)] for row in (0, 1)] + [["10", "11", "12", "13", "paint"]]


def test_a_select_without_choices_is_none():
    assert message(Card(title="t", selects=(Select(placeholder="p", choices=()),))).view is None


def test_private_cards_look_like_public_ones():
    """Who sees a message is decided by the acknowledgement: its parts are the same."""
    public = card_of(shown(Status.DONE))
    private = replace(public, visibility=Visibility.PRIVATE)
    assert body(message(private)) == body(message(public))


# ------------------------------------------------------------------------------------------------ sending and editing


def test_a_new_message_says_nothing_of_a_view_it_has_not():
    assert message(Card(title="t")).to_send() == {"content": "**t**", "embeds": [], "files": []}
    assert "view" in message(card_of(shown(Status.DONE))).to_send()


def test_an_edit_clears_whatever_stood_there():
    assert message(Card(title="t")).to_edit() == {"content": "**t**", "embeds": [], "attachments": [], "view": None}
    full = message(replace(card_of(shown(Status.DONE)), code="x" * 3000), attached()).to_edit()
    assert len(full["embeds"]) == 1 and len(full["attachments"]) == 1 and full["view"] is not None


# ------------------------------------------------------------------------------------------------ buttons of last year


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize(("index", "argument"), [(-1, ""), (0, "2"), (3, "p"), (99, "4p")])
def test_every_action_is_recognised_after_a_restart(verb: Verb, index: int, argument: str):
    encoded = Action(verb=verb, job_id=JOB, index=index, argument=argument).encode()
    found = PressButton.__discord_ui_compiled_template__.fullmatch(encoded)
    assert found and found[0] == encoded


@pytest.mark.parametrize("text", ["", "w1", "w2:u:" + JOB + ":0:", "w1:u:short:0:", "w1:u:" + JOB + ":x:", "w1s:0", "somebody:elses"])
def test_other_custom_ids_are_not_ours(text: str):
    assert not PressButton.__discord_ui_compiled_template__.fullmatch(text)
