"""Fixtures every test may ask for by name: databases (`tests.contract.stores`), one Postgres for the whole session."""

from tests.contract.stores import database_url, memory, new_postgres_database, open_store, postgres_server, postgres_url, sqlite_url, store

__all__ = ["database_url", "memory", "new_postgres_database", "open_store", "postgres_server", "postgres_url", "sqlite_url", "store"]
