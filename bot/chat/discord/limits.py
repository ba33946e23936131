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
COMMANDS = 100  #: slash commands of an application
MENUS = 5  #: commands in a message's Apps menu, as the application's page counts them
NAME = 32  #: of a command, an option, or a line of that menu
DESCRIPTION = 100  #: of a command or an option
OPTIONS = 25  #: of a command
COMMAND = 8000  #: names, descriptions and choices of one command together, in the longest language
FOLLOWUPS = 5  #: messages beside an interaction's answer, in a place the bot is not in
FORM_TITLE = 45
FORM_LABEL = 45
FORM_VALUE = 4000
FORM_FIELDS = 5
FORM_HINT = 100
FORM_FILES = 5  #: in a field of several; Discord takes ten
STATUS = 128  #: of the presence

TOKEN_LIFE = timedelta(minutes=15)  #: of an interaction's token
TOKEN_MARGIN = timedelta(seconds=10)  #: before its end a token is not used any more
ATTACHMENT = 10 * 2**20  #: bytes, where nothing more is known
SMALLEST_ATTACHMENT = 16 * 2**10  #: bytes; below this sending a picture is given up
