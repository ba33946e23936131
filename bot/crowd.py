"""The members of `bot.soak`: what they do on the platforms' stand-ins, and how they read what stands there."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from bot.domain import Action, Verb

THINGS = ("a fox in the snow", "a red apple on a blue background", "an owl at night", "a lighthouse, flat icon", "a yellow star")
#: Flags by how often; few steps, because a soak is about jobs and not about pictures.
FLAGS = ("--n 1 --steps 4", "--n 1 --steps 8", "--n 1", "--n 2 --steps 8")
TWICE, REROLL, CANCEL = 0.1, 0.15, 0.1  #: shares of what members do; the rest is a plain /imagine
PATIENCE = 90.0  #: seconds a member waits for news of one job before asking for another


class Times:
    """Seconds from a member's wish to what they saw of it."""

    def __init__(self) -> None:
        self.acknowledged: list[float] = []
        self.previewed: list[float] = []  #: the first picture of a job that is being drawn
        self.completed: list[float] = []
        self.unanswered = 0  #: wishes while nobody was there to hear them: nothing was promised


# ------------------------------------------------------------------------------------------------ what stands on the wire


def _strings(tree: Any) -> Iterator[tuple[str, str]]:
    """(encoded action, the name it is pressed by) of every button in a Discord message's components or a Slack message's blocks."""
    if isinstance(tree, list):
        for each in tree:
            yield from _strings(each)
    elif isinstance(tree, dict):
        encoded = tree.get("custom_id") or tree.get("value")
        if isinstance(encoded, str):
            yield encoded, str(tree.get("action_id") or encoded)
        for each in tree.values():
            yield from _strings(each)


def actions(message: Any) -> dict[Verb, tuple[Action, str]]:
    """What a card's buttons do, and the names they are pressed by; of several of one verb, the first."""
    found: dict[Verb, tuple[Action, str]] = {}
    for encoded, name in _strings(message.components if hasattr(message, "components") else message.blocks):
        with contextlib.suppress(ValueError):
            action = Action.decode(encoded)
            found.setdefault(action.verb, (action, name))
    return found


def job_of(message: Any) -> str:
    """The job whose card it is; empty for any other message."""
    return next((action.job_id for verb, (action, _) in actions(message).items() if verb is not Verb.SHOW), "")  # SHOW leads to the parent


def is_waiting(message: Any) -> bool:
    """A card that promises: there is something to cancel still."""
    return Verb.CANCEL in actions(message)


def bots_messages(wire: Any) -> list[Any]:
    """Everything for all to see that the bot wrote and that stands still."""
    if hasattr(wire, "all_messages"):
        return [m for m in wire.all_messages if m.author is wire.bot and not m.deleted and not m.ephemeral]
    return [m for m in wire.spoken if m.user == wire.bot_user_id and not m.deleted and not m.ephemeral]


# ------------------------------------------------------------------------------------------------ the members


class Member:
    """Somebody on one platform, who wishes for one thing at a time."""

    def __init__(self, wire: Any, user: Any, dice: random.Random, times: Times, mark: Callable[[], str]) -> None:
        self._wire, self._user, self._dice, self._times, self._mark = wire, user, dice, times, mark
        self._is_discord = hasattr(wire, "all_messages")
        self._last: Any = None  # a card of theirs that has ended

    @property
    def key(self) -> str:
        """As `Actor.key` has it."""
        return f"discord:{self._user.id}" if self._is_discord else f"slack:{self._wire.team_id}:{self._user.id}"

    async def live(self, until: float, pause: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / pause))
            if loop.time() >= until:
                return
            await self._wish(self._dice.random())

    async def begin(self) -> None:
        """A first picture, whose times count for nothing: the model is being loaded. Raises RuntimeError when there is none in time."""
        times, self._times = self._times, Times()
        for _ in range(5):
            await self._wish(0.5)
            if self._times.completed:
                self._times = times
                return
        raise RuntimeError("the bot draws nothing")

    async def _wish(self, what: float) -> None:
        """`what`, from 0 to 1: which of the things that members do."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if what < REROLL and self._last is not None and not self._last.deleted and Verb.REROLL in actions(self._last):
            parent = job_of(self._last)
            answer = await self._press(self._last, Verb.REROLL)
            mine = partial(_comes_from, parent)
        else:
            words = f"{self._dice.choice(THINGS)} {self._mark()}"
            answer = await self._ask(f"{words} {self._dice.choice(FLAGS)}", twice=what > 1 - TWICE)
            mine = partial(_says, words)
        if answer is None:
            self._times.unanswered += 1
            return
        self._times.acknowledged.append(answer.acknowledged_after)
        await self._follow(answer, mine, begun, cancel=REROLL <= what < REROLL + CANCEL)

    async def _ask(self, words: str, *, twice: bool) -> Any:
        """The answer; None where nobody took it."""
        if self._is_discord:
            return await self._taken(self._wire.command(self._user, self._wire.art, "imagine", prompt=words, **({"delivery": 2} if twice else {})))
        answer = await self._taken(self._wire.command(self._user, self._wire.art, "/imagine", words))
        if answer is not None and twice:
            await self._wire.again(answer)
        return answer

    async def _press(self, message: Any, verb: Verb) -> Any:
        return await self._taken(self._wire.press(self._user, message, actions(message)[verb][1]))

    async def _taken(self, doing: Awaitable[Any]) -> Any:
        try:
            answer = await doing
        except AssertionError:  # Discord's stand-in: nobody answered in time, or the bot had not registered its commands again
            return None
        return answer if self._is_discord or answer.acknowledged else None

    async def _follow(self, answer: Any, mine: Callable[[Any], bool], begun: float, *, cancel: bool) -> None:
        """Watch the job's card until it has ended, or patience has."""
        loop, previewed = asyncio.get_running_loop(), False
        while loop.time() - begun < PATIENCE:
            await asyncio.sleep(0.05)
            card = self._card(answer, mine)
            if card is None:
                continue
            if not is_waiting(card):
                self._times.completed.append(loop.time() - begun)
                self._last = card
                return
            if card.pictures and not previewed:
                previewed = True
                self._times.previewed.append(loop.time() - begun)
            if cancel:
                cancel = False
                await self._press(card, Verb.CANCEL)

    def _card(self, answer: Any, mine: Callable[[Any], bool]) -> Any:
        """The card that answers, as far as it stands. On Slack it is one of those that were posted in the channel since."""
        if self._is_discord:
            original = answer.interaction.original
            return original if original is not None and not original.loading and job_of(original) else None
        return next((message for message in answer.posted() if job_of(message) and mine(message)), None)


def _says(words: str, message: Any) -> bool:
    return words in message.plain


def _comes_from(parent: str, message: Any) -> bool:
    """A child's card has a button that leads to where it came from."""
    up = actions(message).get(Verb.SHOW)
    return up is not None and up[0].job_id == parent
