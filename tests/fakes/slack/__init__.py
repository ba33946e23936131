"""Slack's wire for tests: a workspace on a free port of this machine, with the rules, limits and moods of the real platform.

`SlackWire` is the workspace and its members; the app under test is the real one, over slack-bolt and slack_sdk, in this process or
in one of its own. Whatever the app sends is checked: what Slack refuses is refused in Slack's words, and noted in `violations`.
"""

from tests.fakes.slack.model import Answer, Channel, File, Message, Picture, Sent, User, View, Violation
from tests.fakes.slack.readers import Button, Input, Select
from tests.fakes.slack.wire import SlackWire

__all__ = ["Answer", "Button", "Channel", "File", "Input", "Message", "Picture", "Select", "Sent", "SlackWire", "User", "View", "Violation"]
