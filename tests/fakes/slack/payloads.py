"""The bodies that Slack sends to an app, after its reference and the sample payloads (`tests.fakes.slack.samples` compares)."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.fakes.slack.model import Channel, File, Message, User, View
from tests.fakes.slack.world import SEQUENCE, World

Payload = dict[str, Any]


def escaped(text: str) -> str:
    """What a member typed, as Slack hands it on in commands and messages; its own sequences (mentions, links) are left whole."""
    parts = re.split(f"({SEQUENCE.pattern})", text)
    return "".join(part if index % 2 else part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for index, part in enumerate(parts))


def plain(text: str) -> Payload:
    return {"type": "plain_text", "text": text, "emoji": True}


def file_payload(world: World, file: File) -> Payload:
    """Before its processing has ended a file has neither kind nor thumbnails."""
    processed = time.monotonic() >= file.completed + world.processing_seconds
    mimetype, filetype = file.kind if processed else ("", "")
    return {
        "id": file.id,
        "created": 1767323045,
        "timestamp": 1767323045,
        "name": file.name,
        "title": file.title or file.name,
        "mimetype": mimetype,
        "filetype": filetype,
        "pretty_type": filetype.upper(),
        "user": file.user,
        "user_team": world.team_id,
        "editable": False,
        "size": file.length,
        "mode": "hosted",
        "is_external": False,
        "external_type": "",
        "is_public": any(world.channels[c].kind == "public" for c in file.channels),
        "public_url_shared": False,
        "display_as_bot": False,
        "username": "",
        "url_private": world.url_private(file),
        "url_private_download": world.url_private(file).replace(file.id, f"{file.id}/download", 1),
        "permalink": world.permalink(file),
        "alt_txt": file.alt_text,
        "comments_count": 0,
        "is_starred": False,
        "shares": {},
        "channels": sorted(c for c in file.channels if c.startswith("C")),
        "groups": [],
        "ims": sorted(c for c in file.channels if c.startswith("D")),
        "has_more_shares": False,
        "has_rich_preview": False,
        "file_access": "visible",
        "media_display_type": "unknown",
    }


def message_payload(message: Message, *, metadata: bool = True) -> Payload:
    world = message.world
    told: Payload = {"type": "message", "user": message.user, "ts": message.ts, "text": message.text, "team": world.team_id}
    if message.user == world.bot_user_id:
        told |= {"bot_id": world.bot_id, "app_id": world.app_id}
    if message.blocks:
        told["blocks"] = message.blocks
    if message.metadata and metadata:
        told["metadata"] = message.metadata
    if message.thread_ts:
        told["thread_ts"] = message.thread_ts
    if message.edits:
        told["edited"] = {"user": message.user, "ts": message.ts}
    if message.files:
        told["files"] = [file_payload(world, file) for file in message.files]
    return told


def view_payload(world: World, view: View) -> Payload:
    body = view.body
    return {
        "id": view.id,
        "team_id": world.team_id,
        "type": body["type"],
        "blocks": body["blocks"],
        "private_metadata": body.get("private_metadata", ""),
        "callback_id": body.get("callback_id", ""),
        "state": {"values": view.state},
        "hash": view.hash,
        "title": body.get("title", plain("View Title")),
        "clear_on_close": body.get("clear_on_close", False),
        "notify_on_close": body.get("notify_on_close", False),
        "close": body.get("close"),
        "submit": body.get("submit"),
        "previous_view_id": None,
        "root_view_id": view.root or view.id,
        "app_id": world.app_id,
        "external_id": body.get("external_id", ""),
        "app_installed_team_id": world.team_id,
        "bot_id": world.bot_id,
    }


def _channel_name(channel: Channel) -> str:
    return {"public": channel.name, "private": "privategroup", "im": "directmessage"}[channel.kind]


def command(world: World, user: User, channel: Channel, name: str, text: str, trigger_id: str, response_url: str) -> Payload:
    return {
        "token": world.verification_token,
        "team_id": world.team_id,
        "team_domain": "wordup",
        "channel_id": channel.id,
        "channel_name": _channel_name(channel),
        "user_id": user.id,
        "user_name": user.name,
        "command": name,
        "text": escaped(text),
        "api_app_id": world.app_id,
        "is_enterprise_install": "false",
        "response_url": response_url,
        "trigger_id": trigger_id,
    }


def _interactive(world: World, kind: str, user: User) -> Payload:
    return {
        "type": kind,
        "team": {"id": world.team_id, "domain": "wordup"},
        "user": {"id": user.id, "name": user.name, "team_id": world.team_id},
        "token": world.verification_token,
        "enterprise": None,
        "is_enterprise_install": False,
    }


def _new_name(told: Payload, user: User) -> Payload:
    told["user"]["username"] = user.name
    return told


def block_actions(world: World, user: User, place: Message | View, action: Payload, trigger_id: str, response_url: str) -> Payload:
    told = _new_name(_interactive(world, "block_actions", user), user) | {
        "api_app_id": world.app_id,
        "trigger_id": trigger_id,
        "actions": [{**action, "action_ts": f"{time.time():.6f}"}],
        "state": {"values": place.state},
    }
    if isinstance(place, View):
        return told | {"container": {"type": "view", "view_id": place.id}, "view": view_payload(world, place)}
    channel = world.channels[place.channel]
    told |= {
        "container": {"type": "message", "message_ts": place.ts, "channel_id": channel.id, "is_ephemeral": place.ephemeral},
        "channel": {"id": channel.id, "name": _channel_name(channel)},
        "response_url": response_url,
    }
    if place.thread_ts:
        told["container"]["thread_ts"] = place.thread_ts
    return told if place.ephemeral else told | {"message": message_payload(place)}


def message_action(world: World, user: User, message: Message, callback_id: str, trigger_id: str, response_url: str) -> Payload:
    channel = world.channels[message.channel]
    return _interactive(world, "message_action", user) | {
        "callback_id": callback_id,
        "trigger_id": trigger_id,
        "message_ts": message.ts,
        "response_url": response_url,
        "action_ts": f"{time.time():.6f}",
        "channel": {"id": channel.id, "name": _channel_name(channel)},
        "message": message_payload(message),
    }


def shortcut(world: World, user: User, callback_id: str, trigger_id: str) -> Payload:
    """A global shortcut: it knows no channel, so there is no response_url."""
    return _new_name(_interactive(world, "shortcut", user), user) | {
        "callback_id": callback_id,
        "trigger_id": trigger_id,
        "action_ts": f"{time.time():.6f}",
    }


def view_submission(world: World, user: User, view: View, trigger_id: str) -> Payload:
    told = _new_name(_interactive(world, "view_submission", user), user)
    return told | {"api_app_id": world.app_id, "trigger_id": trigger_id, "view": view_payload(world, view)}


def view_closed(world: World, user: User, view: View) -> Payload:
    told = _new_name(_interactive(world, "view_closed", user), user)
    return told | {"api_app_id": world.app_id, "view": view_payload(world, view), "is_cleared": False}


def event(world: World, inner: Payload) -> Payload:
    authorization = {"enterprise_id": None, "team_id": world.team_id, "user_id": world.bot_user_id, "is_bot": True, "is_enterprise_install": False}
    return {
        "token": world.verification_token,
        "team_id": world.team_id,
        "api_app_id": world.app_id,
        "event": inner,
        "type": "event_callback",
        "event_id": world.new_id("Ev"),
        "event_time": int(time.time()),
        "authorizations": [authorization],
        "is_ext_shared_channel": False,
        "event_context": f"4-{world.new_id('x')}",
    }


def reaction(world: World, user: User, message: Message, name: str, kind: str) -> Payload:
    item = {"type": "message", "channel": message.channel, "ts": message.ts}
    inner = {"type": kind, "user": user.id, "reaction": name, "item": item, "item_user": message.user, "event_ts": world.new_ts()}
    return event(world, inner)


def home_opened(world: World, user: User) -> Payload:
    inner: Payload = {"type": "app_home_opened", "user": user.id, "channel": world.dm(user.id).id, "tab": "home", "event_ts": world.new_ts()}
    if view := world.homes.get(user.id):
        inner["view"] = view_payload(world, view)
    return event(world, inner)


def said(world: World, message: Message, kind: str) -> Payload:
    """`message` or `app_mention`; the text is in Slack's own markup already."""
    channel = world.channels[message.channel]
    inner = message_payload(message) | {"type": kind, "channel": channel.id, "event_ts": message.ts}
    if kind == "message":
        inner["channel_type"] = {"public": "channel", "private": "group", "im": "im"}[channel.kind]
    if message.files:
        inner["subtype"] = "file_share"
    return event(world, inner)


def mentions(world: World, text: str) -> bool:
    return re.search(rf"<@{world.bot_user_id}>", text) is not None
