"""Commands in every language there is: what discord.py asks for each text, and Discord shows each member by their own locale. Used by `adapter`."""

from __future__ import annotations

from discord import Locale, app_commands
from discord.app_commands import TranslationContextTypes, locale_str

from bot.messages import Catalogues

_MESSAGE = "message"


def said(catalogues: Catalogues, message: str) -> locale_str:
    """A text of the catalogue, as commands take it: in the first language, with its id for the others."""
    return locale_str(catalogues.first.say(message), **{_MESSAGE: message})


class Translations(app_commands.Translator):
    """Names that are typed stay as they are: only texts made by `said` are translated, into languages other than the first."""

    def __init__(self, catalogues: Catalogues) -> None:
        self._catalogues = catalogues

    async def translate(self, string: locale_str, locale: Locale, context: TranslationContextTypes) -> str | None:
        message = string.extras.get(_MESSAGE)
        catalogue = self._catalogues.of(str(locale))
        language = str(locale).partition("-")[0]
        if message is None or catalogue is self._catalogues.first or catalogue.code.partition("-")[0] != language or message not in catalogue:
            return None
        return catalogue.say(message)
