"""What the adapter remembers while it lives: made by `bot.chat.discord.adapter`, it outlives a connection and is used by `handlers` and `places`.

All of it is convenience, and bounded. After a restart what is lost is asked for again (where an answer stands), is found out by a refusal (follow-ups), or is
told to the member (a form's attachments).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

from bot.chat.discord.forms import Beside

T = TypeVar("T")

REMEMBERED = 2048  #: of each kind


class Memory:
    def __init__(self) -> None:
        self._originals: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._followed: OrderedDict[str, int] = OrderedDict()
        self._removals: OrderedDict[str, int] = OrderedDict()
        self._locales: OrderedDict[str, str] = OrderedDict()
        self._beside: OrderedDict[str, Beside] = OrderedDict()

    # -- interactions' tokens

    def original(self, token: str) -> tuple[str, str] | None:
        """The message that is the token's first answer, once a card stands in it, and that card's job; None when that is not known."""
        return self._originals.get(token)

    def answered(self, token: str, handle: str, job_id: str) -> None:
        """That job's card (empty: one of no job) stands in the token's first answer: the message is taken."""
        _keep(self._originals, token, (handle, job_id))

    def followed(self, token: str) -> int:
        """How many messages were sent beside the first answer."""
        return self._followed.get(token, 0)

    def follow(self, token: str) -> None:
        _keep(self._followed, token, self.followed(token) + 1)

    # -- reactions

    def removals(self, key: str) -> int:
        """How often that reaction was taken away: part of its delivery's name."""
        return self._removals.get(key, 0)

    def removed(self, key: str) -> None:
        _keep(self._removals, key, self.removals(key) + 1)

    # -- members

    def locale(self, user: str) -> str:
        """The language Discord last said it shows this member; empty when it has not yet. Reactions and the ends of jobs do not say it."""
        return self._locales.get(user, "")

    def speaks(self, user: str, locale: str) -> None:
        _keep(self._locales, user, locale)

    # -- forms that are open

    def beside(self, key: str) -> Beside | None:
        """What was given beside the words before the form was opened; None when it is forgotten."""
        return self._beside.get(key)

    def keep(self, key: str, beside: Beside) -> None:
        _keep(self._beside, key, beside)


def _keep(memory: OrderedDict[str, T], key: str, value: T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
