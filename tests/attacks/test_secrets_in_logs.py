"""What the program writes down at its most talkative, through whole conversations and through trouble: no token, no link, no word of a member."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.app import App, load_secret
from bot.chat.web import links, signin
from bot.domain import Actor
from bot.logs import set_up
from tests.scenario.bots import running
from tests.scenario.stages import Seen, Stage, stage
from tests.scenario.test_conversations import SCRIPTS, play, read, settled
from tests.scenario.visitor import Visitor

#: Conversations that go through most of what the bot does; all of them are played by `make test-full`.
MOST = {"mistakes", "family", "forms", "privacy", "settings"}


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """As an operator who looks for a fault has them: everything, one JSON object a line."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    names = list(logging.root.manager.loggerDict)
    levels = {name: logging.getLogger(name).level for name in names}
    set_up(level="debug", style="json")
    structlog.configure(cache_logger_on_first_use=False)  # else loggers of other tests would keep writing here
    written = io.StringIO()
    (handler,) = logging.getLogger().handlers
    handler.setStream(written)  # type: ignore[attr-defined]
    yield written
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
    structlog.reset_defaults()


def planted(on: Stage, app: App, said: list[str]) -> dict[str, str]:
    """Everything secret that this conversation had to do with, and where it is from."""
    wire: Any = getattr(on, "wire", None)
    found = {secret: "settings" for secret in app.settings.secrets}
    for name in ("token", "bot_token", "app_token", "signing_secret", "verification_token"):
        if secret := getattr(wire, name, ""):
            found[secret] = name
    found |= {token: "interaction" for token in getattr(wire, "interactions", {})}
    found |= {token: "response URL" for token in getattr(wire, "response_urls", {})}
    key = load_secret(app.settings.data_dir)
    found |= {
        key.hex(): "secret.key",
        base64.b64encode(key).decode().rstrip("="): "secret.key",
        base64.urlsafe_b64encode(key).decode().rstrip("="): "secret.key",
    }
    return found | {words: "a member's words" for words in said}


def words_of(line: str) -> list[str]:
    """What was typed there that nobody else would write: pieces of some words, without flags."""
    typed = re.sub(r"^\w+ (/\w+ ?|\d+:? ?)", "", line)
    return [piece.strip() for piece in re.split(r"--\w+ ?\S*|[{}|,;=:_()@+]", typed) if " " in piece.strip() and len(piece.strip()) > 7]


def cases() -> list[Any]:
    return [
        pytest.param(script, platform, id=f"{script.stem}-{platform}", marks=() if script.stem in MOST else pytest.mark.full)
        for script in SCRIPTS
        for platform in read(script)[0]
    ]


@pytest.mark.parametrize(("script", "platform"), cases())
async def test_a_conversation_leaves_nothing_secret_in_the_logs(script: Path, platform: str, tmp_path: Path, logs: io.StringIO) -> None:
    seen: list[Seen] = []
    said: list[str] = []
    async with stage(platform, tmp_path) as (on, app):
        for act in read(script)[1]:
            if re.match(r"\w+ (/|\d+: )", act.line):  # words; else what stands on a button
                said += words_of(act.line)
            await settled(app, platform)
            seen.append(await play(on, app, act.line, seen))
        await settled(app, platform)
        secrets = planted(on, app, said)
    written = logs.getvalue()
    lines = [json.loads(line) for line in written.splitlines()]
    assert lines, "the program says something"
    assert {where for secret, where in secrets.items() if secret in written} == set()


async def test_links_that_let_somebody_in_are_not_written_down_even_where_they_are_refused(tmp_path: Path, logs: io.StringIO) -> None:
    ada = Actor(platform="discord", id="7", name="Ada")
    async with running(tmp_path, web=True, web_port=0, public_url="http://pictures.example.org") as app:
        assert app.web is not None and app.web._runner is not None
        key, now = load_secret(tmp_path), app._clock()
        way_in = signin.mint(key, ada.key, "Ada", now)
        painter = links.region_link(key, ada, "01KD0000000000000000000001", 0, now)
        url = f"http://127.0.0.1:{app.web._runner.addresses[0][1]}"
        async with Visitor(url, ticket=signin.mint(key, "web:x", "x", now)) as visitor:
            for path in (
                f"/sign-in?token={way_in}",
                f"/sign-in?token={way_in}x",
                f"/region/01KD0000000000000000000001/0?token={painter}",
                f"/nothing?token={way_in}",
            ):
                async with visitor.session.get(url + path, allow_redirects=False) as answer:
                    await answer.read()
    written = logs.getvalue()
    for token in (way_in, painter):
        assert token not in written and token.strip(".")[:32] not in written


@pytest.mark.parametrize("where", ["message", "argument", "exception", "nested", "standard library"])
def test_a_secret_in_an_error_is_taken_out_wherever_it_stands(where: str, capsys: pytest.CaptureFixture[str]):
    """Of those that the settings hold: libraries put addresses and headers into what they raise."""
    secret = "a-planted-secret-0123456789"
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    set_up(level="debug", style="json", secrets=[secret])
    structlog.configure(cache_logger_on_first_use=False)
    log = structlog.get_logger("attacks")
    try:
        match where:
            case "message":
                log.info(f"connected with {secret}")
            case "argument":
                log.warning("failed", address=f"https://x/{secret}", header=("Authorization", secret))
            case "exception":
                try:
                    raise ConnectionError(f"postgresql://me:{secret}@host/db")
                except ConnectionError:
                    log.exception("failed", error=ValueError(secret))
            case "nested":
                log.info("failed", more={"deep": [{"er": secret}], "token": "short"})
            case "standard library":
                logging.getLogger("a.library").error("%s said %r", "it", {"Authorization": secret}, exc_info=ValueError(secret))
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert written.strip() and secret not in written
