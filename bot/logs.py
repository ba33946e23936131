"""Structured logs (structlog), with everything secret taken out before it is written. Set up once by `bot.cli`."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any

import structlog

#: Keys whose values are never written, whatever they hold.
SECRET_KEYS = re.compile(r"token|secret|password|authorization|cookie|signing|response_url|database_url|prompt|words", re.I)
#: Credentials inside text: URLs with a password, bearer headers, Discord and Slack tokens, signed links.
SECRET_TEXT = re.compile(
    r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)|(?i:bearer|bot) [\w.~+/=-]{16,}|xox[a-z]-[\w-]+|xapp-[\w-]+|[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}|(?<=token=)[^&\s\"']+"
    r"|(?<=/webhooks/)\d+/[^/\s\"'?]+|(?<=//hooks\.slack\.com/)[^\s\"']+"
)
HIDDEN = "[hidden]"


class Redact:
    """A structlog processor: hides secret keys, patterns of credentials, and the known secrets given to it."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        secrets = sorted((s for s in known if len(s) >= 6), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, secrets))) if secrets else None

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: HIDDEN if SECRET_KEYS.search(key) and key != "event" else self._clean(value) for key, value in event.items()}

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            value = SECRET_TEXT.sub(HIDDEN, value)
            return self._known.sub(HIDDEN, value) if self._known else value
        if isinstance(value, dict):
            return {k: HIDDEN if SECRET_KEYS.search(str(k)) else self._clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(v) for v in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._clean(str(value))


def set_up(*, level: str, style: str, secrets: Iterable[str] = ()) -> None:
    """Route structlog and the standard library's loggers to stderr, one line an event."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Any] = [
        structlog.processors.format_exc_info,
        Redact(secrets),
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if console else structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiohttp.access", "asyncio", "alembic", "sqlalchemy", "diffusers", "transformers", "httpx"):
        logging.getLogger(noisy).setLevel(max(root.level, logging.WARNING))
    for chatty in ("discord", "slack_bolt", "slack_sdk", "aiosqlite"):  # at debug they write down everything members say, and tokens with it
        logging.getLogger(chatty).setLevel(max(root.level, logging.INFO))
