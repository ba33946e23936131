"""The one place where a Job meets the Engine. Called by `bot.queue` for every job it claimed.

Blobs in → `engine.run` → frames, contact sheet, clip, and what `engine.look` sees in them → blobs → `store.finish`. What an engine reports as wrong
becomes the job's failure, told and refunded by `store.fail`. Two things are not this module's to decide and go on to the queue: the engine died (the
job is kept and drawn later), and a cancellation.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from PIL import Image

from bot import grid, memory
from bot.board import Board
from bot.domain import CLIP, GRID, Artifact, Job, Said
from bot.errors import Fault
from bot.gate import Policy, asked_of, from_outside, stricter
from bot.gate.licence import forbids_alone, under
from bot.gate.output import Held, OutputGate
from bot.ports import Blobs, Store
from bot.provenance import Provenance
from engine.api import (
    BadInput,
    BadNumbers,
    Engine,
    EngineDied,
    EngineStats,
    Frame,
    ImagineRequest,
    ModelCorrupt,
    ModelMissing,
    OutOfMemory,
    Progress,
    Report,
    Result,
    Seen,
    UnsupportedOperation,
)
from engine.codec import encode_png

log = structlog.get_logger(__name__)

T = TypeVar("T")

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

LOOKED_AT = 9  #: pictures of a job that the image-text model is asked about
LOOK = 2.0  #: seconds it may take, all together, waiting for its turn included
IDLE = 0.5  #: seconds between looks at whether nothing is drawn
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  #: seconds between attempts to write down how a job ended, doubling
PATIENCE = 60.0  #: seconds of such pauses, all together: longer than a database is usually away, and what was drawn is not drawn again


class Workshop:
    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        engine: Engine,
        board: Board,
        *,
        worker: str,
        look: float = LOOK,
        provenance: Provenance | None = None,
        output: OutputGate | None = None,
        policy: Callable[[Job], Awaitable[Policy]] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`worker`: whose claims these jobs are. `look`: seconds that may be spent on what the pictures show.

        `provenance` marks the pictures; without one they are stored as they were drawn. `output` looks at them before anybody sees them, by the `policy` that
        holds where a job was asked for (None: the strict one); without one they are shown as they come.
        """
        self._provenance, self._output, self._policy = provenance, output, policy
        self._store, self._blobs, self._engine, self._board, self._worker, self._look = store, blobs, engine, board, worker, look
        self._jitter = jitter
        self._looks = asyncio.Lock()
        self._look_took = 0.0  # seconds a picture, the last time
        self._late = set[asyncio.Task[tuple[Seen, ...]]]()  # looks that were given up, until they have ended

    async def draw(self, job: Job) -> None:
        """Draw a claimed job to its end and tell the store. Raises EngineDied and CancelledError (the queue decides), and what the store raises."""
        key = job.actor.key
        self._board.changed(job.id, key)

        def report(progress: Progress) -> None:
            self._board.update(job.id, key, progress)

        try:
            outcome = await self._outcome(job, report)
            if isinstance(outcome, Said):
                await self._patiently(job, lambda: self._store.fail(self._worker, job.id, outcome))
            else:
                artifacts, seconds, hidden = outcome
                if not await self._patiently(job, lambda: self._store.finish(self._worker, job.id, artifacts, seconds, hidden=hidden)):
                    log.info("job.no_longer_ours", job=job.id)
        finally:
            self._board.forget(job.id)
            self._board.changed(job.id, key)

    async def _patiently(self, job: Job, verb: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask the store, or write down how it ended; while the database is away, a few times again. Raises Fault in the end.

        A write that had got through after all says False.
        """
        waited = 0.0
        for attempt in itertools.count(1):
            try:
                return await _unbroken(verb())
            except Fault as fault:
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 10)) * (0.5 + self._jitter() / 2)
                if waited + pause > PATIENCE:
                    raise
                log.warning("job.outage", job=job.id, attempt=attempt, seconds=round(pause, 1), error=str(fault))
            await asyncio.sleep(pause)
            waited += pause
        raise AssertionError("unreachable")

    async def _outcome(self, job: Job, report: Any) -> tuple[tuple[Artifact, ...], float, bool] | Said:
        """The pictures, stored, the device seconds they took, and whether they are shown behind a click; or why there are none."""
        try:
            result, hidden = await self._looked_at(job, await self._inputs(job), report)
            return await self._keep(job, result), result.device_seconds, hidden
        except (EngineDied, Fault):  # of the store, which was asked what may be shown
            raise
        except Exception as error:
            said = failure(error, job)
            if said.message == "error.fault":
                log.exception("job.fault", job=job.id)
            else:
                log.warning("job.failed", job=job.id, reason=said.message, error=str(error))
            return said

    async def _looked_at(self, job: Job, inputs: Mapping[str, bytes], report: Report) -> tuple[Result, bool]:
        """What was drawn, and whether it is to be shown behind a click. Raises Held where nobody may see it, and what the engine raises."""
        if self._output is None:
            return await self._engine.run(job.request, inputs, report), False
        place, outside = await self._patiently(job, lambda: self._rules(job))
        can = self._engine.capabilities(job.request.model)
        asked, policy = asked_of(job.request, job.words, photograph=outside), under(place, can.refuses)
        veiled = place.sexual != job.sexual and await self._output.reread(asked, place)  # stricter by now
        await self._output.hold_to(asked, can)
        show = _without_previews(report) if veiled else report
        async with self._output.previews(show, asked, policy, job.request.rows) as seen:
            result = await self._engine.run(job.request, inputs, seen)
        try:
            hidden = await self._output.check([frame.png for frame in result.frames], asked, policy, clip=result.clip)
        except Held as held:
            if held.verdict is not None and forbids_alone(held.verdict, place, asked):
                raise Held(held.verdict, can.title or can.model) from None
            raise
        return result, hidden or veiled

    async def _rules(self, job: Job) -> tuple[Policy, bool]:
        """What holds for this job, and whether a picture from outside is in it. Raises Fault.

        About sexual content the stricter holds of what did when it was asked for and what does now: what was loosened since is not for this one.
        """
        policy = await self._policy(job) if self._policy else Policy()
        policy = replace(policy, sexual=stricter(job.sexual, policy.sexual))
        return policy, await from_outside(self._store, job.request, job.parent, job.actor.key)

    async def _inputs(self, job: Job) -> dict[str, bytes]:
        try:
            return {digest: await self._blobs.get(digest) for digest in job.request.pictures}
        except KeyError as error:
            raise _SourceGone from error

    async def _keep(self, job: Job, result: Result) -> tuple[Artifact, ...]:
        frames, seed = result.frames, result.frames[0].seed
        seen = await self._seen(job, frames)
        artifacts = [
            replace(await self._picture(job, index, frame.seed, frame.png, (frame.width, frame.height)), seen=seen[index] if index < len(seen) else "")
            for index, frame in enumerate(frames)
        ]
        if len(frames) > 1:
            sheet = await grid.compose_async([frame.png for frame in frames])
            artifacts.insert(0, await self._picture(job, GRID, seed, sheet.data, (sheet.width, sheet.height)))
        if result.clip is not None:
            artifacts.insert(0, await self._picture(job, CLIP, seed, result.clip, grid.size(result.clip)))
        return tuple(artifacts)

    async def _picture(self, job: Job, index: int, seed: int, data: bytes, size: tuple[int, int]) -> Artifact:
        """Marked with where it comes from, and stored."""
        fingerprint = ""
        if self._provenance is not None:
            marked = await self._provenance.mark(job, index, seed, data)
            data, fingerprint = marked.data, marked.fingerprint
        digest = await self._blobs.put(data)
        return Artifact(job_id=job.id, index=index, digest=digest, seed=seed, width=size[0], height=size[1], fingerprint=fingerprint)

    async def _seen(self, job: Job, frames: Sequence[Frame]) -> tuple[str, ...]:
        """What the first pictures show, as the model's image-text model says; empty where it has none, takes too long or fails."""
        model = job.request.model
        try:
            if "describe" not in self._engine.capabilities(model).operations:
                return ()
            until = asyncio.get_running_loop().time() + self._look
            looking = asyncio.ensure_future(self._turn(model, [frame.png for frame in frames[:LOOKED_AT]], until))
            try:
                done, _ = await asyncio.wait({looking}, timeout=self._look)
            finally:
                self._let_go(looking)
            found = looking.result() if done else ()
        except Exception as error:  # the pictures are there: nothing that goes wrong here is worth losing them
            log.debug("job.not_looked_at", job=job.id, error=repr(error))
            return ()
        if not done:
            log.debug("job.not_looked_at", job=job.id, error="no answer in time")
        return tuple(each.prompts[0] if each.prompts else "" for each in found)

    async def _turn(self, model: str, pictures: Sequence[bytes], until: float) -> tuple[Seen, ...]:
        """One look at a time: where many share the device, none ends in time. Raises TimeoutError where its turn comes too late to end by `until`."""
        loop = asyncio.get_running_loop()
        async with self._looks:
            began = loop.time()
            if began + self._look_took * len(pictures) > until:
                self._look_took *= 0.8  # what was slow in a flood need not be so for ever
                raise TimeoutError("its turn came too late")
            try:
                return await self._engine.look(model, pictures)
            finally:
                self._look_took = (loop.time() - began) / len(pictures)

    async def warm(self, model: str) -> None:
        """Once, after the start, when this model is ready and nothing is drawn: let its image-text model be read, and its words be known to it.

        Else the first members' pictures would wait for that in vain. Nothing that goes wrong here is anybody's loss.
        """
        try:
            if "describe" not in self._engine.capabilities(model).operations:
                return
            while not _is_idle(self._engine.stats()):  # noqa: ASYNC110  (nobody tells when it is)
                await asyncio.sleep(IDLE)
            if memory.is_short():
                log.info("sight.not_warmed", reason="memory is short")
                return
            async with self._looks:
                began = asyncio.get_running_loop().time()
                await self._engine.look(model, [encode_png(Image.new("RGB", (64, 64)), "")])
            log.info("sight.warmed", model=model, seconds=round(asyncio.get_running_loop().time() - began, 1))
        except Exception as error:
            log.info("sight.not_warmed", reason=repr(error))

    def _let_go(self, looking: asyncio.Task[tuple[Seen, ...]]) -> None:
        """Nobody waits for it any more, even if the device is slow to give it up."""

        def ended(task: asyncio.Task[tuple[Seen, ...]]) -> None:
            self._late.discard(task)
            if not task.cancelled():
                task.exception()  # seen

        if not looking.done():
            looking.cancel()
            self._late.add(looking)
        looking.add_done_callback(ended)


class _SourceGone(Exception):
    """The picture to start from is no longer among the blobs."""


def failure(error: Exception, job: Job) -> Said:
    """What a member is told of an error. Pure."""
    model = job.request.model
    match error:
        case UnsupportedOperation():
            return Said(message="error.cannot", parameters={"model": error.model, "what": error.what})
        case ModelMissing():
            return Said(message="error.model_missing", parameters={"model": model})
        case ModelCorrupt():
            return Said(message="error.model_corrupt", parameters={"model": model})
        case BadInput():
            return Said(message="error.picture_unreadable")
        case OutOfMemory():
            return Said(message="error.out_of_memory")
        case BadNumbers():
            # Guidance is what usually overflows; an upscale has none to lower, so the general apology fits better there.
            return Said(message="error.bad_numbers" if isinstance(job.request, ImagineRequest) else "error.fault")
        case Held():
            return error.said
        case _SourceGone():
            return Said(message="error.source_gone")
        case OSError() if error.errno in _DISK_FULL:
            return Said(message="error.disk_full")
        case OSError():
            return Said(message="error.storage")
    return Said(message="error.fault")


def _without_previews(report: Report) -> Report:
    """How far it is, and nothing of what forms."""
    return lambda progress: report(replace(progress, preview=None))


def _is_idle(stats: EngineStats) -> bool:
    return stats.models_loaded > 0 and stats.rows_in_flight == 0


async def _unbroken(verb: Coroutine[Any, Any, T]) -> T:
    """Let a write end even when this task is cancelled meanwhile: a job must not be left half told."""
    task = asyncio.ensure_future(verb)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:  # cancelled again: the write still comes first
                continue
        if not task.cancelled() and (error := task.exception()):
            log.error("job.untold", error=repr(error))
        raise
