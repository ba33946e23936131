"""What is kept out of training, and so can be asked in an examination: combinations of thing, place and style, and words.

`training.scenes` asks `kept_out` before it paints (a combination that is kept out never comes up in training);
`training.evaluate` draws its prompts from exactly these, and asks the words of `SYNONYMS`, which no caption contains.
Everything is a pure function of names, so both sides agree without a file.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

#: One combination in so many is kept out.
KEPT_OUT_ONE_IN = 20


def kept_out(thing: str, place: str, style: str) -> bool:
    """Whether this combination of names is left out of training: about 5 % of them, spread by a hash (SHA-256), the same on every machine."""
    digest = hashlib.sha256(f"{thing}|{place}|{style}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % KEPT_OUT_ONE_IN == 0


def combinations(things: Iterable[str], places: Iterable[str], styles: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Every combination that is kept out, in the order of the names given."""
    places, styles = tuple(places), tuple(styles)
    return ((thing, place, style) for thing in things for place in places for style in styles if kept_out(thing, place, style))


#: Words that stand in no caption, each with the name of the thing it means. Listed before training; not to be changed after it.
SYNONYMS: tuple[tuple[str, str], ...] = (
    ("hound", "dog"), ("canine", "dog"), ("pooch", "dog"), ("feline", "cat"), ("tomcat", "cat"), ("tabby", "cat"), ("vixen", "fox"), ("lioness", "lion"),
    ("hog", "pig"), ("swine", "pig"), ("hare", "rabbit"), ("drake", "duck"), ("mallard", "duck"), ("amphibian", "frog"), ("bullfrog", "frog"),
    ("terrapin", "turtle"), ("orca", "whale"), ("humpback", "whale"), ("moth", "butterfly"), ("saguaro", "cactus"), ("succulent", "cactus"),
    ("fungus", "mushroom"), ("oak", "tree"), ("citrus", "lemon"), ("plantain", "banana"), ("margherita", "pizza"), ("pepperoni", "pizza"),
    ("cheeseburger", "hamburger"), ("bagel", "doughnut"), ("gelato", "ice cream"), ("sundae", "ice cream"), ("cottage", "house"), ("hut", "house"),
    ("bungalow", "house"), ("palace", "castle"), ("citadel", "castle"), ("minibus", "bus"), ("sedan", "car"), ("motorcar", "car"), ("yacht", "sailboat"),
    ("spacecraft", "rocket"), ("shuttle", "rocket"), ("frosty", "snowman"), ("love", "heart"), ("valentine", "heart"), ("lunar", "moon"), ("blaze", "fire"),
    ("bonfire", "fire"), ("android", "robot"), ("cyborg", "robot"), ("phantom", "ghost"), ("spook", "ghost"), ("martian", "alien"),
    ("extraterrestrial", "alien"), ("halloween", "pumpkin"), ("gourd", "pumpkin"), ("coyote", "wolf"), ("tigress", "tiger"), ("stallion", "horse"),
    ("mare", "horse"), ("cattle", "cow"), ("heifer", "cow"), ("dromedary", "camel"), ("mammoth", "elephant"), ("rodent", "mouse"), ("rat", "mouse"),
    ("grizzly", "bear"), ("poultry", "chicken"), ("sparrow", "bird"), ("robin", "bird"), ("macaw", "parrot"), ("cockatoo", "parrot"), ("serpent", "snake"),
    ("cobra", "snake"), ("wyvern", "dragon"), ("porpoise", "dolphin"), ("trout", "fish"), ("salmon", "fish"), ("wasp", "bee"), ("bumblebee", "bee"),
    ("conifer", "pine tree"), ("spruce", "pine tree"), ("baguette", "bread"), ("toast", "bread"), ("burrito", "taco"), ("espresso", "cup of coffee"),
    ("cappuccino", "cup of coffee"), ("kettle", "teapot"), ("camping", "tent"), ("railway", "train"), ("taxicab", "taxi"), ("airliner", "airplane"),
    ("aircraft", "airplane"), ("chopper", "helicopter"), ("parasol", "umbrella"), ("award", "trophy"), ("banjo", "guitar"), ("ukulele", "guitar"),
    ("bongo", "drum"), ("tiara", "crown"), ("library", "books"), ("novels", "books"), ("wax", "candle"), ("timepiece", "alarm clock"), ("ruby", "gem"),
    ("skeleton", "skull"), ("jester", "clown"), ("emoji", "smiley"), ("parcel", "gift"), ("trainer", "shoe"), ("chimpanzee", "monkey"), ("baboon", "monkey"),
    ("silverback", "gorilla"), ("stag", "deer"), ("fawn", "deer"), ("billygoat", "goat"), ("gerbil", "hamster"), ("falcon", "eagle"), ("vulture", "eagle"),
    ("gander", "goose"), ("stegosaurus", "dinosaur"), ("triceratops", "dinosaur"), ("iguana", "lizard"), ("chameleon", "lizard"), ("salamander", "lizard"),
    ("caiman", "crocodile"), ("tarantula", "spider"), ("crayfish", "lobster"), ("bonsai", "potted plant"), ("sapling", "seedling"), ("foliage", "leaf"),
    ("pebble", "rock"), ("cantaloupe", "melon"), ("clementine", "tangerine"), ("satsuma", "tangerine"), ("nectarine", "peach"), ("spud", "potato"),
    ("maize", "corn"), ("jalapeno", "chili pepper"), ("zucchini", "cucumber"), ("cheddar", "cheese"), ("sirloin", "steak"), ("frankfurter", "hot dog"),
    ("panini", "sandwich"), ("macaroni", "spaghetti"), ("lasagna", "spaghetti"), ("chardonnay", "glass of wine"), ("lager", "beer"), ("teaspoon", "spoon"),
    ("urn", "vase"), ("cathedral", "church"), ("clinic", "hospital"), ("harley", "motorcycle"), ("vespa", "scooter"), ("rowboat", "canoe"),
    ("ferry", "ship"), ("gondola", "cable car"), ("sunshine", "sun"), ("hurricane", "tornado"), ("cyclone", "tornado"), ("thunderbolt", "lightning bolt"),
    ("tsunami", "wave"), ("toboggan", "sled"), ("spectacles", "glasses"), ("mittens", "gloves"), ("shawl", "scarf"), ("blouse", "t-shirt"),
    ("gown", "dress"), ("stiletto", "high heel"), ("loudspeaker", "megaphone"), ("fiddle", "violin"), ("cello", "violin"), ("clarinet", "flute"),
    ("bugle", "trumpet"), ("cellphone", "smartphone"), ("iphone", "smartphone"), ("earphones", "headphones"), ("paperback", "open book"),
    ("manuscript", "scroll"), ("cash", "banknote"), ("mallet", "hammer"), ("tomahawk", "axe"), ("armchair", "chair"), ("stool", "chair"), ("settee", "sofa"),
    ("mattress", "bed"), ("lavatory", "toilet"), ("sorcerer", "wizard"), ("warlock", "wizard"), ("dracula", "vampire"), ("cosmonaut", "astronaut"),
    ("undead", "zombie"), ("pixie", "fairy"), ("molar", "tooth"), ("archery", "bow and arrow"),
)  # fmt: skip


def synonyms(things: Iterable[str]) -> list[tuple[str, str]]:
    """The pairs of `SYNONYMS` whose thing is among these names."""
    known = set(things)
    return [(word, thing) for word, thing in SYNONYMS if thing in known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an examination asks for; `training.scenes.Painter.scene` paints the right answer, and its caption is the prompt, unless `word` names the thing."""

    kind: str  #: one, count, pair
    things: tuple[str, ...]
    place: str
    style: str
    relation: str = ""  #: of a pair
    count: int = 1
    word: str = ""


class Examiner:
    """Draws what is asked from the combinations kept out, evenly over the things that have any; all luck from one seed. Raises ValueError when none has."""

    def __init__(self, things: Sequence[str], places: Sequence[str], styles: Sequence[str], seed: int) -> None:
        self._luck, self._everything = random.Random(seed), list(things)
        self._combinations: dict[str, list[tuple[str, str]]] = {}
        for thing, place, style in combinations(things, places, styles):
            self._combinations.setdefault(thing, []).append((place, style))
        self._things = list(self._combinations)
        if not self._things:
            raise ValueError("of so few things, places and styles no combination is kept out")

    def _evenly(self, count: int) -> list[str]:
        """Things in shuffled rounds, so that none is asked much more often than another."""
        out: list[str] = []
        while len(out) < count:
            out += self._luck.sample(self._things, len(self._things))
        return out[:count]

    def _setting(self, thing: str) -> tuple[str, str]:
        return self._luck.choice(self._combinations[thing])

    def singles(self, count: int) -> list[Asked]:
        """One thing each."""
        return [Asked(kind="one", things=(thing,), place=place, style=style) for thing in self._evenly(count) for place, style in [self._setting(thing)]]

    def counts(self, count: int) -> list[Asked]:
        """One, two and three of a kind by turns."""
        return [
            Asked(kind="one" if k % 3 == 0 else "count", things=(thing,), place=place, style=style, count=1 + k % 3)
            for k, thing in enumerate(self._evenly(count))
            for place, style in [self._setting(thing)]
        ]

    def pairs(self, count: int, relations: Sequence[str]) -> list[Asked]:
        """Two things each, the relations by turns; the place and style are kept out for the first."""
        out = []
        for k, thing in enumerate(self._evenly(count)):
            other = self._luck.choice([each for each in self._everything if each != thing])
            place, style = self._setting(thing)
            out.append(Asked(kind="pair", things=(thing, other), place=place, style=style, relation=relations[k % len(relations)], count=2))
        return out

    def words(self) -> list[Asked]:
        """Every synonym once."""
        out = []
        for word, thing in synonyms(self._things):
            place, style = self._setting(thing)
            out.append(Asked(kind="one", things=(thing,), place=place, style=style, word=word))
        return out
