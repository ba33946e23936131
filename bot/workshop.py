"""The one place where a Job meets the Engine. Called by `bot.queue` for every job it claimed.

Blobs in → `engine.run` → frames, contact sheet and clip → blobs → `store.finish`. What an engine reports as wrong becomes the job's failure, told
and refunded by `store.fail`. Two things are not this module's to decide and go on to the queue: the engine died (the job is kept and drawn
later), and a cancellation.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine
from typing import Any

import structlog

from bot import grid
from bot.board import Board
from bot.domain import CLIP, GRID, Artifact, Job, Said
from bot.ports import Blobs, Store
from engine.api import (
    BadInput,
    BadNumbers,
    Engine,
    EngineDied,
    ImagineRequest,
    ModelCorrupt,
    ModelMissing,
    OutOfMemory,
    Progress,
    Result,
    UnsupportedOperation,
)

log = structlog.get_logger(__name__)

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Workshop:
    def __init__(self, store: Store, blobs: Blobs, engine: Engine, board: Board, *, worker: str) -> None:
        self._store, self._blobs, self._engine, self._board, self._worker = store, blobs, engine, board, worker

    async def draw(self, job: Job) -> None:
        """Draw a claimed job to its end and tell the store. Raises EngineDied and CancelledError (the queue decides), and what the store raises."""
        key = job.actor.key
        self._board.changed(job.id, key)

        def report(progress: Progress) -> None:
            self._board.update(job.id, key, progress)

        try:
            outcome = await self._outcome(job, report)
            if isinstance(outcome, Said):
                await _unbroken(self._store.fail(self._worker, job.id, outcome))
            else:
                artifacts, seconds = outcome
                if not await _unbroken(self._store.finish(self._worker, job.id, artifacts, seconds)):
                    log.info("job.no_longer_ours", job=job.id)
        finally:
            self._board.forget(job.id)
            self._board.changed(job.id, key)

    async def _outcome(self, job: Job, report: Any) -> tuple[tuple[Artifact, ...], float] | Said:
        """The pictures, stored, and the device seconds they took; or why there are none."""
        try:
            result = await self._engine.run(job.request, await self._inputs(job), report)
            return await self._keep(job, result), result.device_seconds
        except EngineDied:
            raise
        except Exception as error:
            said = failure(error, job)
            if said.message == "error.fault":
                log.exception("job.fault", job=job.id)
            else:
                log.warning("job.failed", job=job.id, reason=said.message, error=str(error))
            return said

    async def _inputs(self, job: Job) -> dict[str, bytes]:
        try:
            return {digest: await self._blobs.get(digest) for digest in job.request.pictures}
        except KeyError as error:
            raise _SourceGone from error

    async def _keep(self, job: Job, result: Result) -> tuple[Artifact, ...]:
        frames, seed = result.frames, result.frames[0].seed
        artifacts = [
            Artifact(job_id=job.id, index=index, digest=await self._blobs.put(frame.png), seed=frame.seed, width=frame.width, height=frame.height)
            for index, frame in enumerate(frames)
        ]
        if len(frames) > 1:
            sheet = await grid.compose_async([frame.png for frame in frames])
            digest = await self._blobs.put(sheet.data)
            artifacts.insert(0, Artifact(job_id=job.id, index=GRID, digest=digest, seed=seed, width=sheet.width, height=sheet.height))
        if result.clip is not None:
            width, height = grid.size(result.clip)
            artifacts.insert(0, Artifact(job_id=job.id, index=CLIP, digest=await self._blobs.put(result.clip), seed=seed, width=width, height=height))
        return tuple(artifacts)


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
        case _SourceGone():
            return Said(message="error.source_gone")
        case OSError() if error.errno in _DISK_FULL:
            return Said(message="error.disk_full")
        case OSError():
            return Said(message="error.storage")
    return Said(message="error.fault")


async def _unbroken(verb: Coroutine[Any, Any, bool]) -> bool:
    """Let the last write end even when this task is cancelled meanwhile: a job must not be left half told."""
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
