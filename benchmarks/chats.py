"""How soon the chats are answered while the engine draws: fifty commands a second for four seconds, on each wire.

`python -m benchmarks.chats` starts the real program with the pocket model against a stand-in for the platform in this process (which takes its share of the
two cores), and times from handing over a command to its acknowledgement, and to the card that says where it stands. Commands come when they come,
whether the ones before were answered or not.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.acknowledge import histogram_p99, lag_counts, percentile
from tests.fakes.discord import DiscordWire
from tests.fakes.slack import SlackWire
from tests.scenario.bots import discord_settings, environment, slack_settings
from tests.scenario.program import Program

A_SECOND, SECONDS = 50, 4
PLATFORM, PROMISE = 3.0, 0.5  #: seconds: after which the platform gives up; what we mean to keep


async def command(wire: Any, number: int) -> tuple[float, float]:
    """Seconds to the acknowledgement, and to the card."""
    words, loop = f"a red apple number {number} --n 1 --steps 4", asyncio.get_running_loop()
    begun = loop.time()
    if isinstance(wire, DiscordWire):
        answer: Any = await wire.command(wire.ada, wire.art, "imagine", prompt=words)
    else:
        answer = await wire.command(wire.ada, wire.art, "/imagine", words)
    acknowledged = answer.acknowledged_after
    title = f"a red apple number {number}"
    await wire.until(lambda: any(title in _read(message) for message in reversed(wire.messages(wire.art))))
    return acknowledged, loop.time() - begun


def _read(message: Any) -> str:
    return str(message.content if hasattr(message, "content") else message.plain)


async def measure(name: str, folder: Path) -> dict[str, float]:
    wire: Any = DiscordWire() if name == "discord" else SlackWire()
    wire.ack_seconds = 60.0  # what comes late is measured, not refused
    async with wire:
        limits = {"WORDUP_QUEUED_PER_MEMBER": "1000", "WORDUP_QUEUED_TOTAL": "1000", "WORDUP_CREDITS_CAP": "100000", "OMP_NUM_THREADS": ""}
        program = Program(folder, **limits, **environment(discord_settings(wire) if name == "discord" else slack_settings(wire)))
        await asyncio.to_thread(program.start)
        try:
            await wire.connected()
            await command(wire, 0)  # everything is imported and loaded now
            if isinstance(wire, DiscordWire):
                await wire.command(wire.bob, wire.art, "imagine", prompt="an owl at night --n 9 --steps 60")
            else:
                await wire.command(wire.bob, wire.art, "/imagine", "an owl at night --n 9 --steps 60")
            before = lag_counts((await asyncio.to_thread(program.get, program.metrics + "/metrics"))[1])
            async with asyncio.TaskGroup() as group:
                tasks = []
                for number in range(A_SECOND * SECONDS):
                    tasks.append(group.create_task(command(wire, number + 1)))
                    await asyncio.sleep(1 / A_SECOND)
            after = lag_counts((await asyncio.to_thread(program.get, program.metrics + "/metrics"))[1])
        finally:
            program.kill()
    acks, cards = [task.result()[0] for task in tasks], [task.result()[1] for task in tasks]
    return {
        f"{name}_acknowledgement_p50_s": percentile(acks, 0.5),
        f"{name}_acknowledgement_p99_s": percentile(acks, 0.99),
        f"{name}_card_p50_s": percentile(cards, 0.5),
        f"{name}_card_p99_s": percentile(cards, 0.99),
        f"{name}_loop_lag_p99_s": histogram_p99(before, after),
    }


def main() -> None:
    found: dict[str, float] = {}
    for name in ("discord", "slack"):
        with tempfile.TemporaryDirectory() as folder:
            found |= asyncio.run(measure(name, Path(folder)))
    for key, value in found.items():
        ratio = f"   {value / PROMISE:.2f} of the promised {PROMISE} s, {value / PLATFORM:.2f} of the platform's {PLATFORM:.0f} s" if "ment_p99" in key else ""
        print(f"{key:34} {value:8.3f}{ratio}")
    print(json.dumps({key: round(value, 4) for key, value in found.items()}))


if __name__ == "__main__":
    main()
