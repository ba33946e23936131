"""Word Up!, the image bot a community hosts for itself. Start with `bot.domain` (the words) and `bot.ports` (the neighbours)."""

__version__ = "0.1.0"
