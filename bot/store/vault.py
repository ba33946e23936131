"""Secrets at rest: what chats must remember and nobody may read in the database or its backups. Made by `bot.app`; used by adapters as `bot.ports.Vault`.

Sealed with Fernet (https://github.com/fernet/spec: AES-128-CBC and HMAC-SHA256) under a key derived (HKDF, RFC 5869) from the data directory's
``secret.key``. Without that file what is stored here is noise.
"""

from __future__ import annotations

import base64

import structlog
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store import dialect
from bot.store.sql import SqlStore
from bot.store.tables import vault

log = structlog.get_logger(__name__)

LARGEST = 2**16  #: bytes of one value


class SqlVault:
    """See `bot.ports.Vault`. In the store's database and its transactions; `secret`: what `bot.app.load_secret` gives."""

    def __init__(self, store: SqlStore, secret: bytes) -> None:
        self._store = store
        self._fernet = Fernet(derived(secret))

    async def get(self, key: str) -> bytes | None:
        sealed = await self._store.read(_get, key)
        if sealed is None:
            return None
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            log.warning("vault.sealed_with_another_secret", key=key)
            return None

    async def put(self, key: str, value: bytes) -> None:
        if len(value) > LARGEST:
            raise ValueError(f"a secret of {len(value)} bytes")
        await self._store.write(_put, key, self._fernet.encrypt(value))

    async def remove(self, key: str) -> None:
        await self._store.write(_remove, key)


def derived(secret: bytes) -> bytes:
    """Fernet's key: 32 bytes as URL-safe base64."""
    return base64.urlsafe_b64encode(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"word-up vault").derive(secret))


async def _get(db: AsyncConnection, key: str) -> bytes | None:
    sealed: bytes | None = (await db.execute(select(vault.c.sealed).where(vault.c.key == key))).scalar_one_or_none()
    return sealed


async def _put(db: AsyncConnection, key: str, sealed: bytes) -> None:
    await db.execute(dialect.insert(db, vault).values(key=key, sealed=sealed).on_conflict_do_update(index_elements=["key"], set_={"sealed": sealed}))


async def _remove(db: AsyncConnection, key: str) -> None:
    await db.execute(delete(vault).where(vault.c.key == key))
