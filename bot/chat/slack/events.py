"""Slack's payloads → what the studio understands. Pure; `bot.chat.slack.handlers` calls it.

A `Spot` is where a member did something and how they can be answered there. `ReplyTo.channel` is an address, ``channel`` or ``channel/thread``, so
that a bot that was restarted still answers in the thread; ``team:channel`` where that workspace installed the app, so that the answer is written with
its token. Actors are ids within the workspace that is asked, whatever team a payload names for the member: one of a connected workspace has one wallet
here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, cast

from bot.chat.slack import blocks, limits
from bot.domain import Actor, Command, Place, Press, Reaction, ReplyTo, Submit, Upload

PLATFORM = "slack"
Payload = Mapping[str, Any]

#: Names of reactions → the emoji that the studio knows.
REACTIONS: Mapping[str, str] = {
    "one": "1️⃣",
    "two": "2️⃣",
    "three": "3️⃣",
    "four": "4️⃣",
    "arrows_counterclockwise": "🔄",
    "x": "❌",
    "email": "✉️",
    "envelope": "✉️",
    "star": "⭐",
}
UNDONE = "star"  #: the reaction whose removal means something too
SUBCOMMANDS = frozenset(blocks.SUBCOMMANDS)
LISTS = (".txt", ".csv", ".tsv")  #: endings of files of prompts
Role = Literal["image", "style", "sketch", "mask", "list"]
ROLES = frozenset({"image", "style", "sketch", "mask", "list"})  #: of uploads: a form's field of such a name asks for one


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    team: str
    user: str
    via: str = ""  #: the team once more where it installed the app: its answers are written with its token
    name: str = ""
    locale: str = ""
    admin: bool = False
    channel: str = ""  #: empty in the home tab
    thread: str = ""
    message: str = ""  #: the message that was pressed or reacted to
    ephemeral: bool = False  #: that message is seen by the member alone
    home: bool = False
    response_url: str = ""
    trigger: str = ""
    delivery: str = ""

    @property
    def actor(self) -> Actor:
        return Actor(platform=PLATFORM, id=f"{self.team}:{self.user}", name=self.name, locale=self.locale, admin=self.admin)

    @property
    def place(self) -> Place:
        return Place(platform=PLATFORM, server=self.team, channel=self.channel)

    def reply_to(self, now: datetime, *, can_post: bool = True) -> ReplyTo:
        """Where the bot may not post it has no token either: a picture could not be shown by it for long enough."""
        return ReplyTo(
            platform=PLATFORM,
            channel=address(self.channel, self.thread, self.via),
            token=self.response_url if can_post else "",
            expires_at=now + limits.RESPONSE_LIFE,
            uses_left=limits.RESPONSE_USES,
            can_post=can_post,
            user=self.user,
            delivery=self.delivery,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """A member's file, or the picture of a job (`job`)."""

    id: str = ""
    url: str = ""
    name: str = "picture"
    job: str = ""
    role: Role = "image"

    def holder(self) -> Upload:
        """Stands for it until the words are known to be good; it is fetched then."""
        return Upload(name=self.name, data=b"", role=self.role)


def address(channel: str, thread: str = "", via: str = "") -> str:
    there = f"{channel}/{thread}" if thread else channel
    return f"{via}:{there}" if via else there


def addressed(reply_to: ReplyTo) -> tuple[str, str]:
    """Channel and thread."""
    channel, _, thread = reply_to.channel.rpartition(":")[2].partition("/")
    return channel, thread


def via(reply_to: ReplyTo) -> str:
    """The workspace whose token writes there; empty for that of the bot's own token."""
    return reply_to.channel.rpartition(":")[0]


def team_of(body: Payload) -> str:
    """The workspace that is asked: where a form was opened, where the pressed message is ours, else where Slack says that the app is installed."""
    view, message = _mapping(body.get("view")), _mapping(body.get("message"))
    if view.get("app_installed_team_id"):
        return str(view["app_installed_team_id"])
    if body.get("type") == "block_actions" and message.get("team"):
        return str(message["team"])
    for authorization in body.get("authorizations") or ():
        if team := _mapping(authorization).get("team_id"):
            return str(team)
    return str(_mapping(body.get("team")).get("id") or body.get("team_id") or _mapping(body.get("user")).get("team_id") or "")


def delivery(key: str) -> str:
    """What an event is written down and logged as. Not the trigger itself: for three seconds whoever has that can open a form."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def unescaped(text: str) -> str:
    """As the member typed it: Slack escapes three characters in what it hands on."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


# ------------------------------------------------------------------------------------------------ spots


def spot_of_command(body: Payload, team: str) -> Spot:
    return Spot(
        team=team,
        user=str(body["user_id"]),
        name=str(body.get("user_name", "")),
        channel=str(body["channel_id"]),
        response_url=str(body.get("response_url", "")),
        trigger=str(body["trigger_id"]),
        delivery=delivery(str(body["trigger_id"])),
    )


def spot_of_interaction(body: Payload, team: str) -> Spot:
    """Of a press, a choice or a message's shortcut."""
    container, message = _mapping(body.get("container")), _mapping(body.get("message"))
    user = _mapping(body.get("user"))
    ts = str(container.get("message_ts") or body.get("message_ts") or message.get("ts") or "")
    thread = str(container.get("thread_ts") or message.get("thread_ts") or "")
    return Spot(
        team=team,
        user=str(user["id"]),
        name=str(user.get("username") or user.get("name") or ""),
        channel=str(container.get("channel_id") or _mapping(body.get("channel")).get("id") or ""),
        thread=thread if thread != ts else "",  # the first message of a thread stands in the channel
        message=ts,
        ephemeral=bool(container.get("is_ephemeral")),
        home=container.get("type") == "view",
        response_url=str(body.get("response_url") or ""),
        trigger=str(body["trigger_id"]),
        delivery=delivery(str(body["trigger_id"])),
    )


def spot_of_submission(body: Payload, team: str) -> Spot:
    """Where the form was asked for; its delivery is the form, so that sending it twice is one job."""
    user, view = _mapping(body.get("user")), _mapping(body.get("view"))
    kept = metadata_of(view)
    return Spot(
        team=team,
        user=str(user["id"]),
        name=str(user.get("username") or user.get("name") or ""),
        channel=str(kept.get("channel", "")),
        thread=str(kept.get("thread", "")),
        home=bool(kept.get("home")),
        response_url=str(kept.get("answer", "")),
        trigger=str(body.get("trigger_id", "")),
        delivery=str(view["id"]),
    )


def spot_of_event(body: Payload, team: str) -> Spot:
    """Of a reaction or an opened home tab."""
    event = _mapping(body.get("event"))
    item = _mapping(event.get("item"))
    return Spot(
        team=team,
        user=str(event.get("user", "")),
        channel=str(item.get("channel") or ""),
        message=str(item.get("ts") or ""),
        home=event.get("type") == "app_home_opened",
        delivery=str(body.get("event_id", "")),
    )


# ------------------------------------------------------------------------------------------------ events


def command(spot: Spot, body: Payload, now: datetime) -> Command:
    """``/imagine words`` or ``/wordup history words``; what is no command of ours is a call for help."""
    text = unescaped(str(body.get("text") or "")).strip()
    if str(body.get("command", "")).lstrip("/") == "imagine":
        return said(spot, "imagine", text, now)
    first, _, rest = text.partition(" ")
    name = first.lower()
    return said(spot, name, rest.strip(), now) if name in SUBCOMMANDS else said(spot, "help", "", now)


def said(spot: Spot, name: str, text: str, now: datetime, uploads: tuple[Upload, ...] = (), *, job_id: str = "") -> Command:
    return Command(
        actor=spot.actor,
        place=spot.place,
        reply_to=spot.reply_to(now),
        delivery_id=spot.delivery,
        name=name,
        text=text,
        job_id=job_id,
        uploads=uploads,
    )


def pressed_value(body: Payload) -> tuple[str, str]:
    """`action_id`, and the value of the button or of what was chosen."""
    actions = body.get("actions") or [{}]
    action = _mapping(actions[0])
    chosen = _mapping(action.get("selected_option"))
    return str(action.get("action_id", "")), str(action.get("value") or chosen.get("value") or "")


def press(spot: Spot, action: str, now: datetime) -> Press:
    return Press(actor=spot.actor, place=spot.place, reply_to=spot.reply_to(now), delivery_id=spot.delivery, action=action)


def emoji_of(body: Payload) -> tuple[str, bool] | None:
    """What a reaction asks for, and whether it was added; None when it asks for nothing."""
    event = _mapping(body.get("event"))
    name = str(event.get("reaction", ""))
    added = event.get("type") == "reaction_added"
    if _mapping(event.get("item")).get("type") != "message" or name not in REACTIONS or not (added or name == UNDONE):
        return None
    return REACTIONS[name], added


def reaction(spot: Spot, emoji: str, job_id: str, now: datetime, *, added: bool) -> Reaction:
    return Reaction(actor=spot.actor, place=spot.place, reply_to=spot.reply_to(now), delivery_id=spot.delivery, emoji=emoji, job_id=job_id, added=added)


# ------------------------------------------------------------------------------------------------ forms


def metadata(spot: Spot, picture: FileRef | None = None, shortened: tuple[str, ...] = ()) -> str:
    """What a form must remember: where it was asked for (the home tab, too), the picture it is about, which fields show only the beginning of their words."""
    kept: dict[str, Any] = {"channel": spot.channel, "thread": spot.thread, "answer": spot.response_url, "short": list(shortened), "home": spot.home}
    if picture is not None:
        kept["picture"] = {"id": picture.id, "url": picture.url, "name": picture.name[-100:], "job": picture.job, "role": picture.role}
    text = json.dumps({key: value for key, value in kept.items() if value}, separators=(",", ":"))
    if len(text) > limits.PRIVATE_METADATA and kept.get("picture"):
        return metadata(spot, replace(picture, url="") if picture else None, shortened)  # Slack is asked for the address once more
    return text


def metadata_of(view: Payload) -> dict[str, Any]:
    try:
        kept = json.loads(str(view.get("private_metadata") or "{}"))
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}


def picture_of(view: Payload) -> FileRef | None:
    """The picture a form is about."""
    kept = metadata_of(view).get("picture")
    if not isinstance(kept, dict):
        return None
    name, role = str(kept.get("name", "")) or "picture", _role(str(kept.get("role", "")))
    return FileRef(id=str(kept.get("id", "")), url=str(kept.get("url", "")), name=name, job=str(kept.get("job", "")), role=role)


def submit(spot: Spot, form: str, view: Payload, now: datetime, uploads: tuple[Upload, ...] = ()) -> Submit:
    """A field that showed only the beginning of long words and was left alone is sent empty: that keeps the words whole."""
    shortened = metadata_of(view).get("short") or []
    values: dict[str, str] = {}
    for block_id, name, state in _states(view):
        if state.get("type") == "file_input":
            continue
        value = str(state.get("value") or _mapping(state.get("selected_option")).get("value") or "")
        values[name] = "" if name in shortened and value.strip() == _initial(view, block_id).strip() else value
    return Submit(actor=spot.actor, place=spot.place, reply_to=spot.reply_to(now), delivery_id=spot.delivery, form=form, values=values, uploads=uploads)


def pictures_of(view: Payload) -> tuple[FileRef, ...]:
    """The picture a form is about, then the files sent with it, in the order of its fields; the field's name says what for."""
    about = picture_of(view)
    found = [about] if about is not None else []
    for _, name, state in _states(view):
        if state.get("type") == "file_input":
            found += [_ref(file, name) for file in state.get("files") or [] if _mapping(file).get("id")]
    return tuple(found)


def _ref(file: Payload, field: str) -> FileRef:
    return FileRef(id=str(file["id"]), url=str(file.get("url_private") or ""), name=str(file.get("name") or "picture"), role=_role(field))


def _role(name: str) -> Role:
    return cast(Role, name if name in ROLES else "image")


def _states(view: Payload) -> list[tuple[str, str, Payload]]:
    """(block, field, what was put in) in the order of the form."""
    values = _mapping(_mapping(view.get("state")).get("values"))
    order = {str(block.get("block_id")): number for number, block in enumerate(view.get("blocks", []))}
    ordered = sorted(values.items(), key=lambda item: order.get(str(item[0]), len(order)))
    return [(str(block_id), str(name), _mapping(state)) for block_id, fields in ordered for name, state in _mapping(fields).items()]


def first_field(view: Payload) -> str:
    """The block that an error of a form is written under."""
    return next((str(block["block_id"]) for block in view.get("blocks", []) if block.get("type") == "input"), "")


def _initial(view: Payload, block_id: str) -> str:
    for block in view.get("blocks", []):
        if block.get("block_id") == block_id:
            return str(_mapping(block.get("element")).get("initial_value") or "")
    return ""


def shared_picture(message: Payload) -> FileRef | None:
    """The first picture among a message's files; else the first of a connected workspace, of which Slack tells more when it is asked."""
    files = message.get("files") or []
    for file in files:
        if str(file.get("mimetype", "")).startswith("image/"):
            return FileRef(id=str(file.get("id", "")), url=str(file.get("url_private") or ""), name=str(file.get("name") or "picture"))
    return next((FileRef(id=str(file["id"])) for file in files if file.get("file_access") == "check_file_info" and file.get("id")), None)


def shared_list(message: Payload) -> FileRef | None:
    """The first file of prompts among a message's files."""
    for file in message.get("files") or []:
        if str(file.get("name") or "").casefold().endswith(LISTS) and file.get("id"):
            return _ref(file, "list")
    return None


def job_of(message: Payload, user: str, bot: str) -> str:
    """The job that a message of ours names in its metadata; empty for anybody else's, which may say anything."""
    metadata = _mapping(message.get("metadata"))
    ours = message.get("user") == user or (bot and message.get("bot_id") == bot)
    if not ours or metadata.get("event_type") != blocks.EVENT:
        return ""
    return str(_mapping(metadata.get("event_payload")).get("job_id") or "")


def words_of(message: Payload) -> str:
    """What a message says, as its author typed it."""
    return unescaped(str(message.get("text") or "")).strip()


def _mapping(value: Any) -> Payload:
    return value if isinstance(value, Mapping) else {}
