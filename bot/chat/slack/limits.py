"""Slack's limits, all of them in one table (https://docs.slack.dev/reference/block-kit, /reference/views, /reference/methods).

Characters unless a comment says otherwise. Read by the translators and by what talks to Slack.
"""

from __future__ import annotations

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

# -- answering
RESPONSE_USES: Final = 5  #: of one response_url
RESPONSE_LIFE: Final = timedelta(minutes=30)

# -- files
FILE: Final = 20 * 2**20  #: bytes of a picture that we upload; larger ones are made to fit
FILE_MB: Final = FILE // 2**20
