"""Store, queue and wallet against the model of a job's life, under random interleavings: on SQLite, and two bots on one Postgres. And the model itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from bot.domain import MOVES
from bot.domain.life import LIFE, Hand, Life, Status
from bot.store.migrate import migrate
from bot.store.sql import SqlStore
from bot.store.tables import metadata
from tests.contract.machine import MAX_ATTEMPTS, SECRET, StoreMachine

_SHM = Path("/dev/shm")  # noqa: S108  (what is tested here is order, not durability)
MEMORY = _SHM if _SHM.is_dir() else None
MIGRATED: list[bytes] = []


class OnSqlite(StoreMachine):
    sqlite = True

    async def fresh(self) -> list[SqlStore]:
        self.folder = Path(tempfile.mkdtemp(prefix="wordup-machine-", dir=MEMORY))
        if not MIGRATED:  # once; every run begins with a copy
            await migrate(f"sqlite:///{self.folder / 'new.db'}")
            MIGRATED.append((self.folder / "new.db").read_bytes())
        (self.folder / "wordup.db").write_bytes(MIGRATED[0])
        return await _started([SqlStore(f"sqlite:///{self.folder / 'wordup.db'}", secret=SECRET, max_attempts=MAX_ATTEMPTS)])

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


def on_postgres(url: str) -> type[StoreMachine]:
    """Two bots on the database at `url`, emptied for every run."""

    class OnPostgres(StoreMachine):
        sqlite = False

        async def fresh(self) -> list[SqlStore]:
            import asyncpg

            connection = await asyncpg.connect(url)
            try:
                tables = ", ".join(table.name for table in metadata.sorted_tables if table.name != "fairness")
                await connection.execute(f"TRUNCATE {tables}; UPDATE fairness SET tag = 0")  # noqa: S608  (names of our own tables)
            finally:
                await connection.close()
            return await _started([SqlStore(url, secret=SECRET, max_attempts=MAX_ATTEMPTS) for _ in range(2)])

    return OnPostgres


async def _started(stores: Iterable[SqlStore]) -> list[SqlStore]:
    ready = list(stores)
    for store in ready:
        await store.start()
    return ready


def play(machine: Callable[[], StoreMachine], games: int, steps: int, *, same: bool = True) -> None:
    """`same`: the same games every time."""
    chosen = settings(max_examples=games, stateful_step_count=steps, deadline=None, database=None, derandomize=same)
    run_state_machine_as_test(machine, settings=settings(chosen, suppress_health_check=list(HealthCheck)))


def test_a_store_on_sqlite_is_what_the_model_says_whatever_happens() -> None:
    play(OnSqlite, games=25, steps=30)


def test_two_bots_on_postgres_are_what_the_model_says_whatever_happens(postgres_url: str) -> None:
    play(on_postgres(postgres_url), games=5, steps=30)


@pytest.mark.full
def test_many_more_such_lives(postgres_url: str) -> None:
    play(OnSqlite, games=400, steps=60, same=False)
    play(on_postgres(postgres_url), games=100, steps=60, same=False)


# ------------------------------------------------------------------------------------------------ the model itself


def test_moves_are_those_of_somebody_and_an_end_is_an_end() -> None:
    assert {(move.source, move.target) for move in LIFE} == {(source, target) for source, targets in MOVES.items() for target in targets}
    assert all(not MOVES[status] for status in Status if status.ended)
    assert {hand for hand in Hand} == {move.by for move in LIFE}


@pytest.mark.parametrize("status", Status)
def test_what_was_reserved_is_settled_or_refunded_or_standing(status: Status) -> None:
    life = replace(Life(cost=2.5), status=status)
    assert sorted([life.settled, life.refunded, life.standing]) == [0.0, 0.0, 2.5]


def test_a_worker_moves_only_what_it_holds() -> None:
    held = Life(cost=1.0).claim("w1")
    assert held is not None and held.finish("w2") is None and held.requeue("w2") is None and held.fail("w2") is None
    assert held.requeue("w1") == Life(cost=1.0)
    assert held.claim("w2") is None
