"""`wordup doctor`: looks at Python, torch, the device, the database, the disk, the weights and the tokens, and says what to fix."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys

from bot import commercial
from bot.findings import Finding
from bot.settings import Settings
from engine.api import EngineError, ModelForbidden

LOW_DISK = 2 * 2**30


def python_finding() -> Finding:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding(level="ok", what="Python", text=text)


def libraries_findings() -> list[Finding]:
    out = []
    for name in ("torch", "diffusers", "transformers"):
        if importlib.util.find_spec(name) is None:
            out.append(Finding(level="fail", what=name, text="not installed", fix="Run `make run`, which installs everything, or `pip install word-up-bot`."))
        else:
            out.append(Finding(level="ok", what=name, text=importlib.metadata.version(name)))
    return out


def device_finding(wanted: str) -> Finding:
    """Asked in a process of its own, so that torch stays out of this one."""
    code = (
        "import torch; print('cuda: ' + torch.cuda.get_device_name() if torch.cuda.is_available() else 'mps' if torch.backends.mps.is_available() else 'cpu')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    found = done.stdout.strip()
    if done.returncode or not found:
        return Finding(level="fail", what="device", text="torch does not start", fix=(done.stderr.strip().splitlines() or ["Install torch again."])[-1])
    if wanted not in ("auto", found.split(":")[0]):
        return Finding(level="fail", what="device", text=f"WORDUP_DEVICE is {wanted}, but this machine has {found}", fix="Set WORDUP_DEVICE=auto.")
    if found == "cpu":
        return Finding(level="note", what="device", text="no GPU: pictures are drawn on the CPU", fix="Fine for the pocket model; large models want a GPU.")
    return Finding(level="ok", what="device", text=found)


def disk_finding(settings: Settings) -> Finding:
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".doctor"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return Finding(level="fail", what="data", text=f"{folder} cannot be written: {error.strerror}", fix="Set WORDUP_DATA_DIR to a folder this user owns.")
    free = shutil.disk_usage(folder).free
    text = f"{folder}, {free / 2**30:.1f} GiB free"
    if free < LOW_DISK:
        return Finding(level="note", what="data", text=text, fix="Pictures need room: free some, or lower WORDUP_RETENTION_DAYS.")
    return Finding(level="ok", what="data", text=text)


async def database_finding(settings: Settings) -> Finding:
    from bot.store.migrate import check

    kind = settings.url.split(":", 1)[0]
    try:
        async with asyncio.timeout(10):
            pending = await check(settings.url)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Finding(level="fail", what="database", text=f"{kind}: {reason}", fix="Check WORDUP_DATABASE_URL and that the server is up.")
    if pending:
        return Finding(level="note", what="database", text=f"{kind}: to be migrated ({len(pending)})", fix="Done at start, or now by `wordup migrate`.")
    return Finding(level="ok", what="database", text=f"{kind}: up to date")


async def pause_findings(settings: Settings) -> list[Finding]:
    """That it is paused, which somebody may have forgotten; nothing where it is not. Raises Fault: for a database that was found in order."""
    from bot.pause_cli import standing

    held = await standing(settings.url)
    text = f"nothing new is taken{', and nothing that waits is begun' if held.held else ''} (since {held.since or 'some time'})"
    return [Finding(level="note", what="paused", text=text, fix="`wordup resume` takes it back.")] if held.paused else []


def weights_findings(settings: Settings) -> list[Finding]:
    shelf = commercial.open_shelf(settings)
    fix = "Check WORDUP_MODEL, WORDUP_MODELS and models.toml (`wordup models list`)."
    broken = [problem for problem in shelf.problems.values() if not isinstance(problem, ModelForbidden)]
    out = [*(Finding(level="fail", what="models", text=str(problem), fix=fix) for problem in broken), *commercial.findings(shelf, settings)]
    if not shelf.entries:
        out.append(Finding(level="fail", what="models", text="none to draw with", fix="Restore the one that ships: `git checkout engine/pocket`."))
    for card in shelf.models():
        try:
            shelf.entry(card.model).verify()
        except EngineError as error:
            out.append(
                Finding(
                    level="fail", what=f"model {card.model}", text=str(error), fix="Restore its files (`git checkout engine/pocket` for the one that ships)."
                )
            )
        else:
            out.append(Finding(level="ok", what=f"model {card.model}", text=f"{card.title}, files as in the manifest, licence {card.licence}"))
    return out


def studio_finding(settings: Settings) -> Finding:
    if not settings.web:
        return Finding(level="note", what="studio page", text="off (WORDUP_WEB)")
    where = f"{settings.web_host}:{settings.web_port}"
    if settings.is_loopback:
        return Finding(level="ok", what="studio page", text=f"{where}, this machine only, no sign-in")
    if not settings.public_url:
        return Finding(level="note", what="studio page", text=f"{where}, members sign in", fix="Set WORDUP_PUBLIC_URL so that links can be shown.")
    return Finding(level="ok", what="studio page", text=f"{where}, reached as {settings.public_url}, members sign in")


async def examine(settings: Settings) -> list[Finding]:
    """Everything, in the order a newcomer would fix it."""
    found = [python_finding(), *libraries_findings()]
    if all(f.level == "ok" for f in found):
        found.append(await asyncio.to_thread(device_finding, settings.device))
    found += [disk_finding(settings), database := await database_finding(settings)]
    found += await pause_findings(settings) if database.level == "ok" else []
    found += [*await asyncio.to_thread(weights_findings, settings), studio_finding(settings)]
    return [*found, *await chat_findings(settings)]


async def chat_findings(settings: Settings) -> list[Finding]:
    """Tokens, scopes, intents and what to click."""
    found: list[Finding] = []
    if token := settings.discord_token.get_secret_value():
        from bot.chat.discord import health as discord

        found += await discord.examine(token, settings.discord_api_url)
    else:
        found.append(Finding(level="note", what="Discord", text="off", fix="Set WORDUP_DISCORD_TOKEN (README: Discord in ten steps)."))
    token, installs = settings.slack_bot_token.get_secret_value(), settings.slack_client_secret.get_secret_value()
    if token or installs:
        from bot.chat.slack import health as slack

        found += await slack.examine(token, settings.slack_app_token.get_secret_value(), settings.slack_api_url)
    else:
        found.append(Finding(level="note", what="Slack", text="off", fix="Set WORDUP_SLACK_BOT_TOKEN and WORDUP_SLACK_APP_TOKEN (README: Slack in ten steps)."))
    return found
