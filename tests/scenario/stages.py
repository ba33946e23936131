"""The same member on three platforms: says and presses what a plain-text script says, and reads what comes back off the wire.

A `Stage` is one platform with the whole bot behind it. What it returns is `Seen`: a card as somebody reads it there, brought into one form, so that cards
of different platforms can be compared. `bot/cards.py` decides what is in them; nothing of that is used here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.app import App, load_secret
from bot.chat.web.signin import mint
from engine.api import Effort
from engine.fake import FAKE_MODEL, FakeEngine
from tests.fakes import discord, slack
from tests.fakes.slack.readers import unescaped
from tests.scenario.bots import discord_settings, running, slack_settings, unknown_requests
from tests.scenario.files import File, kind_of
from tests.scenario.seen import LETTERS, Seen, Stage, form, poll
from tests.scenario.stage_web import WebStage
from tests.scenario.visitor import Visitor

#: What draws: the fake, which can make drafts too.
MODEL = replace(FAKE_MODEL, draft=Effort(steps=2))
#: Emoji of a script → Slack's names.
NAMES = {"1️⃣": "one", "2️⃣": "two", "3️⃣": "three", "4️⃣": "four", "🔄": "arrows_counterclockwise", "❌": "x", "✉️": "email", "⭐": "star"}
#: Entries of a message's menu → the shortcuts that Slack knows them by.
SHORTCUTS = {"Imagine from this": "imagine_from", "Describe": "describe", "Upscale": "upscale", "Remix": "remix", "Report": "report"}
#: Buttons of a moderator: answered to them, while the card that was pressed changes by itself.
DECISIONS = frozenset({"Keep", "Remove", "Warn", "Ban", "Allow", "Keep refused"})
#: Command → its option, where what is typed is one.
OPTIONS = {"imagine": "prompt", "blend": "prompt", "shorten": "prompt", "history": "search", "show": "job", "cancel": "job", "privacy": "action"}
MENTION = re.compile(r"@(ada|bob|carl|grace)\b")
CHANNEL = re.compile(r"#(art|mods)\b")
#: As Discord shows names, and as everybody else does.
BY = re.compile(r"\b(By|Von) (Ada|Bob|Carl|Grace)\b")


def options_of(command: str, text: str) -> dict[str, Any]:
    """The options that say on Discord what a text says elsewhere."""
    found: dict[str, Any] = {}
    match command:
        case "prefer" | "settings":
            name, _, value = text.partition("=")
            found = {"name": name, "value": value}
        case "morph":
            before, _, after = (each.strip() for each in text.partition("|"))
            found = {"before": before, "after": after}
        case "admin":
            what, _, rest = text.partition(" ")
            found = {"what": what, "text": rest}
        case "styles" | "lists" if text:
            action, name, words = [*text.removeprefix("server ").split(" ", 2), ""][:3]
            found = {"action": action, "name": name, "words": words, "shared": text.startswith("server ")}
        case _ if command in OPTIONS:
            found = {OPTIONS[command]: text}
    return {name: value for name, value in found.items() if value}


# ------------------------------------------------------------------------------------------------ Discord


def read_discord(message: discord.Message) -> Seen:
    lines = message.content.split("\n")
    for embed in message.embeds:
        lines[1:1] = str(embed.get("description", "")).split("\n")
    title, text, code, small, fenced = _plain(lines[0].strip("*")), [], [], [], False
    for line in lines[1:]:
        if line == "```":
            fenced = not fenced
        elif fenced:
            code.append(line)
        elif line.startswith("-# "):
            small.append(_plain(line.removeprefix("-# ")))
        elif found := re.fullmatch(r"\*\*(.+?)\*\* (.*)", line):  # a table of an answer
            small.append(f"{_plain(found[1])} {_plain(found[2])}")
        elif not re.match(r"`[█░]+`", line):
            text.append(_plain(line))
    rows = []
    for row in message.components:
        rows.append(tuple(part.get("label") or part.get("placeholder", "") for part in row["components"]))
    return Seen(
        title=title,
        text="\n".join(text).strip(),
        code="\n".join(code),
        pictures=any(data[:4] in (b"\x89PNG", b"RIFF") for data, _ in message.pictures),
        veiled=bool(small) and any(each.name.startswith("SPOILER_") for each in message.attachments),  # a moderators' case has no small print
        details=BY.sub(lambda found: found[0][: -len(found[2])] + found[2].lower(), " · ".join(small)),
        rows=tuple(rows),
        alone=message.ephemeral or message.channel.guild is None,
        place=message,
    )


def _plain(text: str) -> str:
    """Without Discord's escapes."""
    return re.sub(r"\\(.)", r"\1", text).replace("\u200b", "")


def _attached(file: File) -> discord.File:
    return discord.File(name=file[0], content=file[1], content_type=kind_of(file[0]))


class DiscordStage:
    name = "discord"

    def __init__(self, wire: discord.DiscordWire) -> None:
        self.wire = wire
        self.users = {"ada": wire.ada, "bob": wire.bob, "grace": wire.owner, "carl": wire.user("carl", locale="de")}
        self._channels = {"art": wire.art}

    def _channel(self, name: str) -> discord.Channel:
        if name not in self._channels:
            self._channels[name] = self.wire.channel(self.wire.art.guild, name)
        return self._channels[name]

    def _user(self, who: str) -> discord.User:
        return self.users[who]

    def key(self, who: str) -> str:
        return f"discord:{self._user(who).id}"

    def newest(self, who: str, where: str) -> Seen:
        user = self._user(who)
        return read_discord((self.wire.dms(user) if where == LETTERS else self.wire.messages(self._channel(where)))[-1])

    async def say(self, who: str, command: str, text: str, *, files: Sequence[File] = (), begun: bool = False, where: str = "art") -> Seen:
        text = CHANNEL.sub(lambda found: self._channel(found[1]).mention, MENTION.sub(lambda found: self._user(found[1]).mention, text))
        options = options_of(command, text)
        for name, content in files:
            options["image" if kind_of(name).startswith("image/") else "list"] = _attached((name, content))
        return await self._seen(await self.wire.command(self._user(who), self._channel(where), command, **options), begun=begun)

    async def press(self, who: str, card: Seen, label: str) -> Seen:
        message: discord.Message = card.place
        edits = message.edits
        if label in [each.placeholder for each in message.selects]:
            raise AssertionError("choose from a select by “placeholder: label”")
        if ": " in label:
            placeholder, option = label.split(": ", 1)
            answer = await self.wire.choose(self._user(who), message, placeholder, option)
        else:
            answer = await self.wire.press(self._user(who), message, label)
        if answer.kind == "deferred_update":
            return await poll(lambda: read_discord(answer.followups[0]) if answer.followups else read_discord(message) if message.edits > edits else None)
        return await self._seen(answer)

    async def fill(self, who: str, form: Seen, values: Mapping[str, str | File]) -> Seen:
        given = {name: value if isinstance(value, str) else _attached(value) for name, value in values.items()}
        return await self._seen(await self.wire.submit(self._user(who), form.place, **given))

    async def menu(self, who: str, card: Seen, entry: str) -> Seen:
        return await self._seen(await self.wire.context(self._user(who), self.wire.art, entry, card.place))

    async def react(self, who: str, card: Seen, emoji: str) -> Seen:
        message: discord.Message = card.place
        edits, before, letters = message.edits, list(self.wire.messages(message.channel)), len(self.wire.dms(self._user(who)))
        await self.wire.react(self._user(who), message, emoji)

        def look() -> Seen | None:
            if len(self.wire.dms(self._user(who))) > letters:
                return read_discord(self.wire.dms(self._user(who))[-1])
            new = [each for each in self.wire.messages(message.channel) if each not in before]
            if new:
                return read_discord(new[-1])
            if message.deleted:
                return Seen(title="(gone)")
            return read_discord(message) if message.edits > edits else None

        return await poll(look)

    async def _seen(self, answer: discord.Answer, *, begun: bool = False) -> Seen:
        if answer.kind == "modal":
            return form(answer.modal["title"], [(part["label"], part["component"].get("value", "")) for part in answer.modal["components"]], answer)

        def look() -> Seen | None:
            if answer.followups:
                return read_discord(answer.followups[0])
            message = answer.interaction.original
            return read_discord(message) if message is not None and not message.loading and not message.deleted else None

        return await poll(look, begun=begun)


# ------------------------------------------------------------------------------------------------ Slack


def read_slack(message: slack.Message, *, alone: bool = False) -> Seen:
    title, text, code, details, rows, pictured = "", [], [], [], [], False
    for block in message.blocks:
        said = unescaped(str((block.get("text") or {}).get("text", "")))
        match block["type"]:
            case "section" if "fields" in block:
                details += [" ".join(unescaped(each["text"]).replace("*", "", 2).split("\n")) for each in block["fields"]]
            case "section" if said.startswith("```"):
                code += said.strip("`").replace("\u200b", "").split("\n")
            case "section" if block["text"]["type"] == "mrkdwn" and not title:
                title = said.strip("*")
            case "section":
                text += [line for line in said.split("\n") if not re.match("[▰▱]+ ", line)]
            case "image":
                pictured = True
            case "context":
                details += [unescaped(each["text"]) for each in block["elements"]]
            case "actions":
                rows.append(tuple(unescaped((each.get("text") or each.get("placeholder"))["text"]) for each in block["elements"]))
    return Seen(
        title=title,
        text=_spelled("\n".join(text)),
        code="\n".join(code),
        pictures=pictured,
        details=_spelled(" · ".join(details)),
        rows=tuple(rows),
        alone=alone or message.ephemeral or str(message.channel).startswith("D"),
        place=message,
    )


def _spelled(text: str) -> str:
    """Commands as they are written elsewhere."""
    return text.replace("/wordup ", "/")


class SlackStage:
    name = "slack"

    def __init__(self, wire: slack.SlackWire) -> None:
        self.wire = wire
        more = (slack.User("U0GRACE000", "grace", "Grace Hopper", admin=True), slack.User("U0CARL0000", "carl", "Carl Zeiss", "de-DE"))
        for each in more:
            wire.users[each.id] = each
            wire.art.members.add(each.id)
        self.users = {each.name: each for each in (wire.ada, wire.bob, *more)}

    def _channel(self, name: str) -> slack.Channel:
        if name == "art":
            return self.wire.art
        self.wire.invite(self.wire.secret)
        self.wire.secret.members.add(self.users["grace"].id)
        return self.wire.secret

    def _user(self, who: str) -> slack.User:
        return self.users[who]

    def key(self, who: str) -> str:
        return f"slack:{self.wire.team_id}:{self._user(who).id}"

    def newest(self, who: str, where: str) -> Seen:
        user = self._user(who)
        return read_slack((self.wire.dms(user) if where == LETTERS else self.wire.messages(self._channel(where)))[-1])

    async def say(self, who: str, command: str, text: str, *, files: Sequence[File] = (), begun: bool = False, where: str = "art") -> Seen:
        text = MENTION.sub(lambda found: f"<@{self._user(found[1]).id}|{found[1]}>", text)
        text = CHANNEL.sub(lambda found: f"<#{self._channel(found[1]).id}|{found[1]}>", text)
        if files:  # a command takes none along there: they stand in a message, and its shortcut brings them
            said = await self.wire.say(self._user(who), self.wire.art, text, [(name, content, kind_of(name)) for name, content in files])
            view = await (await self.wire.shortcut(self._user(who), said, SHORTCUTS["Imagine from this"])).modal()
            return await self.fill(who, Seen(title="", place=view), {})
        name, words = ("/imagine", text) if command == "imagine" else ("/wordup", f"{command} {text}".strip())
        return await self._seen(await self.wire.command(self._user(who), self._channel(where), name, words), begun=begun)

    async def press(self, who: str, card: Seen, label: str) -> Seen:
        message: slack.Message = card.place
        edits = message.edits
        if ": " in label:
            placeholder, option = label.split(": ", 1)
            answer = await self.wire.choose(self._user(who), message, placeholder, option)
        else:
            answer = await self.wire.press(self._user(who), message, label)
        return await self._seen(answer, None if label in DECISIONS else message, edits)

    async def fill(self, who: str, form: Seen, values: Mapping[str, str | File]) -> Seen:
        user = self._user(who)
        before, whispers = list(self.wire.messages(self.wire.art)), len(self.wire.ephemerals(user))
        given = {name: value if isinstance(value, str) else [(*value, kind_of(value[0]))] for name, value in values.items()}
        answer = await self.wire.submit(user, form.place, **given)
        if answer.errors:
            return Seen(title="Not this time", text="\n".join(answer.errors.values()), alone=True)

        def look() -> Seen | None:
            if len(self.wire.ephemerals(user)) > whispers:
                return read_slack(self.wire.ephemerals(user)[-1], alone=True)
            return next((read_slack(each) for each in self.wire.messages(self.wire.art) if each not in before), None)

        return await poll(look)

    async def menu(self, who: str, card: Seen, entry: str) -> Seen:
        return await self._seen(await self.wire.shortcut(self._user(who), card.place, SHORTCUTS[entry]))

    async def react(self, who: str, card: Seen, emoji: str) -> Seen:
        message: slack.Message = card.place
        edits, letters, whispers = message.edits, len(self.wire.dms(self._user(who))), len(self.wire.ephemerals(self._user(who)))
        before = list(self.wire.messages(self.wire.art))
        await self.wire.react(self._user(who), message, NAMES[emoji])

        def look() -> Seen | None:
            if len(self.wire.dms(self._user(who))) > letters:
                return read_slack(self.wire.dms(self._user(who))[-1], alone=True)
            if message.deleted:
                return Seen(title="(gone)")
            if len(self.wire.ephemerals(self._user(who))) > whispers:
                return read_slack(self.wire.ephemerals(self._user(who))[-1], alone=True)
            new = [each for each in self.wire.messages(self.wire.art) if each not in before]
            if new:
                return read_slack(new[-1])
            return read_slack(message) if message.edits > edits else None

        return await poll(look)

    async def _seen(self, answer: slack.Answer, pressed: slack.Message | None = None, edits: int = 0, *, begun: bool = False) -> Seen:
        def look() -> Seen | None:
            if answer.ephemerals:
                return read_slack(answer.ephemerals[-1], alone=True)
            if (view := answer.view) is not None:
                return form(view.title, [(each.label, each.initial) for each in view.inputs.values()], view)
            if answer.posted():
                return read_slack(answer.posted()[-1])
            return read_slack(pressed) if pressed is not None and pressed.edits > edits and not pressed.deleted else None

        return await poll(look, begun=begun)


# ------------------------------------------------------------------------------------------------ putting one up


@asynccontextmanager
async def stage(name: str, folder: Path) -> AsyncIterator[tuple[Stage, App]]:
    """The whole bot on one platform; children's seeds count up from 1000, so that cards can be compared."""
    async with AsyncExitStack() as stack:
        wire: Any = None
        if name == "discord":
            wire = await stack.enter_async_context(discord.DiscordWire())
            settings = discord_settings(wire)
        elif name == "slack":
            wire = await stack.enter_async_context(slack.SlackWire())
            settings = slack_settings(wire)
        else:
            settings = {"web": True, "web_port": 0, "public_url": "http://pictures.example.org"}
        app = await stack.enter_async_context(running(folder, engine=FakeEngine((MODEL,)), **settings))
        seeds = iter(range(1000, 10_000, 100))
        app.studio.new_seed = lambda: next(seeds)
        if wire is not None:
            await wire.connected()
            yield (DiscordStage(wire) if name == "discord" else SlackStage(wire)), app
            assert wire.violations == [] and not unknown_requests(wire)
            return
        assert app.web is not None and app.web._runner is not None
        url = f"http://127.0.0.1:{app.web._runner.addresses[0][1]}"
        visitors = {}
        for who in ("ada", "bob", "carl"):
            token = mint(load_secret(folder), who, who, datetime.now(UTC))
            visitors[who] = await stack.enter_async_context(Visitor(url, ticket=token))
        visitors["carl"].session.headers["Accept-Language"] = "de"
        yield WebStage(visitors), app
