"""Every word a member sees comes from the catalogue, and everything in the catalogue is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import messages
from bot.domain import Said
from bot.messages import LANGUAGES, Catalogue, number

ROOT = Path(messages.__file__).parents[1]
ID = re.compile(r"[a-z_]+\.[a-z_0-9]+")
#: Callables whose first argument (or `message=`) is an id; the exceptions take `start` and `end` for themselves.
#: Slack's methods, which look like ids.
NO_IDS = {"chat.update", "chat.delete"}
SPEAKERS = {"say", "t", "BadWords", "Refused", "NotFound", "OutOfCredits", "QueueFull", "BadPicture", "Fault", "UserError", "Said"}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path, ast.parse(path.read_text("utf-8"))


def calls() -> Iterator[tuple[str, str, frozenset[str] | None]]:
    """(where, id, names of the parameters given, or None when they cannot be told)."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            message = node.args[0] if node.args else named.get("message")
            if name not in SPEAKERS or not isinstance(message, ast.Constant) or not isinstance(message.value, str):
                continue
            given: frozenset[str] | None = frozenset(each for each in named if each) - {"message"}
            if name == "Said":
                inner = named.get("parameters")
                keys = inner.keys if isinstance(inner, ast.Dict) else []
                given = frozenset(str(key.value) for key in keys if isinstance(key, ast.Constant)) if inner is None or isinstance(inner, ast.Dict) else None
            if None in named:
                given = None
            yield f"{path.relative_to(ROOT)}:{node.lineno}", message.value, given


def spoken() -> tuple[set[str], set[str]]:
    """(every string in the code and templates that looks like an id, beginnings of ids that are put together)."""
    whole: set[str] = set()
    beginnings: set[str] = set()
    for path, tree in trees():
        if path.name == "en.toml":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) and node.values and isinstance(first := node.values[0], ast.Constant):
                beginnings.add(str(first.value))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ID.fullmatch(node.value):
                whole.add(node.value)
    for path in [*ROOT.rglob("*.html"), *ROOT.rglob("*.js")]:
        text = path.read_text("utf-8")
        whole |= set(re.findall(r"""["']([a-z_]+\.[a-z_0-9]+)["']""", text))
        beginnings |= set(re.findall(r"""["']([a-z_]+\.[a-z_0-9]*)["'] *~""", text))
    return whole, {each for each in beginnings if re.fullmatch(r"[a-z_]+\.[a-z_]*", each)}


@pytest.fixture(scope="module")
def english() -> Catalogue:
    return Catalogue.load("en")


def test_every_id_that_is_said_exists(english: Catalogue):
    missing = {f"{where} {message}" for where, message, _ in calls() if message not in english}
    assert not missing
    sections = {each.split(".")[0] for each in english}
    strays = {
        each
        for each in spoken()[0] - NO_IDS
        if each.split(".")[0] in sections - {"web", "queue", "list", "job"} and each not in english and not each.endswith((".html", ".toml"))
    }
    assert not strays


def test_every_id_is_said_somewhere(english: Catalogue):
    whole, beginnings = spoken()
    unused = {each for each in english if each not in whole and not any(each.startswith(start) for start in beginnings)}
    assert not unused


def test_every_parameter_of_a_text_is_given(english: Catalogue):
    wrong = {
        f"{where} {message} lacks {sorted(lacking)}"
        for where, message, given in calls()
        if given is not None and (lacking := english.parameters(message) - given)
    }
    assert not wrong
    assert sum(given is not None for _, _, given in calls()) > 60


def test_every_text_can_be_filled_in(english: Catalogue):
    sample = {"duration": 12.0, "ordinal": 3, "list": ("a", "b"), "number": 2.5, "": "x"}
    for message in english:
        entry = english._entries[message]
        for text in [entry] if isinstance(entry, str) else entry.values():
            fields = dict(re.findall(r"\{(\w+)(?::(\w+))?\}", text))
            filled = english.say(message, **{"count": 2, **{name: sample[kind] for name, kind in fields.items()}})
            assert "{" not in filled or "{{" in text
            assert filled.strip() == filled


def test_plural_forms_are_complete(english: Catalogue):
    for code, language in LANGUAGES.items():
        forms = {language.plural(count) for count in range(200)}
        for message, entry in Catalogue.load(code)._entries.items():
            assert isinstance(entry, str) or set(entry) in (forms, {"other"} | forms), message


def test_errors_are_one_short_message(english: Catalogue):
    for message in english:
        if message.split(".")[0] in ("words", "refused", "error"):
            entry = english._entries[message]
            assert isinstance(entry, str)
            assert len(entry) <= 190, message
            assert entry[-1] in ".?}", message


def test_what_failed_says_that_nothing_was_charged(english: Catalogue):
    for message in english:
        if message.startswith("error.") and message not in ("error.not_found", "error.nothing_yet"):
            assert "Nothing was charged" in english._entries[message], message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (3.2, "4 s"), (18, "20 s"), (84.2, "85 s"), (91, "2 min"), (5399, "90 min"), (5401, "2 hours"), (200_000, "3 days"), (None, "a while")],
)
def test_durations_are_rounded_for_people(english: Catalogue, seconds: float | None, text: str):
    assert english.duration(seconds) == text


def test_ordinals(english: Catalogue):
    assert [english.ordinal(place) for place in (0, 1, 2, 3, 10, 11, 12, 20, 110)] == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "111th"]


def test_numbers():
    assert [number(value) for value in (7.0, 0.25, 1234.5, 0.004)] == ["7", "0.25", "1,234.5", "0"]


def test_parameters_are_never_read_as_templates(english: Catalogue):
    assert "{model.__class__}" in english.say("words.unknown_flag", flag="{model.__class__}")


def test_a_message_of_another_version_becomes_the_apology(english: Catalogue):
    apology = english.say("error.fault")
    assert english.tell(Said(message="error.of_tomorrow")) == apology
    assert english.tell(Said(message="error.cannot", parameters={})) == apology
    assert english.tell(Said(message="error.out_of_memory")) != apology
