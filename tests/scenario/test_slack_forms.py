"""Slack's forms, shortcuts, languages, files and home tab: what the adapter makes of them, whatever the studio says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.domain import Ack, Action, Button, Card, Document, Field, Form, Picture, Receipt, ReplyTo, Status, Verb, Visibility
from tests.fakes.studio import HEAD, paint
from tests.scenario.slack_stage import ENGLISH, Stage, name_of, stage

PNG = ("fox.png", paint(1), "image/png")
JPG = ("hen.jpg", paint(2), "image/jpeg")
BLEND = Form(
    name="blend",
    title="Blend",
    fields=(
        Field(name="image", label="Pictures", kind="picture", hint="Two to five"),
        Field(name="mask", label="Mask", kind="picture", required=False),
        Field(name="shape", label="Shape", kind="choice", choices=(("--ar 1:1", "Square"), ("--ar 3:2", "Wide")), value="--ar 3:2"),
        Field(name="words", label="Flags", required=False),
    ),
)


def chosen(value: str, label: str = "Relax") -> Button:
    return Button(label=label, hint=label, action=Action(verb=Verb.CHOOSE, job_id=f"{HEAD}000000", argument=value))


PREFER = Card(title="Preferences", text="What you prefer.", rows=((chosen("lane=relax"),),), visibility=Visibility.PRIVATE)

# ------------------------------------------------------------------------------------------------ forms


async def test_a_form_with_pictures_and_a_choice_comes_back_whole() -> None:
    async with stage() as s:
        s.studio.acks["blend"] = Ack(form=BLEND)
        view = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "blend")).modal()
        s.studio.acks.clear()
        s.studio.acks["blend"] = Ack()
        answer = await s.wire.submit(s.wire.ada, view, image=[PNG, JPG], mask=[PNG], words="--n 1")
        assert answer.acknowledged
        event = await s.heard("blend")
        assert [(each.role, each.name, each.data) for each in event.uploads] == [
            ("image", "fox.png", PNG[1]),
            ("image", "hen.jpg", JPG[1]),
            ("mask", "fox.png", PNG[1]),
        ]
        assert event.values == {"shape": "--ar 3:2", "words": "--n 1"}


async def test_a_form_is_greeted_before_its_pictures_are_fetched() -> None:
    async with stage() as s:
        s.studio.acks["blend"] = Ack(form=BLEND)
        view = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "blend")).modal()
        s.studio.acks["blend"] = Ack(card=Card(title="Not this time", text="Two at least."))
        answer = await s.wire.submit(s.wire.ada, view, image=[PNG])
        assert answer.errors == {"field:image": "Two at least."}
        assert [(each.role, each.data) for each in s.studio.greeted[-1].uploads] == [("image", b"")]  # type: ignore[union-attr]
        assert not view.closed
        assert "url_private" not in s.wire.table()


async def test_the_first_of_a_set_stands_apart_from_its_jobs() -> None:
    async with stage() as s:
        ada = s.wire.ada
        reply_to = ReplyTo(platform="slack", channel=s.wire.art.id, user=ada.id, delivery="0123456789abcdef")
        jobs = [Card(title=f"picture {number}", text="Drawn.", job_id=f"{HEAD}00000{number}", status=Status.DONE) for number in (1, 2)]
        s.studio.cards["imagine"] = Card(title="Two are on their way", job_id=f"{HEAD}000009", rows=((chosen("x"),),))
        first = await (await s.wire.command(ada, s.wire.art, "/imagine", "{a, b}")).message()
        receipts = [await s.adapter.show(reply_to, card, None) for card in jobs]
        again = [await s.adapter.show(reply_to, card, None) for card in jobs]
        assert receipts == again
        assert len({first.ts, *(receipt.handle for receipt in receipts if receipt)}) == 3
        assert [m.metadata["event_payload"]["job_id"] for m in s.wire.messages(s.wire.art)] == [f"{HEAD}000009", *(card.job_id for card in jobs)]
        assert s.studio.places == {}  # a set is no job: its place is not written down as one


async def test_a_press_on_the_card_of_a_set_changes_that_card() -> None:
    async with stage() as s:
        look = Button(label="Look", hint="Look", action=Action(verb=Verb.SHOW, job_id=f"{HEAD}000009", argument="*"))
        s.studio.cards["imagine"] = card = Card(title="0 of 2", rows=((look,),))
        first = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "{a, b}")).message()
        s.studio.acks["press:s"] = Ack(in_place=True)
        s.studio.cards["press:s"] = replace(card, title="1 of 2")
        await s.wire.press(s.wire.ada, first, "Look")
        await first.until(lambda message: "1 of 2" in message.plain)
        assert s.wire.messages(s.wire.art) == [first]
        assert s.wire.ephemerals(s.wire.ada) == []


# ------------------------------------------------------------------------------------------------ shortcuts


async def test_the_shortcut_for_everywhere_opens_the_form_and_answers_directly() -> None:
    async with stage() as s:
        s.studio.acks["imagine"] = Ack(form=Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What", long=True),)))
        view = await (await s.wire.shortcut(s.wire.ada, None, "imagine_anywhere")).modal()
        s.studio.acks["imagine"] = Ack()
        await s.wire.submit(s.wire.ada, view, "a fox")
        event = await s.heard("imagine")
        assert (event.values["words"], event.place.channel) == ("a fox", s.wire.dm(s.wire.ada.id).id)
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))


async def test_words_of_a_message_begin_a_form() -> None:
    async with stage() as s:
        s.studio.acks["imagine"] = Ack(form=Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What", long=True),)))
        said = await s.wire.say(s.wire.bob, s.wire.art, "a fox & a <hen>")
        view = await (await s.wire.shortcut(s.wire.ada, said, "imagine_from")).modal()
        assert view.blocks[0]["element"]["initial_value"] == "a fox & a <hen>"


async def test_a_message_with_a_file_of_prompts_begins_a_form_that_needs_no_words() -> None:
    async with stage() as s:
        s.studio.acks["imagine"] = Ack(form=Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What", long=True),)))
        prompts = ("Foxes.CSV", b"name,place\nRed,snow\n", "text/csv")
        said = await s.wire.say(s.wire.bob, s.wire.art, "a {name} fox in {place}", files=[prompts])
        view = await (await s.wire.shortcut(s.wire.ada, said, "imagine_from")).modal()
        assert view.blocks[0]["element"]["initial_value"] == "a {name} fox in {place}"
        assert view.blocks[0]["optional"]
        s.studio.acks["imagine"] = Ack()
        await s.wire.submit(s.wire.ada, view)
        event = await s.heard("imagine")
        assert [(each.role, each.name, each.data) for each in event.uploads] == [("list", "Foxes.CSV", prompts[1])]


@pytest.mark.parametrize("name", ["describe", "upscale"])
async def test_a_picture_of_a_message_is_sent_along(name: str) -> None:
    async with stage() as s:
        said = await s.wire.say(s.wire.bob, s.wire.art, "look", files=[PNG])
        await s.wire.shortcut(s.wire.ada, said, name)
        event = await s.heard(name)
        assert (event.text, event.job_id, [each.data for each in event.uploads]) == ("", "", [PNG[1]])


@pytest.mark.parametrize("name", ["describe", "upscale", "remix"])
async def test_a_message_of_ours_says_which_job_it_shows(name: str) -> None:
    async with stage() as s:
        message = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox")).message()
        await s.wire.until(lambda: s.studio.places)
        job_id = message.metadata["event_payload"]["job_id"]
        s.studio.places.clear()  # written down by another installation, or long ago
        await s.wire.shortcut(s.wire.bob, message, name)
        event = await s.heard(name)
        assert (event.job_id, event.uploads) == (job_id, ())


async def test_what_another_message_says_of_itself_is_not_believed() -> None:
    async with stage() as s:
        said = await s.wire.say(s.wire.bob, s.wire.art, "look")
        said.metadata = {"event_type": "wordup_job", "event_payload": {"job_id": f"{HEAD}000001"}}
        await s.wire.shortcut(s.wire.bob, said, "remix")
        assert (await s.heard("remix")).job_id == ""


# ------------------------------------------------------------------------------------------------ who it is


async def test_members_are_spoken_to_in_their_language() -> None:
    async with stage() as s:
        s.wire.users[s.wire.bob.id] = bob = replace(s.wire.bob, locale="de-DE")
        s.studio.acks["imagine"] = Ack(form=Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What"),)))
        german = await (await s.wire.command(bob, s.wire.art, "/imagine", "")).modal()
        english = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "")).modal()
        assert [view.body["close"]["text"] for view in (german, english)] == ["Zu", ENGLISH.say("chat.close")]
        assert [event.actor.locale for event in s.studio.greeted] == ["de-DE", "en-US"]


async def test_who_runs_the_workspace_may_change_its_settings() -> None:
    async with stage() as s:
        for user in (s.wire.ada, s.wire.bob):
            await s.wire.command(user, s.wire.art, "/wordup", "settings")
        await s.wire.until(lambda: len(s.studio.events) == 2)
        assert {event.actor.id.partition(":")[2]: event.actor.admin for event in s.studio.events} == {s.wire.ada.id: True, s.wire.bob.id: False}


async def test_a_member_is_asked_for_once() -> None:
    async with stage() as s:
        for _ in range(3):
            await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "info")).ephemeral()
        assert s.wire.table()["users.info"] == 1


async def test_an_answer_does_not_wait_for_who_it_is() -> None:
    async with stage() as s:
        s.wire.fail("users.info", status=500, times=1)
        said = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "info")).ephemeral()
        assert said.plain.startswith("*About info")
        assert s.studio.last("info").actor.locale == "en-US"  # asked once more before it was handled


# ------------------------------------------------------------------------------------------------ files


async def shared(s: Stage, channel: Any) -> list[str]:
    await s.wire.until(lambda: any(m.files for m in s.wire.messages(channel)))
    return [file.name for m in s.wire.messages(channel) for file in m.files]


async def test_a_zip_stands_beside_its_card_once() -> None:
    async with stage() as s:
        zipped = Document(name="foxes.zip", data=b"PK\x03\x04 all of them")
        s.studio.cards["imagine"] = card = Card(title="All of them", job_id=f"{HEAD}000001", status=Status.DONE, documents=(zipped,))
        await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "foxes")
        assert await shared(s, s.wire.art) == ["foxes.zip"]
        await s.adapter.show(ReplyTo(platform="slack", channel=s.wire.art.id, user=s.wire.ada.id), card, None)
        assert [file.content for file in s.wire.files.values()] == [zipped.data]
        assert len(s.wire.messages(s.wire.art)) == 2


async def test_a_zip_stays_in_the_thread_of_its_card() -> None:
    async with stage() as s:
        parent = await s.wire.say(s.wire.ada, s.wire.art, "look")
        card = Card(title="All", job_id=f"{HEAD}000001", status=Status.DONE, documents=(Document(name="foxes.zip", data=b"PK"),))
        await s.adapter.show(ReplyTo(platform="slack", channel=f"{s.wire.art.id}/{parent.ts}", user=s.wire.ada.id), card, None)
        assert await shared(s, s.wire.art) == ["foxes.zip"]
        assert {m.thread_ts for m in s.wire.messages(s.wire.art)[1:]} == {parent.ts}


async def test_a_private_export_goes_to_the_member_alone() -> None:
    async with stage() as s:
        export = Document(name="mine.zip", data=b"PK mine")
        s.studio.cards["privacy"] = Card(title="What is stored", documents=(export,), visibility=Visibility.PRIVATE)
        said = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "privacy export")).ephemeral()
        assert ENGLISH.say("chat.document_direct") in said.plain
        assert await shared(s, s.wire.dm(s.wire.ada.id)) == ["mine.zip"]
        assert s.wire.messages(s.wire.art) == []


async def test_an_export_that_lies_on_the_disk_is_read_while_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "made.zip").write_bytes(b"PK" + b"x" * 300_000)
    export = Document(name="mine.zip", path=str(tmp_path / "made.zip"))
    async with stage() as s:
        s.studio.cards["privacy"] = Card(title="What is stored", documents=(export,), visibility=Visibility.PRIVATE)
        await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "privacy export")).ephemeral()
        assert await shared(s, s.wire.dm(s.wire.ada.id)) == ["mine.zip"]
        assert [file.content for file in s.wire.files.values()] == [b"PK" + b"x" * 300_000]
        (tmp_path / "made.zip").unlink()
        gone = Card(title="All", job_id=f"{HEAD}000001", status=Status.DONE, documents=(replace(export, path=str(tmp_path / "gone.zip")),))
        assert await s.adapter.show(ReplyTo(platform="slack", channel=s.wire.art.id, user=s.wire.ada.id), gone, None)
        assert not any(message.files for message in s.wire.messages(s.wire.art)), "an hour later it is there no more"


async def test_a_file_that_slack_does_not_take_is_named() -> None:
    async with stage() as s:
        s.wire.fail("files.getUploadURLExternal", error="file_upload_size_restricted")
        card = Card(title="All", job_id=f"{HEAD}000001", status=Status.DONE, documents=(Document(name="foxes.zip", data=b"PK"),))
        assert await s.adapter.show(ReplyTo(platform="slack", channel=s.wire.art.id, user=s.wire.ada.id), card, None)
        assert "foxes.zip" in s.wire.messages(s.wire.art)[-1].plain


async def test_a_word_to_one_member_shows_pictures_that_are_stored_nowhere() -> None:
    async with stage() as s:
        sample = Picture(alt="a style", data=paint(3))
        s.studio.cards["styles"] = Card(title="Styles", pictures=(sample,), visibility=Visibility.PRIVATE)
        said = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "styles")).ephemeral()
        assert [(picture.content, picture.alt_text) for picture in said.pictures] == [(sample.data, "a style")]


# ------------------------------------------------------------------------------------------------ the home tab


async def test_the_home_tab_has_a_form_and_what_the_member_prefers() -> None:
    async with stage() as s:
        s.studio.cards["prefer"] = PREFER
        s.studio.acks["imagine"] = Ack(form=Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What"),)))
        home = await s.home()
        assert home.labels == [ENGLISH.say("chat.home_imagine"), "Relax"]
        assert ENGLISH.say("chat.home_preferences") in home.plain
        assert await (await s.wire.press(s.wire.ada, home, ENGLISH.say("chat.home_imagine"))).modal()


async def test_what_is_chosen_in_the_home_tab_changes_there() -> None:
    async with stage() as s:
        s.studio.cards["prefer"] = PREFER
        home = await s.home()
        s.studio.cards["prefer"] = s.studio.cards["press:w"] = replace(PREFER, rows=((chosen("lane=fast", "Fast"),),))
        await s.wire.press(s.wire.ada, home, "Relax")
        await home.until(lambda view: "Fast" in view.labels)
        assert s.wire.dms(s.wire.ada) == []
        assert s.studio.last("press:w").action.endswith("lane=relax")


async def test_what_could_not_be_chosen_is_said() -> None:
    async with stage() as s:
        s.studio.cards["prefer"] = PREFER
        home = await s.home()
        s.studio.cards["press:w"] = Card(title="Not this time", text="There is no such lane.", visibility=Visibility.PRIVATE)
        await s.wire.press(s.wire.ada, home, "Relax")
        await s.wire.until(lambda: s.wire.dms(s.wire.ada))
        assert "There is no such lane." in s.wire.dms(s.wire.ada)[0].plain


async def test_a_choice_under_a_private_word_changes_that_word() -> None:
    async with stage() as s:
        s.studio.cards["prefer"] = PREFER
        said = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "prefer")).ephemeral()
        s.studio.acks["press:w"] = Ack(visibility=Visibility.PRIVATE, in_place=True)
        s.studio.cards["press:w"] = replace(PREFER, rows=((chosen("lane=fast", "Fast"),),))
        await s.wire.press(s.wire.ada, said, "Relax")
        await said.until(lambda message: message.labels == ["Fast"])
        assert len(s.wire.ephemerals(s.wire.ada)) == 1


async def test_a_home_tab_without_that_command_has_no_such_section() -> None:
    async with stage() as s:
        s.studio.acks["prefer"] = Ack(card=Card(title="Not this time", text="Turned off here."))
        home = await s.home()
        assert ENGLISH.say("chat.home_preferences") not in home.plain
        assert [name_of(event) for event in s.studio.events] == []


# ------------------------------------------------------------------------------------------------ in step with Slack


async def test_progress_leaves_room_for_the_ends_of_jobs() -> None:
    async with stage() as s:
        reply_to = ReplyTo(platform="slack", channel=s.wire.art.id, user=s.wire.ada.id)
        running = Card(title="a fox", text="Drawing.", job_id=f"{HEAD}000001", status=Status.RUNNING, percent=0)
        at = await s.adapter.show(reply_to, running, None)
        assert isinstance(at, Receipt)
        for percent in range(60):
            await s.adapter.progress(reply_to, replace(running, percent=percent), at)
        assert s.wire.table()["chat.update"] == 30  # of fifty a minute
        assert await s.adapter.show(reply_to, Card(title="a fox", text="Drawn.", job_id=running.job_id, status=Status.DONE), at) == at
        assert "Drawn." in s.wire.messages(s.wire.art)[0].plain


async def test_a_long_wait_is_not_waited_for_where_a_guess_does() -> None:
    async with stage() as s:
        s.wire.limit("conversations.info", retry_after=120)
        async with asyncio.timeout(30):
            message = await (await s.wire.command(s.wire.ada, s.wire.art, "/imagine", "a fox")).message()
        assert message.channel == s.wire.art.id
