"""Slack as a chat platform: slack-bolt in front, `bot.chat.slack.adapter.SlackAdapter` is what `bot.app` constructs."""
