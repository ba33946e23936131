"""The routes that an interaction's token opens: its one callback, its original response, its follow-ups."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.fakes.discord import rules
from tests.fakes.discord.errors import (
    acknowledged_already,
    dead_token,
    invalid,
    too_many_followups,
    unknown_interaction,
    unknown_message,
    unknown_webhook,
)
from tests.fakes.discord.interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL_SUBMIT, Choice, Interaction
from tests.fakes.discord.messages import EPHEMERAL, Message
from tests.fakes.discord.rest import Call, Route
from tests.fakes.discord.world import Json

if TYPE_CHECKING:
    from tests.fakes.discord.wire import DiscordWire

Done = tuple[int, Any]


class TokenRoutes:
    def __init__(self, wire: DiscordWire) -> None:
        self._wire = wire

    def table(self) -> list[Route]:
        shapes = {
            "POST /interactions/{interaction}/{token}/callback": self.callback,
            "POST /webhooks/{app}/{token}": self.follow_up,
            "GET /webhooks/{app}/{token}/messages/@original": self.get,
            "PATCH /webhooks/{app}/{token}/messages/@original": self.patch,
            "DELETE /webhooks/{app}/{token}/messages/@original": self.delete,
            "GET /webhooks/{app}/{token}/messages/{message}": self.get,
            "PATCH /webhooks/{app}/{token}/messages/{message}": self.patch,
            "DELETE /webhooks/{app}/{token}/messages/{message}": self.delete,
        }
        return [Route(shape, handler, by_token=True) for shape, handler in shapes.items()]

    async def callback(self, call: Call) -> Done:
        it = self._wire.interactions.get(call.params["token"])
        if it is None or str(it.id) != call.params["interaction"]:
            raise unknown_interaction()
        if it.response is not None:
            raise acknowledged_already()
        if it.late:
            raise unknown_interaction()
        kind, data = call.body["type"], call.body.get("data") or {}
        if kind not in self._taken(it):
            raise invalid("type", "INTERACTION_CALLBACK_TYPE", f"Callback type {kind} does not answer an interaction of type {it.kind}")
        if kind == 8:
            rules.choices(data.get("choices"))
            it.choices = [Choice(choice["name"], choice["value"]) for choice in data["choices"]]
        elif kind == 9:
            rules.modal(data)
            it.modal = data
        elif kind == 7:
            message = self._holder(it)
            self._wire.composer.edit(call, data, message, where="data.")
            it.original, it.ephemeral = message, message.ephemeral
        elif kind == 6:
            it.original = self._holder(it)
            it.ephemeral = it.original.ephemeral
        else:
            it.ephemeral = bool((data.get("flags") or 0) & EPHEMERAL)
            it.original = self._respond(call, it, data, deferred=kind == 5)
        it.response, it.acknowledged = kind, time.monotonic()
        it.arrived.set()
        if call.query.get("with_response", "").lower() not in ("1", "true"):
            return 204, None
        return 200, self._told(it)

    @staticmethod
    def _taken(it: Interaction) -> set[int]:
        from_message = {6, 7} if it.message is not None else set()
        return {COMMAND: {4, 5, 9}, COMPONENT: {4, 5, 6, 7, 9}, AUTOCOMPLETE: {8}, MODAL_SUBMIT: {4, 5} | from_message}[it.kind]

    @staticmethod
    def _holder(it: Interaction) -> Message:
        if it.message is None or it.message.deleted:
            raise unknown_message()
        return it.message

    def _respond(self, call: Call, it: Interaction, data: Json, *, deferred: bool) -> Message:
        if deferred:
            return self._wire.composer.placeholder(it.channel, ephemeral=it.ephemeral, seen_by=it.user, metadata=it.metadata())
        return self._wire.composer.create(call, data, it.channel, where="data.", ephemeral=it.ephemeral, seen_by=it.user, metadata=it.metadata())

    def _told(self, it: Interaction) -> Json:
        told: Json = {"interaction": {"id": str(it.id), "type": it.kind, "response_message_loading": False, "response_message_ephemeral": it.ephemeral}}
        if it.original is not None:
            told["interaction"] |= {"response_message_id": str(it.original.id), "response_message_loading": it.original.loading}
            told["resource"] = {"type": it.response, "message": it.original.payload()}
        return told

    def _opened(self, call: Call) -> Interaction:
        it = self._wire.interactions.get(call.params["token"])
        if it is None or call.params["app"] != str(self._wire.application_id):
            raise unknown_webhook()
        if it.dead:
            raise dead_token()
        if it.response is None:
            raise unknown_webhook()
        return it

    def _message(self, call: Call) -> Message:
        it = self._opened(call)
        if "message" in call.params:
            ident = call.id("message")
            reach = [it.original, it.message, *it.followups]
            found = next((message for message in reach if message is not None and message.id == ident), None)
        else:
            found = it.original
        if found is None or found.deleted:
            raise unknown_message()
        return found

    async def follow_up(self, call: Call) -> Done:
        it, body = self._opened(call), call.body or {}
        if it.original is not None and it.original.loading and not it.original.deleted:
            # The first follow-up after a deferral fills the deferred response; its own ephemeral flag means nothing.
            self._wire.composer.edit(call, body, it.original)
            return 200, it.original.payload()
        outside = it.user_install and (it.channel.guild is None or not it.channel.guild.joined)
        if outside and len(it.followups) >= 5:
            raise too_many_followups()
        ephemeral = bool((body.get("flags") or 0) & EPHEMERAL)
        message = self._wire.composer.create(call, body, it.channel, ephemeral=ephemeral, seen_by=it.user, metadata=it.metadata())
        it.followups.append(message)
        return (200, message.payload()) if call.query.get("wait", "").lower() in ("1", "true") else (204, None)

    async def get(self, call: Call) -> Done:
        return 200, self._message(call).payload()

    async def patch(self, call: Call) -> Done:
        message = self._message(call)
        self._wire.composer.edit(call, call.body or {}, message)
        return 200, message.payload()

    async def delete(self, call: Call) -> Done:
        await self._wire.delete_message(self._message(call))
        return 204, None
