"""Words → requests: the grammar of every surface. Pure functions; called by `bot.studio` and `bot.cards`.

`parse` reads, `print_words` writes (parse∘print is the identity), `locate` also tells where each flag stands, `resolve` makes the request for
one model, `read` and `complete` help while somebody types. `bot.prompts.permutations` and `bot.prompts.wildcards` make several texts, or another,
of one before it is parsed. A new flag is a row in `bot.prompts.flags` and a field in `bot.prompts.words`.
"""

from bot.prompts.grammar import locate, parse, print_flags, print_parts, print_words
from bot.prompts.hints import complete, read
from bot.prompts.resolve import choose_model, layered, resolve, snap
from bot.prompts.words import Located, Source, Words

__all__ = [
    "Located",
    "Source",
    "Words",
    "choose_model",
    "complete",
    "layered",
    "locate",
    "parse",
    "print_flags",
    "print_parts",
    "print_words",
    "read",
    "resolve",
    "snap",
]
