"""files.* and views.*: what is uploaded, and the forms and home tabs that are opened."""

from __future__ import annotations

import json
import math
import secrets
import time
from typing import Any

from tests.fakes.slack.blocks import BlockKit
from tests.fakes.slack.model import File, Trigger, View
from tests.fakes.slack.payloads import file_payload, view_payload
from tests.fakes.slack.world import Refused, World, stored, unescaped_in

Args = dict[str, Any]


def get_upload_url(world: World, args: Args) -> Args:
    length = int(args["length"]) if str(args["length"]).isdigit() else 0
    if length <= 0:
        raise Refused("invalid_arguments", "[ERROR] must be a number greater than 0 [json-pointer:/length]")
    if len(str(args.get("alt_txt") or "")) > 1000:
        raise Refused("alt_txt_too_large")
    file = File(world.new_id("F"), args["filename"], length, world.bot_user_id, alt_text=args.get("alt_txt") or "")
    token = secrets.token_urlsafe(32)
    world.files[file.id] = world.uploads[token] = file
    return {"upload_url": f"http://{world.host}/upload/v1/{token}", "file_id": file.id}


def complete_upload(world: World, args: Args) -> Args:
    wanted = args["files"]
    if not isinstance(wanted, list) or not wanted or not all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in wanted):
        raise Refused("invalid_arguments", "[ERROR] must provide an array of objects with an id [json-pointer:/files]")
    for index, one in enumerate(wanted):
        for key in one.keys() - {"id", "title", "highlight_type"}:
            world.violation("files.completeUploadExternal", f"unknown key {key} in files[{index}]")
    files = [_uploaded(world, one["id"]) for one in wanted]
    names = [name for name in [args.get("channel_id"), *str(args.get("channels") or "").split(",")] if name]
    channels = [world.own_channel(name) for name in names]
    for file, one in zip(files, wanted, strict=True):
        file.title, file.completed = one.get("title") or file.name, time.monotonic()
        file.channels |= {channel.id for channel in channels}
    for channel in channels:
        comment = {"text": args.get("initial_comment") or "", "blocks": args.get("blocks"), "thread_ts": args.get("thread_ts") or ""}
        if comment["text"] or comment["blocks"]:
            world.checked_content("files.completeUploadExternal", comment)
        world.post(channel.id, world.bot_user_id, comment).files = list(files)
    return {"files": [file_payload(world, file) for file in files]}


def _uploaded(world: World, file_id: str) -> File:
    file = world.files.get(file_id)
    if file is None or file.deleted or file.content is None:
        raise Refused("file_not_found" if file is None or file.deleted else "file_upload_size_mismatch")
    if file.completed < math.inf:
        raise Refused("invalid_arguments", "[ERROR] file is already completed [json-pointer:/files]")
    return file


def _visible(world: World, file_id: str) -> File:
    file = world.files.get(file_id)
    if file is None or (file.user == world.bot_user_id and file.completed == math.inf):
        raise Refused("file_not_found")
    if not visible(world, file):
        raise Refused("file_not_found")
    if file.deleted:
        raise Refused("file_deleted")
    return file


def visible(world: World, file: File) -> bool:
    """Its own files, and those of the channels that the bot is in."""
    return file.user == world.bot_user_id or any(world.bot_user_id in world.channels[c].members for c in file.channels)


def files_info(world: World, args: Args) -> Args:
    file = _visible(world, args["file"])
    return {"file": file_payload(world, file), "comments": [], "response_metadata": {"next_cursor": ""}}


def files_delete(world: World, args: Args) -> Args:
    file = _visible(world, args["file"])
    if file.user != world.bot_user_id:
        raise Refused("cant_delete_file")
    file.deleted = True
    world.changed()
    return {}


# -- views


def _checked(world: World, method: str, args: Args, *kinds: str) -> Args:
    kit = BlockKit(world.file_is_usable)
    view = args["view"]
    complaints = kit.view(view)
    if not complaints and view["type"] not in kinds:
        complaints = [f"must be one of {', '.join(kinds)} [json-pointer:/view/type]"]
    for complaint in complaints:
        world.violation(method, f"invalid_arguments: {complaint}")
    if complaints:
        raise Refused("invalid_arguments", *(f"[ERROR] {complaint}" for complaint in complaints))
    if len(json.dumps(view)) > 250_000:
        raise Refused("view_too_large")
    for marked, at in kit.mrkdwn:
        if what := unescaped_in(marked):
            world.violation(method, f"unescaped {what!r} in {marked[:80]!r} at {at}")
    return {**view, "blocks": stored(view["blocks"])}


def checked_view(world: World, method: str, view: Any) -> Args:
    """A form that an acknowledgement brings along, checked like that of a method."""
    return _checked(world, method, {"view": view}, "modal")


def new_view(world: World, body: Args, user: str, root: str = "") -> View:
    view = View(world.new_id("V"), body, user, world, hash=f"1767323045.{secrets.token_hex(4)}", root=root)
    world.views[view.id] = view
    return view


def change_view(world: World, view: View, body: Args) -> None:
    view.body, view.hash = body, f"1767323045.{secrets.token_hex(4)}"
    view.edits += 1
    kept = {block["block_id"] for block in body["blocks"]}
    view.state = {block_id: values for block_id, values in view.state.items() if block_id in kept}
    world.changed()


def _triggered(world: World, args: Args) -> Trigger:
    trigger = world.triggers.get(str(args.get("trigger_id")))
    if trigger is None:
        raise Refused("invalid_trigger_id" if args.get("trigger_id") else "missing_trigger")
    if time.monotonic() - trigger.born > world.trigger_seconds:
        raise Refused("expired_trigger_id")
    if trigger.used:
        raise Refused("exchanged_trigger_id")
    return trigger


def views_open(world: World, args: Args) -> Args:
    trigger = _triggered(world, args)
    body = _checked(world, "views.open", args, "modal")
    trigger.used = True
    view = new_view(world, body, trigger.user)
    trigger.answer.opened.append(view)
    world.changed()
    return {"view": view_payload(world, view)}


def views_push(world: World, args: Args) -> Args:
    below = _triggered(world, args).answer.payload.get("view")
    told = views_open(world, args)
    if below is None:
        world.violation("views.push", "there is no open view to push onto")
    else:
        world.views[told["view"]["id"]].root = below["root_view_id"]
    return {"view": view_payload(world, world.views[told["view"]["id"]])}


def views_update(world: World, args: Args) -> Args:
    named = [v for v in world.views.values() if args.get("external_id") and v.body.get("external_id") == args["external_id"]]
    view = world.views.get(str(args.get("view_id"))) or next(iter(named), None)
    if view is None or view.closed:
        raise Refused("not_found")
    if args.get("hash") and args["hash"] != view.hash:
        raise Refused("hash_conflict")
    change_view(world, view, _checked(world, "views.update", args, view.body["type"]))
    return {"view": view_payload(world, view)}


def views_publish(world: World, args: Args) -> Args:
    user = world.user(args["user_id"])
    before = world.homes.get(user.id)
    if args.get("hash") and before is not None and args["hash"] != before.hash:
        raise Refused("hash_conflict")
    body = _checked(world, "views.publish", args, "home")
    if before is None:
        world.homes[user.id] = before = new_view(world, body, user.id)
        world.changed()
    else:
        change_view(world, before, body)
    return {"view": view_payload(world, before)}
