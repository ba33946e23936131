"""What members of the workspace do: commands, presses, choices, forms, reactions, messages, and the home tab."""

from __future__ import annotations

import math
import time
from typing import Any

from tests.fakes.slack import payloads
from tests.fakes.slack.delivery import Delivery
from tests.fakes.slack.model import Answer, Channel, File, Message, User, View
from tests.fakes.slack.readers import BUTTONS, options_of, text_of
from tests.fakes.slack.surfaces import change_view, checked_view, new_view
from tests.fakes.slack.world import Refused

Upload = tuple[str, bytes, str]
PICKED = {"users": "user", "conversations": "conversation", "channels": "channel"}


class Members(Delivery):
    def __init__(self, mark: str = "0") -> None:
        super().__init__(mark)
        #: Which events the app subscribed to.
        self.subscribed = {"reaction_added", "reaction_removed", "app_home_opened", "app_uninstalled", "tokens_revoked"}

    def _answer(self, kind: str, user: User, channel: str) -> Answer:
        return Answer(kind, {}, user.id, channel, self, before=len(self.spoken))

    def _id(self, channel: Channel | str) -> str:
        return channel if isinstance(channel, str) else channel.id

    # -- commands, presses, choices

    async def command(self, user: User, channel: Channel | str, name: str, text: str = "", trigger: str | None = None) -> Answer:
        """Type a slash command; `text` is what the member typed, not yet escaped."""
        place = self.channels[self._id(channel)]
        answer = self._answer("slash_commands", user, place.id)
        answer.trigger_id = trigger or self.new_trigger(answer)
        answer.response_url = self.new_response_url(answer)
        answer.payload = payloads.command(self, user, place, name, text, answer.trigger_id, answer.response_url)
        if "commands" not in self.scopes:
            answer.failure = "not_delivered"
            return answer
        return await self._settle(answer)

    async def press(self, user: User, place: Message | View, name: str) -> Answer:
        """Press the button with this label or `action_id`."""
        block, element = place.element(name)
        assert element["type"] in BUTTONS, f"{name!r} is a {element['type']}: use choose()"
        action: dict[str, Any] = {key: element[key] for key in ("type", "action_id", "text", "value", "style", "url") if key in element}
        return await self._act(user, place, {**action, "block_id": block["block_id"]})

    async def choose(self, user: User, place: Message | View, name: str, option: str) -> Answer:
        """Pick the option with this text from the menu with this placeholder or `action_id`."""
        block, element = place.element(name)
        found = next((one for one in options_of(element) if text_of(one["text"]) == option), None)
        assert found is not None, f"{name!r} offers {[text_of(one['text']) for one in options_of(element)]}, not {option!r}"
        selected = {key: found[key] for key in ("text", "value")}
        action: dict[str, Any] = {key: element[key] for key in ("type", "action_id", "placeholder") if key in element}
        if element["type"] != "overflow":
            values = place.state.setdefault(block["block_id"], {})
            values[element["action_id"]] = {"type": element["type"], "selected_option": selected}
        return await self._act(user, place, {**action, "block_id": block["block_id"], "selected_option": selected})

    async def _act(self, user: User, place: Message | View, action: dict[str, Any]) -> Answer:
        if isinstance(place, Message):
            assert not place.deleted, "the message is gone"
            assert not place.ephemeral or place.to == user.id, "only one member sees it"
            answer = self._answer("block_actions", user, place.channel)
            answer.response_url = self.new_response_url(answer, place)
        else:
            assert not place.closed and place.user == user.id, "the view is not theirs, or closed"
            answer = self._answer("block_actions", user, "")
        answer.trigger_id = self.new_trigger(answer)
        answer.payload = payloads.block_actions(self, user, place, action, answer.trigger_id, answer.response_url)
        return await self._settle(answer)

    async def shortcut(self, user: User, message: Message | None, callback_id: str) -> Answer:
        """A message's shortcut, or a global one where there is no message."""
        answer = self._answer("message_action" if message else "shortcut", user, message.channel if message else "")
        answer.trigger_id = self.new_trigger(answer)
        if message is None:
            answer.payload = payloads.shortcut(self, user, callback_id, answer.trigger_id)
        else:
            answer.response_url = self.new_response_url(answer, None)
            answer.payload = payloads.message_action(self, user, message, callback_id, answer.trigger_id, answer.response_url)
        return await self._settle(answer)

    # -- forms

    async def submit(self, user: User, view: View, *in_order: Any, **values: Any) -> Answer:
        """Fill in a form and send it: by `block_id`, `action_id` or label, or in order; what is not named keeps its first value."""
        assert not view.closed and view.user == user.id, "the view is not theirs, or closed"
        rest = list(in_order)
        for block in view.blocks:
            if block["type"] != "input":
                continue
            element, label = block["element"], text_of(block["label"])
            name = next((key for key in (block["block_id"], element["action_id"], label) if key in values), None)
            given = values.pop(name) if name else rest.pop(0) if rest else None
            value = self._filled(user, element, given)
            filled = any(part not in (None, "", []) for key, part in value.items() if key != "type")
            assert filled or block.get("optional"), f"{label!r} is required: Slack's own form would not let it go"
            view.state.setdefault(block["block_id"], {})[element["action_id"]] = value
        assert not values and not rest, f"the form does not ask for {values or rest}: {view.inputs}"
        answer = self._answer("view_submission", user, "")
        answer.trigger_id = self.new_trigger(answer)
        answer.payload = payloads.view_submission(self, user, view, answer.trigger_id)
        return await self._settle(answer)

    def _filled(self, user: User, element: dict[str, Any], given: Any) -> dict[str, Any]:
        kind = element["type"]
        offered = {text_of(option["text"]): option for option in options_of(element)}
        match kind:
            case "static_select" | "radio_buttons":
                chosen = offered[given] if given is not None else element.get("initial_option")
                return {"type": kind, "selected_option": chosen}
            case "multi_static_select" | "checkboxes":
                picked = [offered[one] for one in given] if given is not None else element.get("initial_options", [])
                return {"type": kind, "selected_options": picked}
            case "datepicker" | "timepicker":
                word = kind.removesuffix("picker")
                return {"type": kind, f"selected_{word}": given if given is not None else element.get(f"initial_{word}")}
            case "file_input":
                files = [self._kept(user, "", one) for one in given or []]
                return {"type": kind, "files": [payloads.file_payload(self, file) for file in files]}
        if kind.endswith("_select"):
            many = kind.startswith("multi_")
            word = PICKED[kind.removeprefix("multi_").removesuffix("_select")] + ("s" if many else "")
            return {"type": kind, f"selected_{word}": given if given is not None else element.get(f"initial_{word}", [] if many else None)}
        text = str(given) if given is not None else element.get("initial_value", "")
        assert len(text) <= element.get("max_length", 3000), f"Slack's form takes {element.get('max_length', 3000)} characters there"
        assert not text or len(text) >= element.get("min_length", 0), f"Slack's form wants {element['min_length']} characters there"
        return {"type": kind, "value": text or None}

    async def close_view(self, user: User, view: View) -> Answer | None:
        """Dismiss a form; the app hears of it where it asked to."""
        view.closed = True
        if not view.body.get("notify_on_close"):
            return None
        answer = self._answer("view_closed", user, "")
        answer.payload = payloads.view_closed(self, user, view)
        return await self._settle(answer)

    # -- reactions, messages, the home tab

    async def react(self, user: User, message: Message, name: str) -> Answer:
        message.reactions.setdefault(name, set()).add(user.id)
        return await self._event(user, message.channel, "reaction_added", payloads.reaction(self, user, message, name, "reaction_added"), "reactions:read")

    async def unreact(self, user: User, message: Message, name: str) -> Answer:
        message.reactions.get(name, set()).discard(user.id)
        return await self._event(user, message.channel, "reaction_removed", payloads.reaction(self, user, message, name, "reaction_removed"), "reactions:read")

    async def open_home(self, user: User) -> Answer:
        return await self._event(user, self.dm(user.id).id, "app_home_opened", payloads.home_opened(self, user), "")

    async def uninstall(self) -> Answer:
        """The app is removed from this workspace: its token is no good from then on, and the app hears of it."""
        self.bot_token = "xoxb-no-more"
        return await self._event(self.ada, self.art.id, "app_uninstalled", payloads.event(self, {"type": "app_uninstalled"}), "")

    async def say(self, user: User, channel: Channel | str, text: str, files: list[Upload] | None = None, thread: Message | None = None) -> Message:
        """Write a message; the app hears of it where it subscribed to `message.channels`, `.groups`, `.im` or `app_mention`."""
        place = self.channels[self._id(channel)]
        message = self.post(place.id, user.id, {"text": payloads.escaped(text), "thread_ts": thread.ts if thread else ""})
        message.files = [self._kept(user, place.id, one) for one in files or []]
        kind = {"public": "channels", "private": "groups", "im": "im"}[place.kind]
        if payloads.mentions(self, message.text):
            await self._event(user, place.id, "app_mention", payloads.said(self, message, "app_mention"), "app_mentions:read")
        await self._event(user, place.id, f"message.{kind}", payloads.said(self, message, "message"), f"{kind}:history")
        return message

    def _kept(self, user: User, channel: str, upload: Upload) -> File:
        name, content, mimetype = upload
        file = File(self.new_id("F"), name, len(content), user.id, title=name, content=content, declared=mimetype)
        file.completed, file.channels = time.monotonic() - 60, {channel or self.dm(user.id).id}
        self.files[file.id] = file
        return file

    async def _event(self, user: User, channel: str, name: str, payload: dict[str, Any], scope: str) -> Answer:
        """Tell the app, where it subscribed, may know, and is there to see."""
        answer = self._answer("events", user, channel)
        answer.payload = payload
        allowed = name in self.subscribed and (not scope or scope in self.scopes)
        if not allowed or self.bot_user_id not in self.channels[channel].members:
            answer.failure = "not_delivered"
            return answer
        return await self._settle(answer)

    # -- the same once more

    async def again(self, answer: Answer) -> Answer:
        """The very same payload once more: the same trigger, response_url and event."""
        return await self._settle(self._same(answer))

    async def retry_later(self, answer: Answer) -> Answer:
        """The very same payload, marked as Slack marks what it thinks was not acknowledged."""
        return await self._settle(self._same(answer), retry=1, reason="http_timeout" if self.events_url else "timeout")

    def _same(self, answer: Answer) -> Answer:
        same = self._answer(answer.kind, self.users[answer.user], answer.channel)
        same.payload, same.trigger_id, same.response_url = answer.payload, answer.trigger_id, answer.response_url
        if (trigger := self.triggers.get(answer.trigger_id)) and not trigger.used:
            trigger.answer = same
        return same

    # -- what an acknowledgement brings along

    async def _settle(self, answer: Answer, *, retry: int = 0, reason: str = "") -> Answer:
        await self.dispatch(answer, retry=retry, reason=reason)
        if not answer.acknowledged:
            return answer
        try:
            if answer.kind == "slash_commands" and answer.ack:
                self._answered_command(answer)
            elif answer.kind == "view_submission":
                self._answered_form(answer)
            elif answer.ack:
                self.violation("ack", f"{answer.kind} takes no body: {answer.ack}")
        except Refused as refused:
            self.violation("ack", f"{answer.kind}: {refused.error} {refused.messages}")
        return answer

    def _answered_command(self, answer: Answer) -> None:
        unknown = answer.ack.keys() - {"text", "blocks", "attachments", "response_type", "unfurl_links", "unfurl_media", "metadata"}
        if unknown:
            self.violation("ack", f"slash_commands: unknown keys {sorted(unknown)}")
        self.checked_content("ack", answer.ack)
        shown = answer.ack.get("response_type") == "in_channel"
        self.post(answer.channel, self.bot_user_id, answer.ack, to="" if shown else answer.user)

    def _answered_form(self, answer: Answer) -> None:
        view = self.views[answer.payload["view"]["id"]]
        match answer.ack.get("response_action"):
            case None if not answer.ack:
                view.closed = True
            case "clear":
                for other in self.views.values():
                    other.closed = other.closed or (other.user == answer.user and other.body["type"] == "modal")
            case "errors":
                unknown = answer.errors.keys() - {block["block_id"] for block in view.blocks if block["type"] == "input"}
                if unknown or not answer.errors:
                    self.violation("ack", f"errors name blocks that ask for nothing: {sorted(unknown)}")
            case "update":
                change_view(self, view, checked_view(self, "ack", answer.ack.get("view")))
            case "push":
                answer.opened.append(new_view(self, checked_view(self, "ack", answer.ack.get("view")), answer.user, view.root or view.id))
            case other:
                self.violation("ack", f"response_action {other!r}: {answer.ack}")
        self.changed()

    # -- reading and running the workspace

    def messages(self, channel: Channel | str) -> list[Message]:
        """What stands in a channel, oldest first, whoever wrote it."""
        return [m for m in self.spoken if m.channel == self._id(channel) and not m.deleted and not m.ephemeral]

    def dms(self, user: User) -> list[Message]:
        """What the bot wrote to a member directly."""
        return [m for m in self.messages(self.dm(user.id)) if m.user == self.bot_user_id]

    def ephemerals(self, user: User) -> list[Message]:
        return [m for m in self.spoken if m.ephemeral and m.to == user.id and not m.deleted]

    def kick(self, channel: Channel) -> None:
        channel.members.discard(self.bot_user_id)

    def invite(self, channel: Channel) -> None:
        channel.members.add(self.bot_user_id)

    def archive(self, channel: Channel) -> None:
        channel.archived = True

    async def delete_message(self, message: Message) -> None:
        message.deleted = True
        self.changed()

    def expire(self, answer: Answer) -> None:
        """Make the trigger and the response_url of an answer as old as they can get."""
        if trigger := self.triggers.get(answer.trigger_id):
            trigger.born = -math.inf
        for url in self.response_urls.values():
            if url.answer is answer:
                url.born = -math.inf
