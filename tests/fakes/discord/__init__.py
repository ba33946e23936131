"""Discord's wire on this machine: a gateway, the REST API, the file network and the members, for tests of the bot.

`DiscordWire` speaks what discord.py speaks and refuses what Discord refuses; what the bot does wrong stands in `violations`.
"""

from tests.fakes.discord.interactions import Answer, Choice, NoAnswer
from tests.fakes.discord.messages import Button, Message, Select
from tests.fakes.discord.rest import Sent, Violation
from tests.fakes.discord.stage import TOKEN
from tests.fakes.discord.wire import DiscordWire
from tests.fakes.discord.world import Attachment, Channel, File, Guild, User

__all__ = [
    "TOKEN",
    "Answer",
    "Attachment",
    "Button",
    "Channel",
    "Choice",
    "DiscordWire",
    "File",
    "Guild",
    "Message",
    "NoAnswer",
    "Select",
    "Sent",
    "User",
    "Violation",
]
