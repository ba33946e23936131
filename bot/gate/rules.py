"""What may be asked for: the rules, in the order they are looked at, and what a refusal tells. Pure but for `Gate.load`; called by whoever takes words.

A word list reads words, not intentions: it misses what is paraphrased, and other languages than those of the lists (English, German, French, Spanish,
Portuguese, Japanese). It is the first of two gates; the second looks at the picture. Where it has to err about minors, it errs towards no.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from pathlib import Path

from bot.errors import Refused
from bot.gate.letters import Reading, read
from bot.gate.terms import Names, Terms, read_names


class Rule(StrEnum):
    """Which rule it was; stable, for logs, metrics and the audit log."""

    MINORS = "minors"  #: sexual content with minors: always refused, whatever the settings, and never contested
    PEOPLE = "people"  #: real people
    EDITS = "edits"  #: sexual edits of an uploaded photograph
    SEXUAL = "sexual"
    WORDS = "words"  #: the server's own
    ARTISTS = "artists"  #: living artists who do not want it


#: The rules that a setting can loosen. Their values are what WORDUP_GATE_SERVERS_MAY_LOOSEN is made of.
LOOSENED = (Rule.SEXUAL, Rule.PEOPLE, Rule.EDITS, Rule.ARTISTS)


class Answer(StrEnum):
    REFUSE = "refuse"
    HIDE = "hide"  #: draw it, and show it behind a click


class Sexual(StrEnum):
    """A channel's choice, from the strictest to the loosest."""

    REFUSE = "refuse"
    HIDE = "hide"  #: drawn, and shown behind a click; in any channel
    ALLOW = "allow"  #: for age-restricted channels: whoever builds a Policy checks that the channel is one


def stricter(one: str, other: Sexual) -> Sexual:
    """Of two choices. `one` may come out of a store: a word that is no choice counts as the strictest."""
    order = list(Sexual)
    return min(Sexual(one) if one in order else Sexual.REFUSE, other, key=order.index)


class People(StrEnum):
    """A server's choice about real people, from the strictest to the loosest."""

    REFUSE = "refuse"  #: nobody who is known by name, no deepfakes
    DEGRADING = "degrading"  #: refused where it is sexual or degrading
    ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds in one place. The defaults are the strict ones; only an administrator's setting loosens them. There is none for minors.

    The operator's own (`bot.app`) is the bound of every server's, but for the rules in `servers`.
    """

    sexual: Sexual = Sexual.REFUSE
    people: People = People.DEGRADING
    edits: bool = False  #: whether uploaded photographs may be edited into sexual ones, as far as `sexual` and `people` allow
    artists: bool = True  #: whether the opt-out list of artists is kept to
    words: Terms = field(default_factory=lambda: Terms(()))  #: the server's own rules (`bot.gate.read_rules`)
    servers: frozenset[Rule] = frozenset({Rule.SEXUAL, Rule.ARTISTS})  #: of LOOSENED: what servers may loosen beyond the operator's choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a member wants, in words: after wildcards, styles and suffixes were put in, without flags."""

    wanted: str
    unwanted: str = ""  #: `--no`, and parts with weights below nothing
    photograph: bool = False  #: whether a picture came from outside: uploaded, not drawn here


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    rule: Rule
    answer: Answer = Answer.REFUSE
    word: str = ""  #: what was found, as it is listed: a server's rule, an artist's name

    @property
    def contestable(self) -> bool:
        """Whether a member may send it to the moderators."""
        return self.answer is Answer.REFUSE and self.rule is not Rule.MINORS


def refusal(verdict: Verdict) -> Refused:
    """What the member is told; nothing is charged. Only for verdicts that refuse."""
    match verdict.rule:
        case Rule.MINORS:
            return Refused("refused.gate_minors")
        case Rule.PEOPLE:
            return Refused("refused.gate_people")
        case Rule.EDITS:
            return Refused("refused.gate_edits")
        case Rule.SEXUAL:
            return Refused("refused.gate_sexual")
        case Rule.WORDS:
            return Refused("refused.gate_words", word=verdict.word[:40])
        case Rule.ARTISTS:
            return Refused("refused.gate_artists", name=verdict.word[:40])


_NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "ein zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn siebzehn"
)
_YOUNG = rf"(?:1[0-7]|0?[0-9]|{'|'.join(_NUMBERS.split())})"
_GAP = r"[\s\-_.]{0,3}"
_AGES = re.compile(
    rf"(?<!\w)(?<!\d[.,]){_YOUNG}{_GAP}(?:years?|yrs?|y){_GAP}/?(?:olds?|o|of{_GAP}age)(?![^\W_])"  # 9 years old, 9yo, nine-year-old
    rf"|(?<![^\W_])(?:aged?|age of|below|under){_GAP}:?{_GAP}(?:{_YOUNG}|18|eighteen)(?![\w])(?!{_GAP}(?:%|percent|cm|m\b|meters?|degrees?))"
    rf"|(?<!\w)(?<!\d[.,]){_YOUNG}{_GAP}(?:jahrig\w*|jahre?{_GAP}alt\w*|ans(?![^\W_])|anos(?![^\W_])|meses(?![^\W_])|months?{_GAP}old)"
    r"|(?<!\d)(?:1[0-7]|[0-9])(?:歳|才)"
)


class Gate:
    """The rules with their lists. Immutable; safe to share."""

    def __init__(self, lists: Mapping[str, list[str]], *, artists: Names, people: Names) -> None:
        """`lists` are those of words.toml. Raises KeyError where one is missing."""
        within = lists["innocent_within"]

        def terms(name: str) -> Terms:
            return Terms(lists[name], except_in=within)

        self._innocent = Terms(lists["innocent"])
        self._sexual, self._suggestive, self._revealing = terms("sexual"), terms("suggestive"), terms("revealing")
        self._minors, self._abuse = terms("minors"), terms("abuse")
        self._undressing, self._garments, self._grown, self._persons = terms("undressing"), terms("garments"), terms("grown"), terms("persons")
        self._degrading, self._acquainted, self._deepfakes = terms("degrading"), terms("acquainted"), terms("deepfakes")
        self._artists, self._people = artists, people

    @classmethod
    def load(cls, *, artists: Path | None = None, people: Path | None = None) -> Gate:
        """The lists that ship, and an operator's own in place of the two files of names. Reads files; raises OSError and UnicodeDecodeError."""
        folder = resources.files(__package__)

        def names(own: Path | None, shipped: str) -> Names:
            return read_names(own.read_text("utf-8-sig") if own else folder.joinpath(shipped).read_text("utf-8"))

        lists = tomllib.loads(folder.joinpath("words.toml").read_text("utf-8"))
        return cls(lists, artists=names(artists, "artists.txt"), people=names(people, "people.txt"))

    def judge(self, asked: Asked, policy: Policy) -> Verdict | None:
        """The first rule that is broken, or None. A verdict to hide comes only where nothing refuses."""
        wanted, unwanted = read(asked.wanted), read(asked.unwanted)
        innocent = self._innocence(wanted)
        sexual, undressing, suggestive = self._sexuality(wanted, unwanted, innocent)
        if self._of_minors(wanted, unwanted, innocent, suggestive):
            return Verdict(rule=Rule.MINORS)
        if policy.people is not People.ALLOW and self._of_people(wanted, innocent, suggestive, policy.people):
            return Verdict(rule=Rule.PEOPLE)
        if asked.photograph and not policy.edits and (suggestive or self._revealing.first(wanted, innocent)):
            return Verdict(rule=Rule.EDITS)
        if (sexual or undressing) and policy.sexual is Sexual.REFUSE:
            return Verdict(rule=Rule.SEXUAL)
        if word := policy.words.first(wanted):
            return Verdict(rule=Rule.WORDS, word=word)
        if policy.artists and (name := self._artists.terms.first(wanted)):
            return Verdict(rule=Rule.ARTISTS, word=name)
        if (sexual or undressing) and policy.sexual is Sexual.HIDE:
            return Verdict(rule=Rule.SEXUAL, answer=Answer.HIDE)
        return None

    def is_suggestive(self, asked: Asked) -> bool:
        """Whether words are sexual at all, however mildly: what nobody but the operator allows of real people and of photographs."""
        wanted = read(asked.wanted)
        return self._sexuality(wanted, read(asked.unwanted), self._innocence(wanted))[2]

    def _innocence(self, wanted: Reading) -> frozenset[int]:
        """The places in the words that belong to a phrase which means something else."""
        return frozenset(each for hit in self._innocent.hits(wanted, within_breaks=True) for each in range(hit.start, hit.end))

    def _sexuality(self, wanted: Reading, unwanted: Reading, innocent: frozenset[int]) -> tuple[bool, bool, bool]:
        """(sexual, undressing somebody, any of these or a hint of it)."""
        bare = bool(self._garments.first(unwanted))
        sexual = bool(self._sexual.first(wanted, innocent)) or (bare and bool(self._persons.first(wanted, innocent)))
        undressing = bool(self._undressing.first(wanted))
        return sexual, undressing, sexual or undressing or bare or bool(self._suggestive.first(wanted, innocent))

    def _of_minors(self, wanted: Reading, unwanted: Reading, innocent: frozenset[int], suggestive: bool) -> bool:
        if self._abuse.first(wanted):
            return True
        if not suggestive:
            return False
        return bool(self._minors.first(wanted, innocent) or _AGES.search(wanted.folded) or self._grown.first(unwanted))

    def _of_people(self, wanted: Reading, innocent: frozenset[int], suggestive: bool, choice: People) -> bool:
        named = bool(self._people.terms.first(wanted))
        faked = bool(self._deepfakes.first(wanted))
        if choice is People.REFUSE and (named or faked):
            return True
        is_bad = suggestive or bool(self._degrading.first(wanted, innocent))
        return is_bad and (named or faked or bool(self._acquainted.first(wanted, innocent)))
