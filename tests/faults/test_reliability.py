"""docs/reliability.md is true: every fault and every promise names tests that exist, and what is retried is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bot.outbox
import bot.queue
import bot.store.mail
import bot.store.notices
import bot.workshop
from bot.app import DRAIN, FLUSH, LEASE
from bot.chat.slack import trouble, wire
from bot.chat.web.server import DEAF
from bot.chat.web.stream import MOST_PAGES
from bot.moderation import mail
from bot.store import waiting
from bot.store.dialect import BUSY_TIMEOUT, COMMAND_TIMEOUT
from bot.store.sql import RETRIES
from tests.unit.test_features import NAMED, defined_in

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()


def tables() -> list[list[list[str]]]:
    """Rows of each table, without its head."""
    found: list[list[list[str]]] = []
    inside = False
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not inside:
            found.append([])
        elif not set("".join(cells)) <= set("-"):
            found[-1].append(cells)
        inside = True
    return found


PROMISES, WINDOWS, FAULTS, RETRIED = range(4)


def test_there_are_four_tables_and_every_cell_says_something() -> None:
    found = tables()
    assert len(found) == 4 and len(found[FAULTS]) > 30
    assert all(cell for table in found for row in table for cell in row)


@pytest.mark.parametrize("table", [PROMISES, FAULTS])
def test_every_promise_and_every_fault_is_held_by_tests_that_exist(table: int) -> None:
    for row in tables()[table]:
        named = NAMED.findall(row[-1])
        assert named and len(named) == row[-1].count("`") // 2, row[0]
        for file, test in named:
            assert test in defined_in(file), f"{file}::{test}"


def test_what_is_retried_is_what_the_code_says() -> None:
    numbers = {
        "end of a job": (
            bot.outbox.FIRST_DELAY,
            bot.outbox.LONGEST_DELAY,
            bot.outbox.GIVE_UP_AFTER,
            bot.outbox.PLAIN_AFTER,
            bot.outbox.LEASE.total_seconds(),
        ),
        "how a job ended": (bot.workshop.FIRST_PAUSE, bot.workshop.LONGEST_PAUSE, bot.workshop.PATIENCE),
        "a letter of moderation": (mail.FIRST_DELAY, mail.LONGEST_DELAY, mail.MOST_TRIES, mail.LEASE.total_seconds()),
        "Postgres at the start": (waiting.FIRST_PAUSE, waiting.LONGEST_PAUSE, waiting.CONNECT),
        "a claim": (bot.queue.LONGEST_PAUSE,),
        "a transaction": (RETRIES,),
        "a lease": (LEASE.total_seconds(),),
        "a word to Slack": (*trouble.PAUSES, wire.RETRIES),
        "SQLite is locked": (BUSY_TIMEOUT,),
        "a statement on Postgres": (COMMAND_TIMEOUT,),
        "the stop": (DRAIN.total_seconds(), FLUSH.total_seconds()),
    }
    rows = {row[0]: " ".join(row[1:]) for row in tables()[RETRIED]}
    for what, wanted in numbers.items():
        said = next((text for name, text in rows.items() if what in name), None)
        assert said is not None, what
        for number in wanted:
            assert re.search(rf"(?<![\d.]){number:g}(?![\d.]*\d)", said), f"{what}: {number:g}"


def test_what_is_said_of_pages_is_what_the_code_says() -> None:
    (row,) = (" ".join(each) for each in tables()[FAULTS] if each[0].startswith("pages that read nothing"))
    assert f"more than {MOST_PAGES} " in row and f"for {DEAF:g} seconds" in row


def test_a_letters_lease_outlives_its_sending_and_ends_while_discord_knows_its_nonce() -> None:
    assert mail.PATIENCE < mail.LEASE.total_seconds() <= 120
    assert bot.store.mail.FAR.total_seconds() > mail.LONGEST_DELAY


def test_an_end_is_held_for_longer_than_telling_it_takes_and_for_less_than_looks_like_a_clock_set_back() -> None:
    assert bot.outbox.PROGRESS_TIMEOUT + bot.outbox.SHOW_TIMEOUT < bot.outbox.LEASE.total_seconds() < bot.store.notices.FAR.total_seconds()
    (row,) = (" ".join(each) for each in tables()[WINDOWS] if each[0].startswith("the end of a job, where two processes"))
    assert f"lease of {bot.outbox.LEASE.total_seconds():g} seconds" in row


def test_no_end_is_put_off_for_so_long_that_it_looks_like_a_clock_set_back() -> None:
    assert bot.store.notices.FAR.total_seconds() > bot.outbox.LONGEST_DELAY * 1.5
