"""What moderators allowed for one photograph, tried on others: it holds for that very picture and what is made of it, for no member and no words besides."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from bot.domain import Action, Actor, Button, Card, Press, ReplyTo, Upload, Verb
from bot.domain.moderation import Case
from bot.gate import Policy, Rule, Sexual
from tests.unit.house import ADA, BOB, ENGLISH, button
from tests.unit.moderated import MODS, NOWHERE, PICTURES, Moderated, moderated

say = ENGLISH.say
WORDS = "swap the dragon for a knight --n 1"  # against the server's own rule, so that moderators are asked


def photograph(colour: str = "tan") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (96, 96), colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
async def day(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Moderated]:
    async with moderated(sqlite_url, tmp_path) as made:
        await made.admin("moderators here", place=MODS)
        await made.admin("words add dragon")
        yield made


async def sent(day: Moderated, *pictures: bytes, words: str = WORDS, actor: Actor = ADA) -> Card:
    asked = day._command("imagine", words, actor, PICTURES, "")
    return await day.house.studio.handle(replace(asked, uploads=tuple(Upload(name="me.png", data=each) for each in pictures)))


def ask_the_moderators(card: Card) -> Button:
    return button(card, Verb.CONTEST)


async def allowed(day: Moderated, card: Card) -> Case:
    await day.press(ask_the_moderators(card).action, actor=ADA, place=PICTURES)
    await day.mail.deliver()
    (case,) = await day.book.waiting(PICTURES.owner)
    await day.decide(case, "approve")
    return case


async def test_words_that_were_allowed_for_one_photograph_are_allowed_for_no_other_and_for_none(day: Moderated) -> None:
    refused = await sent(day, photograph())
    assert refused.refusal and ask_the_moderators(refused).hint == say("moderation.contest_pictures_hint")
    await allowed(day, refused)
    drawn = await day.house.end(await sent(day, photograph()))
    assert drawn.pictures, "that very one"
    for pictures in ((photograph("black"),), (photograph(), photograph("black")), ()):
        assert (await sent(day, *pictures)).refusal, len(pictures)
    assert (await sent(day, photograph(), words=WORDS.replace("knight", "wizard"))).refusal, "nor for other words"
    assert (await sent(day, photograph(), actor=BOB)).refusal, "nor for another member"


async def test_a_sexual_edit_that_was_allowed_of_one_photograph_is_allowed_of_no_other(day: Moderated) -> None:
    """Where whoever runs the bot lets servers decide about that rule; elsewhere moderators are not even asked."""
    words = "the same woman, topless --n 1"
    assert not any(each.action.verb is Verb.CONTEST for row in (await sent(day, photograph(), words=words)).rows for each in row)
    day.house.studio.policy = Policy(sexual=Sexual.ALLOW, servers=frozenset({Rule.EDITS, Rule.SEXUAL}))
    await day.admin("adult <#pictures>")
    refused = await sent(day, photograph(), words=words)
    assert refused.text.startswith(say("refused.gate_edits"))
    await allowed(day, refused)
    assert not (await sent(day, photograph(), words=words)).refusal
    assert (await sent(day, photograph("black"), words=words)).text.startswith(say("refused.gate_edits"))


async def test_what_was_made_of_that_photograph_may_be_carried_on_and_what_was_made_of_another_may_not(day: Moderated) -> None:
    await allowed(day, await sent(day, photograph()))
    ours = await day.house.end(await sent(day, photograph()))
    enlarged = await day.press(button(ours, Verb.UPSCALE).action, actor=ADA, place=PICTURES)
    assert not enlarged.refusal and enlarged.job_id, "the same photograph is at its root"
    other = await day.house.end(await sent(day, photograph("black"), words="a quiet street --n 1"))
    form = day.house.submit(Action(verb=Verb.VARY, job_id=other.job_id).encode(), WORDS.removesuffix(" --n 1"), place=PICTURES)
    assert (await day.house.studio.handle(form)).refusal


async def test_words_that_were_allowed_without_a_picture_are_allowed_for_no_photograph(day: Moderated) -> None:
    await allowed(day, await sent(day))
    assert not (await sent(day)).refusal
    assert (await sent(day, photograph())).refusal


async def test_moderators_see_the_photograph_they_decide_about_and_allow_none_that_is_gone(day: Moderated) -> None:
    await day.press(ask_the_moderators(await sent(day, photograph())).action, actor=ADA, place=PICTURES)
    await day.mail.deliver()
    (case,) = await day.book.waiting(PICTURES.owner)
    (card,) = day.in_channel("mods")
    (digest,) = case.pictures
    assert [each.data for each in card.pictures] == [await day.house.blobs.get(digest)] and card.spoiler
    assert say("moderation.contest_pictures_text") in card.text
    assert await day.house.store.referenced([digest]) == {digest}, "it is kept as long as it may be asked about"
    await day.house.blobs.delete([digest])
    assert (await day.decide(case, "approve")).text == say("refused.picture_gone")
    assert (await day.book.case(case.id)).decision is None
    assert (await day.decide(case, "remove")).text == say("moderation.contest_remove_was")


async def test_of_all_that_a_member_is_refused_the_newest_alone_lies_on_the_disk_until_moderators_are_asked(day: Moderated) -> None:
    async def stored() -> frozenset[str]:
        everything = await day.house.blobs.digests(timedelta(seconds=-60))
        return await day.house.store.referenced(everything)

    first = await sent(day, photograph("tan"))
    kept = await stored()
    assert len(kept) == 1
    second = await sent(day, photograph("black"))
    assert len(await stored()) == 1 and await stored() != kept
    await day.house.blobs.delete(kept)  # as the collection of what nobody needs does
    late = await day.press(ask_the_moderators(first).action, actor=ADA, place=PICTURES)
    assert late.text == say("refused.picture_gone") and await day.book.waiting(PICTURES.owner) == ()
    await day.press(ask_the_moderators(second).action, actor=ADA, place=PICTURES)
    asked = await stored()
    await sent(day, photograph("white"))
    assert asked < await stored(), "what moderators are asked about stays"


async def test_being_forgotten_takes_the_photograph_from_the_case_and_from_the_disk(day: Moderated) -> None:
    await day.press(ask_the_moderators(await sent(day, photograph())).action, actor=ADA, place=PICTURES)
    (case,) = await day.book.waiting(PICTURES.owner)
    await day.house.store.forget(ADA.key)
    assert (await day.book.case(case.id)).pictures == ()
    assert await day.house.store.referenced(case.pictures) == frozenset()


# ------------------------------------------------------------------------------------------------ the letter's button


async def pressed(day: Moderated, action: Action, actor: Actor = ADA) -> Card:
    """In the direct message that the letter came in."""
    reply_to = ReplyTo(platform="web", channel=actor.id, user=actor.id)
    return await day.house.studio.handle(Press(actor=actor, place=NOWHERE, reply_to=reply_to, delivery_id=day.house.delivery(), action=action.encode()))


async def test_the_letter_draws_what_was_allowed_by_one_press_for_its_member_alone(day: Moderated) -> None:
    await allowed(day, await sent(day, photograph()))
    (letter,) = [card for whom, card in day.chat.direct if whom == ADA.id]
    assert letter.text == say("letter.contest_allowed") and letter.code == WORDS
    card = await pressed(day, button(letter, Verb.RUN).action)
    job = (await day.house.store.shown(card.job_id)).job
    assert job.private and job.place.owner == PICTURES.owner, "by that server's settings, and its moderators may see to it"
    assert job.request.pictures and (await day.house.end(card)).pictures
    assert (await pressed(day, button(letter, Verb.RUN).action, BOB)).text == say("error.not_found")


async def test_the_button_of_a_refusal_draws_nothing_that_was_not_allowed(day: Moderated) -> None:
    refused = await sent(day, photograph())
    made_up = Action(verb=Verb.RUN, job_id=ask_the_moderators(refused).action.job_id)
    assert (await pressed(day, made_up)).refusal, "nobody was asked"
    await day.press(ask_the_moderators(refused).action, actor=ADA, place=PICTURES)
    assert (await pressed(day, made_up)).refusal, "nobody has decided"
    (case,) = await day.book.waiting(PICTURES.owner)
    await day.decide(case, "approve")
    await day.admin("off imagine")
    assert (await pressed(day, made_up)).text == say("refused.turned_off", name="imagine"), "what holds there now"
    await day.admin("off")
    await day.admin("ban ada")
    assert (await pressed(day, made_up)).text == say("refused.banned")
