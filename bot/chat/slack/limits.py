"""Slack's limits, all of them in one table (https://docs.slack.dev/reference/block-kit, /reference/views, /reference/methods).

Characters unless a comment says otherwise. Read by the translators and by what talks to Slack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

# -- messages
FALLBACK: Final = 3000  #: `text` beside blocks: what notifications and screen readers say (Slack takes 40,000, and recommends 4,000)
BLOCKS: Final = 50  #: blocks a message
VIEW_BLOCKS: Final = 100  #: blocks a modal or home tab
TEXT: Final = 3000  #: of a section
FIELD: Final = 2000  #: of a section's field, and of a context element
FIELDS: Final = 10  #: fields a section
ELEMENTS: Final = 25  #: elements an actions block
HEADER: Final = 150
ALT: Final = 2000  #: of an image block
UPLOAD_ALT: Final = 1000  #: of a file as it is uploaded

# -- buttons and menus
BUTTON: Final = 75
HINT: Final = 75  #: accessibility_label
VALUE: Final = 2000  #: of a button
URL: Final = 3000
PLACEHOLDER: Final = 150
OPTION: Final = 75
OPTIONS: Final = 100  #: options a menu

# -- forms
VIEW_TITLE: Final = 24
INPUT: Final = 3000
INPUT_LABEL: Final = 2000
PRIVATE_METADATA: Final = 3000
FORM_HINT: Final = 2000
CHOICE: Final = 150  #: the value of an option
FORM_FILES: Final = 5  #: pictures that one field takes (Slack takes ten)

# -- answering
RESPONSE_USES: Final = 5  #: of one response_url
RESPONSE_LIFE: Final = timedelta(minutes=30)

# -- files
FILE: Final = 20 * 2**20  #: bytes of a picture that we upload; larger ones are made to fit
FILE_MB: Final = FILE // 2**20
DOCUMENT: Final = 500 * 2**20  #: bytes of a file that is no picture (Slack takes a gigabyte)

# -- how often (https://docs.slack.dev/apis/web-api/rate-limits): each method for itself, in each workspace


@dataclass(frozen=True, slots=True)
class Method:
    tier: int  #: 0: Slack has a rule of its own for it
    per_minute: int  #: requests that Slack grants at least
    patience: float  #: seconds of `Retry-After` worth waiting for; past that the caller is told, who may come back later


_TIERS: Final = {1: 1, 2: 20, 3: 50, 4: 100}


def _of(tier: int, patience: float, per_minute: int = 0) -> Method:
    return Method(tier, per_minute or _TIERS[tier], patience)


METHODS: Final[Mapping[str, Method]] = {
    "chat.postMessage": _of(0, 30, 60),  # one a second in a channel; several hundred a minute in all
    "chat.update": _of(3, 60),
    "chat.delete": _of(3, 30),
    "chat.postEphemeral": _of(4, 10),
    "conversations.info": _of(3, 3),  # what is not known is hoped for
    "conversations.open": _of(3, 30),
    "conversations.history": _of(3, 60),  # once a minute for an app that is given away without being in Slack's directory
    "conversations.replies": _of(3, 60),
    "users.info": _of(4, 3),
    "views.open": _of(4, 0),  # the trigger dies meanwhile
    "views.publish": _of(4, 60),
    "files.getUploadURLExternal": _of(4, 60),
    "files.completeUploadExternal": _of(4, 60),
    "files.info": _of(4, 60),
    "files.delete": _of(3, 30),
    "auth.test": _of(0, 10, 300),
    "apps.connections.open": _of(1, 60),
    "oauth.v2.access": _of(4, 5),
}
OTHERWISE: Final = _of(2, 30)
SPARE: Final = 0.6  #: share of a method's minute that may go to what nobody misses; the rest is for the ends of jobs


def method(name: str) -> Method:
    return METHODS.get(name, OTHERWISE)
