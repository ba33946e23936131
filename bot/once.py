"""`wordup imagine`: the whole bot for the length of one command, in a folder of its own that is thrown away. Called by `bot.cli`."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bot.app import App, new_id
from bot.chat.terminal import TerminalAdapter, inline_picture, written
from bot.domain import Action, Actor, Card, Command, Event, Place, Press, ReplyTo, Shown, Status, Upload, Verb
from bot.presses import is_of_set
from bot.settings import Settings

Files = Mapping[str, Sequence[tuple[str, bytes]]]
"""(name, bytes) by role, as in `bot.domain.Upload`."""

ACTOR = Actor(platform="terminal", id="local", name="you", locale="en")


class Once:
    """`folder`: where everything but the result is kept. `output`: where the picture goes; those of a set stand beside it, numbered."""

    def __init__(self, settings: Settings, folder: Path, console: Console, output: Path, *, show: bool) -> None:
        self._settings, self._folder, self._console, self._output, self._show = settings, folder, console, output, show

    async def draw(self, words: str, files: Files) -> int:
        """The exit status: 0 when everything was drawn or said, 2 when something was not. Raises OSError."""
        uploads = tuple(Upload(name=name, data=data, role=role) for role, each in files.items() for name, data in each)  # type: ignore[arg-type]
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn(), console=self._console, transient=True
        ) as bar:
            task = bar.add_task("loading the model", total=100)

            def progress(card: Card) -> None:
                bar.update(task, description="drawing", completed=card.percent or 0)

            self._terminal = TerminalAdapter(progress)
            self._bot = App(self._alone(), adapters={"terminal": self._terminal})
            async with self._bot.running():
                card = await self._answer(_command(words, uploads))
                if card is None:
                    self._say('Say what to draw, such as: wordup imagine "a fox in the snow, 3d render"')
                    return 2
                jobs = await self._jobs(card)
                drawn = [await self._bot.store.shown(job_id) for job_id in jobs if (await self._terminal.end(job_id)).status is Status.DONE]
                failed = [await self._bot.studio.card(ACTOR, job_id) for job_id in jobs if job_id not in {shown.job.id for shown in drawn}]
                kept = [(shown, {each.index: await self._bot.blobs.get(each.digest) for each in shown.artifacts}) for shown in drawn]
        wrong = bool(failed) or card.refusal
        for each in failed if jobs else [card]:
            self._print(each, wrong=wrong)
        for number, (shown, pictures) in enumerate(kept, 1):
            self._write(shown, pictures, self._output if len(kept) == 1 else self._output.with_stem(f"{self._output.stem}-{number:02d}"))
        return 2 if wrong else 0

    async def _answer(self, command: Command) -> Card | None:
        """What the bot says; None when it would ask with a form. A set is drawn without another question: who typed it waits for it."""
        ack = self._bot.studio.greet(command)
        if ack.form is not None:
            return None
        card = ack.card or await self._bot.studio.handle(command)
        yes = next((b.action for row in card.rows for b in row if b.action.verb is Verb.RUN and b.action.index < 0), None)
        return await self._bot.studio.handle(_press(command, yes)) if yes is not None and command.name == "imagine" else card

    async def _jobs(self, card: Card) -> list[str]:
        """The card's job, or those of the set it is of."""
        if card.job_id and card.status is not None:
            return [card.job_id]
        of_set = next((b.action for row in card.rows for b in row if is_of_set(b.action)), None)
        return [shown.job.id for shown in await self._bot.store.batch(of_set.job_id)] if of_set else []

    def _alone(self) -> Settings:
        usual = self._settings
        with contextlib.suppress(OSError):  # no bot ran here yet, or it is somebody else's: then an authority of this one picture's own signs
            shutil.copytree(usual.data_dir / "signing", self._folder / "signing")
        changes: dict[str, Any] = {
            "models_file": usual.models_list,
            "models_dir": usual.models_store,
            "data_dir": self._folder,
            "database_url": SecretStr(f"sqlite:///{self._folder / 'imagine.db'}"),
            "discord_token": SecretStr(""),
            "slack_bot_token": SecretStr(""),
            "slack_client_secret": SecretStr(""),
            "web": False,
            "metrics_port": -1,
            "credits_cap": 1e9,
            "credits_per_hour": 1e9,
            "total_credits_per_hour": 0.0,
        }
        return usual.model_copy(update=changes)

    def _write(self, shown: Shown, pictures: Mapping[int, bytes], output: Path) -> None:
        if not any(index >= -1 for index in pictures):  # nothing but what moves
            output = output.with_suffix(".webp")
            output.write_bytes(next(iter(pictures.values())))
            self._say(f"{output}  (seed {shown.job.request.seed}, {shown.job.device_seconds:.1f} s)")
            return
        clip = written(output, pictures)
        seeds = ", ".join(str(a.seed) for a in shown.artifacts if a.index >= 0)
        self._say(f"{output}  (seed {seeds}, {shown.job.device_seconds:.1f} s)")
        if clip is not None:
            self._say(f"{clip}  (how it took shape)")
        if shown.job.hidden:
            self._say("It may be sexual: it is in the file, and not shown here.")
        elif self._show and sys.stdout.isatty():
            sys.stdout.write(inline_picture(output.read_bytes(), dict(os.environ)))

    def _print(self, card: Card, *, wrong: bool) -> None:
        self._console.print(card.title, style="bold red" if wrong or card.status is Status.FAILED else "bold", markup=False, highlight=False)
        lines = [card.text, card.code, *(f"{label}: {value}" for label, value in card.details)]
        self._say("\n".join(line for line in lines if line))

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)  # a path that is broken in two cannot be copied


def _command(words: str, uploads: tuple[Upload, ...]) -> Command:
    """A prompt, one picture of which is wanted unless it says otherwise; or a command of the chats, as the studio page takes it."""
    name, _, text = words.strip().partition(" ") if words.strip().startswith("/") else ("/imagine", "", words)
    if name in ("/imagine", "/blend") and (text.strip() or uploads) and not {"--n", "--count"} & set(text.replace("=", " ").split()):
        text = f"{text} --n 1"
    reply_to = ReplyTo(platform="terminal")
    place = Place(platform="terminal")
    return Command(actor=ACTOR, place=place, reply_to=reply_to, delivery_id=new_id(), name=name.removeprefix("/"), text=text, uploads=uploads)


def _press(event: Event, action: Action) -> Press:
    return Press(actor=event.actor, place=event.place, reply_to=event.reply_to, delivery_id=new_id(), action=action.encode())
