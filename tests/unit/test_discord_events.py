"""What members do on Discord, as the studio hears it; from payloads as Discord sends them, read by discord.py itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import discord
import pytest

from bot.chat.discord import events, limits
from bot.chat.discord.events import Found, can_post, choices, pictures
from bot.domain import Actor, Hint, Place, Upload
from tests.fakes.discord import DiscordWire
from tests.fakes.discord.interactions import COMMAND, MODAL_SUBMIT, make
from tests.fakes.discord.messages import Message
from tests.fakes.discord.world import EVERYBODY, Channel, Json
from tests.fakes.studio import paint


@pytest.fixture
def wire() -> DiscordWire:
    """Never opened: only its payloads are wanted."""
    return DiscordWire()


@pytest.fixture(scope="module")
def state() -> Iterator[Any]:
    """discord.py's memory as it is after logging in."""
    state = discord.Client(intents=discord.Intents.none())._connection
    state.user = discord.ClientUser(state=state, data=DiscordWire().bot.payload())  # type: ignore[arg-type]
    yield state


class Heard:
    """Interactions as discord.py makes them."""

    def __init__(self, wire: DiscordWire, state: Any) -> None:
        self.wire, self.state = wire, state

    def __call__(
        self, where: Channel | None = None, /, *, kind: int = COMMAND, data: Json | None = None, user_install: bool = False, **changes: Any
    ) -> discord.Interaction[Any]:
        data = data or {"id": "1", "name": "imagine", "type": 1, "options": []}
        payload = make(self.wire, kind, self.wire.ada, where or self.wire.art, data, user_install=user_install).payload
        return discord.Interaction(data={**payload, **changes}, state=self.state)  # type: ignore[typeddict-item]

    def message(self, **fields: Any) -> discord.Message:
        made = Message(wire=self.wire, id=self.wire.snowflake(), channel=self.wire.art, author=self.wire.bob, **fields)
        channel = self.state.get_channel(self.wire.art.id) or discord.Object(self.wire.art.id)
        return discord.Message(state=self.state, channel=channel, data=made.payload())  # type: ignore[arg-type]


@pytest.fixture
def heard(wire: DiscordWire, state: Any) -> Heard:
    return Heard(wire, state)


# ------------------------------------------------------------------------------------------------ what every event carries


def test_an_event_says_who_where_and_how_to_answer(wire: DiscordWire, heard: Heard):
    interaction = heard()
    event = events.command(interaction, "imagine", "a fox", (Found(url="https://cdn/1", name="a.png", size=3),))
    assert (event.name, event.text) == ("imagine", "a fox")
    assert event.actor == Actor(platform="discord", id=str(wire.ada.id), name="Ada", locale="en-US")
    assert event.place == Place(platform="discord", server=str(wire.tests.id), channel=str(wire.art.id))
    assert event.delivery_id == event.reply_to.delivery == str(interaction.id)
    assert (event.reply_to.platform, event.reply_to.channel, event.reply_to.user) == ("discord", str(wire.art.id), str(wire.ada.id))
    assert (event.reply_to.token, event.reply_to.can_post) == (interaction.token, True)
    assert event.reply_to.expires_at == interaction.created_at + timedelta(minutes=15)
    assert event.uploads == (Upload(name="a.png", data=b""),), "a placeholder: nothing is fetched before the acknowledgement"


def test_who_may_manage_the_server_is_what_discord_says(wire: DiscordWire, heard: Heard):
    def admin(permissions: int, where: Channel | None = None) -> bool:
        member = {**wire.ada.member(permissions=permissions), "permissions": str(permissions)}
        return events.actor(heard(where, member=member)).admin

    assert admin(1 << 5) and admin(1 << 3)
    assert not admin(EVERYBODY)
    assert not events.actor(heard(wire.dm(wire.ada))).admin


def test_in_a_direct_message_there_is_no_server(wire: DiscordWire, heard: Heard):
    event = events.command(heard(wire.dm(wire.ada)), "imagine")
    assert event.place == Place(platform="discord", server="", channel=str(wire.dm(wire.ada).id))


def test_two_interactions_are_two_deliveries(heard: Heard):
    assert events.press(heard(), "w1").delivery_id != events.press(heard(), "w1").delivery_id


def test_a_press_hands_on_whatever_came(heard: Heard):
    assert events.press(heard(), "anything").action == "anything"


def test_uploads_take_their_placeholders_places(heard: Heard):
    event = events.command(heard(), "imagine", "a fox", (Found(url="", name="a.png"),))
    filled = events.with_uploads(event, [Upload(name="a.png", data=b"png")])
    assert filled.uploads == (Upload(name="a.png", data=b"png"),)
    assert (filled.text, filled.delivery_id) == (event.text, event.delivery_id)


# ------------------------------------------------------------------------------------------------ whether the bot may post

VIEW, SEND, ATTACH, IN_THREADS = 1 << 10, 1 << 11, 1 << 15, 1 << 38


@pytest.mark.parametrize(
    ("allowed", "may"),
    [
        (VIEW | SEND | ATTACH, True),
        (EVERYBODY, True),
        (SEND | ATTACH, False),
        (VIEW | ATTACH, False),
        (VIEW | SEND, False),
        (VIEW | ATTACH | IN_THREADS, False),
        (0, False),
    ],
)
def test_in_a_server_it_is_the_permissions_that_count(heard: Heard, allowed: int, may: bool):
    assert can_post(heard(app_permissions=str(allowed))) is may


def test_where_only_the_member_installed_it_the_bot_is_not_there(wire: DiscordWire, heard: Heard):
    assert not can_post(heard(user_install=True))
    assert not can_post(heard(wire.channel(wire.guild("strangers", joined=False), "general"), user_install=True))


def test_where_both_installed_it_the_bot_is_there(wire: DiscordWire, heard: Heard):
    assert can_post(heard(authorizing_integration_owners={"0": str(wire.tests.id), "1": str(wire.ada.id)}))
    assert not can_post(heard(authorizing_integration_owners={"0": str(wire.tests.id + 1), "1": str(wire.ada.id)}))


@pytest.mark.parametrize("user_install", [False, True])
def test_in_its_own_direct_messages_it_may(wire: DiscordWire, heard: Heard, user_install: bool):
    assert can_post(heard(wire.dm(wire.ada), user_install=user_install))


def test_in_direct_messages_between_others_and_in_groups_it_may_not(wire: DiscordWire, heard: Heard):
    assert not can_post(heard(wire.private(wire.ada, wire.bob), user_install=True))
    group = {"id": str(wire.snowflake()), "type": 3, "name": "us", "recipients": [wire.bob.payload()], "last_message_id": None, "flags": 0}
    assert not can_post(heard(wire.private(wire.ada, wire.bob), user_install=True, channel=group))


@pytest.mark.parametrize(("allowed", "may"), [(VIEW | ATTACH | IN_THREADS, True), (VIEW | ATTACH | SEND, False), (VIEW | IN_THREADS, False)])
def test_a_thread_has_a_permission_of_its_own(wire: DiscordWire, heard: Heard, allowed: int, may: bool):
    thread = {
        "id": str(wire.snowflake()),
        "type": 11,
        "guild_id": str(wire.tests.id),
        "parent_id": str(wire.art.id),
        "owner_id": str(wire.ada.id),
        "name": "foxes",
        "permissions": str(EVERYBODY),
        "flags": 0,
        "message_count": 1,
        "member_count": 1,
        "rate_limit_per_user": 0,
        "last_message_id": None,
        "thread_metadata": {"archived": False, "archive_timestamp": "2026-01-02T03:04:05+00:00", "auto_archive_duration": 60, "locked": False},
    }
    interaction = heard(app_permissions=str(allowed), channel=thread, channel_id=thread["id"])
    assert isinstance(interaction.channel, discord.Thread)
    assert can_post(interaction) is may


# ------------------------------------------------------------------------------------------------ forms


def submitted(custom_id: str, *components: Json) -> Json:
    return {"custom_id": custom_id, "components": list(components)}


def text_input(name: str, value: str | None) -> Json:
    return {"type": 4, "id": 2, "custom_id": name, "value": value}


LABELLED = {"type": 18, "id": 1, "component": text_input("words", "a fox")}
IN_A_ROW = {"type": 1, "id": 1, "components": [text_input("words", "a fox")]}


@pytest.mark.parametrize("component", [LABELLED, IN_A_ROW], ids=["label", "row"])
def test_a_form_brings_its_values_and_what_it_was_about(heard: Heard, component: Json):
    event, context, _ = events.submit(heard(kind=MODAL_SUBMIT, data=submitted("imagine|11/22", component)))
    assert (event.form, dict(event.values), context) == ("imagine", {"words": "a fox"}, "11/22")
    assert event.uploads == ()


def test_a_form_about_nothing_has_no_context(heard: Heard):
    event, context, _ = events.submit(heard(kind=MODAL_SUBMIT, data=submitted("w1:m:01KD0000000000000000000000:-1:", LABELLED)))
    assert (event.form, context) == ("w1:m:01KD0000000000000000000000:-1:", "")


def test_several_fields_and_an_empty_one(heard: Heard):
    data = submitted("f", LABELLED, {"type": 10, "id": 9}, {"type": 18, "id": 3, "component": text_input("seed", None)})
    event, _, files = events.submit(heard(kind=MODAL_SUBMIT, data=data))
    assert dict(event.values) == {"words": "a fox", "seed": ""}
    assert (event.uploads, files) == ((), ())


def test_a_forms_files_come_with_the_role_of_their_field(wire: DiscordWire, heard: Heard):
    kept = [wire.store(name, b"1234", "image/png", wire.art) for name in ("a.png", "b.png", "c.png")]
    first, second, third = (str(each.id) for each in kept)
    upload = {"type": 18, "id": 3, "component": {"type": 19, "id": 4, "custom_id": "images", "values": [first, second]}}
    style = {"type": 18, "id": 5, "component": {"type": 19, "id": 6, "custom_id": "style", "values": [third]}}
    empty = {"type": 18, "id": 7, "component": {"type": 19, "id": 8, "custom_id": "mask", "values": []}}
    choice = {"type": 18, "id": 9, "component": {"type": 3, "id": 10, "custom_id": "model", "values": ["fake"]}}
    data = {**submitted("f", LABELLED, upload, style, empty, choice), "resolved": {"attachments": {str(each.id): each.payload() for each in kept}}}
    event, _, files = events.submit(heard(kind=MODAL_SUBMIT, data=data))
    assert dict(event.values) == {"words": "a fox", "model": "fake"}
    assert [(each.name, each.role, each.size) for each in files] == [("a.png", "image", 4), ("b.png", "image", 4), ("c.png", "style", 4)]
    assert files[0].url == kept[0].url
    assert event.uploads == tuple(Upload(name=each.name, data=b"", role=each.role) for each in files), "placeholders until they are fetched"


@pytest.mark.parametrize(
    ("field", "role"),
    [("image", "image"), ("images", "image"), ("image2", "image"), ("style", "style"), ("sketch", "sketch"), ("mask_1", "mask"), ("file", "image")],
)
def test_a_fields_name_says_what_its_file_is_for(field: str, role: str):
    assert events.role_of(field) == role


def test_a_form_with_nothing_in_it_is_still_an_event(heard: Heard):
    event, context, _ = events.submit(heard(kind=MODAL_SUBMIT, data=submitted("imagine")))
    assert (event.form, dict(event.values), context) == ("imagine", {}, "")


# ------------------------------------------------------------------------------------------------ reactions


def reacted(wire: DiscordWire, emoji: str, *, user: int = 7, message: int = 9) -> discord.RawReactionActionEvent:
    data: Any = {"user_id": str(user), "channel_id": str(wire.art.id), "message_id": str(message), "guild_id": str(wire.tests.id), "type": 0}
    return discord.RawReactionActionEvent(data, discord.PartialEmoji(name=emoji), "REACTION_ADD")


def test_a_reaction_means_a_job_and_has_no_token(wire: DiscordWire):
    event = events.reaction(reacted(wire, "2️⃣"), "JOB", removals=0, added=True, name="Ada")
    assert (event.emoji, event.job_id, event.added) == ("2️⃣", "JOB", True)
    assert event.actor == Actor(platform="discord", id="7", name="Ada")
    assert event.place == Place(platform="discord", server=str(wire.tests.id), channel=str(wire.art.id))
    assert (event.reply_to.token, event.reply_to.expires_at, event.reply_to.can_post, event.reply_to.user) == ("", None, True, "7")


def test_a_reactions_delivery_tells_apart_what_is_another_wish(wire: DiscordWire):
    def delivery(emoji: str = "🔄", removals: int = 0, added: bool = True, **who: int) -> str:
        event = events.reaction(reacted(wire, emoji, **who), "JOB", removals=removals, added=added)
        assert event.delivery_id == event.reply_to.delivery
        return event.delivery_id

    wishes = [delivery(), delivery("⭐"), delivery(removals=1), delivery(removals=1, added=False), delivery(user=8), delivery(message=10)]
    assert len(set(wishes)) == len(wishes)
    assert delivery() == delivery(), "told twice, it is one"
    assert all(len(each) <= 255 for each in [*wishes, delivery(message=2**64, user=2**64)])


def test_a_reaction_brings_the_roles_of_who_reacts(wire: DiscordWire, state: Any):
    """A role that may draw nothing may not draw by a reaction either."""
    told = wire.tests.payload(wire.bot)
    told["roles"].append({**told["roles"][0], "id": "55", "name": "draws nothing"})
    guild = discord.Guild(data=told, state=state)  # type: ignore[arg-type]
    payload = reacted(wire, "🔄")
    payload.member = discord.Member(data={**wire.ada.member(), "roles": ["55"]}, guild=guild, state=state)  # type: ignore[typeddict-item]
    assert "55" in events.reaction(payload, "JOB", removals=0, added=True).actor.roles


def test_a_reaction_in_a_direct_message_has_no_server(wire: DiscordWire):
    payload = reacted(wire, "⭐")
    payload.guild_id = None
    assert events.reaction(payload, "JOB", removals=0, added=False).place.server == ""


# ------------------------------------------------------------------------------------------------ autocomplete


def hint(insert: str, start: int, end: int) -> Hint:
    return Hint(insert=insert, label=insert, start=start, end=end)


def test_a_choice_is_the_whole_text_it_leads_to():
    (choice,) = choices("a fox --se", [hint("--seed ", 6, 10)])
    assert (choice.name, choice.value) == ("a fox --seed", "a fox --seed")


def test_what_is_in_the_middle_keeps_what_follows():
    assert [choice.value for choice in choices("a fo in the snow", [hint("fox", 2, 4)])] == ["a fox in the snow"]


def test_the_same_text_is_offered_once_and_nothing_is_not_offered():
    assert [choice.value for choice in choices("a", [hint("b", 0, 1), hint("b ", 0, 1), hint(" ", 0, 1), hint("c", 0, 1)])] == ["b", "c"]


def test_choices_stay_within_what_discord_takes():
    many = choices("", [hint(f"fox {number}", 0, 0) for number in range(60)])
    assert [choice.value for choice in many] == [f"fox {number}" for number in range(limits.CHOICES)]
    assert [len(choice.value) for choice in choices("", [hint("x" * 101, 0, 0), hint("y" * 100, 0, 0)])] == [100]


# ------------------------------------------------------------------------------------------------ pictures of a message

PNG = paint(3)


def test_attached_pictures_come_with_their_names_and_sizes(wire: DiscordWire, heard: Heard):
    kept = [wire.store(name, data, kind, wire.art) for name, data, kind in (("a.png", PNG, "image/png"), ("b.webp", b"1234", "image/webp"))]
    assert pictures(heard.message(attachments=kept)) == (
        Found(url=kept[0].url, name="a.png", size=len(PNG)),
        Found(url=kept[1].url, name="b.webp", size=4),
    )


def test_other_attachments_are_no_pictures(wire: DiscordWire, heard: Heard):
    text, picture = (wire.store(name, b"1", kind, wire.art) for name, kind in (("a.txt", "text/plain"), ("b.png", "image/png")))
    assert [found.name for found in pictures(heard.message(attachments=[text, picture]))] == ["b.png"]
    assert pictures(heard.message(content="https://example.org/a.png", attachments=[text])) == ()


def embed(**media: str) -> Json:
    return {"type": "rich", "title": "t", **{kind: {"url": "https://example.org/a.png", "proxy_url": url} for kind, url in media.items()}}


def test_else_the_pictures_of_embeds_by_discords_own_proxy(heard: Heard):
    found = pictures(heard.message(embeds=[embed(image="https://proxy/1"), {"type": "rich", "title": "none"}, embed(thumbnail="https://proxy/2")]))
    assert [each.url for each in found] == ["https://proxy/1", "https://proxy/2"], "never the foreign address itself"
    assert {each.size for each in found} == {0}


def test_an_attachment_comes_before_an_embed(wire: DiscordWire, heard: Heard):
    kept = wire.store("a.png", PNG, "image/png", wire.art)
    assert [each.url for each in pictures(heard.message(attachments=[kept], embeds=[embed(image="https://proxy/1")]))] == [kept.url]


def media(url: str, proxy: str = "") -> Json:
    return {"media": {"url": url, "proxy_url": proxy, "width": 1, "height": 1, "content_type": "image/png"}, "description": None, "spoiler": False}


def test_else_the_galleries_of_a_message_made_of_components(heard: Heard):
    gallery = {"type": 12, "id": 2, "items": [media("https://cdn/1"), media("https://cdn/2", "https://proxy/2")]}
    assert [each.url for each in pictures(heard.message(components=[gallery], flags=1 << 15))] == ["https://cdn/1", "https://proxy/2"]
    container = {"type": 17, "id": 1, "components": [{"type": 10, "id": 3, "content": "hello"}, gallery], "accent_color": None, "spoiler": False}
    assert [each.url for each in pictures(heard.message(components=[container], flags=1 << 15))] == ["https://cdn/1", "https://proxy/2"]


def test_a_message_of_words_and_buttons_shows_nothing(heard: Heard):
    row = {"type": 1, "id": 1, "components": [{"type": 2, "id": 2, "style": 2, "label": "U1", "custom_id": "x"}]}
    assert pictures(heard.message(content="hello", components=[row])) == ()
