"""The gateway: sessions that can be resumed, the sockets they use, and what each may hear by its intents.

https://discord.com/developers/docs/events/gateway
"""

from __future__ import annotations

import asyncio
import importlib
import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from tests.fakes.discord.world import Channel, Json

if TYPE_CHECKING:
    from tests.fakes.discord.stage import Stage

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, RESUME, RECONNECT, MEMBERS, INVALID, HELLO, ACK = 0, 1, 2, 3, 6, 7, 8, 9, 10, 11
GUILDS, GUILD_MESSAGES, GUILD_REACTIONS, DM_MESSAGES, DM_REACTIONS, MESSAGE_CONTENT = 1 << 0, 1 << 9, 1 << 10, 1 << 12, 1 << 13, 1 << 15
PRIVILEGED = 1 << 1 | 1 << 8 | MESSAGE_CONTENT
IN_GUILDS = {"GUILD": GUILDS, "CHANNEL": GUILDS, "MESSAGE_REACTION": GUILD_REACTIONS, "MESSAGE": GUILD_MESSAGES}
IN_DIRECT = {"MESSAGE_REACTION": DM_REACTIONS, "MESSAGE": DM_MESSAGES}


def _compressor(asked: str | None) -> Callable[[str], bytes] | None:
    """What `compress=` in the query asks for; None is plain text."""
    if asked == "zlib-stream":
        deflate = zlib.compressobj()
        return lambda text: deflate.compress(text.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
    if asked == "zstd-stream":
        # discord.py asks for it only where one of these is installed.
        for name in ("compression.zstd", "backports.zstd"):
            try:
                zstd: Any = importlib.import_module(name)
            except ImportError:
                continue
            squeeze = zstd.ZstdCompressor()
            return lambda text: squeeze.compress(text.encode(), mode=squeeze.FLUSH_BLOCK)
        zstandard: Any = importlib.import_module("zstandard")
        stream = zstandard.ZstdCompressor().compressobj()
        return lambda text: stream.compress(text.encode()) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return None


class Connection:
    """One socket. What is said goes through a queue, so saying never waits."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket, self.request = socket, request
        self.session: Session | None = None
        self._compress = _compressor(request.query.get("compress"))
        self._outbox: asyncio.Queue[Json | None] = asyncio.Queue()
        self.done = asyncio.Event()

    def say(self, op: int, data: Any = None, *, seq: int | None = None, event: str | None = None) -> None:
        self._outbox.put_nowait({"op": op, "d": data, "s": seq, "t": event})

    async def speak(self) -> None:
        """Runs beside the reader until the socket is gone."""
        while (frame := await self._outbox.get()) is not None:
            text = json.dumps(frame, separators=(",", ":"))
            try:
                if self._compress is None:
                    await self.socket.send_str(text)
                else:
                    await self.socket.send_bytes(self._compress(text))
            except (ConnectionError, RuntimeError):
                return

    def hush(self) -> None:
        self._outbox.put_nowait(None)

    def cut(self) -> None:
        """As when the network goes: no closing frame (1006)."""
        if self.request.transport is not None:
            self.request.transport.abort()


@dataclass(eq=False, kw_only=True)
class Session:
    id: str
    intents: int
    shard: tuple[int, int]
    identify: Json
    connection: Connection | None = None
    ready: bool = False
    dead: bool = False
    seq: int = 0
    log: list[tuple[int, str, Json]] = field(default_factory=list)

    def tell(self, event: str, data: Json) -> None:
        """Kept for a resume, sent at once where somebody listens."""
        self.seq += 1
        self.log.append((self.seq, event, data))
        if self.connection is not None:
            self.connection.say(DISPATCH, data, seq=self.seq, event=event)

    def hears(self, event: str, guild_id: int | None) -> bool:
        if (0 if guild_id is None else (guild_id >> 22) % self.shard[1]) != self.shard[0]:
            return False
        table = IN_DIRECT if guild_id is None else IN_GUILDS
        needed = next((bit for prefix, bit in table.items() if event.startswith(prefix)), 0)
        return not needed or bool(self.intents & needed)


class Gateway:
    def __init__(self, wire: Stage) -> None:
        self._wire = wire
        self.sessions: list[Session] = []
        self.connections: list[Connection] = []
        self.identifies: list[Json] = []
        self.resumes = 0
        self.presences: list[Json] = []
        self.heartbeats = 0
        self.heartbeat_interval = 5.0
        self.again = 0
        """How many delivered dispatches the next RESUME brings once more."""

    @property
    def live(self) -> list[Session]:
        return [session for session in self.sessions if session.ready and session.connection is not None]

    def dispatch(self, event: str, data: Json, channel: Channel | None = None, guild_id: int | None = None) -> None:
        """To every session that may hear it; one that is away hears it when it resumes."""
        if channel is not None:
            if not channel.reachable and event != "INTERACTION_CREATE" and not event.startswith("CHANNEL"):
                return
            guild_id = channel.guild.id if channel.guild else None
        for session in self.sessions:
            # Interactions need no intent, and of a guild without the bot they come on shard 0.
            if not session.dead and session.ready and (event == "INTERACTION_CREATE" or session.hears(event, guild_id)):
                session.tell(event, self._for(session, event, data, guild_id))

    def _for(self, session: Session, event: str, data: Json, guild_id: int | None) -> Json:
        """Other people's words are blank without the message content intent, unless they name the bot or are a direct message."""
        if event not in ("MESSAGE_CREATE", "MESSAGE_UPDATE") or guild_id is None or session.intents & MESSAGE_CONTENT:
            return data
        me = str(self._wire.bot.id)
        if data["author"]["id"] == me or any(user["id"] == me for user in data["mentions"]):
            return data
        return {**data, "content": "", "attachments": [], "embeds": [], "components": []}

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=4096 * 4, timeout=1.0)
        await socket.prepare(request)
        connection = Connection(socket, request)
        self.connections.append(connection)
        connection.say(HELLO, {"heartbeat_interval": int(self.heartbeat_interval * 1000), "_trace": ["fake"]})
        speaker = asyncio.create_task(connection.speak())
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._heard(connection, json.loads(frame.data))
        finally:
            connection.hush()
            session = connection.session
            if session is not None and session.connection is connection:
                session.connection = None
                # A client that says goodbye itself ends its session; one that is cut off does not.
                session.dead = session.dead or socket.close_code in (1000, 1001)
            self.connections.remove(connection)
            await speaker
            connection.done.set()
        return socket

    async def _heard(self, connection: Connection, frame: Json) -> None:
        op: int | None = frame.get("op")
        data: Any = frame.get("d")
        if op == HEARTBEAT:
            self.heartbeats += 1
            connection.say(ACK)
        elif op == IDENTIFY:
            await self._identify(connection, data)
        elif op == RESUME:
            await self._resume(connection, data)
        elif connection.session is None:
            await connection.socket.close(code=4003, message=b"Not authenticated.")
        elif op == PRESENCE:
            self.presences.append(data)
        elif op == MEMBERS:
            self._members(connection.session, data)

    async def _identify(self, connection: Connection, data: Json) -> None:
        if data.get("token") != self._wire.token:
            await connection.socket.close(code=4004, message=b"Authentication failed.")
            return
        if data.get("intents", 0) & PRIVILEGED & ~self._wire.privileged_intents:
            await connection.socket.close(code=4014, message=b"Disallowed intent(s).")
            return
        self.identifies.append(data)
        if data.get("presence"):
            self.presences.append(data["presence"])
        shard = tuple(data.get("shard") or (0, 1))
        session = Session(id=secrets.token_hex(16), intents=data["intents"], shard=(shard[0], shard[1]), identify=data, connection=connection)
        connection.session = session
        self.sessions.append(session)
        wire = self._wire
        mine = [guild for guild in wire.guilds if guild.joined and (guild.id >> 22) % shard[1] == shard[0]]
        session.tell(
            "READY",
            {
                "v": 10,
                "user": {**wire.bot.payload(), "verified": True, "mfa_enabled": True, "email": None},
                "guilds": [{"id": str(guild.id), "unavailable": True} for guild in mine],
                "session_id": session.id,
                "resume_gateway_url": wire.gateway_url,
                "shard": list(shard),
                "application": {"id": str(wire.application_id), "flags": 1 << 23},
                "session_type": "normal",
                "private_channels": [],
                "relationships": [],
                "presences": [],
                "guild_join_requests": [],
                "geo_ordered_rtc_regions": [],
                "_trace": ["fake"],
            },
        )
        session.ready = True
        if session.intents & GUILDS:
            for guild in mine:
                session.tell("GUILD_CREATE", guild.payload(wire.bot))

    async def _resume(self, connection: Connection, data: Json) -> None:
        session = next((s for s in self.sessions if s.id == data.get("session_id") and not s.dead), None)
        if session is None or data.get("token") != self._wire.token:
            connection.say(INVALID, False)
            return
        if session.connection is not None:
            session.connection.cut()
        self.resumes += 1
        after, self.again = max(0, (data.get("seq") or 0) - self.again), 0
        session.connection, connection.session = connection, session
        for seq, event, kept in session.log:
            # READY starts a session and is not among what a resume brings back.
            if seq > after and event != "READY":
                connection.say(DISPATCH, kept, seq=seq, event=event)
        session.tell("RESUMED", {"_trace": ["fake"]})

    def _members(self, session: Session, data: Json) -> None:
        guild = next((g for g in self._wire.guilds if str(g.id) == str(data.get("guild_id")) and g.joined), None)
        if guild is None:
            return
        wanted = {str(user) for user in data.get("user_ids") or []}
        everybody = [self._wire.bot, *guild.members]
        found = [user for user in everybody if (str(user.id) in wanted if wanted else user.name.startswith(data.get("query") or ""))]
        chunk: Json = {"guild_id": str(guild.id), "members": [user.member() for user in found], "chunk_index": 0, "chunk_count": 1, "not_found": []}
        session.tell("GUILD_MEMBERS_CHUNK", chunk | ({"nonce": data["nonce"]} if data.get("nonce") else {}))

    async def drop(self) -> None:
        """Cuts every socket; the sessions can be resumed."""
        gone = list(self.connections)
        for connection in gone:
            connection.cut()
        for connection in gone:
            await connection.done.wait()

    async def _turn_away(self, op: int, data: Any) -> None:
        gone = list(self.connections)
        for connection in gone:
            connection.say(op, data)
        for connection in gone:
            await asyncio.wait_for(connection.done.wait(), 10)

    async def reconnect(self) -> None:
        """Asks every client to come back and resume (op 7)."""
        await self._turn_away(RECONNECT, None)

    async def invalidate(self, *, resumable: bool = False) -> None:
        """Op 9: without `resumable` the sessions are over."""
        if not resumable:
            for session in self.sessions:
                session.dead = True
        await self._turn_away(INVALID, resumable)

    async def close(self) -> None:
        for connection in list(self.connections):
            await connection.socket.close(code=1001, message=b"the fake closes")
        for connection in list(self.connections):
            connection.cut()
