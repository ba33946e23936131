"""Interactions and reactions → what a chat says to the studio. Pure; called by `bot.chat.discord.adapter` and `commands`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import discord

from bot.chat.discord import limits
from bot.domain import Actor, Command, Event, Hint, Place, Press, Reaction, ReplyTo, Submit, Upload
from bot.prompts.clean import clean

PLATFORM = "discord"
#: What the bot needs to post a picture by itself.
NEEDED = discord.Permissions(view_channel=True, send_messages=True, attach_files=True)
_DASHES = "-‒–—―⸺"  #: phones write one of them for two hyphens
_FLAGS = re.compile(rf"(?:^|\s)(?:--|[{_DASHES[1:]}])")
_FIRST = re.compile(r"[^\s,]+")
SAVED = "style:"  #: before the name of a saved style, in the option that also takes a model's own words

Role = Literal["image", "style", "sketch", "mask", "list"]
ROLES: tuple[Role, ...] = get_args(Role)
#: Files that can be drawn from without a word: a picture to start from, a list of prompts.
ENOUGH = frozenset({"image", "list"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file a member means: where it lies, what it is called, how large it says it is (0: it does not say), and what for."""

    url: str
    name: str
    size: int = 0
    role: Role = "image"


def _event(interaction: discord.Interaction[Any]) -> dict[str, Any]:
    """What every event of an interaction carries."""
    user, server, channel = interaction.user, interaction.guild_id, interaction.channel_id
    return {
        "actor": actor(interaction),
        "place": Place(platform=PLATFORM, server=str(server or ""), channel=str(channel or ""), age_restricted=_is_age_restricted(interaction.channel)),
        "reply_to": ReplyTo(
            platform=PLATFORM,
            channel=str(channel or ""),
            token=interaction.token,
            expires_at=interaction.created_at + limits.TOKEN_LIFE,
            can_post=can_post(interaction),
            user=str(user.id),
            delivery=str(interaction.id),
        ),
        "delivery_id": str(interaction.id),
    }


def _is_age_restricted(channel: object) -> bool:
    """As Discord marks it; a thread is what its channel is. A channel that we do not know is not."""
    try:
        return bool(channel.is_nsfw()) if isinstance(channel, (discord.abc.GuildChannel, discord.Thread)) else False  # type: ignore[union-attr]
    except discord.ClientException:  # a thread whose channel is not at hand
        return False


def actor(interaction: discord.Interaction[Any]) -> Actor:
    """Who acts, in which language, and whether the server lets them manage it."""
    user, allowed = interaction.user, interaction.permissions
    admin = interaction.guild_id is not None and (allowed.manage_guild or allowed.administrator)
    roles = tuple(str(each.id) for each in user.roles) if isinstance(user, discord.Member) else ()
    return Actor(platform=PLATFORM, id=str(user.id), name=user.display_name, locale=str(interaction.locale), admin=admin, roles=roles)


def can_post(interaction: discord.Interaction[Any]) -> bool:
    """Whether the bot itself is there and may post: in a server that has it, or in its own direct messages."""
    if interaction.guild_id is None:
        return bool(interaction.context.dm_channel)
    allowed = interaction.app_permissions
    sending = allowed.send_messages_in_threads if isinstance(interaction.channel, discord.Thread) else allowed.send_messages
    return interaction.is_guild_integration() and allowed.view_channel and sending and allowed.attach_files


def command(interaction: discord.Interaction[Any], name: str, text: str = "", pictures: Sequence[Found] = (), *, job_id: str = "") -> Command:
    """`pictures` are placeholders here: greeting only asks whether there are any. `job_id`: of the message the command was called on."""
    return Command(**_event(interaction), name=name, text=text, job_id=job_id, uploads=placeholders(pictures))


def placeholders(pictures: Sequence[Found]) -> tuple[Upload, ...]:
    """In the files' places until they are fetched."""
    return tuple(Upload(name=each.name, data=b"", role=each.role) for each in pictures)


def press(interaction: discord.Interaction[Any], action: str) -> Press:
    return Press(**_event(interaction), action=action)


def submit(interaction: discord.Interaction[Any]) -> tuple[Submit, str, tuple[Found, ...]]:
    """What was filled in, the context the form was given, and the files that were put into it."""
    data: Mapping[str, Any] = interaction.data or {}
    form, _, context = str(data.get("custom_id", "")).partition("|")
    fields = list(_fields(data.get("components", ())))
    values = {name: _value(field) for name, field in fields if not _is_upload(field)}
    attached: Mapping[str, Mapping[str, Any]] = data.get("resolved", {}).get("attachments", {})
    files = tuple(_file(name, attached[ident]) for name, field in fields if _is_upload(field) for ident in field.get("values") or () if ident in attached)
    return Submit(**_event(interaction), form=form, values=values, uploads=placeholders(files)), context, files


def _fields(components: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and contents of what can be filled in, whether it stands in rows or under labels."""
    for each in components:
        if "custom_id" in each and ("value" in each or "values" in each):
            yield str(each["custom_id"]), each
        yield from _fields(each.get("components", ()))
        if isinstance(inner := each.get("component"), Mapping):
            yield from _fields((inner,))


def _value(field: Mapping[str, Any]) -> str:
    """What was typed, or the first that was chosen."""
    return str((field.get("values") or ("",))[0]) if "values" in field else str(field.get("value") or "")


def _is_upload(field: Mapping[str, Any]) -> bool:
    return bool(field.get("type") == discord.ComponentType.file_upload.value)


def _file(field: str, told: Mapping[str, Any]) -> Found:
    return Found(url=str(told["url"]), name=str(told["filename"]), size=int(told.get("size", 0)), role=role_of(field))


def role_of(field: str) -> Role:
    """What a file in a field of that name is for: `style`, `image2`, `images` …; a name that is no role's means a picture like any other."""
    name = field.rstrip("0123456789_")
    return next((role for role in ROLES if name in (role, f"{role}s")), "image")


def attachment(given: discord.Attachment | None, role: Role = "image") -> tuple[Found, ...]:
    """Of an option that takes a file; nothing where none was given."""
    return (Found(url=given.url, name=given.filename, size=given.size, role=role),) if given else ()


def reaction(payload: discord.RawReactionActionEvent, job_id: str, *, removals: int, added: bool, name: str = "", locale: str = "") -> Reaction:
    """A reaction has no id: the delivery is (message, user, emoji, how often it was taken away before)."""
    channel, emoji = str(payload.channel_id), str(payload.emoji)
    delivery = f"{payload.message_id}:{payload.user_id}:{emoji}:{removals}{'' if added else ':removed'}"
    roles = tuple(str(each.id) for each in payload.member.roles) if payload.member else ()  # what a server gives them holds here, too
    return Reaction(
        actor=Actor(platform=PLATFORM, id=str(payload.user_id), name=name, locale=locale, roles=roles),
        place=Place(platform=PLATFORM, server=str(payload.guild_id or ""), channel=channel, age_restricted=False),
        reply_to=ReplyTo(platform=PLATFORM, channel=channel, user=str(payload.user_id), delivery=delivery),
        delivery_id=delivery,
        emoji=emoji,
        job_id=job_id,
        added=added,
    )


def with_uploads(event: Event, uploads: Sequence[Upload]) -> Any:
    """The same event with the pictures themselves."""
    return replace(event, uploads=tuple(uploads))  # type: ignore[call-arg]


def words(prompt: str, *, aspect: str = "", style: str = "", model: str = "", private: bool = False, picture: bool = False) -> str:
    """Options beside the prompt, as the words and flags they stand for. Only a value's first word counts: an option is no way in for other flags.

    `style` is words of the model's, or a saved one after `SAVED`. `picture`: one comes along, or a list, so that they count without words, too.
    """
    text = prompt.strip()
    style = clean(style).text
    saved = _FIRST.match(style.removeprefix(SAVED).strip().lstrip(_DASHES)) if style.startswith(SAVED) else None
    style = "" if saved else " ".join(filter(None, (word.lstrip(_DASHES) for word in style.split())))
    if picture and not text:
        text, style = style, ""
    flags = _FLAGS.search(text)
    at = flags.start() if flags else len(text)
    if style and at:  # before the first flag; flags alone stay a mistake
        text = f"{text[:at].rstrip().rstrip(',')}, {style}{text[at:]}"
    for flag, value in (("ar", aspect), ("style", saved[0] if saved else ""), ("model", model)):
        if (text or picture) and (found := _FIRST.match(value.strip())):
            text += f" --{flag} {found[0]}"
    return (f"{text} --private" if private and (text or picture) else text).strip()


def named(action: str, name: str, words: str, *, server: bool = False) -> str:
    """What `/styles` and `/lists` understand: "[server] save NAME words", "[server] drop NAME"; nothing where only showing is meant."""
    if action not in ("save", "drop"):
        return ""
    whose = "server" if server else ""
    return " ".join(filter(None, (whose, action, "-".join(name.split()), words.strip() if action == "save" else "")))


def setting(name: str, value: str) -> str:
    """What `/prefer` and `/settings` understand; a value alone is taken as it was typed."""
    return f"{name}={value.strip()}" if name else value.strip()


def both(before: str, after: str) -> str:
    """What `/morph` understands; nothing unless there are two."""
    return f"{before.strip()} | {after.strip()}" if before.strip() and after.strip() else ""


def inserted(hints: Sequence[Hint]) -> list[str]:
    """The names that hints bring, without the marks around them."""
    return list(dict.fromkeys(each.insert.strip(" _") for each in hints if each.insert.strip(" _")))


def choices(text: str, hints: Sequence[Hint]) -> list[discord.app_commands.Choice[str]]:
    """Autocomplete: each hint as the whole text it leads to. Those that Discord has no room for are left out."""
    found: dict[str, str] = {}
    for hint in hints:
        value = (text[: hint.start] + hint.insert + text[hint.end :]).strip()
        if 0 < len(value) <= limits.CHOICE:
            found.setdefault(value, value)
    return [discord.app_commands.Choice(name=name, value=value) for value, name in list(found.items())[: limits.CHOICES]]


def pictures(message: discord.Message) -> tuple[Found, ...]:
    """What a message shows: its attachments, else the pictures of its embeds, else of its galleries."""
    attached = tuple(
        Found(url=each.url, name=each.filename, size=each.size) for each in message.attachments if (each.content_type or "image/").startswith("image/")
    )
    if attached:
        return attached
    embedded = tuple(
        Found(url=media.proxy_url, name="picture") for each in message.embeds for media in (each.image, each.thumbnail) if media and media.proxy_url
    )
    return embedded or tuple(_gallery(message.components))


def _gallery(components: Sequence[Any]) -> Iterator[Found]:
    for each in components:
        if isinstance(each, discord.components.MediaGalleryComponent):
            for item in each.items:
                if item.media.proxy_url or item.media.url:
                    yield Found(url=item.media.proxy_url or item.media.url, name="picture")
        yield from _gallery(getattr(each, "children", ()))
