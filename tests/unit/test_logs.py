"""Logs: structured, and nothing secret in them."""

import json
import logging
import sys

import pytest
import structlog

from bot.logs import HIDDEN, Redact, set_up


@pytest.fixture
def redacted():
    return lambda **event: Redact(["correct horse battery"])(None, "info", {"event": "x", **event})


@pytest.mark.parametrize("key", ["token", "discord_token", "Authorization", "response_url", "password", "prompt", "words", "cookie", "database_url"])
def test_secret_keys_are_hidden_whatever_they_hold(redacted, key):
    assert redacted(**{key: "anything"})[key] == HIDDEN


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://wordup:s3cret-pw@db/wordup",
        "Bearer abcdefghijklmnop.qrstuv",
        "xoxb-1234-5678-abcdefgh",
        "xapp-1-A1-22-abcdef",
        "http://localhost/sign-in?token=abc.def-ghi",
        "the pass phrase is correct horse battery",
    ],
)
def test_credentials_inside_text_are_hidden(redacted, text):
    hidden = redacted(url=text, nested={"deep": [text]})
    for part in ("s3cret", "abcdefgh", "1234-5678", "A1-22", "abc.def", "correct horse"):
        assert part not in json.dumps(hidden)


def test_ordinary_values_pass(redacted):
    assert redacted(count=3, ok=True, place="web", share=0.5, none=None) == {"event": "x", "count": 3, "ok": True, "place": "web", "share": 0.5, "none": None}


def test_one_json_line_an_event_with_tracebacks_cleaned(capsys):
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        set_up(level="info", style="json")
        try:
            raise ValueError("connect to postgresql://me:hunter22@host/db failed")
        except ValueError:
            structlog.get_logger("t").exception("broken", part="engine")
        logging.getLogger("third.party").warning("token=%s", "tok-12345678")
    finally:
        logging.getLogger().handlers[:], _ = before[0], logging.getLogger().setLevel(before[1])
        structlog.reset_defaults()
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first["event"] == "broken" and first["part"] == "engine" and first["level"] == "error"
    assert "hunter22" not in json.dumps(first) and "ValueError" in first["exception"]
    assert "tok-12345678" not in second["event"]
    assert sys.stderr is not None
