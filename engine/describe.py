"""What a picture shows, in the model's own words: things, a place or a coloured ground, a style; and prompts that would draw the like. Used for `/describe` and
for what alt text says of a picture, inside a hub's task.

The image-text model on the shelf is asked about every word the model knows (`Capabilities.words`) by itself first; of what fits best, whole sentences are made
and asked about in turn, since only those tell one fox from two, or a fox beside an owl from either. The words are read once and remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch

from engine import sight
from engine.api import UnsupportedOperation
from engine.model import Model
from engine.sight import Sight

#: How many of the best things, grounds and styles are tried in sentences, and how many sentences are kept.
THINGS, GROUNDS, STYLES, PROMPTS = 3, 2, 2, 4
NUMBERS = ("two", "three")
#: Names that take no article, beside plurals.
UNCOUNTED = frozenset({
    "bacon", "bread", "broccoli", "cheese", "coffee", "corn", "fire", "grass", "popcorn", "rain", "sand", "snow", "spaghetti", "sushi", "water", "wheat"
})  # fmt: skip

#: Places that stand in a sentence as they are, though they are single words.
ADVERBS = frozenset({"downtown", "indoors", "outdoors", "outside", "underwater"})
IRREGULAR = {
    "mouse": "mice", "goose": "geese", "tooth": "teeth", "wolf": "wolves", "leaf": "leaves", "knife": "knives", "scarf": "scarves", "snowman": "snowmen",
    "tomato": "tomatoes", "potato": "potatoes", "volcano": "volcanoes", "tornado": "tornadoes", "bow and arrow": "bows and arrows",
    **{same: same for same in ("bison", "deer", "dice", "moose", "sheep", "squid")},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One of the model's words, and how likely it is the right one of its kind: 0..1, all of a kind together 1."""

    word: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Of one picture."""

    things: tuple[Found, ...]  #: what the best sentence names: one, or two; none when the model names no things
    ground: Found | None  #: a place ("in the snow") or a colour ("red")
    style: Found | None
    prompts: tuple[str, ...]  #: up to PROMPTS sentences, the one that fits best first
    fits: tuple[float, ...]  #: how well each fits: the cosine of its angle to the picture


def of(model: Model) -> Describer:
    """The one of this model, made when first asked for. Raises UnsupportedOperation when it has no image-text model, or no words."""
    seer, words = sight.of(model, "/describe"), model.entry.can.words
    if not any(words.get(kind) for kind in ("things", "places", "colours", "styles")):
        raise UnsupportedOperation("/describe", model.entry.can.model)
    describer: Describer = model.part("describer", lambda: Describer(seer, words))
    return describer


def describe(seer: Sight, pictures: torch.Tensor, words: Mapping[str, Sequence[str]]) -> list[Description]:
    """Pictures (count × 3 × height × width in 0..1), one description each. Who asks more than once keeps a `Describer`."""
    return Describer(seer, words)(pictures)


class Describer:
    """An image-text model with the words to describe pictures by."""

    def __init__(self, seer: Sight, words: Mapping[str, Sequence[str]]) -> None:
        self._sight = seer
        grounds = [*((p, _where(p)) for p in words.get("places", ())), *((c, f"on {with_article(c)} background") for c in words.get("colours", ()))]
        self._things = _Kind([(thing, with_article(thing)) for thing in words.get("things", ())])
        self._grounds, self._styles = _Kind(grounds), _Kind([(style, style) for style in words.get("styles", ())])

    def __call__(self, pictures: torch.Tensor) -> list[Description]:
        """Pictures (count × 3 × height × width in 0..1), one description each."""
        seen = self._sight.pictures(pictures)
        ranked = [kind.ranked(self._sight, seen) for kind in (self._things, self._grounds, self._styles)]
        return [self._one(seen[k], *(kind[k] for kind in ranked)) for k in range(len(seen))]

    def sentence(self, subject: str, ground: Found | None, style: Found | None) -> str:
        """What would draw that subject there and so: "a fox and an owl in the snow, pixel art"."""
        where = self._grounds.phrases[ground.word] if ground else ""
        return _sentence(subject, where, style.word if style else "")

    def _one(self, seen: torch.Tensor, things: list[Found], grounds: list[Found], styles: list[Found]) -> Description:
        subjects = list(_subjects(things[:THINGS]).items())
        said_grounds = [self._grounds.phrases[ground.word] for ground in grounds[:GROUNDS]]
        tried: dict[str, tuple[str, ...]] = {}
        for (subject, named), ground, style in product(subjects or [("", ())], said_grounds or [""], [*(style.word for style in styles[:STYLES]), ""]):
            if sentence := _sentence(subject, ground, style):
                tried[sentence] = named
        sentences = list(tried)
        fits = (self._sight.words(sentences) @ seen).tolist()
        best = sight.ranked(fits)[:PROMPTS]
        likely = {thing.word: thing for thing in things}
        return Description(
            things=tuple(likely[name] for name in tried[sentences[best[0]]]),
            ground=grounds[0] if grounds else None,
            style=styles[0] if styles else None,
            prompts=tuple(sentences[k] for k in best),
            fits=tuple(fits[k] for k in best),
        )


class _Kind:
    """Words of which a picture shows one, and how each stands in a sentence."""

    def __init__(self, words: Sequence[tuple[str, str]]) -> None:
        self.phrases = dict(words)
        self._features: torch.Tensor | None = None

    def ranked(self, seer: Sight, seen: torch.Tensor) -> list[list[Found]]:
        """For each picture (count × dimensions) all words, the likeliest first."""
        if not self.phrases:
            return [[] for _ in seen]
        if self._features is None:
            self._features = seer.words(list(self.phrases.values()))
        likely = (seer.scale * seen @ self._features.T).softmax(dim=1).tolist()
        words = list(self.phrases)
        return [[Found(word=words[k], score=row[k]) for k in sight.ranked(row)] for row in likely]


def _sentence(subject: str, where: str, style: str) -> str:
    return ", ".join(filter(None, (f"{subject} {where}".strip(), style)))


def _subjects(things: Sequence[Found]) -> dict[str, tuple[str, ...]]:
    """What a sentence may say the picture shows, and the things it names: each by itself, some of the first, the first two together."""
    subjects: dict[str, tuple[str, ...]] = {with_article(thing.word): (thing.word,) for thing in things}
    if things:
        subjects |= {f"{number} {plural(things[0].word)}": (things[0].word,) for number in NUMBERS}
    if len(things) > 1:
        first, second = (thing.word for thing in things[:2])
        subjects[f"{with_article(first)} and {with_article(second)}"] = (first, second)
    return subjects


def _where(place: str) -> str:
    return place if " " in place or place in ADVERBS else f"in the {place}"


def with_article(name: str) -> str:
    """`a fox`, `an owl`, `cherries`."""
    head = name.split(" of ")[0].split()[-1]
    many = head.endswith("s") and not head.endswith(("ss", "us", "is", "ros"))
    if many or name in UNCOUNTED:
        return name
    vowel = name.startswith("hour") or (name[:1] in "aeiou" and not name.startswith(("uni", "ufo", "eu")))
    return f"{'an' if vowel else 'a'} {name}"


def plural(name: str) -> str:
    """`fox` → `foxes`; of `slice of pizza`, the slices."""
    head, *rest = name.split(" of ", 1)
    *before, last = [head] if head in IRREGULAR else head.split()
    if last in UNCOUNTED or last.endswith("fish") or with_article(head) == head:
        many = last
    elif last in IRREGULAR:
        many = IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh", "z")):
        many = last + "es"
    elif last.endswith("y") and last[-2:-1] not in set("aeiou"):
        many = last[:-1] + "ies"
    else:
        many = last + "s"
    return " of ".join([" ".join([*before, many]), *rest])
