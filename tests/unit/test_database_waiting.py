"""Which refusals of a Postgres pass by waiting, and which are told at once."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from bot.errors import Fault
from bot.store import waiting
from bot.store.waiting import is_away

PASSES = [
    ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens"),
    OSError("Multiple exceptions: [Errno 111] …, [Errno 111] …"),  # localhost by two addresses
    OSError(errno.EHOSTUNREACH, "no route"),
    FileNotFoundError(errno.ENOENT, "no socket"),
    socket.gaierror(socket.EAI_NONAME, "not known yet"),
    TimeoutError(),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.AdminShutdownError("terminating connection"),
    asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    OperationalError("SELECT 1", {}, asyncpg.CannotConnectNowError("starting up")),
]
STAYS = [
    asyncpg.InvalidPasswordError("password authentication failed"),
    asyncpg.InvalidAuthorizationSpecificationError("role does not exist"),
    asyncpg.InvalidCatalogNameError("database does not exist"),
    asyncpg.InsufficientPrivilegeError("permission denied"),
    asyncpg.InterfaceError("could not parse"),
    ssl.SSLCertVerificationError("self-signed"),
    PermissionError(errno.EACCES, "the key of the certificate"),
    ValueError("a bug"),
    None,
]


@pytest.mark.parametrize("error", PASSES, ids=lambda error: type(error).__name__)
def test_what_passes(error: Exception) -> None:
    assert is_away(error)


@pytest.mark.parametrize("error", STAYS, ids=lambda error: type(error).__name__)
def test_what_stays(error: Exception | None) -> None:
    assert not is_away(error)


async def test_one_that_goes_away_between_the_first_answer_and_the_tables_is_waited_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    url, tries, heard = make_url("postgresql+asyncpg://ada:secret@db/wordup"), [0], list[bool]()

    async def there(url: object) -> None: ...

    async def tables() -> None:
        tries[0] += 1
        if tries[0] < 3:
            raise Fault("fault.database", detail="cut") from ConnectionResetError("cut")

    monkeypatch.setattr(waiting, "reach", there)
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.001)
    async with asyncio.timeout(60):
        await waiting.opened(url, tables, heard.append)
    assert tries == [3] and heard == [True, True, False]


async def test_a_database_that_was_written_by_a_newer_program_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def there(url: object) -> None: ...

    async def tables() -> None:
        raise Fault("fault.database_newer", revision="9999")

    monkeypatch.setattr(waiting, "reach", there)
    with pytest.raises(Fault, match="newer"):
        await waiting.opened(make_url("postgresql+asyncpg://db/wordup"), tables, lambda waits: None)
