"""Pictures into Slack and members' files out of it. Used by `bot.chat.slack.posts`, `home` and `handlers`.

A picture is uploaded once, shared nowhere, and shown by image blocks wherever its card stands; which file is which picture is remembered by job
(memo ``slack:files:<job>``: JSON, digest → file id), so that a retried card, /show and the home tab use the same file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakValueDictionary

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError

from bot.chat.blur import blurred_async
from bot.chat.fetching import Foreign, TooHeavy, Unfit, Unreachable, fetch
from bot.chat.pictures import fitted_async, gif_async
from bot.chat.slack import limits, trouble
from bot.chat.slack.blocks import Catalogue
from bot.chat.slack.events import FileRef
from bot.chat.slack.wire import Wire
from bot.domain import Actor, Card, Picture, Upload, Visibility
from bot.errors import BadPicture, NotFound
from bot.ports import Memos

log = structlog.get_logger(__name__)

Bytes = Callable[[Actor, str], Awaitable[bytes]]
"""A stored picture that this member may see. Raises NotFound."""

WAITS = (0.1, 0.2, 0.4, 0.8, 1.5, 2.0, 3.0, 4.0)  #: seconds between looks at whether a file can be shown yet
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")  #: what image blocks show
_BLURRED = ":blurred"  #: ends the names under which blurred pictures are remembered, beside those of the same pictures as they are
_UPLOAD = "upload"  #: where pictures are sent to, beside the methods of `Pace`


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """`ids`: digest → Slack's file. `notes`: sentences for the card about what could not be shown as it is."""

    ids: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Files:
    def __init__(self, wire: Wire, memos: Memos, *, hosts: frozenset[str], max_upload: int) -> None:
        self._wire, self._memos, self._hosts, self._max_upload = wire, memos, hosts, max_upload
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # -- into Slack

    async def shown(self, card: Card, actor: Actor, read: Bytes, catalogue: Catalogue) -> Uploaded:
        """The card's stored pictures, and its clip, as files. Raises what is worth another try; what is not becomes a note."""
        wanted = [each for each in card.files if each.digest and not (_veiled(card) and each.moves)]
        if not wanted:
            return Uploaded()
        key = _key(card, wanted[0])
        async with self._lock(key):
            ids, notes = await self._recall(key), []
            for picture in wanted:
                if picture.digest in ids:
                    notes += _smaller(ids[picture.digest], catalogue)
                    continue
                try:
                    data = picture.data or await read(actor, picture.digest)
                    note = await self._upload(key, ids, picture, await blurred_async(data) if _veiled(card) else data, catalogue)
                except NotFound:
                    continue  # deleted since the card was made
                except (SlackApiError, trouble.Never) as error:
                    if trouble.passing(error):
                        raise
                    log.warning("slack.no_upload", job=card.job_id, error=trouble.name_of(error) or str(error))
                    note = catalogue.say("chat.picture_kept")
                notes += [note] if note else []
        notes += [catalogue.say("chat.blurred")] if _veiled(card) else []
        return Uploaded(ids={digest: name.partition("?")[0] for digest, name in ids.items()}, notes=tuple(dict.fromkeys(notes)))

    async def known(self, job_id: str) -> Mapping[str, str]:
        """Those uploaded before, by digest."""
        return {digest: name.partition("?")[0] for digest, name in (await self._recall(f"slack:files:{job_id}")).items()}

    def kept(self, card: Card, catalogue: Catalogue) -> tuple[str, ...]:
        """What a card without its pictures says about them."""
        return (catalogue.say("chat.picture_kept"),) if any(each.digest for each in card.files) else ()

    async def mend(self, card: Card) -> None:
        """Slack would not show one: wait for those still being processed, and forget those that are gone."""
        wanted = [each for each in card.files if each.digest]
        if not wanted:
            return
        key = _key(card, wanted[0])
        async with self._lock(key):
            ids = await self._recall(key)
            for digest, name in tuple(ids.items()):
                try:
                    await self._processed(name.partition("?")[0])
                except SlackApiError as error:
                    if trouble.name_of(error) not in trouble.FILE_GONE:
                        raise
                    del ids[digest]
            await self._memos.remember(key, json.dumps(ids))

    async def delete(self, job_id: str) -> None:
        """The files of a job, as far as Slack lets us."""
        for key in (f"slack:files:{job_id}", f"slack:files:{job_id}{_BLURRED}"):
            await self._delete(key, job_id)

    async def _delete(self, key: str, job_id: str) -> None:
        async with self._lock(key):
            for name in (await self._recall(key)).values():
                try:
                    await self._wire.client.files_delete(file=name.partition("?")[0])
                except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                    log.info("slack.file_stays", job=job_id, error=trouble.name_of(error) or type(error).__name__)
            await self._memos.remember(key, "")

    async def _upload(self, key: str, ids: dict[str, str], picture: Picture, data: bytes, catalogue: Catalogue) -> str:
        """Upload one, wait until it can be shown, and remember it. Answers with what must be said about it."""
        if picture.moves:
            fits = await gif_async(data, picture.name, limits.FILE)
        else:
            fits = await fitted_async(data, picture.name, limits.FILE, small="JPEG")
            if fits is not None and not fits.data.startswith(MAGIC):
                fits = await fitted_async(fits.data, picture.name, max(1, len(fits.data) - 1), small="JPEG")
        if fits is None:
            return catalogue.say("card.clip_left_out" if picture.moves else "card.left_out", limit=limits.FILE_MB)
        file, _ = await self.put(fits.name, fits.data, alt=picture.alt)
        ids[picture.digest] = f"{file}?smaller" if len(data) > limits.FILE else file
        await self._memos.remember(key, json.dumps(ids))
        await self._processed(file)
        return "".join(_smaller(ids[picture.digest], catalogue))

    async def put(self, name: str, data: bytes | Path, *, alt: str = "", channel: str = "", thread: str = "") -> tuple[str, str]:
        """Upload bytes, or a file piece by piece, shared nowhere or into a channel: its id, and where it can be looked at. Raises NotFound."""
        client = self._wire.client
        told = await client.files_getUploadURLExternal(filename=name, length=await size_of(data), alt_txt=alt[: limits.UPLOAD_ALT])
        file = str(told["file_id"])
        await self._send(str(told["upload_url"]), data)
        done = await client.files_completeUploadExternal(files=[{"id": file, "title": name}], channel_id=channel or None, thread_ts=thread or None)
        kept = (done.get("files") or [{}])[0]
        return file, str(kept.get("permalink") or "")

    async def _send(self, url: str, data: bytes | Path) -> None:
        """To the address that Slack gave for it, which needs no token. Raises NotFound."""
        session = self._wire.session
        if session is None or session.closed:
            raise trouble.Later("closing")
        await self._wire.pace.wait(_UPLOAD)
        try:
            with _opened(data) as body:
                async with session.post(url, data=body, allow_redirects=False) as answer:
                    status, headers = answer.status, answer.headers
        except (aiohttp.ClientError, TimeoutError) as error:  # some name the address, which is a key
            raise trouble.Later(f"upload: {type(error).__name__}") from None
        if status == 429 or status >= 500:
            later = trouble.Later(f"upload: {status}")
            if status == 429:
                self._wire.pace.told(_UPLOAD, later, trouble.seconds_in(headers))
            raise later
        if status != 200:
            raise trouble.Never(f"upload: {status}")

    async def _processed(self, file: str) -> None:
        """Wait until Slack knows what kind of file it is: until then no block may show it. Raises Later."""
        for wait in (*WAITS, 0.0):
            try:
                told = await self._wire.client.files_info(file=file)
            except SlackApiError as error:
                if trouble.name_of(error) != "missing_scope":
                    raise
                await asyncio.sleep(1.0)  # we may not look: most are ready by then
                return
            if (told["file"] or {}).get("mimetype"):
                return
            await asyncio.sleep(wait)
        raise trouble.Later("the picture is still being processed")

    async def _recall(self, key: str) -> dict[str, str]:
        try:
            kept: Any = json.loads(await self._memos.recall(key) or "{}")
        except ValueError:
            return {}
        return {str(digest): str(name) for digest, name in kept.items()} if isinstance(kept, dict) else {}

    def _lock(self, key: str) -> asyncio.Lock:
        lock = self._locks.get(key) or asyncio.Lock()
        self._locks[key] = lock
        return lock

    # -- out of Slack

    async def fetch(self, ref: FileRef) -> Upload:
        """A member's file. Raises BadPicture, whose message says what to do."""
        try:
            url = ref.url or str(((await self._wire.client.files_info(file=ref.id))["file"] or {}).get("url_private") or "")
            if (session := self._wire.session) is None:
                raise trouble.Later("closing")
            headers = {"Authorization": f"Bearer {self._wire.token}"}
            data = await fetch(session, url, self._hosts, limit=self._max_upload, headers=headers)
            return Upload(name=ref.name, data=data, role=ref.role)
        except Foreign:
            raise BadPicture("chat.foreign") from None
        except TooHeavy:
            raise BadPicture("error.picture_too_heavy", limit=max(1, self._max_upload // 2**20)) from None
        except Unfit as unfit:  # Slack answers with a page that asks for a sign-in, where it does not let us
            raise BadPicture("chat.unreachable" if str(unfit) == "text/html" else "error.picture_unreadable") from None
        except (Unreachable, SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("slack.not_fetched", error=trouble.name_of(error) or type(error).__name__)
            raise BadPicture("chat.unreachable") from None


async def size_of(data: bytes | Path) -> int:
    """Bytes. Raises NotFound for a file that is there no more."""
    if isinstance(data, bytes):
        return len(data)
    try:
        return (await asyncio.to_thread(data.stat)).st_size
    except FileNotFoundError:
        raise NotFound("error.not_found") from None


def _opened(data: bytes | Path) -> contextlib.AbstractContextManager[bytes | BinaryIO]:
    """What is sent: bytes as they are, a file to be read while it is sent. Raises NotFound."""
    try:
        return contextlib.nullcontext(data) if isinstance(data, bytes) else data.open("rb")
    except FileNotFoundError:
        raise NotFound("error.not_found") from None


def _key(card: Card, first: Picture) -> str:
    """Cards that stand for no job (the pictures sent to a member directly) remember theirs by the picture."""
    return f"slack:files:{card.job_id or first.digest}{_BLURRED if _veiled(card) else ''}"


def _veiled(card: Card) -> bool:
    """Whether its pictures must not be seen without a click, of which Slack has none: what goes to one member alone was asked for by one."""
    moderators = card.status is None  # a case stands for no job, in a channel of theirs alone: what cannot be seen cannot be decided about
    return card.spoiler and card.visibility is Visibility.PUBLIC and not moderators


def _smaller(name: str, catalogue: Catalogue) -> list[str]:
    return [catalogue.say("card.smaller", limit=limits.FILE_MB)] if name.endswith("?smaller") else []
