"""The whole bot, killed with -9 again and again, and what its members saw of it: ``python -m tests.chaos`` (`make chaos`).

`server` is the chat's side and lives as long as the run: what it was asked to show is in a journal on disk. `members` use it. `chat` is the adapter inside
the bot, `victim` the bot's process, `points` the places of a job's life where it dies, `runs` starts and kills it, `judge` reads the journal beside the
database.
"""
