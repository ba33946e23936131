"""Interactions and reactions → what a chat says to the studio. Pure; called by `bot.chat.discord.adapter` and `commands`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A picture a member means: where it lies, what it is called, how large it says it is (0: it does not say)."""

    url: str
    name: str
    size: int = 0


def _event(interaction: discord.Interaction[Any]) -> dict[str, Any]:
    """What every event of an interaction carries."""
    user, server, channel = interaction.user, interaction.guild_id, interaction.channel_id
    return {
        "actor": Actor(platform=PLATFORM, id=str(user.id), name=user.display_name),
        "place": Place(platform=PLATFORM, server=str(server or ""), channel=str(channel or "")),
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


def can_post(interaction: discord.Interaction[Any]) -> bool:
    """Whether the bot itself is there and may post: in a server that has it, or in its own direct messages."""
    if interaction.guild_id is None:
        return bool(interaction.context.dm_channel)
    allowed = interaction.app_permissions
    sending = allowed.send_messages_in_threads if isinstance(interaction.channel, discord.Thread) else allowed.send_messages
    return interaction.is_guild_integration() and allowed.view_channel and sending and allowed.attach_files


def command(interaction: discord.Interaction[Any], name: str, text: str = "", pictures: Sequence[Found] = ()) -> Command:
    """`pictures` are placeholders here: greeting only asks whether there are any."""
    return Command(**_event(interaction), name=name, text=text, uploads=tuple(Upload(name=each.name, data=b"") for each in pictures))


def press(interaction: discord.Interaction[Any], action: str) -> Press:
    return Press(**_event(interaction), action=action)


def submit(interaction: discord.Interaction[Any], pictures: Sequence[Found] = ()) -> tuple[Submit, str]:
    """What was filled in, and the context the form was given."""
    data: Mapping[str, Any] = interaction.data or {}
    form, _, context = str(data.get("custom_id", "")).partition("|")
    values = dict(_values(data.get("components", ())))
    uploads = tuple(Upload(name=each.name, data=b"") for each in pictures)
    return Submit(**_event(interaction), form=form, values=values, uploads=uploads), context


def _values(components: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Of text inputs, whether they stand in rows or under labels."""
    for each in components:
        if "value" in each and "custom_id" in each:
            yield str(each["custom_id"]), str(each["value"] or "")
        yield from _values(each.get("components", ()))
        if isinstance(inner := each.get("component"), Mapping):
            yield from _values((inner,))


def reaction(payload: discord.RawReactionActionEvent, job_id: str, *, removals: int, added: bool, name: str = "") -> Reaction:
    """A reaction has no id: the delivery is (message, user, emoji, how often it was taken away before)."""
    channel, emoji = str(payload.channel_id), str(payload.emoji)
    delivery = f"{payload.message_id}:{payload.user_id}:{emoji}:{removals}{'' if added else ':removed'}"
    return Reaction(
        actor=Actor(platform=PLATFORM, id=str(payload.user_id), name=name),
        place=Place(platform=PLATFORM, server=str(payload.guild_id or ""), channel=channel),
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

    `picture`: one comes along, so that they count without words, too.
    """
    text = prompt.strip()
    style = " ".join(filter(None, (word.lstrip(_DASHES) for word in clean(style).text.split())))
    if picture and not text:
        text, style = style, ""
    flags = _FLAGS.search(text)
    at = flags.start() if flags else len(text)
    if style and at:  # before the first flag; flags alone stay a mistake
        text = f"{text[:at].rstrip().rstrip(',')}, {style}{text[at:]}"
    for flag, value in (("ar", aspect), ("model", model)):
        if (text or picture) and (found := _FIRST.match(value.strip())):
            text += f" --{flag} {found[0]}"
    return (f"{text} --private" if private and (text or picture) else text).strip()


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
