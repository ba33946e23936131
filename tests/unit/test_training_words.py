"""The words of the pocket model's world: each means one thing, and captions say them as English does."""

from __future__ import annotations

from collections import Counter

import pytest

from training import heldout
from training.scenes import article, plural
from training.vocabulary import COLOURS, PLACES, STYLES, SYNONYMS, THINGS, WITHOUT_ARTICLE

WORDS = [word for words in THINGS.values() for word in words]


def test_no_word_means_two_things_or_a_colour() -> None:
    assert [word for word, times in Counter([*WORDS, *COLOURS]).items() if times > 1] == []


def test_words_are_lower_case_and_the_names_without_article_are_words() -> None:
    assert [word for word in WORDS if word != word.lower()] == []
    assert set(WORDS) >= WITHOUT_ARTICLE


def test_the_words_no_caption_uses_stand_in_no_caption() -> None:
    said = {part for group in (THINGS, PLACES, STYLES) for phrases in group.values() for phrase in phrases for part in phrase.split()}
    assert [word for word in (*SYNONYMS, *(word for word, _ in heldout.SYNONYMS)) if word in said | set(COLOURS)] == []


@pytest.mark.parametrize(
    ("name", "one", "many"),
    [
        ("fox", "a fox", "foxes"),
        ("owl", "an owl", "owls"),
        ("hourglass", "an hourglass", "hourglasses"),
        ("unicorn", "a unicorn", "unicorns"),
        ("knife", "a knife", "knives"),
        ("maple leaf", "a maple leaf", "maple leaves"),
        ("tropical fish", "a tropical fish", "tropical fish"),
        ("sheep", "a sheep", "sheep"),
        ("goose", "a goose", "geese"),
        ("snowman", "a snowman", "snowmen"),
        ("bow and arrow", "a bow and arrow", "bows and arrows"),
        ("fire", "fire", "fire"),
        ("fire engine", "a fire engine", "fire engines"),
        ("scissors", "scissors", "scissors"),
        ("pair of scissors", "a pair of scissors", "pairs of scissors"),
        ("loaf of bread", "a loaf of bread", "loaves of bread"),
        ("magnifying glass", "a magnifying glass", "magnifying glasses"),
    ],
)
def test_a_thing_is_said_with_its_article_and_its_plural(name: str, one: str, many: str) -> None:
    assert name in WORDS
    assert (article(name), plural(name)) == (one, many)
