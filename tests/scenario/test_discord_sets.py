"""Several jobs of one command, forms with files, documents and languages on Discord: the adapter alone, over loopback, before a studio in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.chat.discord.adapter import DiscordAdapter
from bot.domain import Ack, Card, Command, Document, Field, Form, Inbound, Link, ReplyTo, Status, Submit, Visibility
from bot.messages import Catalogue, Catalogues
from tests.fakes.discord import Answer, DiscordWire, File
from tests.fakes.studio import FakeStudio, paint
from tests.scenario.bots import unknown_requests

ORIGINAL = "PATCH /webhooks/{app}/{token}/messages/@original"
BLEND = Form(
    name="blend",
    title="Blend",
    fields=(
        Field(name="images", label="Pictures", kind="picture", hint="Two to five"),
        Field(name="style", label="Style", kind="picture", required=False),
        Field(name="model", label="Model", kind="choice", choices=(("fake", "The fake"), ("other", "Another")), value="fake"),
        Field(name="words", label="Words", required=False),
    ),
)
IMAGINE = Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What to draw", long=True),))
GERMAN = {"chat.form_forgotten": "Dein Formular ist verloren.", "card.sorry": "Leider nicht"}


class Asking(FakeStudio):
    """Called bare, two commands ask; nothing is a mistake."""

    def greet(self, event: Inbound) -> Ack:
        match event:
            case Command(name="imagine", text="", uploads=()):
                return Ack(form=IMAGINE)
            case Command(name="blend") if len(event.uploads) < 2:
                return Ack(form=BLEND)
            case Command(name="remix"):
                return Ack(form=replace(IMAGINE, name=f"remix:{event.job_id}"))
        return Ack(visibility=Visibility.PRIVATE if "--private" in getattr(event, "text", "") else Visibility.PUBLIC)


class Memos(dict[str, str]):
    """`bot.ports.Memos` in memory."""

    async def recall(self, key: str) -> str | None:
        return self.get(key)

    async def remember(self, key: str, value: str) -> None:
        self[key] = value


def languages() -> Catalogues:
    """English, and a German that is not."""
    english = Catalogue.load("en")
    return Catalogues([english, Catalogue("de", {**english._entries, **GERMAN})])


@asynccontextmanager
async def adapted(wire: DiscordWire, studio: FakeStudio) -> AsyncIterator[DiscordAdapter]:
    adapter = DiscordAdapter(
        token=wire.token,
        catalogues=languages(),
        memos=Memos(),
        clock=lambda: datetime.now(UTC),
        cdn_hosts=frozenset({wire.host}),
        api_url=wire.api_url,
        gateway_url=wire.gateway_url,
        max_upload=2**20,
    )
    await adapter.start(studio)
    try:
        await wire.connected()
        yield adapter
    finally:
        await adapter.aclose()


@pytest.fixture
async def wire() -> AsyncIterator[DiscordWire]:
    async with DiscordWire() as wire:
        yield wire
        assert wire.violations == [] and not unknown_requests(wire)


@pytest.fixture
def studio() -> Asking:
    return Asking()


@pytest.fixture
async def adapter(wire: DiscordWire, studio: Asking) -> AsyncIterator[DiscordAdapter]:
    async with adapted(wire, studio) as adapter:
        yield adapter


def done(number: int, **changes: Any) -> Card:
    return Card(title=f"fox {number}", job_id=f"01KE{number:022d}", status=Status.DONE, **changes)


def moving(number: int) -> Card:
    return replace(done(number), status=Status.RUNNING, percent=10)


async def asked(wire: DiscordWire, studio: FakeStudio, **more: Any) -> tuple[Answer, ReplyTo]:
    """The first card of a set stands in the answer; where the others may go."""
    channel = more.pop("channel", wire.art)
    answer = await wire.command(wire.ada, channel, "imagine", prompt="a fox", **more)
    await answer.message()
    return answer, studio.events[-1].reply_to


def file(name: str, seed: int = 1, kind: str = "image/png") -> File:
    return File(name=name, content=paint(seed) if kind == "image/png" else b"a fox\nan owl\n", content_type=kind)


# ------------------------------------------------------------------------------------------------ several jobs of one command


async def test_a_sibling_does_not_overwrite_the_first_card(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    answer, reply_to = await asked(wire, studio)
    first = await answer.message()
    placed = [await adapter.show(reply_to, done(number), None) for number in (2, 3)]
    assert first.text.startswith("**a fox**")
    assert [message.text for message in wire.messages(wire.art)[1:]] == ["**fox 2**", "**fox 3**"]
    again = await adapter.show(reply_to, done(2, text="once more"), placed[0])
    assert again == placed[0] and wire.messages(wire.art)[1].text == "**fox 2**\nonce more"
    assert first.text.startswith("**a fox**")


async def test_a_siblings_progress_moves_its_own_card_or_nothing(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    answer, reply_to = await asked(wire, studio)
    await adapter.progress(reply_to, moving(2), None)
    placed = await adapter.show(reply_to, moving(3), None)
    await adapter.progress(reply_to, replace(moving(3), percent=60), placed)
    assert (await answer.message()).text.startswith("**a fox**")
    (message,) = wire.messages(wire.art)[1:]
    assert "60 %" in message.text


async def test_the_first_of_a_set_still_moves_and_ends_where_it_stands(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    answer, reply_to = await asked(wire, studio)
    (job_id,) = studio.jobs
    end = Card(title="a fox, drawn", job_id=job_id, status=Status.DONE)
    await adapter.show(reply_to, done(2), None)
    await adapter.show(reply_to, end, None)
    assert (await answer.message()).text == "**a fox, drawn**" and len(wire.messages(wire.art)) == 2


async def test_after_a_restart_a_sibling_asks_whose_the_answer_is(wire: DiscordWire, studio: Asking) -> None:
    async with adapted(wire, studio):
        answer, reply_to = await asked(wire, studio)
    async with adapted(wire, studio) as adapter:
        for number in (2, 3):
            await adapter.show(reply_to, done(number), None)
    assert (await answer.message()).text.startswith("**a fox**")
    assert [message.text for message in wire.messages(wire.art)[1:]] == ["**fox 2**", "**fox 3**"]
    assert wire.table()["GET /webhooks/{app}/{token}/messages/@original"] == 1, "once a token"


async def test_after_a_restart_an_answer_that_still_waits_is_filled(wire: DiscordWire, studio: Asking) -> None:
    async with adapted(wire, studio):
        wire.fail(ORIGINAL, 500, times=99)
        answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox")
        await wire.until(lambda: bool(studio.events))
    wire.heal()
    (job_id,) = studio.jobs
    async with adapted(wire, studio) as adapter:
        await adapter.show(studio.events[-1].reply_to, Card(title="a fox, drawn", job_id=job_id, status=Status.DONE), None)
    assert (await answer.message()).text == "**a fox, drawn**" and len(wire.messages(wire.art)) == 1


async def test_siblings_of_a_private_set_stay_private(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    answer, reply_to = await asked(wire, studio, private=True)
    assert answer.ephemeral
    placed = await adapter.show(reply_to, done(2, visibility=Visibility.PRIVATE), None)
    whisper = await answer.followup()
    assert whisper.ephemeral and whisper.text == "**fox 2**" and not wire.messages(wire.art)
    await adapter.show(reply_to, done(2, text="again", visibility=Visibility.PRIVATE), placed)
    assert whisper.text == "**fox 2**\nagain" and (await answer.message()).text.startswith("**a fox --private**")


async def test_where_the_bot_is_not_a_set_takes_five_messages_and_then_writes_directly(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    afar = wire.channel(wire.guild("Afar", joined=False), "plaza")
    answer, reply_to = await asked(wire, studio, channel=afar, user_install=True)
    for number in range(2, 9):
        await adapter.progress(reply_to, moving(number), None)  # an end alone is worth one of the five
    placed = [await adapter.show(reply_to, done(number), None) for number in range(2, 9)]
    assert [message.text for message in wire.messages(afar)[1:]] == [f"**fox {number}**" for number in range(2, 7)]
    assert [message.text for message in wire.dms(wire.ada)] == ["**fox 7**", "**fox 8**"]
    assert not any(sent.code == 40094 for sent in wire.requests), "they are counted, not tried"
    await adapter.show(reply_to, done(3, text="edited, not sent"), placed[1])
    assert wire.messages(afar)[2].text == "**fox 3**\nedited, not sent"
    assert (await answer.message()).text.startswith("**a fox**")


async def test_a_count_that_was_lost_with_a_restart_is_learned_from_the_refusal(wire: DiscordWire, studio: Asking) -> None:
    afar = wire.channel(wire.guild("Afar", joined=False), "plaza")
    async with adapted(wire, studio) as adapter:
        _, reply_to = await asked(wire, studio, channel=afar, user_install=True)
        for number in range(2, 7):
            await adapter.show(reply_to, done(number), None)
    async with adapted(wire, studio) as adapter:
        await adapter.show(reply_to, done(7), None)
    assert [message.text for message in wire.dms(wire.ada)] == ["**fox 7**"]


async def test_a_copy_by_direct_message_leaves_the_card_alone(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    answer, reply_to = await asked(wire, studio)
    (job_id,) = studio.jobs
    copy = Card(title="a copy", job_id=job_id, status=Status.DONE, visibility=Visibility.DIRECT)
    placed = await adapter.show(reply_to, copy, None)
    again = await adapter.show(reply_to, copy, None)  # as after a crash before it was written down
    assert placed == again and [message.text for message in wire.dms(wire.ada)] == ["**a copy**"]
    assert (await answer.message()).text.startswith("**a fox**") and len(wire.messages(wire.art)) == 1


# ------------------------------------------------------------------------------------------------ forms


async def test_options_and_files_beside_a_bare_command_come_back_with_its_form(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    form = await wire.command(wire.ada, wire.art, "imagine", aspect="3:2", model="fake", private=True, style_image=file("style.png"))
    assert form.kind == "modal"
    await (await wire.submit(wire.ada, form, words="a fox --seed 7")).message()
    (event,) = studio.events
    assert isinstance(event, Submit)
    assert event.values["words"] == "a fox --seed 7 --ar 3:2 --model fake --private"
    assert [(each.name, each.role, each.data) for each in event.uploads] == [("style.png", "style", paint(1))]


async def test_options_alone_outlive_a_restart_in_the_form_itself(wire: DiscordWire, studio: Asking) -> None:
    async with adapted(wire, studio):
        form = await wire.command(wire.ada, wire.art, "imagine", aspect="3:2", style="ink")
    async with adapted(wire, studio):
        await (await wire.submit(wire.ada, form, words="a fox")).message()
    assert studio.events[-1].values["words"] == "a fox, ink --ar 3:2"


async def test_what_a_restart_forgot_is_told_in_the_members_language_with_the_words(wire: DiscordWire, studio: Asking) -> None:
    ada = wire.user("greta", locale="de")
    async with adapted(wire, studio):
        form = await wire.command(ada, wire.art, "imagine", sketch=file("sketch.png"))
    async with adapted(wire, studio):
        answer = await wire.submit(ada, form, words="a fox")
        assert answer.ephemeral
        text = (await answer.message()).text
    assert "Dein Formular ist verloren." in text and "a fox" in text and not studio.events


async def test_a_form_takes_files_and_choices(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    form = await wire.command(wire.ada, wire.art, "blend")
    await (await wire.submit(wire.ada, form, images=[file("a.png", 1), file("b.png", 2)], style=file("s.png", 3), model="Another", words="a fox")).message()
    (event,) = studio.events
    assert isinstance(event, Submit) and event.form == "blend"
    assert dict(event.values) == {"model": "other", "words": "a fox"}
    assert [(each.name, each.role) for each in event.uploads] == [("a.png", "image"), ("b.png", "image"), ("s.png", "style")]
    assert event.uploads[1].data == paint(2)


async def test_one_picture_to_blend_waits_for_the_others(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    form = await wire.command(wire.ada, wire.art, "blend", image1=file("a.png", 1), prompt="a fox")
    await (await wire.submit(wire.ada, form, images=[file("b.png", 2)])).message()
    (event,) = studio.events
    assert isinstance(event, Submit)
    assert [each.name for each in event.uploads] == ["a.png", "b.png"] and event.values["words"] == "a fox"


async def test_a_file_too_heavy_for_us_is_refused_from_a_form_too(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    form = await wire.command(wire.ada, wire.art, "blend")
    heavy = File(name="a.png", content=b"\x89PNG" + b"x" * 2**20, content_type="image/png")
    answer = await wire.submit(wire.ada, form, images=[heavy], words="a fox")
    assert "too large" in (await answer.followup()).text and not studio.events


# ------------------------------------------------------------------------------------------------ what commands say


@pytest.mark.parametrize(
    ("name", "options", "text", "roles"),
    [
        ("imagine", {"prompt": "a fox", "style": "style:ink"}, "a fox --style ink", []),
        ("imagine", {"list": file("p.txt", kind="text/plain"), "aspect": "3:2"}, "--ar 3:2", ["list"]),
        ("imagine", {"prompt": "a fox", "image": file("a.png"), "style_image": file("b.png"), "sketch": file("c.png")}, "a fox", ["image", "style", "sketch"]),
        ("blend", {"image1": file("a.png"), "image2": file("b.png"), "image5": file("c.png")}, "", ["image"] * 3),
        ("describe", {"image": file("a.png")}, "", ["image"]),
        ("verify", {"image": file("a.png")}, "", ["image"]),
        ("shorten", {"prompt": "a very fine fox"}, "a very fine fox", []),
        ("morph", {"before": "a fox", "after": "an owl --seed 3"}, "a fox | an owl --seed 3", []),
        ("prefer", {}, "", []),
        ("prefer", {"name": "lane", "value": "relax"}, "lane=relax", []),
        ("prefer", {"name": "direct"}, "direct=", []),
        ("styles", {}, "", []),
        ("styles", {"action": "save", "name": "my ink", "words": "ink --s 50"}, "save my-ink ink --s 50", []),
        ("styles", {"action": "drop", "name": "ink"}, "drop ink", []),
        ("lists", {"action": "save", "name": "animal", "words": "fox, owl", "shared": True}, "server save animal fox, owl", []),
        ("models", {}, "", []),
        ("privacy", {"action": "export"}, "export", []),
    ],
)
async def test_options_become_what_the_command_understands(
    wire: DiscordWire, studio: Asking, adapter: DiscordAdapter, name: str, options: dict[str, Any], text: str, roles: list[str]
) -> None:
    await (await wire.command(wire.ada, wire.art, name, **options)).message()
    (event,) = studio.events
    assert isinstance(event, Command)
    assert (event.name, event.text, [each.role for each in event.uploads]) == (name, text, roles)
    assert all(each.data for each in event.uploads)


async def test_a_servers_settings_are_for_those_who_manage_it(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    with pytest.raises(AssertionError, match="hidden"):
        await wire.command(wire.ada, wire.art, "settings")
    with pytest.raises(AssertionError, match="not offered"):
        await wire.command(wire.owner, wire.dm(wire.owner), "settings")
    await (await wire.command(wire.owner, wire.art, "settings", name="press", value="owner")).message()
    await (await wire.command(wire.ada, wire.art, "info")).message()
    settings, info = studio.events
    assert isinstance(settings, Command) and (settings.text, settings.actor.admin) == ("press=owner", True)
    assert not info.actor.admin


async def test_a_member_is_heard_in_their_own_language(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    await (await wire.command(wire.user("joana", locale="pt-BR"), wire.art, "info")).message()
    assert studio.events[-1].actor.locale == "pt-BR"


async def test_values_are_offered_by_the_name_they_are_for(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    async def offered(command: str, name: str, typed: str = "") -> list[Any]:
        return [choice.value for choice in await wire.autocomplete(wire.owner, wire.art, command, "value", typed, name=name)]

    assert await offered("prefer", "lane") == ["fast", "relax"]
    assert await offered("prefer", "locale", "deu") == ["de"]
    assert await offered("settings", "model") == ["pocket"]
    assert "morph" in await offered("settings", "off", "mo")
    assert "a --seed" in await offered("prefer", "flags", "a --se")
    assert await offered("settings", "channels", "x") == []


# ------------------------------------------------------------------------------------------------ menus of a message


@pytest.mark.parametrize("name", ["Describe", "Upscale"])
async def test_a_menu_on_a_card_of_ours_means_its_job_and_on_any_other_its_picture(
    wire: DiscordWire, studio: Asking, adapter: DiscordAdapter, name: str
) -> None:
    answer, _ = await asked(wire, studio)
    (job_id,) = studio.jobs
    await studio.finish(job_id)
    card = await answer.message()
    await adapter.show(studio.events[-1].reply_to, await studio.card(studio.events[-1].actor, job_id), None)
    photo = await wire.say(wire.bob, wire.art, files=[file("dog.png", 5)])
    for message in (card, photo):
        await (await wire.context(wire.ada, wire.art, name, message)).message()
    ours, theirs = studio.events[-2:]
    assert isinstance(ours, Command) and isinstance(theirs, Command)
    assert (ours.name, ours.job_id, ours.uploads) == (name.lower(), job_id, ())
    assert (theirs.job_id, [each.data for each in theirs.uploads]) == ("", [paint(5)])


async def test_remix_on_a_message_opens_its_jobs_form_or_asks_what_to_draw_from_it(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    answer, _ = await asked(wire, studio)
    (job_id,) = studio.jobs
    form = await wire.context(wire.bob, wire.art, "Remix", await answer.message())
    assert form.modal["custom_id"] == f"remix:{job_id}"
    photo = await wire.say(wire.bob, wire.art, files=[file("dog.png", 5)])
    await (await wire.submit(wire.ada, await wire.context(wire.ada, wire.art, "Remix", photo), words="a dog in oil")).message()
    event = studio.events[-1]
    assert isinstance(event, Submit) and [each.data for each in event.uploads] == [paint(5)]
    nothing = await wire.context(wire.ada, wire.art, "Remix", await wire.say(wire.bob, wire.art, "hello"))
    assert nothing.ephemeral and "no picture" in (await nothing.message()).text


# ------------------------------------------------------------------------------------------------ documents

ZIP = Document(name="foxes.zip", data=b"PK" + b"x" * 5000)


async def test_a_document_goes_along_as_it_is(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter) -> None:
    _, reply_to = await asked(wire, studio)
    await adapter.show(reply_to, done(2, documents=(ZIP,)), None)
    (kept,) = wire.messages(wire.art)[-1].files
    assert (kept.name, kept.bytes) == ("foxes.zip", ZIP.data)


async def test_a_document_from_the_disk_is_sent_and_measured_like_any_other(wire: DiscordWire, studio: Asking, adapter: DiscordAdapter, tmp_path: Path) -> None:
    (tmp_path / "made.zip").write_bytes(ZIP.data)
    large = Document(name="foxes.zip", path=str(tmp_path / "made.zip"))
    _, reply_to = await asked(wire, studio)
    await adapter.show(reply_to, done(2, documents=(large,)), None)
    (kept,) = wire.messages(wire.art)[-1].files
    assert (kept.name, kept.bytes) == ("foxes.zip", ZIP.data)
    wire.attachment_limit = 4096  # which the adapter does not know yet: it is told so, and sends it no more
    await adapter.show(reply_to, done(3, documents=(large,)), None)
    message = wire.messages(wire.art)[-1]
    assert not message.files and "foxes.zip is too large" in message.text
    (tmp_path / "made.zip").unlink()
    await adapter.show(reply_to, done(4, documents=(large,)), None)
    assert not wire.messages(wire.art)[-1].files, "an hour later it is there no more"


@pytest.mark.parametrize(("links", "said"), [((), "fewer pictures"), ((Link(label="Get it", url="https://pictures.example/set"),), "The link leads")])
async def test_a_document_too_large_for_the_chat_is_a_sentence(
    wire: DiscordWire, studio: Asking, adapter: DiscordAdapter, links: tuple[Link, ...], said: str
) -> None:
    _, reply_to = await asked(wire, studio)
    wire.attachment_limit = 4096
    await adapter.show(reply_to, done(2, documents=(ZIP,), links=links), None)
    message = wire.messages(wire.art)[-1]
    assert not message.files and "foxes.zip is too large" in message.text and said in message.text
    assert message.urls == [link.url for link in links]
