"""What members see of a job, in every state it can be in, within what every platform can show."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import notes
from bot.cards import MAX_EDGE, job_card, params_card
from bot.domain import CLIP, GRID, Action, Actor, Artifact, Button, Card, Job, Load, Origin, Page, Place, Said, Shown, Status, Verb, Visibility, Wallet
from bot.errors import BadWords, Fault, Refused
from bot.messages import Catalogue, number
from bot.prompts.flags import FLAGS
from engine.api import ImagineRequest, MorphRequest, Part, UpscaleRequest
from engine.fake import FAKE_MODEL

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENGLISH = Catalogue.load("en")
ADA = Actor(platform="web", id="ada")
IDS = (f"01KA{number:022d}" for number in itertools.count())
IMAGINE = ImagineRequest(model="fake", parts=(Part(text="a fox in the snow"),), seed=7, width=128, height=96, steps=8, guidance=5.0)
UPSCALE = UpscaleRequest(model="fake", source="c" * 64, factor=2, seed=7, width=128, height=96)


def job(status: Status, **changes: object) -> Job:
    made = Job(id=next(IDS), request=IMAGINE, words="a fox in the snow --seed 7", actor=ADA, place=Place(platform="web"), cost=1.0, created_at=NOW)
    return replace(made, status=status, **changes)  # type: ignore[arg-type]


def shown(status: Status, count: int = 4, edge: int = 128, **changes: object) -> Shown:
    """A job; `count` pictures when it is done, with their sheet when there are several."""
    made = job(status, **changes)
    if status is not Status.DONE:
        return Shown(job=made)
    made = replace(made, started_at=NOW, ended_at=NOW + timedelta(seconds=4))
    frames = [Artifact(job_id=made.id, index=k, digest=f"{k:064x}", seed=7 + k, width=edge, height=edge) for k in range(count)]
    sheet = [Artifact(job_id=made.id, index=GRID, digest="f" * 64, seed=7, width=2 * edge, height=2 * edge)] if count > 1 else []
    return Shown(job=made, artifacts=tuple(sheet + frames))


def card_of(what: Shown, **more: str) -> Card:
    return job_card(what, ENGLISH, now=NOW, **more)


def buttons(card: Card) -> list[Button]:
    return [*itertools.chain(*card.rows), *itertools.chain(*(select.choices for select in card.selects))]


def labels(card: Card) -> list[list[str]]:
    return [[button.label for button in row] for row in card.rows]


def every_card() -> Iterator[Card]:
    long = "x" * 6000
    parents = (None, *(Origin(job_id=next(IDS), verb=verb.value, index=0) for verb in Verb))
    for private, parent, words in itertools.product((False, True), parents, ("a fox", long, "a::1 " * 400, "")):
        for status in Status:
            yield card_of(shown(status, private=private, parent=parent, words=words, error=Said(message="error.out_of_memory")))
        for count in (1, 2, 4, 5, 9):
            yield card_of(shown(Status.DONE, count, private=private, parent=parent, words=words), url="https://pictures.example")
        yield card_of(shown(Status.DONE, 1, private=private, parent=parent, words=words, request=UPSCALE))
        yield card_of(replace(shown(Status.RUNNING, words=words, started_at=NOW), step=3, of=8, preview=b"webp"))
    queued = tuple(replace(shown(Status.QUEUED, words=long), position=2, eta=7.0) for _ in range(20))
    drawn = tuple(shown(Status.DONE, words=long) for _ in range(20))
    yield notes.queue_card(queued, Load(queued=20), ENGLISH)
    yield notes.history_card(Page(items=drawn), "", ENGLISH)
    yield notes.help_card((FAKE_MODEL,), ENGLISH)
    yield notes.children_card(drawn[0], [job(Status.DONE, words=long, parent=Origin(job_id=drawn[0].job.id, verb="v", index=0)) for _ in range(40)], ENGLISH)
    yield notes.error_card(BadWords("words.twice", start=5999, end=6000, flag="n"), ENGLISH, long)
    yield params_card(drawn[0], ENGLISH, direct=True)


@pytest.fixture(scope="module")
def cards() -> list[Card]:
    return list(every_card())


def test_every_card_fits_every_platform(cards: list[Card]):
    for card in cards:
        assert 1 <= len(card.title) <= 250
        assert len(card.text) <= 2000
        assert len(card.rows) <= 5
        assert all(1 <= len(row) <= 5 for row in card.rows)
        assert all(1 <= len(select.choices) <= 25 for select in card.selects)
        assert len(card.rows) + len(card.selects) <= 5
        assert len(card.pictures) <= 10
        for button in buttons(card):
            assert 1 <= len(button.label) <= 80
        for picture in card.pictures:
            assert 0 < len(picture.alt) <= 1024
            assert bool(picture.digest) != bool(picture.data)


def test_every_button_works_and_makes_sense_alone(cards: list[Card]):
    for card in cards:
        encoded = [button.action.encode() for button in buttons(card)]
        assert len(set(encoded)) == len(encoded)
        for button, text in zip(buttons(card), encoded, strict=True):
            assert len(text) <= 100
            assert Action.decode(text) == button.action
            assert len(button.hint.split()) >= 3


def test_buttons_under_a_private_picture_say_so(cards: list[Card]):
    private = card_of(shown(Status.DONE, private=True, parent=Origin(job_id=next(IDS), verb="v", index=1)))
    assert private.visibility is Visibility.PRIVATE
    assert all(button.action.argument.endswith("p") for button in buttons(private))
    assert not any(button.action.argument.endswith("p") for button in buttons(card_of(shown(Status.DONE))))


def test_queued_says_where_it_stands():
    card = card_of(replace(shown(Status.QUEUED), position=2, eta=17.0))
    assert (card.title, card.text) == ("a fox in the snow", "Queued, 3rd, about 20 s.")
    assert labels(card) == [["Cancel"]]
    assert card.percent is None


def test_running_has_a_bar_a_preview_and_the_time_left_at_its_own_pace():
    running = replace(shown(Status.RUNNING, started_at=NOW - timedelta(seconds=6)), step=2, of=8, preview=b"webp")
    card = card_of(running)
    assert card.percent == 25
    assert card.text == "Drawing, step 2 of 8, about 20 s left."
    assert card.pictures[0].data == b"webp"
    assert card.pictures[0].alt == "“a fox in the snow”, still forming."
    assert labels(card) == [["Cancel"]]
    assert card_of(shown(Status.RUNNING)).text == "Drawing."


def test_a_grid_of_four_has_the_familiar_buttons():
    card = card_of(shown(Status.DONE))
    assert labels(card) == [["U1", "U2", "U3", "U4", "🔄 Again"], ["V1", "V2", "V3", "V4", "⭐ Keep"], ["Details", "Remix", "Delete"]]
    assert [picture.digest for picture in card.pictures] == ["f" * 64]
    assert card.pictures[0].alt == "“a fox in the snow”: 4 pictures side by side, drawn by fake."
    assert dict(card.details)["Seed"] == "7"
    assert dict(card.details)["Time"] == "4 s"


def test_a_larger_grid_has_selects():
    card = card_of(shown(Status.DONE, 9))
    assert [[choice.label for choice in select.choices] for select in card.selects] == [[f"{verb}{k}" for k in range(1, 10)] for verb in "UV"]
    assert labels(card) == [["🔄 Again", "⭐ Keep", "Details", "Remix", "Delete"]]


def test_a_single_picture_can_be_enlarged_as_far_as_the_limit():
    assert labels(card_of(shown(Status.DONE, 1)))[0] == ["Upscale 2×", "Upscale 4×", "Vary", "🔄 Again"]
    assert labels(card_of(shown(Status.DONE, 1, edge=MAX_EDGE // 2, request=UPSCALE)))[0] == ["Upscale 2×", "Vary"]
    assert labels(card_of(shown(Status.DONE, 1, edge=MAX_EDGE, request=UPSCALE)))[0] == ["Vary"]


def test_a_waiting_picture_tells_the_size_it_will_be_shown_at():
    waiting = shown(Status.QUEUED, request=replace(IMAGINE, enlarge=4))
    assert ("Size", "512 × 384") in params_card(waiting, ENGLISH).details


def test_a_child_says_where_it_came_from_and_leads_there():
    parent = Origin(job_id=next(IDS), verb=Verb.VARY.value, index=1)
    card = card_of(shown(Status.DONE, parent=parent))
    assert card.text.splitlines()[-1] == "V2 of an earlier picture."
    assert card.rows[-1][-1].action == Action(verb=Verb.SHOW, job_id=parent.job_id)


@pytest.mark.parametrize("status", list(Status))
def test_a_child_leads_to_its_parent_in_every_state(status: Status):
    parent = Origin(job_id=next(IDS), verb=Verb.VARY.value, index=1)
    card = card_of(shown(status, parent=parent, error=Said(message="error.out_of_memory")))
    assert Action(verb=Verb.SHOW, job_id=parent.job_id) in [button.action for button in buttons(card)]
    assert "V2 of an earlier picture." in card.text


@pytest.mark.parametrize("count", [1, 4, 9])
@pytest.mark.parametrize("child_of", [None, "01KA9999999999999999999999"])
def test_a_parent_leads_to_its_children(count: int, child_of: str | None):
    parent = Origin(job_id=child_of, verb=Verb.REROLL.value, index=GRID) if child_of else None
    without = shown(Status.DONE, count, parent=parent)
    child = job(Status.DONE, parent=Origin(job_id=without.job.id, verb="v", index=0))
    card = card_of(without.evolve(children=(child,)))
    found = [button for button in buttons(card) if button.action.verb is Verb.CHILDREN]
    assert [(each.label, each.action.job_id) for each in found] == [("What came of it", without.job.id)]
    assert len(buttons(card)) == len(buttons(card_of(without))) + 1
    assert all(len(row) <= 5 for row in card.rows) and len(card.rows) + len(card.selects) <= 5


def test_children_that_nobody_can_look_at_are_not_mentioned():
    private, failed, cancelled = job(Status.DONE, private=True), job(Status.FAILED), job(Status.CANCELLED)
    card = card_of(shown(Status.DONE).evolve(children=(private, failed, cancelled)))
    assert Verb.CHILDREN not in {button.action.verb for button in buttons(card)}
    own = card_of(shown(Status.DONE, private=True).evolve(children=(private,)))
    assert Verb.CHILDREN in {button.action.verb for button in buttons(own)}


def test_children_are_listed_with_how_they_came_about():
    done = shown(Status.DONE)
    ways = [(Verb.PICK, 0), (Verb.VARY, 1), (Verb.REROLL, GRID), (Verb.UPSCALE, 0), (Verb.REMIX, GRID)]
    children = [job(Status.DONE, parent=Origin(job_id=done.job.id, verb=verb.value, index=index)) for verb, index in ways]
    card = notes.children_card(done, children, ENGLISH)
    assert [line.partition(":")[0] for line in card.text.splitlines()] == ["1. U1", "2. V2", "3. Again", "4. Enlarged", "5. Remix"]
    assert labels(card) == [["1", "2", "3", "4", "5"], ["Back to it"]]
    assert [button.action.job_id for button in buttons(card)] == [*(child.id for child in children), done.job.id]
    assert {button.action.verb for button in buttons(card)} == {Verb.SHOW}
    assert card.visibility is Visibility.PRIVATE


def test_of_very_many_children_the_newest_are_listed():
    done = shown(Status.DONE)
    children = [job(Status.DONE, parent=Origin(job_id=done.job.id, verb="v", index=0)) for _ in range(30)]
    card = notes.children_card(done, children, ENGLISH)
    assert card.text.splitlines()[0] == "10 older ones are not listed."
    assert [label for row in labels(card)[:-1] for label in row] == [str(number) for number in range(11, 31)]
    assert buttons(card)[-2].action.job_id == children[-1].id


def test_a_favourite_is_pressed():
    grid = shown(Status.DONE)
    marked = replace(grid, artifacts=tuple(replace(each, favourite=each.index == 0) for each in grid.artifacts))
    stars = [button.pressed for what in (grid, marked) for button in buttons(card_of(what)) if button.label.startswith("⭐")]
    assert stars == [False, True]


def test_a_failure_is_one_sentence_with_the_words_and_a_way_on():
    card = card_of(shown(Status.FAILED, error=Said(message="error.out_of_memory")))
    assert card.text == ENGLISH.say("error.out_of_memory")
    assert card.code == "a fox in the snow --seed 7"
    assert labels(card) == [["Try again", "Remix", "Delete"]]
    assert card.pictures == ()


def test_links_exist_only_where_the_studio_can_be_reached():
    assert card_of(shown(Status.DONE)).links == ()
    done = shown(Status.DONE)
    assert card_of(done, url="https://pictures.example/").links[0].url == f"https://pictures.example/job/{done.job.id}"


def test_params_are_private_and_go_with_the_pictures_when_sent_directly():
    done = shown(Status.DONE)
    card = params_card(done, ENGLISH)
    assert (card.visibility, card.status, card.pictures) == (Visibility.PRIVATE, None, ())
    assert dict(card.details)["Number"] == done.job.id
    assert params_card(done, ENGLISH, direct=True).pictures
    assert params_card(done, ENGLISH, direct=True).visibility is Visibility.DIRECT


def test_details_name_the_model_its_licence_and_what_it_was_trained_on():
    model = replace(FAKE_MODEL, licence="CreativeML OpenRAIL-M", training_data="LAION-5B, filtered", forbids=("medical advice", "harming people"))
    found = dict(params_card(shown(Status.DONE), ENGLISH, model).details)
    assert found["Model"] == "Fake (fake)"
    assert found["Licence"] == "CreativeML OpenRAIL-M. It forbids: medical advice; harming people."
    assert dict(params_card(shown(Status.DONE), ENGLISH, FAKE_MODEL).details)["Licence"] == "MIT"
    assert found["Trained on"] == "LAION-5B, filtered"
    assert dict(params_card(shown(Status.DONE), ENGLISH, FAKE_MODEL).details)["Trained on"] == "not stated"
    assert dict(params_card(shown(Status.DONE), ENGLISH, replace(model, title="fake")).details)["Model"] == "fake"


def test_details_of_a_model_that_is_gone_name_it_and_say_nothing_of_it():
    found = dict(params_card(shown(Status.DONE), ENGLISH, None).details)
    assert found["Model"] == "fake" and {"Licence", "Trained on"}.isdisjoint(found)


def test_the_card_for_all_has_none_of_that():
    assert {"Licence", "Trained on", "Credits", "Device time", "Energy", "Number"}.isdisjoint(dict(card_of(shown(Status.DONE, device_seconds=9.0)).details))


@pytest.mark.parametrize(
    ("seconds", "watts", "energy"),
    [
        (36.0, 100.0, "about 1 Wh, an estimate at 100 W"),
        (36.0, 350.0, "about 3.5 Wh, an estimate at 350 W"),
        (1.25, 100.0, "about 0.035 Wh, an estimate at 100 W"),
        (0.01, 100.0, "less than 0.001 Wh, an estimate at 100 W"),
        (36e6, 100.0, "about 1,000,000 Wh, an estimate at 100 W"),
    ],
)
def test_details_tell_what_a_picture_took(seconds: float, watts: float, energy: str):
    found = dict(params_card(shown(Status.DONE, device_seconds=seconds, cost=0.75), ENGLISH, FAKE_MODEL, watts=watts).details)
    assert (found["Credits"], found["Energy"]) == ("0.75", energy)
    assert found["Device time"] == f"{number(seconds)} s"


def test_what_is_not_drawn_has_taken_no_energy():
    for status in (Status.QUEUED, Status.RUNNING, Status.FAILED):
        found = dict(params_card(shown(status), ENGLISH, FAKE_MODEL).details)
        assert "Credits" in found and {"Device time", "Energy"}.isdisjoint(found)


def test_a_clip_goes_along_with_what_is_done():
    done = shown(Status.DONE)
    clip = Artifact(job_id=done.job.id, index=CLIP, digest="a" * 64, seed=7, width=512, height=512)
    filmed = replace(done, artifacts=(clip, *done.artifacts))
    card = card_of(filmed)
    assert card.clip is not None and card.files == (*card.pictures, card.clip)
    assert (card.clip.digest, card.clip.width, card.clip.moves) == ("a" * 64, 512, True)
    assert card.clip.name == f"wordup-{done.job.id}-clip.webp"
    assert card.clip.alt == "“a fox in the snow” taking shape, a clip of how fake drew it."
    assert labels(card) == labels(card_of(done)) and len(card.pictures) == 1
    assert card_of(done).clip is None and card_of(done).files == card_of(done).pictures
    assert params_card(filmed, ENGLISH).clip is None
    assert params_card(filmed, ENGLISH, direct=True).clip == card.clip
    assert len(params_card(filmed, ENGLISH, direct=True).files) == 5


def test_a_morphs_clip_says_what_it_is():
    request = MorphRequest(model="fake", before=(Part(text="a fox"),), after=(Part(text="an owl"),), width=128, height=128, steps=8, guidance=5.0)
    done = shown(Status.DONE, 8, request=request, words="a fox to an owl")
    clip = Artifact(job_id=done.job.id, index=CLIP, digest="a" * 64, seed=7, width=512, height=512)
    card = card_of(replace(done, artifacts=(clip, *done.artifacts)))
    assert card.clip is not None and card.clip.alt == "“a fox to an owl”, a clip of one becoming the other, drawn by fake."


def test_a_mistake_has_a_caret_under_its_place():
    error = BadWords("words.unknown_flag_near", start=6, end=12, flag="sede", near="seed")
    card = notes.error_card(error, ENGLISH, "a fox --sede 7")
    assert card.text == "There is no flag --sede. Did you mean --seed?"
    assert card.code == "a fox --sede 7\n      ^^^^^^"
    assert card.visibility is Visibility.PRIVATE


@given(st.text(min_size=1, max_size=300), st.data())
def test_the_caret_stands_in_the_line_above_it_and_the_words_are_given_back(words: str, data: st.DataObject):
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    text = notes.caret(words, start, end)
    line, under = text.split("\n")[:2]
    assert set(under.strip()) == {"^"}
    assert len(line) <= 120
    assert text.endswith(words) or not line.startswith("…")


def test_wide_characters_push_the_caret_along():
    assert notes.caret("雪 --x", 2, 5) == "雪 --x\n   ^^^"


def test_other_refusals_give_the_words_back_and_faults_apologise():
    assert notes.error_card(Refused("refused.no_source", model="m"), ENGLISH, "a fox").code == "a fox"
    assert notes.error_card(Fault("error.fault"), ENGLISH).title == "Sorry"
    assert notes.error_card(Refused("refused.of_tomorrow"), ENGLISH).text == ENGLISH.say("error.fault")


def test_info_counts_what_is_mine():
    wallet = Wallet(balance=12.5, at=NOW, cap=60, per_hour=30)
    card = notes.info_card(wallet, (job(Status.QUEUED), job(Status.RUNNING)), Load(queued=5, running=2), (FAKE_MODEL,), ENGLISH)
    assert dict(card.details) == {
        "Wallet": "12.5 credits",
        "Refill": "30 an hour, up to 60",
        "Waiting": "1",
        "Running": "1",
        "Everybody's queue": "5 waiting, 2 running",
        "Model": "Fake",
    }


def test_help_names_every_flag_and_the_licence():
    text = notes.help_card((FAKE_MODEL,), ENGLISH).text
    assert all(f"--{flag.name}:" in text for flag in FLAGS)
    assert "Fake: MIT" in text


def test_a_remix_form_holds_the_words_and_names_its_job():
    action = Action(verb=Verb.REMIX, job_id=next(IDS))
    form = notes.remix_form(action, "a fox", ENGLISH)
    assert (Action.decode(form.name), form.fields[0].value, form.fields[0].required) == (action, "a fox", True)
    assert not notes.remix_form(action, None, ENGLISH).fields[0].required
