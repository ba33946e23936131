"""Words become a request for one model: sizes snap, bounds hold, and the model's limits are told by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BadWords, Refused, UserError
from bot.prompts import Source, Words, choose_model, layered, layers, locate, parse, resolve, snap
from engine.api import Capabilities, Effort, Emphasis, ImagineRequest, Lora, Part
from engine.checks import check
from engine.fake import FAKE_MODEL

SWIFT = replace(FAKE_MODEL, draft=Effort(steps=1, lora="sketch"), quick=Effort(steps=4, lora="swift"))
SIMPLE = replace(FAKE_MODEL, model="simple", operations=frozenset({"imagine"}), max_guidance=1.0, guidance=1.0, max_count=2)
PICTURE = Source(digest="a" * 64, width=300, height=100, role="start")


def made(text: str, capabilities: Capabilities = FAKE_MODEL, source: Source | None = None, *defaults: Words) -> ImagineRequest:
    located = locate(text)
    return resolve(located.words, capabilities, seed=99, pictures=[source] if source else [], defaults=defaults, places=located.places)


def fault(text: str, capabilities: Capabilities = FAKE_MODEL, source: Source | None = None) -> tuple[str, str]:
    with pytest.raises(UserError) as caught:
        made(text, capabilities, source)
    error = caught.value
    return error.message, text[error.start : error.end] if isinstance(error, BadWords) else ""


def test_bare_words_take_everything_from_the_model():
    assert made("a fox") == ImagineRequest(model="fake", parts=(Part(text="a fox"),), seed=99, width=128, height=128, count=4, steps=8, guidance=5.0)


def test_flags_beat_preferences_beat_server_beat_model():
    preference, server = Words(steps=20, guidance=3.0), Words(steps=30, guidance=9.0, count=2)
    request = made("a fox --steps 10", FAKE_MODEL, None, preference, server)
    assert (request.steps, request.guidance, request.count, request.width) == (10, 3.0, 2, 128)


def test_stored_preferences_become_layers():
    member = {"flags": "--steps 20 --no fog --wide", "suffix": "in (ink:1.2)", "sets": {"wide": "--ar 16:9"}, "lane": "relax"}
    server = {"flags": "--steps 30 --n 2 --fast --repeat 2", "model": "simple", "lane": None}
    mine, theirs = layers(member, server)
    assert mine == Words(parts=parse("in (ink:1.2)").parts, steps=20, unwanted=("fog",), aspect=(16, 9), relax=True)
    assert theirs == Words(steps=30, count=2, fast=True, model="simple")
    said = layered(parse("a fox --ar 1:1"), mine, theirs)
    assert (said.steps, said.aspect, said.count, said.lane, said.model) == (20, (1, 1), 2, "relax", "simple")
    assert layered(parse("a fox --fast"), mine, theirs).lane == "fast"


def test_stored_nonsense_counts_as_unsaid():
    nonsense = {"flags": "--steps many", "suffix": "::2", "sets": ["wide"], "lane": 7, "model": {"a": 1}}
    assert layers(nonsense, {"flags": 3, "sets": {"a": 1, 2: "--n 2"}, "suffix": None}) == (Words(), Words())
    assert layers({"flags": "a fox --n 2"}, {}) == (Words(), Words())


def test_pictures_are_finished_unless_size_or_raw_says_otherwise():
    finished = replace(FAKE_MODEL, finish=4)

    def size(text: str, model: Capabilities = finished) -> tuple[int, int, int]:
        request = made(text, model)
        return request.width, request.height, request.enlarge

    assert made("a fox").enlarge == 1
    assert size("a fox") == (128, 128, 4)
    assert size("a fox --ar 2:1") == (176, 88, 4)
    assert size("a fox --raw") == (128, 128, 1)
    assert size("a fox --size 192x128") == (192, 128, 1)
    small = replace(finished, max_edge=256)
    assert size("a fox --size 512x768", small) == (128, 192, 4)  # larger than it draws, but not than it finishes
    assert fault("a fox --size 512x768 --raw", small) == ("words.size_out_of_bounds", "--size 512x768")
    assert fault("a fox --size 514x768", small) == ("words.size_out_of_bounds", "--size 514x768")
    assert made("a fox", finished, PICTURE).enlarge == 4


def test_a_layer_never_contradicts_what_was_said():
    said = layered(parse("a fox --ar 3:2 --q 2"), Words(size=(64, 64), steps=3))
    assert (said.aspect, said.size, said.quality, said.steps) == ((3, 2), None, 2, None)


@pytest.mark.parametrize(("ratio", "size"), [("1:1", (128, 128)), ("2:1", (176, 88)), ("1:2", (88, 176)), ("3:1", (216, 72)), ("16:9", (168, 96))])
def test_aspects_snap_to_the_models_multiples(ratio: str, size: tuple[int, int]):
    request = made(f"a fox --ar {ratio}")
    assert (request.width, request.height) == size


@given(st.integers(1, 48), st.integers(1, 48), st.sampled_from([8, 16, 64]), st.sampled_from([128, 512, 1024]))
def test_snapped_sizes_are_valid_and_keep_shape_and_area(across: int, down: int, multiple: int, edge: int):
    ratio = min(max(across / down, 1 / 3), 3.0)
    model = replace(FAKE_MODEL, width=edge, height=edge, multiple=multiple, min_edge=64, max_edge=4 * edge)
    width, height = snap(ratio, model)
    assert width % multiple == height % multiple == 0
    assert 64 <= width <= 4 * edge
    assert 64 <= height <= 4 * edge
    if edge >= 8 * multiple:
        assert 0.7 < width * height / edge**2 < 1.4
        assert 0.7 < width / height / ratio < 1.4


def test_quality_scales_the_steps_within_the_models_bounds():
    assert made("a fox --q .25").steps == 2
    assert made("a fox --q 4").steps == 32
    assert made("a fox --q 4", replace(FAKE_MODEL, max_steps=20)).steps == 20
    assert made("a fox --q .25", replace(FAKE_MODEL, steps=1)).steps == 1


def test_a_source_lends_its_shape_and_needs_no_words():
    request = made("", FAKE_MODEL, PICTURE)
    assert (request.width, request.height, request.source, request.strength) == (216, 72, "a" * 64, 0.6)
    assert request.parts == (Part(text=""),)
    assert made("--ar 1:1 --strength 0.3", FAKE_MODEL, PICTURE).width == 128


def test_samplers_are_found_by_their_short_names():
    for name in ("DDIM", "ddim", "DDIMScheduler"):
        assert made(f"a fox --sampler {name}").scheduler == "DDIMScheduler"
    assert made("a fox --sampler euler").scheduler == "EulerDiscreteScheduler"


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("", "words.empty", ""),
        ("--seed 7 --n 2", "words.only_flags", "--seed 7 --n 2"),
        ("a fox --strength 0.4", "words.strength_alone", "--strength 0.4"),
        ("a fox --steps 101", "words.beyond_model", "--steps 101"),
        ("a fox --cfg 21", "words.beyond_model", "--cfg 21"),
        ("a fox --size 100x128", "words.size_out_of_bounds", "--size 100x128"),
        ("a fox --size 8x2048", "words.size_out_of_bounds", "--size 8x2048"),
        ("a fox --sampler warp", "words.unknown_sampler", "--sampler warp"),
        ("a fox --cfg 1 --no rain", "words.no_needs_guidance", "--no rain"),
        ("a fox --s 0 --no rain", "words.no_needs_guidance", "--no rain"),
        ("a fox --lora ink --lora papr:0.5", "words.unknown_lora_near", "--lora papr:0.5"),
        ("a fox --lora xyz --lora ink", "words.unknown_lora", "--lora xyz"),
        ("a fox --best 3", "words.best_too_few", "--best 3"),
        ("a fox --n 9 --best 8", "words.best_too_few", "--best 8"),
        ("a fox --draft --tile", "words.cannot", "--draft"),
    ],
)
def test_what_this_model_cannot_is_told_at_its_place(text: str, message: str, place: str):
    assert fault(text) == (message, place)


def test_a_simpler_model_refuses_by_name():
    assert fault("a fox --no rain", SIMPLE) == ("words.cannot", "--no rain")
    assert fault("a fox --n 3", SIMPLE) == ("words.beyond_model", "--n 3")
    assert fault("a fox --cfg 2", SIMPLE) == ("words.beyond_model", "--cfg 2")
    for flag in ("--stop 80", "--best 4", "--clip 0.5", "--lora ink", "--tile", "--video", "--draft", "--stylize 50", "--chaos 30"):
        assert fault(f"a {flag} fox", SIMPLE) == ("words.cannot", flag)
    assert made("a fox --stop 100 --clip 0 --chaos 0", SIMPLE).stop == 1
    assert fault("a (red:1.2) fox (far:0.5)", SIMPLE) == ("refused.cannot", "(red:1.2)")
    assert fault("cat:: dog", SIMPLE) == ("refused.cannot", "")
    assert made("cat::2", SIMPLE).parts == (Part(text="cat", weight=2),)
    assert fault("a fox", SIMPLE, PICTURE) == ("refused.no_source", "")
    assert made("a fox", SIMPLE).count == 2
    assert fault("a fox --ar 3:1", replace(SIMPLE, min_edge=128, max_edge=128)) == ("words.ratio_out_of_reach", "--ar 3:1")


def test_every_flag_reaches_the_request():
    request = made("a (red:1.3) (big:1) fox --stop 75 --best 8 --clip 0.5 --lora INK:0.5 --lora paper --tile --video --chaos 30")
    assert request.parts == (Part(text="a red big fox", emphasis=(Emphasis(start=2, end=5, weight=1.3),)),)
    assert (request.stop, request.best_of, request.clip, request.tile, request.video) == (0.75, 8, 0.5, True, True)
    assert request.loras == (Lora(name="ink", weight=0.5), Lora(name="paper"))
    assert request.chaos == 0.3


def test_defaults_a_model_knows_nothing_of_are_left_out():
    default = Words(chaos=50, stop=50, best=8, clip=0.5, tile=True, video=True, draft=True, stylize=300, loras=(Lora(name="ink"), Lora(name="gone")))
    assert made("a fox", SIMPLE, None, default) == made("a fox", SIMPLE)
    assert made("a fox", FAKE_MODEL, None, default).loras == (Lora(name="ink"),)
    assert made("a fox --n 9", FAKE_MODEL, None, default).best_of == 0


def test_stylize_is_guidance_around_the_models_own():
    assert [round(made(f"a fox --s {each}").guidance, 2) for each in (0, 50, 100, 550, 1000)] == [1, 2.24, 5, 8.66, 15]
    assert made("a fox --s 1000", replace(FAKE_MODEL, max_guidance=8.0)).guidance == pytest.approx(8)
    assert made("a fox --cfg 3", FAKE_MODEL, None, Words(stylize=0)).guidance == 3


@given(st.integers(0, 1000), st.floats(1.01, 15), st.floats(1, 30))
def test_stylize_never_passes_what_the_model_takes(stylize: int, usual: float, most: float):
    model = replace(FAKE_MODEL, guidance=usual, max_guidance=max(usual, most))
    weaker, stronger = (made(f"a fox --s {each}", model).guidance for each in (stylize, min(1000, stylize + 50)))
    assert 1 <= weaker <= stronger <= model.max_guidance


def test_chaos_needs_steps_to_live_in():
    assert fault("a fox --chaos 30 --steps 1") == ("words.cannot", "--chaos 30")
    assert made("a fox --steps 1", FAKE_MODEL, None, Words(chaos=30)).chaos == 0


def test_a_source_goes_as_far_as_the_models_card_says():
    assert made("a fox", replace(FAKE_MODEL, strengths={**FAKE_MODEL.strengths, "source": 0.4}), PICTURE).strength == 0.4


def test_the_usual_few_steps_are_taken_unless_something_else_is_asked():
    def steps(text: str, source: Source | None = None, *defaults: Words) -> tuple[int, float, bool]:
        request = made(text, SWIFT, source, *defaults)
        check(replace(request, source=None), SWIFT, {})
        return request.steps, request.guidance, Lora(name="swift") in request.loras

    assert steps("a fox --n 2 --tile") == (4, 1, True)
    assert steps("a fox --steps 8") == (8, 5, False)
    assert steps("a fox --cfg 5") == steps("a fox --q 1") == steps("a fox --s 100") == steps("a fox --sampler ddim") == (8, 5, False)
    assert steps("a fox", None, Words(quality=2)) == (16, 5, False)
    assert steps("a fox --no rain") == steps("a fox", PICTURE) == (8, 5, False)
    assert steps("a fox --lora ink") == (4, 1, True)
    single = replace(SWIFT, quick=Effort(steps=1, lora="swift"))
    assert (made("a fox", single).steps, made("a fox --clip 0.5", single).steps) == (1, 8)  # guidance between steps needs two


def test_drafts_are_drawn_in_the_cards_way_or_refused():
    assert made("a fox --draft --lora ink", SWIFT).loras == (Lora(name="ink"), Lora(name="sketch"))
    assert made("a fox", SWIFT, None, Words(draft=True)).steps == 1
    assert made("a fox --no rain", SWIFT, None, Words(draft=True)).steps == 8
    assert made("a fox --steps 8", SWIFT, None, Words(draft=True)).steps == 8
    assert made("a fox --draft", SWIFT, None, Words(quality=2)).steps == 1
    for text, lost in (("a fox --draft --no rain", "draft with --no"), ("a fox --draft --clip 1", "draft with --clip")):
        with pytest.raises(BadWords) as caught:
            made(text, SWIFT)
        assert (caught.value.message, caught.value.parameters["flag"], text[caught.value.start : caught.value.end]) == ("words.cannot", lost, "--draft")
    assert fault("a fox --draft", SWIFT, PICTURE) == ("words.cannot", "--draft")


def test_a_servers_default_beyond_the_model_is_brought_to_its_bound():
    assert made("a fox", SIMPLE, None, Words(count=9, guidance=7.0)).count == 2


def test_models_are_chosen_by_name_whatever_the_case():
    shelf = (FAKE_MODEL, SIMPLE)
    assert choose_model(parse("a --model Simple"), shelf) is SIMPLE
    assert choose_model(parse("a"), shelf, default="simple") is SIMPLE
    assert choose_model(parse("a"), shelf) is FAKE_MODEL
    with pytest.raises(BadWords) as caught:
        choose_model(parse("a --v none"), shelf, places=locate("a --v none").places)
    assert caught.value.parameters["available"] == ("fake", "simple")
    with pytest.raises(Refused):
        choose_model(parse("a"), shelf, default="gone")


def test_a_preferred_model_goes_before_the_usual_one_as_long_as_it_is_there():
    shelf = (FAKE_MODEL, SIMPLE)
    wishes = (Words(), Words(model="gone"), Words(model="Simple"), Words(model="fake"))
    assert choose_model(parse("a"), shelf, default="fake", defaults=wishes) is SIMPLE
    assert choose_model(parse("a --v fake"), shelf, defaults=wishes) is FAKE_MODEL
    assert choose_model(parse("a"), shelf, defaults=wishes[:2]) is FAKE_MODEL


def test_a_style_nobody_put_in_is_no_silence():
    assert fault("a fox --style ink") == ("words.unknown_style", "--style ink")


def test_too_many_parts_are_told_also_where_a_style_brought_them():
    parts = tuple(Part(text=each) for each in "abcdefghi")
    with pytest.raises(Refused, match="too_many_parts"):
        resolve(Words(parts=parts), FAKE_MODEL, seed=1)
    emphasis = tuple(Emphasis(start=at, end=at + 1, weight=1.2) for at in range(13))
    with pytest.raises(Refused, match="too_many_emphases"):
        resolve(Words(parts=(Part(text="x" * 13, emphasis=emphasis),)), FAKE_MODEL, seed=1)
