"""Moderation: what a server's settings say about words (`policy`), who is banned (`bans`), cases and decisions (`doing`),
telling people (`mail`), and what moderators mean (`meant`).

What may be decided by whom, and what it does, is in `bot.domain.moderation`; the records are `bot.ports.CaseBook`'s. Made by `bot.app`; `bot.usecases.admin`
is what members and moderators say to it.
"""
