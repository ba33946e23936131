"""What members do: they type commands, press, choose, fill in forms, react and talk, and wait for what the bot says."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from typing import Any

from tests.fakes.discord.interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL_SUBMIT, Answer, Choice, Interaction, NoAnswer, make
from tests.fakes.discord.messages import Button, Message
from tests.fakes.discord.stage import Stage
from tests.fakes.discord.world import Channel, File, Json, User, content_type_of

STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = 3, 4, 5, 6, 7, 8, 9, 10, 11
TEXT_INPUT, UPLOAD, CHECKBOX = 4, 19, 23


class Members(Stage):
    """The part of `DiscordWire` that acts. A member can do only what the client would let them."""

    async def command(self, user: User, channel: Channel, name: str, /, *, delivery: int | None = None, user_install: bool = False, **options: Any) -> Answer:
        """A slash command, `group sub` for a subcommand; an option is given by its name, an attachment as a `File`."""
        data, _ = self._typed(user, channel, name, options, user_install=user_install)
        return await self._send(make(self, COMMAND, user, channel, data, user_install=user_install), delivery)

    async def autocomplete(
        self, user: User, channel: Channel, name: str, option: str, typed: str, /, *, user_install: bool = False, **others: Any
    ) -> list[Choice]:
        data, leaf = self._typed(user, channel, name, others, user_install=user_install, partial=True)
        declared = next((one for one in leaf if one["name"] == option), None)
        assert declared is not None and declared.get("autocomplete"), f"/{name} offers no autocomplete for {option}"
        inner = data
        while inner["options"] and inner["options"][0]["type"] in (1, 2):
            inner = inner["options"][0]
        inner["options"].append({"name": option, "type": declared["type"], "value": typed, "focused": True})
        return (await self._send(make(self, AUTOCOMPLETE, user, channel, data, user_install=user_install), None)).choices

    async def context(
        self, user: User, channel: Channel, name: str, target: Message | User, /, *, delivery: int | None = None, user_install: bool = False
    ) -> Answer:
        """A command of the context menu, on a message or on a member."""
        kind = 3 if isinstance(target, Message) else 2
        found = self._registered(channel, name, kind, user_install=user_install)
        resolved: Json = {"messages": {str(target.id): target.payload()}} if isinstance(target, Message) else self._person(target, channel)
        data = {"id": found["id"], "name": name, "type": kind, "target_id": str(target.id), "resolved": resolved}
        return await self._send(make(self, COMMAND, user, channel, data, user_install=user_install), delivery)

    async def press(self, user: User, message: Message, button: str, /, *, delivery: int | None = None) -> Answer:
        """By label, emoji or custom id."""
        self._sees(user, message)
        found: Button | None = next((one for one in message.button_list if button in (one.label, one.custom_id)), None)
        assert found is not None, f"no button {button!r} among {message.labels}"
        assert not found.disabled, f"the button {button!r} is disabled"
        assert found.custom_id is not None, f"{button!r} is a link"
        data = {"custom_id": found.custom_id, "component_type": 2, "id": found.id}
        return await self._send(self._on(message, user, data), delivery)

    async def choose(self, user: User, message: Message, select: str, /, *options: str, delivery: int | None = None) -> Answer:
        """By placeholder or custom id; the options by label or value."""
        self._sees(user, message)
        found = next((one for one in message.selects if select in (one.placeholder, one.custom_id)), None)
        assert found is not None, f"no select {select!r} among {[one.placeholder for one in message.selects]}"
        assert not found.disabled, f"the select {select!r} is disabled"
        for option in options:
            assert found.kind != 3 or option in found.options or option in found.options.values(), f"no option {option!r} among {list(found.options)}"
        data = {"custom_id": found.custom_id, "component_type": found.kind, "id": found.id, "values": [found.options.get(o, o) for o in options]}
        return await self._send(self._on(message, user, data), delivery)

    async def submit(self, user: User, form: Answer, /, *values: Any, delivery: int | None = None, **named: Any) -> Answer:
        """Fills in the form that an answer opened: by custom id or label, or in order; the rest stays as it is prefilled. Files are given as `File`s."""
        opened = form.interaction
        assert opened.user is user, "a form is shown to the one who opened it"
        in_order = iter(values)
        resolved: Json = {}
        components = [self._filled(component, in_order, named, opened.channel, resolved) for component in form.modal["components"]]
        assert next(in_order, None) is None, "more values than the form has fields"
        assert not named, f"the form has no fields {sorted(named)}"
        data = {"custom_id": form.modal["custom_id"], "components": components, **({"resolved": resolved} if resolved else {})}
        made = make(self, MODAL_SUBMIT, user, opened.channel, data, message=opened.message, user_install=opened.user_install)
        return await self._send(made, delivery)

    async def again(self, answer: Answer, /) -> Answer:
        """The very same interaction is delivered once more."""
        self.gateway.dispatch("INTERACTION_CREATE", copy.deepcopy(answer.interaction.payload), answer.interaction.channel)
        await asyncio.sleep(0)
        return answer

    async def react(self, user: User, message: Message, emoji: str, /, *, delivery: int | None = None) -> None:
        self._sees(user, message)
        assert not message.ephemeral, "nobody reacts to an ephemeral message"
        for _ in range(delivery or 1):
            self.mark(user, message, emoji, added=True, anew=True)

    async def unreact(self, user: User, message: Message, emoji: str, /) -> None:
        self.mark(user, message, emoji, added=False)

    async def say(self, user: User, channel: Channel, text: str = "", /, *, files: list[File] | None = None, reply_to: Message | None = None) -> Message:
        """A member's own message."""
        kept = [self.store(f.name, f.content, content_type_of(f.name, f.content, f.content_type), channel) for f in files or []]
        message = Message(wire=self, id=self.snowflake(), channel=channel, author=user, content=text, attachments=kept, reply_to=reply_to)
        self.keep(message)
        return message

    # How it is put together

    async def _send(self, it: Interaction, delivery: int | None) -> Answer:
        for _ in range(delivery or 1):
            self.gateway.dispatch("INTERACTION_CREATE", copy.deepcopy(it.payload), it.channel)
        answer = Answer(it)
        try:
            await asyncio.wait_for(it.arrived.wait(), self.ack_seconds + 0.1)
        except TimeoutError:
            raise NoAnswer(answer, self.ack_seconds) from None
        return answer

    def _on(self, message: Message, user: User, data: Json) -> Interaction:
        installed = (message.metadata or {}).get("authorizing_integration_owners", {})
        return make(self, COMPONENT, user, message.channel, data, message=message, user_install=bool(installed) and "0" not in installed)

    @staticmethod
    def _sees(user: User, message: Message) -> None:
        assert message.visible_to(user), f"{user.name} does not see this message"

    def _registered(self, channel: Channel, name: str, kind: int, *, user_install: bool) -> Json:
        everywhere = self.registered.get("", [])
        here = self.registered.get(str(channel.guild.id), []) if channel.guild else []
        found = next((one for one in [*here, *everywhere] if one["name"] == name and one["type"] == kind), None)
        assert found is not None, f"{name!r} is not registered among {[one['name'] for one in everywhere]}"
        contexts = found.get("contexts")
        assert not contexts or channel.context in contexts, f"{name!r} is not offered in context {channel.context}: {contexts}"
        assert contexts or channel.context == 0 or found.get("dm_permission") is not False, f"{name!r} is not offered in direct messages"
        kinds = found["integration_types"]
        assert int(user_install) in kinds, f"{name!r} is not installable to {'users' if user_install else 'guilds'}: {kinds}"
        assert user_install or channel.guild is None or channel.guild.joined, f"the bot is not in {channel.guild.name if channel.guild else ''}"
        return found

    def _typed(self, user: User, channel: Channel, name: str, options: Json, *, user_install: bool, partial: bool = False) -> tuple[Json, list[Json]]:
        first, *rest = name.split(" ")
        found = self._registered(channel, first, 1, user_install=user_install)
        needed = found.get("default_member_permissions")
        allowed = needed is None or channel.guild is None or user.admin or bool(channel.member_permissions(user) & int(needed))
        assert allowed, f"/{name} is hidden from {user.name}"
        data: Json = {"id": found["id"], "name": first, "type": 1, "options": []}
        if "guild_id" in found:
            data["guild_id"] = found["guild_id"]
        inner, declared = data, found["options"]
        for step in rest:
            below = next((one for one in declared if one["name"] == step and one["type"] in (1, 2)), None)
            assert below is not None, f"/{name} has no {step}"
            inner["options"] = [{"name": step, "type": below["type"], "options": []}]
            inner, declared = inner["options"][0], below.get("options") or []
        resolved: Json = {}
        strangers = set(options) - {one["name"] for one in declared}
        assert not strangers, f"/{name} has no options {sorted(strangers)}"
        for one in declared:
            if one["name"] in options:
                value = self._value(one, options[one["name"]], channel, user, resolved)
                inner["options"].append({"name": one["name"], "type": one["type"], "value": value})
            else:
                assert partial or not one.get("required"), f"/{name} needs {one['name']}"
        if resolved:
            data["resolved"] = resolved
        return data, declared

    def _value(self, declared: Json, given: Any, channel: Channel, user: User, resolved: Json) -> Any:
        kind, name = declared["type"], declared["name"]
        offered = {choice["name"]: choice["value"] for choice in declared.get("choices") or []}
        if offered:
            assert given in offered or given in offered.values(), f"{name} offers {list(offered)}, not {given!r}"
            return offered.get(given, given)
        if kind == ATTACHMENT:
            assert isinstance(given, File), f"{name} takes a File"
            kept = self.store(given.name, given.content, content_type_of(given.name, given.content, given.content_type), channel)
            resolved.setdefault("attachments", {})[str(kept.id)] = kept.payload()
            return str(kept.id)
        if kind == CHANNEL:
            resolved.setdefault("channels", {})[str(given.id)] = given.partial(user, self.bot)
            return str(given.id)
        if kind in (USER, MENTIONABLE):
            for key, seen in self._person(given, channel).items():
                resolved.setdefault(key, {}).update(seen)
            return str(given.id)
        if kind == ROLE:
            return str(given)
        fits: Any = {STRING: str, INTEGER: int, BOOLEAN: bool, NUMBER: (int, float)}[kind]
        assert isinstance(given, fits), f"{name} takes {fits}, not {given!r}"
        size, least, most = (len(given), "min_length", "max_length") if kind == STRING else (given, "min_value", "max_value")
        assert declared.get(least) is None or size >= declared[least], f"{name} is less than {declared[least]}"
        assert declared.get(most) is None or size <= declared[most], f"{name} is more than {declared[most]}"
        assert kind != STRING or size <= 6000, f"{name} takes 6000 characters at most"
        return given

    @staticmethod
    def _person(person: User, channel: Channel) -> Json:
        seen: Json = {"users": {str(person.id): person.payload()}}
        if channel.guild is not None:
            seen["members"] = {str(person.id): person.member(permissions=channel.member_permissions(person), user=False)}
        return seen

    def _filled(self, component: Json, values: Iterator[Any], named: Json, channel: Channel, resolved: Json) -> Json:
        """A component of a form as its submission carries it."""
        kind, ident = component["type"], component.get("id") or 0
        if kind == 1:
            return {"type": 1, "id": ident, "components": [self._field(c, c.get("label"), values, named, channel, resolved) for c in component["components"]]}
        if kind == 18:
            return {"type": 18, "id": ident, "component": self._field(component["component"], component["label"], values, named, channel, resolved)}
        return {"type": kind, "id": ident}

    def _field(self, field: Json, label: str | None, values: Iterator[Any], named: Json, channel: Channel, resolved: Json) -> Json:
        key = next((name for name in (field["custom_id"], label) if name in named), None)
        given = named.pop(key) if key is not None else next(values, None)
        sent: Json = {"type": field["type"], "id": field.get("id") or 0, "custom_id": field["custom_id"]}
        required = field.get("required", True) is not False
        if field["type"] == TEXT_INPUT:
            text = (field.get("value") or "") if given is None else str(given)
            assert text or not required, f"the form wants {label or field['custom_id']}"
            assert not text or (field.get("min_length") or 0) <= len(text) <= (field.get("max_length") or 4000), f"{label}: {len(text)} characters do not fit"
            return {**sent, "value": text}
        if field["type"] == UPLOAD:
            files = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
            assert (field.get("min_values") or 0) <= len(files) <= (field.get("max_values") or 1), f"{label}: {len(files)} files do not fit"
            kept = [self.store(each.name, each.content, content_type_of(each.name, each.content, each.content_type), channel) for each in files]
            resolved.setdefault("attachments", {}).update({str(each.id): each.payload() for each in kept})
            return {**sent, "values": [str(each.id) for each in kept]}
        options = field.get("options") or []
        if field["type"] == CHECKBOX:
            return {**sent, "value": bool(field.get("default") if given is None else given)}
        by_label = {option["label"]: option["value"] for option in options}
        if given is None:
            chosen = [option["value"] for option in options if option.get("default")]
        else:
            chosen = [by_label.get(one, str(one)) for one in (given if isinstance(given, list | tuple) else [given])]
        assert chosen or not required, f"the form wants {label or field['custom_id']}"
        if field["type"] == 21:
            return {**sent, "value": chosen[0] if chosen else None}
        return {**sent, "values": chosen}
