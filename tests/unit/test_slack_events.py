"""Slack's payloads as the studio's events."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from bot.chat.slack import events, limits
from bot.domain import Actor
from tests.fakes.studio import NOW

SLASH = {
    "team_id": "T1",
    "channel_id": "C1",
    "user_id": "U1",
    "user_name": "ada",
    "command": "/imagine",
    "text": " a fox &amp; a &lt;hen&gt; ",
    "response_url": "https://hooks.slack.com/commands/1",
    "trigger_id": "13.37.abc",
}


def pressed(**more: Any) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "user": {"id": "U1", "username": "ada", "team_id": "T9"},
        "container": {"type": "message", "message_ts": "5.0", "channel_id": "C1", "is_ephemeral": False},
        "trigger_id": "13.37.abc",
        "response_url": "https://hooks.slack.com/actions/1",
        "actions": [{"action_id": "wordup:0:0", "type": "button", "value": "w1:u:x"}],
        **more,
    }


def test_a_slash_command() -> None:
    spot = events.spot_of_command(SLASH, "T1")
    said = events.command(spot, SLASH, NOW)
    assert (said.name, said.text, said.delivery_id) == ("imagine", "a fox & a <hen>", events.delivery("13.37.abc"))
    assert said.actor == Actor(platform="slack", id="T1:U1", name="ada")
    assert (said.place.server, said.place.channel) == ("T1", "C1")
    reply = said.reply_to
    assert (reply.channel, reply.token, reply.user, reply.delivery) == ("C1", SLASH["response_url"], "U1", said.delivery_id)
    assert "13.37.abc" not in said.delivery_id
    assert (reply.uses_left, reply.expires_at, reply.can_post) == (5, NOW + timedelta(minutes=30), True)


def test_where_the_bot_may_not_post_there_is_no_token_either() -> None:
    reply = events.spot_of_command(SLASH, "T1").reply_to(NOW, can_post=False)
    assert (reply.can_post, reply.token) == (False, "")


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [("", "help", ""), ("history red fox", "history", "red fox"), ("  Show  01KD ", "show", "01KD"), ("dance", "help", ""), ("web", "web", "")],
)
def test_wordup_has_subcommands(text: str, name: str, rest: str) -> None:
    body = {**SLASH, "command": "/wordup", "text": text}
    said = events.command(events.spot_of_command(body, "T1"), body, NOW)
    assert (said.name, said.text) == (name, rest)


def test_a_press_knows_its_message_and_its_thread() -> None:
    spot = events.spot_of_interaction(pressed(), "T1")
    assert (spot.channel, spot.message, spot.thread, spot.actor.id) == ("C1", "5.0", "", "T1:U1")
    inside = events.spot_of_interaction(pressed(message={"ts": "5.0", "thread_ts": "4.0"}), "T1")
    assert inside.thread == "4.0"
    assert events.addressed(inside.reply_to(NOW)) == ("C1", "4.0")
    first = events.spot_of_interaction(pressed(message={"ts": "5.0", "thread_ts": "5.0"}), "T1")
    assert events.addressed(first.reply_to(NOW)) == ("C1", "")


def test_a_press_in_the_home_tab_has_no_channel() -> None:
    spot = events.spot_of_interaction(pressed(container={"type": "view", "view_id": "V1"}), "T1")
    assert (spot.home, spot.channel, spot.message) == (True, "", "")


def test_a_choice_is_a_press() -> None:
    body = pressed(actions=[{"action_id": "wordup:select:0", "type": "static_select", "selected_option": {"value": "w1:v:x"}}])
    assert events.pressed_value(body) == ("wordup:select:0", "w1:v:x")
    assert events.pressed_value(pressed()) == ("wordup:0:0", "w1:u:x")
    assert events.pressed_value({}) == ("", "")


def reacted(name: str, kind: str = "reaction_added", item: str = "message") -> dict[str, Any]:
    return {"event_id": "Ev1", "event": {"type": kind, "user": "U1", "reaction": name, "item": {"type": item, "channel": "C1", "ts": "5.0"}}}


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (reacted("one"), ("1️⃣", True)),
        (reacted("four"), ("4️⃣", True)),
        (reacted("arrows_counterclockwise"), ("🔄", True)),
        (reacted("x"), ("❌", True)),
        (reacted("email"), ("✉️", True)),
        (reacted("envelope"), ("✉️", True)),
        (reacted("star", "reaction_removed"), ("⭐", False)),
        (reacted("x", "reaction_removed"), None),
        (reacted("tada"), None),
        (reacted("one", item="file"), None),
    ],
)
def test_reactions(body: dict[str, Any], asked: tuple[str, bool] | None) -> None:
    assert events.emoji_of(body) == asked
    assert events.spot_of_event(body, "T1").delivery == "Ev1"


def view(private: str, value: str | None, initial: str = "") -> dict[str, Any]:
    element = {"type": "plain_text_input", "action_id": "words", "initial_value": initial}
    return {
        "id": "V1",
        "callback_id": "imagine",
        "private_metadata": private,
        "blocks": [{"type": "input", "block_id": "field:words", "element": element}],
        "state": {"values": {"field:words": {"words": {"type": "plain_text_input", "value": value}}}},
    }


def test_a_form_remembers_where_it_was_asked_for() -> None:
    spot = events.spot_of_interaction(pressed(message={"ts": "5.0", "thread_ts": "4.0"}), "T1")
    sent = view(events.metadata(spot, events.FileRef(id="F1", url="https://files.slack.com/f", name="fox.png")), "a hen")
    there = events.spot_of_submission({"user": {"id": "U1", "name": "ada"}, "view": sent}, "T1")
    assert (there.channel, there.thread, there.response_url, there.delivery) == ("C1", "4.0", spot.response_url, "V1")
    assert events.picture_of(sent) == events.FileRef(id="F1", url="https://files.slack.com/f", name="fox.png")
    submit = events.submit(there, "imagine", sent, NOW)
    assert (submit.form, dict(submit.values), submit.delivery_id) == ("imagine", {"words": "a hen"}, "V1")
    assert events.first_field(sent) == "field:words"


def test_what_a_form_remembers_fits() -> None:
    spot = events.spot_of_command(SLASH, "T1")
    text = events.metadata(spot, events.FileRef(id="F1", url="https://files.slack.com/" + "x" * 4000, name="y" * 500))
    assert len(text) <= limits.PRIVATE_METADATA
    assert events.picture_of(view(text, None)) == events.FileRef(id="F1", name="y" * 100)  # the address is asked for again


def test_a_form_of_another_program_is_no_trouble() -> None:
    for private in ("", "no json", "[]", json.dumps({"picture": 7})):
        sent = view(private, None)
        assert events.picture_of(sent) is None
        assert events.spot_of_submission({"user": {"id": "U1"}, "view": sent}, "T1").channel == ""
        assert events.submit(events.spot_of_submission({"user": {"id": "U1"}, "view": sent}, "T1"), "x", sent, NOW).values == {"words": ""}


def test_shortened_words_that_were_left_alone_are_kept_whole() -> None:
    spot = events.spot_of_command(SLASH, "T1")
    private = events.metadata(spot, None, ("words",))
    assert events.submit(spot, "f", view(private, "begin", "begin"), NOW).values == {"words": ""}
    assert events.submit(spot, "f", view(private, "other", "begin"), NOW).values == {"words": "other"}
    assert events.submit(spot, "f", view(events.metadata(spot), "begin", "begin"), NOW).values == {"words": "begin"}


def test_the_first_picture_of_a_message() -> None:
    files = [{"id": "F1", "mimetype": "text/plain"}, {"id": "F2", "mimetype": "image/png", "url_private": "https://files.slack.com/f", "name": "fox.png"}]
    assert events.shared_picture({"files": files}) == events.FileRef(id="F2", url="https://files.slack.com/f", name="fox.png")
    assert events.shared_picture({"files": files[:1]}) is None
    assert events.shared_picture({}) is None
