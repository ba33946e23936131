"""What most tests of use cases start from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.house import House, open_house


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """The whole bot without a chat."""
    async with open_house(sqlite_url, tmp_path) as house:
        yield house


@pytest.fixture
async def still(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Nothing is ever drawn."""
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        yield house
