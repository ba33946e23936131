"""Discord: discord.py on the one side, `bot.ports` on the other. `adapter.DiscordAdapter` is what `bot.app` makes."""
