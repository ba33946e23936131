"""The prompt gate: whether words may be drawn here, and if not, by which rule. Pure but for `Gate.load`; to be called with words before anything is reserved.

`letters` reads words as a person would (look-alikes, digits for letters, gaps), `terms` finds words and phrases in them, `rules` decides. The word lists that
ship are `words.toml`, `artists.txt` and `people.txt` beside this file. What it cannot do is said in `rules`.

The output gate, which looks at pictures, is `output` and `classifier`. They are imported by name: who only reads words loads no Pillow.
"""

from bot.gate.asking import asked_of, from_outside, in_full, outside_pictures
from bot.gate.letters import Reading, read
from bot.gate.policies import ADULT, SPOILER, bounded, channels_of, choice_of, choose_channels, goes_beyond, policy_of, split_rules
from bot.gate.rules import LOOSENED, Answer, Asked, Gate, People, Policy, Rule, Sexual, Verdict, refusal, stricter
from bot.gate.terms import MOST_RULES, Names, Terms, read_names, read_rules

__all__ = [
    "ADULT",
    "LOOSENED",
    "MOST_RULES",
    "SPOILER",
    "Answer",
    "Asked",
    "Gate",
    "Names",
    "People",
    "Policy",
    "Reading",
    "Rule",
    "Sexual",
    "Terms",
    "Verdict",
    "asked_of",
    "bounded",
    "channels_of",
    "choice_of",
    "choose_channels",
    "from_outside",
    "goes_beyond",
    "in_full",
    "outside_pictures",
    "policy_of",
    "read",
    "read_names",
    "read_rules",
    "refusal",
    "split_rules",
    "stricter",
]
