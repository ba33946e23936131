"""Words made to call everybody, to look like something else, or to be very many, typed into both chats: what the room sees is words."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from bot.chat.discord import layout
from bot.chat.slack import blocks
from bot.domain import Card, Status
from bot.errors import BadWords
from bot.prompts import prepare
from bot.prompts.clean import MAX_LENGTH
from tests.fakes.discord import DiscordWire
from tests.scenario.bots import discord_settings, running, unknown_requests
from tests.scenario.slack_scene import scene

MENTIONS = (
    "@everyone @here <@123456789012345678> <@&123456789012345678> <#123456789012345678> <!channel> <!here> <!subteam^S1> <@U0ADA> <https://evil.example|bank>"
)
MARKS = "**b** ~~s~~ ||no|| `code` ```block``` # head > quote [bank](https://evil.example) <t:1:R> <:a:1> *bold* _it_ ~no~ &lt;!channel&gt;"
HIDDEN = "fox \u202egnp.exe\u202c \u2066x\u2069 a\u200bb\u200c\u200d\u2060\ufeff \u00ad\u180e\U000e0041\U000e0042 c"
INVISIBLE = {"\u202e", "\u202c", "\u2066", "\u2069", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\U000e0041", "\U000e0042"}
ALL = f"{MENTIONS} {MARKS} {HIDDEN}"


def invisible_in(text: str) -> list[str]:
    """What stands in it that nobody sees, but for the space of no width that we put behind an @ to stop a mention."""
    return [each for each in text.replace("@\u200b", "@") if unicodedata.category(each) in ("Cf", "Cc", "Cs") and each != "\n"]


@pytest.mark.parametrize("words", [MENTIONS, MARKS, HIDDEN, ALL])
async def test_on_discord_words_call_nobody_format_nothing_and_hide_nothing(tmp_path: Path, words: str) -> None:
    async with DiscordWire() as wire, running(tmp_path, **discord_settings(wire)):
        await wire.connected()
        answer = await wire.command(wire.ada, wire.art, "imagine", prompt=f"{words} --n 1")
        message = await (await answer.message()).until(lambda m: "Drawn in" in m.text)
        assert wire.violations == [] and not unknown_requests(wire)  # the wire notes every message that may mention somebody
        title = message.text.split("\n")[0]
    assert invisible_in(title) == []
    for mark in ("@everyone", "@here"):
        assert mark not in title
    inner = title.removeprefix("**").removesuffix("**")
    for mark in ("<@", "<#", "<t:", "<:", "**", "__", "~~", "||", "`", "]("):
        at = inner.find(mark)
        assert at < 0 or inner[at - 1] == "\\", (mark, inner)


@pytest.mark.parametrize("words", [MENTIONS, MARKS, HIDDEN, ALL])
async def test_on_slack_words_call_nobody_format_nothing_and_hide_nothing(tmp_path: Path, words: str) -> None:
    async with scene(tmp_path) as s:  # which asserts that the wire saw no violation
        message = await s.drawn(f"{words} --n 1")
        plain = message.plain
    assert "<!channel>" not in message.text and "<!here>" not in message.text and "<@U0ADA>" not in message.text
    assert not INVISIBLE & set(plain.replace("@\u200b", "@"))


@pytest.mark.parametrize("mark", ["@everyone", "<@123456789012345678>", "**b**", "<!channel>", "\u202e"])
def test_no_part_of_a_card_is_an_exception(mark: str):
    """Whatever field words come to stand in: title, text, small print, code."""
    card = Card(title=mark, text=mark, details=((mark, mark),), job_id="01KD0000000000000000000001", status=Status.DONE)
    told = layout.message(card).content or ""
    assert "@everyone" not in told and "\n<@1" not in told and not told.startswith("<@")
    for block in blocks.message(card, {}, ()).blocks:
        assert "<!channel>" not in str(block) and "'<@1" not in str(block)


async def test_six_thousand_characters_are_one_card_that_both_chats_take(tmp_path: Path) -> None:
    words = ("& <fox> *snow* `" * 600)[: MAX_LENGTH - 10]
    async with scene(tmp_path) as s:
        message = await s.drawn(f"{words} --n 1")
        assert message.pictures
    async with DiscordWire() as wire, running(tmp_path / "discord", **discord_settings(wire)):
        await wire.connected()
        answer = await wire.command(wire.ada, wire.art, "imagine", prompt=f"{words} --n 1")
        await (await answer.message()).until(lambda m: "Drawn in" in m.text)
        assert wire.violations == []


@pytest.mark.parametrize("length", [MAX_LENGTH + 1, 10 * MAX_LENGTH, 1_000_000])
def test_more_is_refused_where_it_ends_and_hardly_looked_at(length: int):
    with pytest.raises(BadWords) as mistake:
        prepare("x" * length, lists={}, seed=lambda: 1)
    assert mistake.value.message == "words.too_long"


@pytest.mark.parametrize(
    "words",
    [
        "{a,b}" * 60,
        "{" + ",".join("{a,b,c,d}" for _ in range(50)) + "}" + "{e,f,g,h}" * 20,
        "{" * 3000 + "a" + "}" * 3000,
        "{a," * 1500 + "b" + "}" * 1500,
        "__bombs__ " * 500,
        "__bombs__" * 600,
    ],
)
def test_words_that_would_become_very_many_are_counted_and_never_made(words: str):
    """2⁶⁰ prompts, or one of some megabytes: refused by arithmetic, and a list of words that names a list is taken as it stands."""
    lists = {"bombs": ("__bombs__ __bombs__ " * 200,) * 3}
    try:
        prompts = prepare(words, lists=lists, seed=lambda: 1)
    except BadWords as mistake:
        assert mistake.message.startswith("words.")
    else:
        assert len(prompts) <= 40 and all(len(prompt.text) <= MAX_LENGTH for prompt in prompts)
