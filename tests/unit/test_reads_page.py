"""What one command on the studio page costs the store: statements, counted at the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event

from bot.chat.web.server import WebAdapter
from tests.scenario.visitor import Visitor
from tests.unit.house import LANGUAGES, House, open_house


async def spend(link: str) -> bool:
    return True


async def counted(house: House, words: str) -> list[str]:
    """The statements of one command on the page."""
    adapter = WebAdapter(host="127.0.0.1", port=0, public_url=None, secret=b"s" * 32, catalogues=LANGUAGES, clock=lambda: datetime.now(UTC), spend=spend)
    await adapter.start(house.studio)
    seen: list[str] = []

    def see(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        seen.append(statement)

    try:
        async with Visitor(adapter.url.rstrip("/")) as member:
            assert (await member.imagine("an owl"))["kind"] == "job"  # preferences are at hand now
            event.listen(house.store.engine, "before_cursor_execute", see)
            assert (await member.imagine(words))["kind"] == "job"
            event.remove(house.store.engine, "before_cursor_execute", see)
    finally:
        await adapter.aclose()
    return seen


async def test_the_answer_with_its_card_reads_the_job_no_second_time(tmp_path: Path) -> None:
    async with open_house(f"sqlite:///{tmp_path / 'bot.db'}", tmp_path, queue=False) as house:
        seen = await counted(house, "a red fox --n 1")

    assert not [each for each in seen if "FROM artifacts" in each]
    assert len(seen) <= 21, seen  # one of them for the order in which wallets in common are locked
