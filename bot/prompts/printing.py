"""`Words` → text, the way back from `bot.prompts.grammar`. Pure; called by `bot.presses`, `bot.prompts.prepare` and whoever shows or changes a prompt."""

from __future__ import annotations

from bot.prompts.emphasis import print_emphasis
from bot.prompts.flags import FLAGS, plain
from bot.prompts.words import Words
from engine.api import Part


def print_words(words: Words) -> str:
    """The canonical way to write `words`: parse(print_words(w)) == w for every w that parse can return."""
    return " ".join(filter(None, (print_parts(words.parts), print_flags(words))))


def print_parts(parts: tuple[Part, ...]) -> str:
    """The words with their weights and brackets, without flags."""
    if len(parts) == 1 and parts[0].weight == 1:
        return print_emphasis(parts[0])
    texts = [(print_emphasis(part), part.weight) for part in parts]
    return " ".join(f"{text}{' ' if text.endswith(':') else ''}::{plain(weight)}" for text, weight in texts)


def print_flags(words: Words) -> str:
    """The flags alone, each by its full name, in the order of the table."""
    said: list[str] = []
    for flag in FLAGS:
        value = getattr(words, flag.field)
        if flag.takes == "list":
            if value:
                said.append(f"--{flag.name} {', '.join(value)}")
        elif flag.takes == "nothing":
            if value:
                said.append(f"--{flag.name}")
        elif flag.repeats:
            said += [f"--{flag.name} {flag.print(each)}" for each in value or ()]
        elif value is not None:
            said.append(f"--{flag.name} {flag.print(value)}")
    return " ".join(said)
