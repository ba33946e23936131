"""Fixtures every test may ask for by name: databases (`tests.contract.stores`), one Postgres for the whole session. And torch and logging as they start."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from tests.contract.stores import database_url, memory, new_postgres_database, open_store, postgres_server, postgres_url, sqlite_url, store

__all__ = ["database_url", "memory", "new_postgres_database", "open_store", "postgres_server", "postgres_url", "sqlite_url", "store"]


@pytest.fixture(scope="module", autouse=True)
def _torch_as_it_starts() -> None:
    """Every module finds torch's switches for this thread as a fresh process has them: a hub turns gradients off, training flushes denormals."""
    if "torch" in sys.modules:
        import torch

        torch.set_grad_enabled(True)
        torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def _logging_as_it_starts() -> Iterator[None]:
    """A command that runs inside a test sets logging up for its process, which is ours: the next test finds it as it was."""
    root = logging.getLogger()
    level = root.level
    yield
    if root.level != level or structlog.is_configured():
        root.setLevel(level)
        root.handlers[:] = [each for each in root.handlers if type(each) is not logging.StreamHandler]
        structlog.reset_defaults()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch computes with one thread for as long as the module's tests run: small models are quicker so, and the same on every machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
