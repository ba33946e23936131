"""The Web API's methods that this fake knows: their arguments and the scopes that they need.

After the signatures in `slack_sdk.web.async_client` and https://docs.slack.dev/reference/methods. `scope` may name several for a
conversation: then the kind of the channel says which.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

#: Form fields (and JSON fields holding a string) whose value is JSON.
DECODED = ("blocks", "attachments", "files", "metadata", "view")
HISTORY = {"public": "channels:history", "private": "groups:history", "im": "im:history"}
READ = {"public": "channels:read", "private": "groups:read", "im": "im:read"}


@dataclass(frozen=True, slots=True)
class Method:
    required: frozenset[str]
    optional: frozenset[str]
    scope: str = ""
    #: Whether a JSON body is read at all; Slack's older reading methods take a query or a form only.
    json: bool = True


def _method(required: str, optional: str = "", scope: str = "", *, json: bool = True) -> Method:
    return Method(frozenset(required.split()), frozenset(optional.split()), scope, json)


_said = "text attachments blocks thread_ts as_user icon_emoji icon_url link_names username parse markdown_text"

METHODS: dict[str, Method] = {
    "auth.test": _method(""),
    "oauth.v2.access": _method("code", "client_id client_secret redirect_uri grant_type refresh_token"),
    "apps.connections.open": _method(""),
    "chat.postMessage": _method("channel", f"{_said} reply_broadcast unfurl_links unfurl_media mrkdwn metadata container_id", "chat:write"),
    "chat.update": _method("channel ts", "text attachments blocks as_user file_ids link_names parse reply_broadcast metadata markdown_text", "chat:write"),
    "chat.delete": _method("channel ts", "as_user", "chat:write"),
    "chat.postEphemeral": _method("channel user", _said, "chat:write"),
    "chat.getPermalink": _method("channel message_ts", json=False),
    "conversations.info": _method("channel", "include_locale include_num_members", "read", json=False),
    "conversations.open": _method("", "channel return_im users prevent_creation", "im:write"),
    "conversations.history": _method("channel", "cursor inclusive include_all_metadata latest limit oldest", "history", json=False),
    "conversations.replies": _method("channel ts", "cursor inclusive include_all_metadata latest limit oldest", "history", json=False),
    "views.open": _method("view", "trigger_id interactivity_pointer"),
    "views.push": _method("view", "trigger_id interactivity_pointer"),
    "views.update": _method("view", "view_id external_id hash"),
    "views.publish": _method("user_id view", "hash"),
    "users.info": _method("user", "include_locale", "users:read", json=False),
    "reactions.add": _method("channel name timestamp", "", "reactions:write"),
    "reactions.remove": _method("name", "channel timestamp file file_comment", "reactions:write"),
    "files.getUploadURLExternal": _method("filename length", "alt_txt snippet_type", "files:write", json=False),
    "files.completeUploadExternal": _method("files", "channel_id channels initial_comment thread_ts blocks highlight_type", "files:write"),
    "files.info": _method("file", "count cursor limit page", "files:read", json=False),
    "files.delete": _method("file", "", "files:write"),
}


def decoded(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with those parsed that Slack takes as JSON in a string; what is no JSON stays as it is."""
    found = {key: value for key, value in arguments.items() if key not in ("token", "team_id")}
    for key in DECODED:
        if isinstance(found.get(key), str):
            try:
                found[key] = json.loads(found[key])
            except ValueError:
                continue
    return found


def truth(value: Any) -> bool:
    return value in (True, "1", "true", 1)
