"""Discord's limits, in one table. Source: https://docs.discord.com/developers (message and component reference, API version 10)."""

from __future__ import annotations

from datetime import timedelta

CONTENT = 2000  #: characters of a message
EMBED = 4096  #: of an embed's description
ALT = 1024  #: of an attachment's description
ATTACHMENTS = 10  #: in one message
ROWS = 5  #: of components
ROW = 5  #: buttons in a row
LABEL = 80  #: of a button
CHOICES = 25  #: of a select or an autocomplete
CHOICE = 100  #: characters of a choice's name, value and description
PLACEHOLDER = 150  #: of a select
CUSTOM_ID = 100
NONCE = 25
FORM_TITLE = 45
FORM_LABEL = 45
FORM_VALUE = 4000
FORM_FIELDS = 5
STATUS = 128  #: of the presence

TOKEN_LIFE = timedelta(minutes=15)  #: of an interaction's token
TOKEN_MARGIN = timedelta(seconds=10)  #: before its end a token is not used any more
ATTACHMENT = 10 * 2**20  #: bytes, where nothing more is known
SMALLEST_ATTACHMENT = 16 * 2**10  #: bytes; below this sending a picture is given up
