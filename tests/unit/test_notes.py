"""Cards that stand for no job: offers, preferences, what is on the shelf, whose a picture is, what is stored. Within what every platform can show."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bot import notes, presses
from bot.cards import NOBODY
from bot.domain import GRID, Action, Artifact, Card, Load, Offer, Status, Style, Verb, Visibility, Wallet
from bot.messages import Catalogues
from bot.prompts.styles import BUILT_IN
from bot.wishes import Standing
from engine.api import Seen, Weight
from engine.fake import FAKE_MODEL
from tests.unit.test_cards import ADA, ENGLISH, IDS, NOW, buttons, labels, shown

LANGUAGES = Catalogues([ENGLISH])
LONG = "x" * 6000
SEEN = Seen(prompts=("a fox in the snow", "a red fox"), fits=(0.3, 0.2), things=("fox",), scores=(0.875,), ground="in the snow", style="3d render")


def offer(*prompts: str, kind: str = "prompts", **facts: object) -> Offer:
    return Offer(id=next(IDS), actor=ADA, kind=kind, prompts=prompts, facts=facts, created_at=NOW)


def weights(text: str, *carried: float) -> list[Weight]:
    found, at = [], 0
    for word, weight in zip(text.split(), carried, strict=True):
        start = text.index(word, at)
        at = start + len(word)
        found.append(Weight(start=start, end=at, weight=weight))
    return found


def actions(card: Card) -> list[tuple[Verb, int, str]]:
    return [(button.action.verb, button.action.index, button.action.argument) for button in buttons(card)]


def every_card() -> Iterator[Card]:
    many = offer(*(f"{LONG} {k}" for k in range(40)), kind="confirm")
    yield notes.describe_card(replace(SEEN, prompts=(LONG,) * 4, things=("x" * 300,) * 2, scores=()), many, ENGLISH)
    yield notes.describe_card(Seen(prompts=(), fits=(), things=()), offer(), ENGLISH)
    words = " ".join(["word" * 20] * 120)
    yield notes.shorten_card(words, weights(words, *[0.1] * 120), many, ENGLISH)
    yield notes.confirm_card(many, 40.0, ENGLISH)
    for status, count in itertools.product(Status, (0, 1, 10, 11, 25, 26, 40)):
        yield notes.batch_card(many, [shown(status, words=LONG) for _ in range(count)], ENGLISH)
    full = {"flags": LONG, "suffix": LONG, "sets": {f"set{k}": LONG for k in range(25)}, "locale": "en", "lane": "relax", "direct": True, "remix": True}
    server = {"flags": LONG, "model": "fake", "off": ["blend"] * 20, "channels": ["1" * 20] * 100, "press": "owner", "lane": "relax"}
    for standing in (Standing(), Standing(member=full, server=server), Standing(member={"flags": 7, "sets": [1]}, server={"off": "blend", "model": 3})):
        yield notes.prefer_card(standing, LANGUAGES, ENGLISH, next(IDS))
        models = [replace(FAKE_MODEL, model=name, title=LONG[:200]) for name in ("fake", "y" * 60, "ship", *map(str, range(40)))]
        yield notes.settings_card(standing, models, ENGLISH, next(IDS))
    styles = [Style(name=f"style{k}", words=LONG, owner=owner) for owner in ("web:ada", "server:web:x") for k in range(100)]
    yield notes.styles_card([*styles, *BUILT_IN], many, ENGLISH)
    yield notes.styles_card([], None, ENGLISH)
    yield notes.lists_card({f"list{k}": (LONG,) * 100 for k in range(100)}, ENGLISH)
    yield notes.lists_card({}, ENGLISH)
    for count in (0, 1, 20, 40):
        listed = [replace(FAKE_MODEL, model=f"m{k}", title="", licence=LONG) for k in range(count)]
        yield notes.models_card(listed, many, ENGLISH)
        yield notes.help_card(listed, ENGLISH, many)
    yield notes.verify_card(None, LONG, ENGLISH)
    yield notes.verify_card(shown(Status.DONE, 1, words=LONG), "", ENGLISH)
    yield notes.privacy_card(3, ENGLISH, next(IDS), days=180)


@pytest.fixture(scope="module")
def cards() -> list[Card]:
    return list(every_card())


def test_every_card_fits_every_platform(cards: list[Card]):
    for card in cards:
        assert 1 <= len(card.title) <= 250
        assert len(card.text) <= 2000
        assert all(1 <= len(row) <= 5 for row in card.rows)
        assert all(1 <= len(select.choices) <= 25 for select in card.selects)
        assert len(card.rows) + len(card.selects) <= 5
        assert all(1 <= len(button.label) <= 80 for button in buttons(card))
        assert all(label and value and len(value) <= 500 for label, value in card.details)


def test_every_button_works_and_makes_sense_alone(cards: list[Card]):
    for card in cards:
        encoded = [button.action.encode() for button in buttons(card)]
        assert len(set(encoded)) == len(encoded)
        assert [presses.action_of(text) for text in encoded] == [button.action for button in buttons(card)]
        assert all(len(button.hint.split()) >= 3 for button in buttons(card))


# ------------------------------------------------------------------------------------------------ offers


def test_a_description_is_prompts_to_draw_and_what_is_in_them():
    what = offer(*SEEN.prompts)
    card = notes.describe_card(SEEN, what, ENGLISH)
    assert card.text.splitlines() == ["1. a fox in the snow", "2. a red fox"]
    assert card.details == (("Things", "fox (88%)"), ("Place or ground", "in the snow"), ("Style", "3d render"))
    assert labels(card) == [["Draw 1", "Draw 2", "Draw all"]]
    assert actions(card) == [(Verb.RUN, 0, ""), (Verb.RUN, 1, ""), (Verb.RUN, GRID, "")]
    assert {button.action.job_id for button in buttons(card)} == {what.id}


def test_shorten_shows_what_each_word_carries_and_what_could_go():
    text = "a fox in snow"
    card = notes.shorten_card(text, weights(text, 0.02, 1.0, 0.1, 0.5), offer("fox snow", "fox"), ENGLISH)
    assert card.code.splitlines() == ["░░░░░░░░░░   2% a", "██████████ 100% fox", "█░░░░░░░░░  10% in", "█████░░░░░  50% snow"]
    assert "These carry next to nothing: “a” and “in”." in card.text
    assert card.text.splitlines()[-2:] == ["1. fox snow", "2. fox"]
    assert labels(card) == [["Draw 1", "Draw 2", "Draw all"]]


def test_where_nothing_can_go_shorten_says_so():
    card = notes.shorten_card("fox", weights("fox", 1.0), offer(), ENGLISH)
    assert card.text.splitlines()[-1] == "There is nothing to leave out." and card.rows == ()


def test_a_set_asks_before_it_is_drawn():
    prompts = [f"a fox, {k}" for k in range(12)]
    what = offer(*prompts, kind="confirm", orders=[{"request": {"count": 4}}] * 12)
    card = notes.confirm_card(what, 12.0, ENGLISH)
    assert card.text.splitlines()[0] == "These 12 prompts make 48 pictures for 12 credits. Nothing is drawn until you say so."
    assert card.text.splitlines()[-1] == "12. a fox, 11"
    assert labels(card) == [["Draw all", "Not now"]]
    assert actions(card) == [(Verb.RUN, GRID, ""), (Verb.DISMISS, GRID, "")]
    assert card.visibility is Visibility.PRIVATE


def test_a_set_says_how_far_it_is_and_leads_to_each_of_it():
    what, members = offer("a", "b", "c"), [shown(Status.DONE), shown(Status.RUNNING), shown(Status.QUEUED)]
    card = notes.batch_card(what, members, ENGLISH)
    assert card.text.splitlines() == [
        "1 of 3 are drawn.",
        "1. a fox in the snow (Done)",
        "2. a fox in the snow (Drawing)",
        "3. a fox in the snow (Waiting)",
    ]
    assert labels(card) == [["Show 1"], ["How far?", "Everything as a file", "Cancel all"]]
    assert actions(card)[1:] == [(Verb.SHOW, GRID, presses.SET), (Verb.COLLECT, GRID, ""), (Verb.CANCEL, GRID, presses.SET)]
    assert [button.action.job_id for button in buttons(card)] == [members[0].job.id, what.id, what.id, what.id]
    assert card.visibility is Visibility.PUBLIC


def test_a_set_that_has_ended_cannot_be_stopped():
    done = notes.batch_card(offer("a", "b"), [shown(Status.DONE), shown(Status.FAILED)], ENGLISH)
    assert labels(done) == [["Show 1"], ["Everything as a file"]]
    assert notes.batch_card(offer("a"), [shown(Status.FAILED)], ENGLISH).rows == ()


def test_a_large_set_has_selects_and_a_private_one_is_private():
    card = notes.batch_card(offer("a"), [shown(Status.DONE, private=True) for _ in range(40)], ENGLISH)
    assert [len(select.choices) for select in card.selects] == [25, 15]
    assert card.visibility is Visibility.PRIVATE


def test_what_is_drawn_privately_is_asked_for_privately():
    what = offer("a fox --private", "a fox", kind="prompts")
    one, other, every = buttons(notes.describe_card(SEEN, what, ENGLISH))
    assert [presses.is_quiet(button.action) for button in (one, other, every)] == [True, False, True]
    yes, _ = buttons(notes.confirm_card(offer("a", "b", orders=[{"private": False}, {"private": True}]), 2.0, ENGLISH))
    assert presses.is_private(yes.action)
    members = [shown(Status.DONE, private=True), shown(Status.QUEUED, private=True)]
    found = [button.action for button in buttons(notes.batch_card(offer("a", "b"), members, ENGLISH)) if button.action.verb is not Verb.COLLECT]
    assert all(presses.is_private(action) for action in found)
    assert [presses.is_of_set(action) for action in found] == [False, True, True]


# ------------------------------------------------------------------------------------------------ choices


def test_a_switch_says_what_it_does_and_the_details_what_holds():
    off = notes.prefer_card(Standing(), LANGUAGES, ENGLISH, NOBODY)
    on = notes.prefer_card(Standing(member={"direct": True, "remix": True, "lane": "relax", "flags": "--ar 3:2"}), LANGUAGES, ENGLISH, NOBODY)
    assert labels(off) == [["Send me copies", "Ask for words first", "Let others go first"], ["Usual flags …", "Words after …", "Sets of flags …"]]
    assert labels(on)[0] == ["No more copies", "Do not ask first", "Draw in turn"]
    assert [presses.choice_of(button.action) for button in off.rows[0]] == [("direct", "on", False), ("remix", "on", False), ("lane", "relax", False)]
    assert [presses.choice_of(button.action) for button in on.rows[0]] == [("direct", "off", False), ("remix", "off", False), ("lane", "fast", False)]
    assert dict(on.details)["Usual flags"] == "--ar 3:2"
    assert dict(off.details)["Usual flags"] == "nothing"
    values = [value for _, value in on.details]
    assert values.count("on") == 2 and [value for _, value in off.details].count("off") == 2


def test_a_language_is_chosen_from_those_there_are():
    card = notes.prefer_card(Standing(member={"locale": "en"}), LANGUAGES, ENGLISH, NOBODY)
    (menu,) = card.selects
    assert [(choice.label, choice.action.argument, choice.pressed) for choice in menu.choices] == [
        ("As this chat is set", "locale=", False),
        ("English", "locale=en", True),
    ]
    assert dict(card.details)["Language"] == "English"


def test_a_servers_choices_are_marked_as_the_servers():
    models = (FAKE_MODEL, replace(FAKE_MODEL, model="ship", title="Ship"))
    card = notes.settings_card(Standing(server={"press": "owner", "model": "ship", "off": ["blend"]}), models, ENGLISH, NOBODY)
    assert all(button.action.argument.startswith("!") for button in buttons(card))
    assert [presses.choice_of(choice.action) for choice in card.selects[0].choices] == [("model", "", True), ("model", "fake", True), ("model", "ship", True)]
    assert [choice.pressed for choice in card.selects[0].choices] == [False, False, True]
    found = dict(card.details)
    assert (found["Model"], found["Commands that are off"], found["Channels it works in"]) == ("Ship", "/blend", "everywhere")
    assert labels(card)[0] == ["Let anyone vary", "Let others go first"]


# ------------------------------------------------------------------------------------------------ the shelf


def test_styles_are_told_apart_by_whose_they_are_and_can_be_tried():
    styles = (Style(name="mine", words="in ink", owner="web:ada"), Style(name="ours", words="in red", owner="server:web:x"), BUILT_IN[0])
    what = offer(*(f"a fox --style {each.name}" for each in styles))
    card = notes.styles_card(styles, what, ENGLISH)
    lines = card.text.splitlines()
    assert [lines.index(each) for each in ("Yours:", "mine: in ink", "This server's:", "ours: in red", "Built in:")] == [1, 2, 3, 4, 5]
    assert labels(card) == [["mine", "ours", BUILT_IN[0].name], ["Save a style"]]
    assert actions(card) == [(Verb.RUN, 0, ""), (Verb.RUN, 1, ""), (Verb.RUN, 2, ""), (Verb.ASK, GRID, "style")]


def test_lists_say_how_to_draw_from_them():
    card = notes.lists_card({"animal": ("fox", "owl"), "empty": ()}, ENGLISH)
    assert card.text.splitlines()[-1] == "__animal__, 2 entries: fox, owl"
    assert notes.lists_card({}, ENGLISH).text.endswith("There is none yet.")


def test_a_model_is_shown_with_its_name_its_licence_and_what_it_can():
    models = (replace(FAKE_MODEL, finish=4, operations=frozenset({"imagine", "mask", "morph"})), replace(FAKE_MODEL, model="bare", operations=frozenset()))
    card = notes.models_card(models, offer("a fox --model fake", "a fox --model bare"), ENGLISH, frozenset({"fake"}))
    assert dict(card.details[:1])["Fake"] == "--model fake · 512 × 512 · MIT · can also do parts drawn anew and morphs · in memory now"
    assert card.details[1][1] == "--model bare · 128 × 128 · MIT · draws from words alone"
    assert labels(card) == [["Try Fake", "Try Fake"]]


def test_help_draws_its_examples_by_buttons_and_names_every_command():
    card = notes.help_card((FAKE_MODEL,), ENGLISH, offer(*FAKE_MODEL.examples))
    assert labels(card) == [list(FAKE_MODEL.examples)]
    assert actions(card) == [(Verb.RUN, 0, ""), (Verb.RUN, 1, "")]
    assert {"/imagine", "/blend", "/describe", "/shorten", "/morph", "/privacy", "/settings"} <= {label for label, _ in card.details}
    assert notes.help_card((), ENGLISH).rows == ()


# ------------------------------------------------------------------------------------------------ whose, and what of whom


def test_a_picture_that_was_made_here_says_when_by_whom_and_from_which_words():
    made = shown(Status.DONE, 1)
    picture = Artifact(job_id=made.job.id, index=2, digest="a" * 64, seed=9, width=128, height=128, seen="a fox")
    job = replace(made.job, actor=replace(ADA, name="Ada"))
    card = notes.verify_card(replace(made, job=job, artifacts=(picture,)), "", ENGLISH)
    assert card.code == "a fox in the snow --seed 7"
    assert dict(card.details) == {
        "When": "2026-03-01 12:00 UTC",
        "By": "Ada",
        "Model": "fake",
        "Seed": "9",
        "The model sees": "a fox",
        "Number": made.job.id,
    }
    assert buttons(card)[0].action == Action(verb=Verb.SHOW, job_id=made.job.id)


def test_a_strange_picture_is_not_believed():
    card = notes.verify_card(None, "a fox\nSeed: 7", ENGLISH)
    assert card.text.splitlines() == [
        "I do not know this file. It was not made here, was changed on the way, or is not yours to see.",
        "It says of itself what follows; anybody can write that into a file.",
    ]
    assert card.code == "a fox\nSeed: 7" and card.rows == ()
    assert "It says of itself" not in notes.verify_card(None, "", ENGLISH).text


def test_privacy_says_what_is_kept_how_long_and_offers_a_copy_and_an_end():
    card = notes.privacy_card(3, ENGLISH, NOBODY, days=180)
    assert card.text.startswith("3 jobs of yours are stored") and "after 180 days" in card.text
    assert "until you delete them" in notes.privacy_card(3, ENGLISH, NOBODY, days=0).text
    assert labels(card) == [["Send me a copy", "Forget me"]]
    assert actions(card) == [(Verb.COLLECT, GRID, presses.EVERYTHING), (Verb.ASK, GRID, "forget")]


def test_the_wallet_says_which_models_are_in_memory():
    wallet = Wallet(balance=3, at=NOW, cap=60, per_hour=30)
    for loaded, told in (((), False), ((FAKE_MODEL.model,), True), (("gone",), False)):
        card = notes.info_card(wallet, (), Load(), (FAKE_MODEL,), ENGLISH, loaded)
        assert ((ENGLISH.say("detail.loaded"), FAKE_MODEL.title) in card.details) is told
