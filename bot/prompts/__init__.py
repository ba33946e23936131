"""Words → requests: the grammar of every surface. Pure functions; called by `bot.drawing`, `bot.usecases`, `bot.studio`, `bot.cards` and `bot.presses`.

`prepare` makes of what was typed the single prompts to draw (permutations, wildcards, repetitions, styles), `resolve` makes the request for one model,
`layers` and `layered` say whose wish counts. Below them: `parse` reads, `print_words` writes (parse∘print is the identity), `locate` also tells where each
flag stands. `read` and `complete` help while somebody types; `read_list` reads a file of prompts. A new flag is a row in `bot.prompts.flags` and a field in
`bot.prompts.words`.
"""

from bot.prompts.grammar import locate, parse, read_flags
from bot.prompts.hints import complete, read
from bot.prompts.lists import read_list
from bot.prompts.permutations import CONFIRM_ABOVE, MAX_PROMPTS
from bot.prompts.pictures import MOST_PICTURES
from bot.prompts.prepare import Prompt, prepare
from bot.prompts.printing import print_flags, print_parts, print_words
from bot.prompts.resolve import choose_model, layered, layers, resolve, snap
from bot.prompts.styles import BUILT_IN, styled
from bot.prompts.words import Located, Source, Words

__all__ = [
    "BUILT_IN",
    "CONFIRM_ABOVE",
    "MAX_PROMPTS",
    "MOST_PICTURES",
    "Located",
    "Prompt",
    "Source",
    "Words",
    "choose_model",
    "complete",
    "layered",
    "layers",
    "locate",
    "parse",
    "prepare",
    "print_flags",
    "print_parts",
    "print_words",
    "read",
    "read_flags",
    "read_list",
    "resolve",
    "snap",
    "styled",
]
