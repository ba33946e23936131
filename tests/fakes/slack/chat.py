"""chat.*, reactions.* and conversations.*: the methods that write and read messages."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.slack.methods import HISTORY, READ, truth
from tests.fakes.slack.model import Channel, Message
from tests.fakes.slack.payloads import message_payload
from tests.fakes.slack.world import Refused, World

Args = dict[str, Any]


def auth_test(world: World, args: Args) -> Args:
    del args
    return {
        "url": "https://wordup.slack.com/",
        "team": "Word Up",
        "user": "wordup",
        "team_id": world.team_id,
        "user_id": world.bot_user_id,
        "bot_id": world.bot_id,
        "is_enterprise_install": False,
    }


def post_message(world: World, args: Args) -> Args:
    channel = world.own_channel(args["channel"])
    if args.get("text") and not (_refused(args, "unfurl_links") and _refused(args, "unfurl_media")):
        world.violation("chat.postMessage", "unfurl_links and unfurl_media are to be false")
    world.checked_content("chat.postMessage", args)
    _in_thread(world, channel, args)
    message = world.post(channel.id, world.bot_user_id, args)
    return {"channel": channel.id, "ts": message.ts, "message": message_payload(message)}


def _refused(args: Args, name: str) -> bool:
    return name in args and not truth(args[name])


def _in_thread(world: World, channel: Channel, args: Args) -> None:
    if args.get("thread_ts"):
        try:
            world.message(channel.id, args["thread_ts"])
        except Refused:
            raise Refused("thread_not_found") from None


def _own_message(world: World, args: Args, error: str) -> Message:
    channel = world.channel(args["channel"])
    if channel.archived:
        raise Refused("is_archived")
    message = world.message(channel.id, args["ts"])
    if message.user != world.bot_user_id:
        raise Refused(error)
    return message


def update(world: World, args: Args) -> Args:
    if args["channel"].startswith("U"):
        raise Refused("channel_not_found")
    message = _own_message(world, args, "cant_update_message")
    world.checked_content("chat.update", args)
    world.edit(message, args)
    return {"channel": message.channel, "ts": message.ts, "text": message.text, "message": message_payload(message)}


def delete(world: World, args: Args) -> Args:
    message = _own_message(world, args, "cant_delete_message")
    message.deleted = True
    world.changed()
    return {"channel": message.channel, "ts": message.ts}


def post_ephemeral(world: World, args: Args) -> Args:
    channel = world.own_channel(args["channel"])
    if args["user"] not in channel.members:
        raise Refused("user_not_in_channel")
    world.checked_content("chat.postEphemeral", args)
    return {"message_ts": world.post(channel.id, world.bot_user_id, args, to=args["user"]).ts}


def get_permalink(world: World, args: Args) -> Args:
    message = world.message(world.channel(args["channel"]).id, args["message_ts"])
    return {"channel": message.channel, "permalink": permalink(message)}


def permalink(message: Message) -> str:
    return f"https://wordup.slack.com/archives/{message.channel}/p{message.ts.replace('.', '')}"


def conversation_scope(world: World, args: Args, wanted: str) -> str:
    channel = world.channels.get(str(args.get("channel", "")))
    kind = channel.kind if channel else "public"
    return (READ if wanted == "read" else HISTORY)[kind]


def conversations_info(world: World, args: Args) -> Args:
    channel = world.channel(args["channel"])
    told: Args = {
        "id": channel.id,
        "created": 1767323000,
        "is_archived": channel.archived,
        "is_im": channel.kind == "im",
        "is_org_shared": False,
        "context_team_id": world.team_id,
    }
    if channel.kind != "im":
        told |= {
            "name": channel.name,
            "name_normalized": channel.name,
            "is_channel": True,
            "is_group": False,
            "is_mpim": False,
            "is_private": channel.kind == "private",
            "is_member": world.bot_user_id in channel.members,
            "is_general": False,
            "is_shared": False,
            "is_ext_shared": False,
            "creator": world.ada.id,
            "topic": {"value": "", "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
        }
    if truth(args.get("include_num_members")):
        told["num_members"] = len(channel.members)
    if truth(args.get("include_locale")):
        told["locale"] = "en-US"
    return {"channel": told if channel.kind != "im" else {**told, "user": channel.user}}


def conversations_open(world: World, args: Args) -> Args:
    if args.get("channel"):
        channel = world.channel(args["channel"])
        if channel.kind != "im":
            raise Refused("method_not_supported_for_channel_type")
    else:
        people = [name for name in str(args.get("users", "")).split(",") if name]
        if len(people) != 1:
            raise Refused("users_list_not_supplied" if not people else "not_enough_users")
        channel = world.dm(world.user(people[0]).id)
    return {"no_op": False, "already_open": False, "channel": {"id": channel.id}}


def conversations_history(world: World, args: Args) -> Args:
    channel = world.channel(args["channel"])
    if world.bot_user_id not in channel.members:
        raise Refused("not_in_channel")
    thread = args.get("ts", "")
    latest, oldest = str(args.get("latest") or "9" * 10), str(args.get("oldest") or "0")
    inclusive = truth(args.get("inclusive"))
    found = [m for m in world.spoken if m.channel == channel.id and not m.deleted and not m.ephemeral]
    found = [m for m in found if oldest < m.ts < latest or (inclusive and m.ts in (oldest, latest))]
    found = [m for m in found if thread in (m.ts, m.thread_ts)] if thread else found
    limit = int(args.get("limit") or 100)
    shown = found[:limit] if thread else found[::-1][:limit]
    told = [message_payload(m, metadata=truth(args.get("include_all_metadata"))) for m in shown]
    return {"messages": told, "has_more": len(found) > limit, "pin_count": 0, "response_metadata": {"next_cursor": ""}}


def users_info(world: World, args: Args) -> Args:
    user = world.user(args["user"])
    bot = user.id == world.bot_user_id
    told: Args = {
        "id": user.id,
        "team_id": world.team_id,
        "name": user.name,
        "deleted": False,
        "real_name": user.real_name,
        "tz": "Europe/London",
        "tz_label": "Greenwich Mean Time",
        "tz_offset": 0,
        "profile": {"real_name": user.real_name, "display_name": user.name, "team": world.team_id, **({"bot_id": world.bot_id} if bot else {})},
        "is_admin": user.admin,
        "is_owner": False,
        "is_bot": bot,
        "is_app_user": False,
        "updated": 1767323000,
    }
    return {"user": {**told, "locale": user.locale} if truth(args.get("include_locale")) else told}


def reactions_add(world: World, args: Args) -> Args:
    message = world.message(world.own_channel(args["channel"]).id, args["timestamp"])
    if not re.fullmatch(r"[a-z0-9_+'-]+(?:::skin-tone-[2-6])?", args["name"]):
        raise Refused("invalid_name")
    givers = message.reactions.setdefault(args["name"], set())
    if world.bot_user_id in givers:
        raise Refused("already_reacted")
    givers.add(world.bot_user_id)
    world.changed()
    return {}


def reactions_remove(world: World, args: Args) -> Args:
    message = world.message(world.own_channel(args.get("channel", "")).id, args.get("timestamp", ""))
    givers = message.reactions.get(args["name"], set())
    if world.bot_user_id not in givers:
        raise Refused("no_reaction")
    givers.discard(world.bot_user_id)
    world.changed()
    return {}
