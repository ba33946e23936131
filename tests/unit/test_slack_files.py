"""Which hosts are shown the bot's token, and what the SDK's loggers write."""

from __future__ import annotations

import logging

import pytest

from bot.chat.fetching import allowed
from bot.chat.slack.wire import quiet_logger


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("https://files.slack.com/files-pri/T1-F1/fox.png", True),
        ("https://files.slack.com:443/files-pri/T1-F1/fox.png", True),
        ("https://files.slack.com:444/fox.png", False),
        ("http://files.slack.com/fox.png", False),
        ("https://files.slack.com.example.org/fox.png", False),
        ("https://files.slack.com@example.org/fox.png", False),
        ("https://user:secret@files.slack.com/fox.png", False),
        ("https://example.org/files.slack.com", False),
        ("https://files.slack.com:nine/fox.png", False),
        ("http://127.0.0.1:8080/fox.png", True),
        ("http://127.0.0.1:8081/fox.png", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_the_token_is_shown_to_the_named_hosts_only(url: str, ours: bool) -> None:
    assert allowed(url, frozenset({"files.slack.com", "127.0.0.1:8080"})) is ours


def test_what_the_sdk_logs_has_no_addresses_and_no_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    logger = quiet_logger()
    try:
        raise ValueError("wss://wss-primary.slack.com/link/?ticket=secret")
    except ValueError as error:
        with caplog.at_level(logging.DEBUG):
            logger.exception("Failed to connect (error: %s)", error)
    assert "Failed to connect" in caplog.text
    assert "ticket" not in caplog.text
    assert "Traceback" not in caplog.text
