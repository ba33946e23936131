"""A moderator's day on Discord and on Slack, with the whole bot behind it: a report, a decision, a contested refusal, a ban, an announcement."""

from __future__ import annotations

from pathlib import Path

from bot.messages import Catalogue
from tests.fakes.discord import DiscordWire, Message
from tests.fakes.slack import SlackWire
from tests.fakes.studio import paint
from tests.scenario.bots import discord_settings, running, slack_settings, unknown_requests

say = Catalogue.load("en").say


async def test_a_day_on_discord(tmp_path: Path) -> None:
    async with DiscordWire() as wire, running(tmp_path, **discord_settings(wire)):
        await wire.connected()
        mods = wire.channel(wire.art.guild, "mods")
        chief, moderator, ada, bob = wire.owner, wire.user("carl"), wire.ada, wire.bob

        async def told(user, channel, command, **options) -> str:  # type: ignore[no-untyped-def]
            return (await (await wire.command(user, channel, command, **options)).message()).text

        # The channel is chosen; a picture is drawn, and reported from its message's menu.
        assert say("admin.changed") in await told(chief, mods, "admin", what="moderators", text="here")
        picture = await (await (await wire.command(ada, wire.art, "imagine", prompt="a fox --n 1")).message()).until(lambda m: "Drawn in" in m.text)
        asked = await wire.context(bob, wire.art, "Report", picture)
        thanks = await (await wire.submit(bob, asked, reason="too much fur")).message()
        assert thanks.ephemeral and say("moderation.reported") in thanks.text

        # Its card comes to the moderators, the picture behind a click, and says nothing of who reported it.
        await wire.until(lambda: bool(wire.messages(mods, seen_by=moderator)))
        (case,) = wire.messages(mods, seen_by=moderator)
        assert case.labels == ["Keep", "Remove", "Warn", "Ban"] and "a fox" in case.text and "too much fur" in case.text and "bob" not in case.text.casefold()
        assert [each.name.startswith("SPOILER_") for each in case.attachments] == [True]

        # A moderator warns; everything changes where it stands.
        await wire.press(moderator, case, "Warn")
        await case.until(lambda m: say("moderation.report_warn_was") in m.text and not m.labels and not m.attachments)
        await picture.until(lambda m: say("letter.removed_text") in m.text and not m.attachments and not m.labels)
        await wire.until(lambda: bool(wire.dms(ada)) and bool(wire.dms(bob)))
        assert say("letter.report_warn") in wire.dms(ada)[0].text and say("letter.report_upheld") in wire.dms(bob)[0].text

        # A refusal is contested, and allowed: then the same words are drawn.
        refused = await (await wire.command(ada, wire.art, "imagine", prompt="a naked woman --n 1")).message()
        assert refused.ephemeral and refused.labels == [say("moderation.contest")]
        assert say("moderation.contested") in (await (await wire.press(ada, refused, say("moderation.contest"))).message()).text
        await wire.until(lambda: len(wire.messages(mods, seen_by=bob)) == 2)
        contest: Message = wire.messages(mods, seen_by=bob)[-1]
        assert "a naked woman" in contest.text and "1 removed, 1 warnings" in contest.text
        await wire.press(moderator, contest, "Allow")
        await wire.until(lambda: any(say("letter.contest_allowed") in each.text for each in wire.dms(ada)))
        letter = wire.dms(ada)[-1]
        assert "a naked woman" in letter.text and letter.labels == [say("letter.draw")]
        before = len(wire.messages(wire.art, seen_by=bob))
        mine = await (await wire.press(ada, letter, say("letter.draw"))).message()
        await mine.until(lambda m: "Drawn in" in m.text and bool(m.attachments))
        assert len(wire.messages(wire.art, seen_by=bob)) == before, "for its member alone"
        again = await (await wire.command(ada, wire.art, "imagine", prompt="a naked woman --n 1")).message()
        await again.until(lambda m: "Drawn in" in m.text)

        # A ban, by mention: one sentence from then on, until it is taken back.
        assert say("admin.banned") in await told(chief, wire.art, "admin", what="ban", text=ada.mention)
        assert say("refused.banned") in await told(ada, wire.art, "imagine", prompt="a fox")
        assert say("refused.banned") in await told(ada, wire.dm(ada), "imagine", prompt="a fox")
        assert say("admin.unbanned") in await told(chief, wire.art, "admin", what="unban", text=ada.mention)

        # Everybody is told something.
        await told(chief, wire.art, "admin", what="announce", text="back at noon")
        await wire.until(lambda: any("back at noon" in each.text for each in wire.messages(wire.art, seen_by=bob)))
        assert "unbanned" in await told(chief, wire.art, "admin", what="log")
        assert wire.violations == [] and not unknown_requests(wire)


async def test_a_day_on_slack(tmp_path: Path) -> None:
    async with SlackWire() as wire, running(tmp_path, **slack_settings(wire)):
        await wire.connected()
        chief, bob, mods = wire.ada, wire.bob, wire.secret
        wire.invite(mods)

        async def told(user, channel, text) -> str:  # type: ignore[no-untyped-def]
            return (await (await wire.command(user, channel, "/wordup", text)).ephemeral()).plain

        assert say("admin.changed") in await told(chief, mods, "admin moderators here")
        answer = await wire.command(bob, wire.art, "/imagine", "a fox --n 1")
        picture = await (await answer.message()).until(lambda m: "Drawn in" in m.plain)
        strange = await wire.say(bob, wire.art, "look", files=[("fox.png", paint(1), "image/png")])
        assert "Say which picture" in (await (await wire.shortcut(chief, strange, "report")).ephemeral()).plain, "it was not drawn here"
        job = str(picture.metadata["event_payload"]["job_id"])
        asked = await wire.shortcut(chief, picture, "report")
        await wire.submit(chief, await asked.modal(), reason="too much fur")
        assert say("moderation.reported") in (await asked.ephemeral()).plain
        assert say("moderation.reported") in await told(chief, wire.art, f"report {job} and too much fog"), "by its number, too, once"
        await wire.until(lambda: wire.messages(mods))
        (case,) = wire.messages(mods)
        assert case.labels == ["Keep", "Remove", "Warn", "Ban"] and "too much fur" in case.plain and case.pictures

        await wire.press(chief, case, "Remove")
        await case.until(lambda m: say("moderation.report_remove_was") in m.plain and not m.labels and not m.pictures)
        await picture.until(lambda m: say("letter.removed_text") in m.plain and not m.pictures and not m.labels)
        await wire.until(lambda: any(say("letter.report_remove") in each.plain for each in wire.dms(bob)))

        refused = await (await wire.command(bob, wire.art, "/imagine", "a naked woman --n 1")).ephemeral()
        assert refused.labels == [say("moderation.contest")]
        await wire.press(bob, refused, say("moderation.contest"))
        await wire.until(lambda: len(wire.messages(mods)) == 2)
        await wire.press(chief, wire.messages(mods)[-1], "Ban")
        await wire.until(lambda: any(say("letter.contest_ban") in each.plain for each in wire.dms(bob)))
        assert say("refused.banned") in (await (await wire.command(bob, wire.art, "/imagine", "a fox")).ephemeral()).plain
        assert say("admin.unbanned") in await told(chief, wire.art, f"admin unban <@{bob.id}|bob>")
        assert "unbanned" in await told(chief, wire.art, "admin log")
        await wire.command(chief, wire.art, "/wordup", "admin announce back at noon")
        await wire.until(lambda: any("back at noon" in each.plain for each in wire.messages(wire.art)))
        assert wire.late == [] and wire.violations == [] and not unknown_requests(wire)
