"""Who and where: members, places, and where an answer may go."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A member of one platform."""

    platform: str  #: "web", "terminal", "discord", "slack"
    id: str
    name: str = ""
    locale: str = ""  #: the language their platform shows them, as an IETF tag ("pt-BR"); empty when nobody said
    admin: bool = False  #: whether they may change this server's settings, as the platform says (never stored)
    roles: tuple[str, ...] = field(default=(), compare=False)  #: ids of their roles there, as the platform says (never stored)

    @property
    def key(self) -> str:
        """One wallet a key."""
        return f"{self.platform}:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    platform: str
    server: str = ""  #: a Discord guild or a Slack workspace; empty for a direct message
    channel: str = ""
    #: whether the platform keeps this channel from the young, as it says (never stored); None: it has no mark for that, or did not say
    age_restricted: bool | None = field(default=None, compare=False)

    @property
    def owner(self) -> str:
        """Under which name the server's own settings, styles and lists are stored; empty in a direct message."""
        return f"server:{self.platform}:{self.server}" if self.server else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTo:
    """Where an answer may go; stored with the job, so a restarted bot still knows."""

    platform: str
    channel: str = ""
    token: str = ""  #: interaction token or response_url
    expires_at: datetime | None = None
    uses_left: int | None = None
    can_post: bool = True  #: whether the bot may post there by itself
    user: str = ""  #: the member's id on the platform: where a direct message goes when nothing else works
    delivery: str = ""  #: of the event it came with: an adapter still busy with that event's card does not post another
    server: str = ""  #: the only one (`Place.server`) that the channel may be of, where a member has named it: a chat posts in no other


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Where a card was posted."""

    platform: str
    channel: str
    handle: str
