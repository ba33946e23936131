"""How long reading a prompt takes as it grows: hostile texts of 1,500, 3,000 and 6,000 characters (`python -m benchmarks.grammar`).

Each figure is a ratio: the time for a text twice as long over the time for the shorter one. 2 is a straight line; a grammar that blows up shows 4 and more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from bot.errors import UserError
from bot.prompts import prepare

LENGTHS = (1500, 3000, 6000)  #: characters; the last is the most there may be
REPEATS = 5

#: Text → so many characters of it; each leans on another part of the grammar.
HOSTILE: Mapping[str, Callable[[int], str]] = {
    "words": lambda n: ("fox " * n)[:n],
    "one word": lambda n: "x" * n,
    "open brackets": lambda n: "(" * n,
    "emphasis never closed": lambda n: ("(a:1.1 " * n)[:n],
    "open braces": lambda n: "{" * n,
    "braces in braces": lambda n: "{a," * (n // 6) + "b" + "}" * (n // 6),
    "commas in braces": lambda n: "{" + ("a," * n)[: n - 2] + "}",
    "backslashes": lambda n: "\\" * n,
    "colons": lambda n: ("a::" * n)[:n],
    "dashes": lambda n: ("--" * n)[:n],
    "flags that are none": lambda n: ("--sede " * n)[:n],
    "a list of unwanted things": lambda n: ("a --no " + "b, " * n)[:n],
    "underscores": lambda n: ("__a" * n)[:n],
    "marks on one letter": lambda n: ("a" + "\u0301" * n)[:n],
    "directions": lambda n: ("a\u202e" * n)[:n],
}


def seconds(text: str) -> float:
    """The quickest of REPEATS readings."""
    best = float("inf")
    for _ in range(REPEATS):
        begun = time.perf_counter()
        with suppress(UserError):
            prepare(text, lists={}, seed=lambda: 1)
        best = min(best, time.perf_counter() - begun)
    return best


def measure() -> dict[str, dict[str, float]]:
    """By text: milliseconds at the most, and how they grew by each doubling."""
    found: dict[str, dict[str, float]] = {}
    for name, text in HOSTILE.items():
        took = [seconds(text(length)) for length in LENGTHS]
        grew = {f"{LENGTHS[k + 1]}_over_{LENGTHS[k]}": round(took[k + 1] / max(took[k], 1e-6), 2) for k in range(len(took) - 1)}
        found[name] = {"milliseconds": round(1000 * took[-1], 2), **grew}
    return found


def main() -> None:
    found = measure()
    width = max(map(len, found))
    for name, figures in found.items():
        print(f"{name:{width}}  {figures['milliseconds']:8.2f} ms   ×{figures['3000_over_1500']:<5} ×{figures['6000_over_3000']}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
