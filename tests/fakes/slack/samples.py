"""Whether what the fake sends is what Slack sends: its keys against the sample payloads beside the repository, where they are."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

SPECS = Path(__file__).resolve().parents[3].parent / "shared" / "specs" / "slack"

#: Whose insides the samples leave out or check elsewhere: block kinds, free values.
OPAQUE = {"blocks", "state", "event_payload", "shares", "authorizations", "files"}

#: payload → (sample, the keys that Slack never leaves out)
PAYLOADS = {
    "slash_commands": (
        "app-backend/slash-commands/SlashCommandPayload",
        "token api_app_id team_id team_domain channel_id channel_name user_id user_name command text response_url trigger_id is_enterprise_install",
    ),
    "block_actions": (
        "app-backend/interactive-components/BlockActionPayload",
        "type team user api_app_id token container trigger_id state actions is_enterprise_install enterprise",
    ),
    "message_action": (
        "app-backend/interactive-components/MessageShortcutPayload",
        "type callback_id trigger_id message_ts response_url message team user channel token action_ts is_enterprise_install enterprise",
    ),
    "view_submission": (
        "app-backend/views/ViewSubmissionPayload",
        "type team user api_app_id token trigger_id view is_enterprise_install enterprise",
    ),
    "view_closed": ("app-backend/views/ViewClosedPayload", "type team user api_app_id token view is_cleared is_enterprise_install enterprise"),
    **{
        kind: (f"events/{sample}", "token team_id api_app_id event type event_id event_time authorizations is_ext_shared_channel event_context")
        for kind, sample in {
            "reaction_added": "ReactionAddedPayload",
            "reaction_removed": "ReactionAddedPayload",
            "app_home_opened": "AppHomeOpenedPayload",
            "message": "MessagePayload",
            "app_mention": "AppMentionPayload",
        }.items()
    },
}

#: Keys that Slack documents and the samples lack, since their value has no one shape.
DOCUMENTED = {"view.blocks", "event.view.blocks", "actions.options", "event.channel_type", "event.files", "event.subtype", "channel.user", "file.shares"}


@functools.cache
def _sample(name: str) -> Any:
    path = SPECS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def check_payload(kind: str, payload: dict[str, Any]) -> None:
    """An AssertionError where the fake would send what Slack does not."""
    if kind not in PAYLOADS:
        return
    name, always = PAYLOADS[kind]
    missing = set(always.split()) - payload.keys()
    assert not missing, f"{kind} always has {sorted(missing)}"
    if (sample := _sample(name)) is not None:
        unknown = sorted(_unknown(payload, sample, ""))
        assert not unknown, f"Slack's {kind} does not have {unknown}"


def check_answer(method: str, answer: dict[str, Any]) -> None:
    if (sample := _sample(f"api/{method}")) is not None:
        unknown = sorted(_unknown({k: v for k, v in answer.items() if k not in ("errors", "response_metadata")}, sample, ""))
        assert not unknown, f"Slack's answer to {method} does not have {unknown}"


def _unknown(told: Any, sample: Any, at: str) -> set[str]:
    if isinstance(told, list) and isinstance(sample, list):
        known = {key: value for one in sample if isinstance(one, dict) for key, value in one.items()}
        return {path for one in told if isinstance(one, dict) for path in _unknown(one, known, at)}
    if not isinstance(told, dict) or not isinstance(sample, dict):
        return set()
    found: set[str] = set()
    for key, value in told.items():
        path = f"{at}.{key}".lstrip(".")
        if key not in sample and path not in DOCUMENTED:
            found.add(path)
        elif key not in OPAQUE and key in sample:
            found |= _unknown(value, sample[key], path)
    return found
