"""Every language says everything: the same ids with the same parameters, plurals and numbers as the language has them."""

from __future__ import annotations

import re

import pytest

from bot.messages import LANGUAGES, Catalogue, Catalogues

OTHERS = tuple(code for code in LANGUAGES if code != "en")
#: What is spelled alike in English and another language, being names, marks and numbers: nothing to translate.
LETTERS = re.compile(r"[^\W\d_]{3,}")
FLAG = re.compile(r"(?<![\w-])--[a-z]+")
COMMAND = re.compile(
    r"(?<![\w/.:])/(?:imagine|help|show|history|info|queue|cancel|web|prefer|settings|styles|lists|models|blend|describe|shorten|morph|verify|privacy)\b"
)
FIELD = re.compile(r"\{\w+(?::\w+)?\}")


@pytest.fixture(scope="module")
def english() -> Catalogue:
    return Catalogue.load("en")


def texts(catalogue: Catalogue, message: str) -> list[str]:
    entry = catalogue._entries[message]
    return [entry] if isinstance(entry, str) else [*entry.values()]


def test_every_language_has_its_file():
    assert Catalogues.load().codes == tuple(LANGUAGES)


@pytest.mark.parametrize("code", OTHERS)
def test_nothing_is_missing_and_nothing_left_over(english: Catalogue, code: str):
    other = Catalogue.load(code)
    assert set(other) == set(english)


@pytest.mark.parametrize("code", OTHERS)
def test_what_is_filled_in_is_the_same(english: Catalogue, code: str):
    other = Catalogue.load(code)
    for message in english:
        wanted = set(FIELD.findall(texts(english, message)[-1]))
        for text in texts(other, message):
            assert set(FIELD.findall(text)) == wanted or (len(texts(other, message)) > 1 and set(FIELD.findall(text)) | {"{count}"} == wanted | {"{count}"}), (
                message
            )
        assert other.parameters(message) == english.parameters(message), message


@pytest.mark.parametrize("code", OTHERS)
def test_flags_and_commands_stay_as_they_are_typed(english: Catalogue, code: str):
    other = Catalogue.load(code)
    for message in english:
        one, two = texts(english, message)[-1], texts(other, message)[-1]
        assert set(FLAG.findall(one)) == set(FLAG.findall(two)), message
        assert set(COMMAND.findall(one)) == set(COMMAND.findall(two)), message


@pytest.mark.parametrize("code", OTHERS)
def test_hardly_a_text_is_still_english(english: Catalogue, code: str):
    other = Catalogue.load(code)
    wordy = [message for message in english if len(LETTERS.findall(FIELD.sub("", FLAG.sub("", texts(english, message)[-1])))) >= 3]
    same = [message for message in wordy if texts(english, message) == texts(other, message)]
    assert not same
    assert len(wordy) > 300


@pytest.mark.parametrize(
    ("locale", "code"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("pt-BR", "pt-BR"),
        ("pt_PT", "pt-BR"),
        ("es-419", "es"),
        ("en-GB", "en"),
        ("ja-JP", "ja"),
        ("fr-CA", "fr"),
        ("sv-SE", "en"),
        ("", "en"),
    ],
)
def test_a_platforms_locale_finds_its_language(locale: str, code: str):
    assert Catalogues.load().of(locale).code == code


def test_numbers_and_places_are_written_as_the_language_does():
    languages = Catalogues.load()
    assert [languages.of(code).number(1234.5) for code in ("en", "de", "fr", "pt-BR", "ja")] == ["1,234.5", "1.234,5", "1\u202f234,5", "1.234,5", "1,234.5"]
    assert [languages.of(code).ordinal(0) for code in ("en", "de", "fr", "es", "ja", "pt-BR")] == ["1st", "1.", "1er", "1.º", "1番目", "1º"]
    assert [languages.of(code).ordinal(2) for code in ("fr", "ja")] == ["3e", "3番目"]


def test_a_list_is_joined_as_the_language_does():
    languages = Catalogues.load()
    assert languages.of("de").listed(["a", "b", "c"]) == "a, b und c"
    assert languages.of("ja").listed(["a", "b", "c"]) == "a、b、c"
