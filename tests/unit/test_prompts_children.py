"""What a button draws from a picture that was drawn in few steps, and with which words."""

from __future__ import annotations

from dataclasses import replace

from bot import presses
from bot.domain import Artifact
from bot.prompts import locate, resolve
from engine.api import Capabilities, Effort, ImagineRequest, Lora
from engine.fake import FAKE_MODEL

SWIFT = replace(FAKE_MODEL, draft=Effort(steps=1, lora="sketch"), quick=Effort(steps=4, lora="swift"))
PICTURE = Artifact(job_id="", index=0, digest="a" * 64, seed=7, width=128, height=128)


def varied(text: str, capabilities: Capabilities) -> ImagineRequest:
    base = resolve(locate(text).words, capabilities, seed=1)
    return presses.varied(base, PICTURE, capabilities, seed=2)


def test_a_variation_of_few_steps_is_drawn_in_full():
    for text in ("a fox --lora ink", "a fox --lora ink --draft"):
        child = varied(text, SWIFT)
        assert (child.steps, child.guidance, child.loras) == (8, 5.0, (Lora(name="ink"),))


def test_a_variation_keeps_the_steps_that_were_asked_for_or_have_room():
    assert varied("a fox --steps 3", SWIFT).steps == 3
    roomy = replace(FAKE_MODEL, steps=30, quick=Effort(steps=12, guidance=2.0))
    assert (varied("a fox", roomy).steps, varied("a fox", roomy).guidance) == (12, 2.0)


def test_a_child_with_another_seed_keeps_every_other_word():
    assert presses.unseeded("a (red:1.30) fox --lora ink --seed 7 --stop 80") == "a (red:1.3) fox --stop 80 --lora ink:1"
