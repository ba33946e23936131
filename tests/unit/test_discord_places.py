"""By which ways a card is tried to be written, which of them are closed for good, and what is remembered of where it stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from ulid import ULID

from bot.chat.discord import limits
from bot.chat.discord.places import CLOSED, FREE, TOO_LARGE, Way, closed, nonce, receipt_of, ways
from bot.domain import Card, Receipt, ReplyTo, Visibility

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN, EDIT, POST, BESIDE, DIRECT = Way.TOKEN, Way.EDIT, Way.POST, Way.BESIDE, Way.DIRECT
PUBLIC, PRIVATE, LETTER = (Card(title="a fox", visibility=each) for each in (Visibility.PUBLIC, Visibility.PRIVATE, Visibility.DIRECT))
HERE = Receipt(platform="discord", channel="11", handle="22")
UNSEEN = Receipt(platform="discord", channel="", handle="22")  # only its member sees it
NOWHERE = Receipt(platform="discord", channel="11", handle="")


def reply(*, left: timedelta | None = timedelta(minutes=14), **changes: Any) -> ReplyTo:
    """Of an interaction whose token has so long to live, in a channel where the bot may post."""
    fields: dict[str, Any] = {"token": "t", "channel": "11", "user": "7", "expires_at": None if left is None else NOW + left, **changes}
    return ReplyTo(platform="discord", **fields)


DEAD = timedelta(0)


@pytest.mark.parametrize(
    ("reply_to", "card", "receipt", "found"),
    [
        # a token that lives comes first, where its answer waits or is the card's own
        (reply(), PUBLIC, None, (TOKEN, POST, DIRECT)),
        (reply(), PUBLIC, HERE, (TOKEN, EDIT, POST, DIRECT)),
        (reply(), PUBLIC, UNSEEN, (TOKEN, POST, DIRECT)),
        # one that is about to end, has ended, or never was does not count
        (reply(left=limits.TOKEN_MARGIN + timedelta(seconds=1)), PUBLIC, None, (TOKEN, POST, DIRECT)),
        (reply(left=limits.TOKEN_MARGIN), PUBLIC, None, (POST, DIRECT)),
        (reply(left=DEAD), PUBLIC, HERE, (EDIT, POST, DIRECT)),
        (reply(left=-timedelta(days=1)), PUBLIC, None, (POST, DIRECT)),
        (reply(left=None), PUBLIC, None, (POST, DIRECT)),
        (reply(token=""), PUBLIC, None, (POST, DIRECT)),
        # what one member alone may see is never posted for all
        (reply(), PRIVATE, None, (TOKEN, DIRECT)),
        (reply(left=DEAD), PRIVATE, None, (DIRECT,)),
        (reply(left=DEAD), PRIVATE, UNSEEN, (DIRECT,)),
        (reply(left=DEAD), LETTER, None, (DIRECT,)),
        # a copy leaves alone what stands in the channel
        (reply(), LETTER, None, (DIRECT,)),
        (reply(), LETTER, HERE, (EDIT, DIRECT)),
        (reply(user=""), LETTER, None, ()),
        (reply(left=DEAD), PRIVATE, HERE, (EDIT, DIRECT)),
        # where the bot may not post
        (reply(can_post=False), PUBLIC, None, (TOKEN, DIRECT)),
        (reply(can_post=False, left=DEAD), PUBLIC, None, (DIRECT,)),
        (reply(can_post=False, left=DEAD), PUBLIC, HERE, (EDIT, DIRECT)),
        (reply(channel="", left=DEAD), PUBLIC, None, (DIRECT,)),
        # a message that nobody can find is not edited
        (reply(left=DEAD), PUBLIC, NOWHERE, (POST, DIRECT)),
        # nobody to write to
        (reply(user="", left=DEAD), PUBLIC, None, (POST,)),
        (reply(user="", left=DEAD, can_post=False), PUBLIC, UNSEEN, ()),
        (ReplyTo(platform="discord"), PUBLIC, None, ()),
    ],
)
def test_the_ways_in_their_order(reply_to: ReplyTo, card: Card, receipt: Receipt | None, found: tuple[Way, ...]):
    assert ways(reply_to, card, receipt, NOW, receipt.handle if receipt else FREE) == found


OTHER = "33"  #: the message in which a sibling's card stands
AWAY = {"can_post": False}


@pytest.mark.parametrize(
    ("reply_to", "card", "receipt", "original", "followed", "found"),
    [
        # the first answer is another job's: it is left alone
        (reply(), PUBLIC, None, OTHER, 0, (POST, DIRECT)),
        (reply(), PUBLIC, HERE, OTHER, 0, (EDIT, POST, DIRECT)),
        (reply(), PRIVATE, None, OTHER, 0, (BESIDE, DIRECT)),
        (reply(), PRIVATE, UNSEEN, OTHER, 0, (TOKEN, DIRECT)),
        (reply(left=DEAD), PRIVATE, None, OTHER, 0, (DIRECT,)),
        # where the bot may not post, beside it: five times
        (reply(**AWAY), PUBLIC, None, OTHER, 0, (BESIDE, DIRECT)),
        (reply(**AWAY), PUBLIC, None, OTHER, limits.FOLLOWUPS - 1, (BESIDE, DIRECT)),
        (reply(**AWAY), PUBLIC, None, OTHER, limits.FOLLOWUPS, (DIRECT,)),
        (reply(**AWAY), PRIVATE, None, OTHER, limits.FOLLOWUPS, (DIRECT,)),
        (reply(), PRIVATE, None, OTHER, limits.FOLLOWUPS, (BESIDE, DIRECT)),
        (reply(**AWAY), PUBLIC, HERE, OTHER, 1, (TOKEN, EDIT, DIRECT)),
        # nobody knows whose it is: it is touched only where nothing else reaches the card
        (reply(), PUBLIC, None, None, 0, (POST, DIRECT)),
        (reply(), PUBLIC, HERE, None, 0, (EDIT, POST, DIRECT)),
        (reply(**AWAY), PUBLIC, HERE, None, 0, (TOKEN, EDIT, DIRECT)),
        (reply(), PRIVATE, UNSEEN, None, 0, (TOKEN, DIRECT)),
        (reply(**AWAY), PUBLIC, None, None, 0, (DIRECT,)),
    ],
)
def test_an_answer_belongs_to_one_card(reply_to: ReplyTo, card: Card, receipt: Receipt | None, original: str | None, followed: int, found: tuple[Way, ...]):
    assert ways(reply_to, card, receipt, NOW, original, followed) == found


def test_ways_follow_the_clock():
    reply_to = reply(left=timedelta(minutes=15), can_post=False)
    found = [ways(reply_to, PUBLIC, HERE, NOW + timedelta(seconds=seconds), HERE.handle)[0] for seconds in (0, 600, 889, 890, 901)]
    assert found == [TOKEN, TOKEN, TOKEN, EDIT, EDIT]


def failed(status: int, code: int) -> discord.HTTPException:
    return discord.HTTPException(SimpleNamespace(status=status, reason=""), {"code": code, "message": ""})  # type: ignore[arg-type]


@pytest.mark.parametrize("code", sorted(CLOSED))
def test_what_is_gone_or_forbidden_stays_so(code: int):
    assert closed(failed(400, code))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_so_does_what_the_status_alone_tells(status: int):
    assert closed(failed(status, 0))


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, 0), (502, 0), (503, 0), (504, 0), (429, 0), (429, 20028), (400, 50035), (400, 0), (400, 40060), (413, TOO_LARGE), (400, TOO_LARGE), (408, 0)],
)
def test_what_may_pass_or_be_mended_is_not_closed(status: int, code: int):
    assert not closed(failed(status, code))


def message(*, ephemeral: bool) -> Any:
    return SimpleNamespace(id=22, channel=SimpleNamespace(id=11), flags=discord.MessageFlags(ephemeral=ephemeral))


def test_a_receipt_names_channel_and_message():
    assert receipt_of(message(ephemeral=False)) == HERE


def test_one_of_what_a_member_alone_sees_names_no_channel():
    assert receipt_of(message(ephemeral=True)) == UNSEEN
    assert EDIT not in ways(reply(), PUBLIC, receipt_of(message(ephemeral=True)), NOW)


def test_a_nonce_is_short_enough_always_the_same_and_another_for_another_job():
    ids = [str(ULID()) for _ in range(1000)]
    assert len({nonce(each) for each in ids}) == len(ids)
    for each in ids:
        assert nonce(each) == nonce(each) and 0 < len(nonce(each)) <= limits.NONCE
        assert each == each[0] + nonce(each), "all but the first character, which says nothing before the year 10889"
