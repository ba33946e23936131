"""The error tree. A message id and its parameters, never a sentence: `bot.messages` turns them into words.

::

    BotError
    ├── UserError        the member can do something about it; shown to them alone, nothing is charged
    │   ├── BadWords     the words do not parse (carries the place in the text)
    │   ├── Refused      not allowed, or this model cannot
    │   ├── NotFound     no such job or picture
    │   ├── OutOfCredits
    │   ├── QueueFull
    │   └── BadPicture   an upload that cannot be used
    └── Fault            ours: logged in full, apologised for in one sentence
"""

from __future__ import annotations


class BotError(Exception):
    """Carries `message`, an id in the catalogue, and `parameters` for its placeholders."""

    def __init__(self, message: str, /, **parameters: object) -> None:
        super().__init__(message, parameters)
        self.message = message
        self.parameters = parameters

    def __str__(self) -> str:
        return f"{self.message} {self.parameters}" if self.parameters else self.message


class UserError(BotError):
    """The member can do something about it."""


class BadWords(UserError):
    """Words that do not parse; `start` and `end` are offsets into the text as typed, or into `words` where these are not what was typed (a line of a file)."""

    def __init__(self, message: str, /, *, start: int, end: int, **parameters: object) -> None:
        super().__init__(message, **parameters)
        self.start, self.end = start, end
        self.words = ""


class Refused(UserError):
    """Not allowed here, or not by this member, or this model cannot."""


class NotFound(UserError):
    """No such job or picture, or not this member's to see."""


class OutOfCredits(UserError):
    """The wallet does not hold the cost; parameters: cost, balance, wait (seconds until it does, or None for never)."""


class QueueFull(UserError):
    """Too much is waiting; parameters: limit, wait (seconds)."""


class BadPicture(UserError):
    """An upload that cannot be used."""


class Fault(BotError):
    """Ours, not the member's."""
