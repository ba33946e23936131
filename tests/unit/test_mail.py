"""Letters of moderation that nobody takes, and such as were told while the database was away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.chat.web.stream import channel_of
from bot.domain import Actor, Card, Receipt, ReplyTo
from bot.domain.moderation import Letter, Lost
from bot.errors import Fault
from bot.moderation import mail as mailing
from bot.moderation.mail import Mail
from tests.fakes.web import Site
from tests.unit.house import ADA, BOB, ENGLISH, LANGUAGES
from tests.unit.moderated import MODS, NOWHERE, PICTURES, Moderated, moderated

say = ENGLISH.say


@pytest.fixture
async def day(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Moderated]:
    """With a moderators' channel, and without patience: what was put off is due at once."""
    monkeypatch.setattr(mailing, "FIRST_DELAY", 0.0)
    async with moderated(sqlite_url, tmp_path) as there:
        assert (await there.admin("moderators here", place=MODS)).text == say("admin.changed")
        yield there


@pytest.fixture
def lost(day: Moderated) -> list[Lost]:
    """What was given up, as the metrics count it."""
    found: list[Lost] = []
    day.mail._lost = found.append
    return found


async def undelivered(day: Moderated) -> str:
    return dict((await day.admin("stats")).details)[say("admin.undelivered_count")]


async def test_a_moderators_channel_that_is_closed_is_no_telling_and_waits_until_it_is_opened(day: Moderated, lost: list[Lost]) -> None:
    day.chat.gone.add("mods")
    case = await day.reported(await day.drawn())
    assert len(await day.book.due()) == 1 and await undelivered(day) == "1"
    assert case.id in (await day.admin("cases")).text, "it waits there all the same"
    day.chat.gone.clear()
    assert await day.mail.deliver() == 1
    assert len(day.in_channel("mods")) == 1 and await undelivered(day) == "0" and lost == []


async def test_one_that_stays_closed_for_a_day_is_written_down_as_undelivered(day: Moderated, lost: list[Lost]) -> None:
    day.chat.gone.add("mods")
    await day.reported(await day.drawn())
    for _ in range(mailing.MOST_TRIES):
        assert await day.mail.deliver() == 0
    assert await day.book.due() == () and lost == [Lost.MODERATORS] and await undelivered(day) == "1"


async def test_a_members_closed_letter_box_is_written_down_at_once(day: Moderated, lost: list[Lost]) -> None:
    day.chat.shut.add(BOB.id)
    await day.decide(await day.reported(await day.drawn()), "warn")
    assert day.letters(BOB) == [] and day.letters(ADA) == [say("letter.report_warn")]
    assert await day.book.due() == () and lost == [Lost.MEMBER] and await undelivered(day) == "1"


async def test_a_message_that_was_to_be_changed_and_is_gone_is_no_loss(day: Moderated, lost: list[Lost]) -> None:
    case = await day.reported(await day.drawn())
    day.chat.gone.add("pictures")
    await day.decide(case, "remove")
    assert await day.book.due() == () and lost == [] and await undelivered(day) == "0"


async def test_what_was_told_while_the_database_was_away_is_written_down_and_not_told_again(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    case = await day.reported(await day.drawn())
    told, away = day.book.told, True

    async def broken(letter: Letter, receipt: Receipt | None, *, undelivered: bool = False) -> None:
        if away:
            raise Fault("fault.database", detail="gone")
        await told(letter, receipt, undelivered=undelivered)

    monkeypatch.setattr(day.book, "told", broken)
    with pytest.raises(Fault):
        await day.decide(case, "approve")
    with pytest.raises(Fault):
        await day.mail.deliver()
    away = False
    while await day.mail.deliver():
        continue
    assert day.letters(BOB) == [say("letter.report_stays")] and await day.book.due() == ()


async def test_a_letter_says_by_what_it_is_known_again_and_whether_it_may_have_been_posted(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, shown, show = await day.drawn(), list[Card](), day.chat.show

    async def seen(reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        shown.append(card)
        return await show(reply_to, card, receipt)

    monkeypatch.setattr(day.chat, "show", seen)
    case = await day.reported(picture)
    assert [(each.once, each.again) for each in shown] == [(case.id, True)], "another letter about the case may have been the first"
    owed = Letter(id="1" * 26, reply_to=ReplyTo(platform="web", user=ADA.id), member=ADA.key, title="letter.title", text="letter.banned")
    await day.book.post([owed])
    day.chat.failing = 1
    await day.mail.deliver()
    await day.mail.deliver()
    assert [(each.once, each.again) for each in shown[1:]] == [(owed.id, False), (owed.id, True)]


async def test_who_reported_on_the_page_as_a_member_of_a_chat_is_told_in_that_chat(day: Moderated) -> None:
    moderation, picture = day.house.studio.moderation, await day.drawn()
    assert moderation is not None
    shown = await day.house.store.shown(picture.job_id)
    for member in (Actor(platform="discord", id="7"), Actor(platform="slack", id="T1:U7"), Actor(platform="web", id="eve")):
        await moderation.report(member, NOWHERE, ReplyTo(platform="web", channel=channel_of(member)), shown, "")
    await day.mail.deliver()
    await day.decide((await day.book.waiting(PICTURES.owner))[0], "approve")
    owed = {(each.reply_to.platform, each.reply_to.channel, each.reply_to.user) for each in await day.book.due()}
    assert owed == {("discord", "", "7"), ("slack", "T1:", "U7")}, "to be sent by whoever serves these chats"
    assert [receiver for receiver, _ in day.chat.direct] == ["eve"], "whose chat this is in this test; the page's own takes no letters"


async def test_the_page_takes_no_letters_and_says_so() -> None:
    async with Site() as site:
        letter = Card(title="From the moderators", once="1" * 26)
        assert await site.adapter.show(ReplyTo(platform="web", channel="eve"), letter, None) is None


async def test_a_process_that_serves_another_platform_sends_nothing_and_gives_nothing_up(day: Moderated) -> None:
    moderation = day.house.studio.moderation
    assert moderation is not None
    other = Mail(day.book, {"discord": day.chat}, LANGUAGES, moderation.card)
    picture = await day.drawn()
    day.chat.failing = 1
    await day.reported(picture)
    for _ in range(mailing.MOST_TRIES + 1):
        assert await other.deliver() == 0
    assert day.in_channel("mods") == [] and await day.mail.deliver() == 1
