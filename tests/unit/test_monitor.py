"""Health and metrics: on a port of their own, true, and in Prometheus' form."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from bot.domain import Actor, Job, Load, Place, Said, Shown, Status
from bot.domain.moderation import Decision, Kind
from bot.monitor import REFUSED_BY, Monitor
from engine.api import ImagineRequest, Part
from engine.fake import FakeEngine
from tests.unit.house import ENGLISH

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(
    id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    request=ImagineRequest(model="m", parts=(Part(text="a fox"),), width=64, height=64, steps=4, guidance=2),
    words="a fox",
    actor=Actor(platform="web", id="local"),
    place=Place(platform="web"),
    cost=1.0,
    created_at=NOW - timedelta(seconds=3),
)


class Books:
    """As much of a store as a monitor asks for."""

    def __init__(self) -> None:
        self.broken = False
        self.error = None

    async def now(self):
        if self.broken:
            raise ConnectionError("gone")
        return NOW

    async def load(self):
        return Load(queued=5, running=2)

    async def shown(self, job_id):
        from dataclasses import replace

        return Shown(job=replace(JOB, status=Status.FAILED if self.error else Status.DONE, error=self.error))


@pytest.fixture
async def house():
    books = Books()
    monitor = Monitor(books, FakeEngine(), host="127.0.0.1", port=0, clock=lambda: NOW)
    await monitor.start()
    task = asyncio.create_task(monitor.run())
    async with aiohttp.ClientSession() as session:

        async def get(path):
            async with session.get(monitor.url + path) as answer:
                return answer.status, await answer.text()

        yield books, monitor, get
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await monitor.aclose()


async def test_healthy_only_once_ready_and_while_the_database_answers(house):
    books, monitor, get = house
    assert (await get("/healthz"))[0] == 503
    monitor.ready()
    assert (await get("/healthz"))[0] == 200
    books.broken = True
    status, text = await get("/healthz")
    assert status == 503 and "ConnectionError" in text


async def test_metrics_tell_depth_waits_and_outcomes(house):
    _, monitor, get = house

    async def draw(job):
        pass

    await monitor.measured(draw)(JOB)
    _, text = await get("/metrics")
    for line in (
        'wordup_jobs{status="queued"} 5.0',
        'wordup_jobs{status="running"} 2.0',
        'wordup_jobs_ended_total{outcome="done"} 1.0',
        "wordup_wait_seconds_sum 3.0",
    ):
        assert line in text
    assert "wordup_event_loop_lag_seconds_bucket" in text and "wordup_batch_rows" in text
    assert 'wordup_words{encoding="remembered"} 0.0' in text and "wordup_models_loaded" in text


async def test_a_draw_that_crashes_is_counted_and_still_raises(house):
    _, monitor, get = house

    async def draw(job):
        raise RuntimeError("device")

    with pytest.raises(RuntimeError):
        await monitor.measured(draw)(JOB)
    assert 'wordup_jobs_ended_total{outcome="crashed"} 1.0' in (await get("/metrics"))[1]


async def test_refusals_reports_and_decisions_are_counted_from_nought(house):
    books, monitor, get = house
    _, text = await get("/metrics")
    assert 'wordup_gate_refusals_total{rule="minors"} 0.0' in text and 'wordup_decisions_total{decision="ban",kind="contest"} 0.0' in text
    for message in ("refused.gate_sexual", "refused.gate_sexual", "refused.gate_upload", "refused.gate_bad_rule", "refused.too_many"):
        monitor.refused(message)
    books.error = Said(message="error.gate_picture")

    async def draw(job):
        pass

    await monitor.measured(draw)(JOB)
    monitor.moderated(Kind.REPORT, None)
    monitor.moderated(Kind.REPORT, Decision.REMOVE)
    _, text = await get("/metrics")
    for line in (
        'wordup_gate_refusals_total{rule="sexual"} 2.0',
        'wordup_gate_refusals_total{rule="upload"} 1.0',
        'wordup_gate_refusals_total{rule="picture"} 1.0',
        'wordup_reports_total{kind="report"} 1.0',
        'wordup_decisions_total{decision="remove",kind="report"} 1.0',
    ):
        assert line in text
    assert "bad_rule" not in text and "too_many" not in text


def test_every_refusal_of_the_gates_is_counted():
    """Each message of theirs, but for the two that are about a server's list of rules."""
    every = {key.partition(".gate_")[2] for key in ENGLISH if ".gate_" in key and key.startswith(("refused.", "error."))}
    assert every - {"bad_rule", "too_many_rules"} == set(REFUSED_BY)


async def test_a_taken_port_turns_metrics_off_and_nothing_else(house):
    _, monitor, get = house
    port = int(monitor.url.rsplit(":", 1)[1])
    second = Monitor(Books(), FakeEngine(), host="127.0.0.1", port=port)
    await second.start()
    assert second.url == ""
    await second.aclose()
    assert (await get("/healthz"))[0] == 503
