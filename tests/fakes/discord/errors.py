"""How the fake says no: Discord's JSON error codes, as https://discord.com/developers/docs/topics/opcodes-and-status-codes lists them."""

from __future__ import annotations

from tests.fakes.discord.world import Json


class Refusal(Exception):
    """Ends a request with Discord's answer; `breach` says which rule the bot broke, where it broke one."""

    def __init__(self, status: int, code: int, message: str, *, errors: Json | None = None, breach: str | None = None) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status, self.code, self.message, self.errors, self.breach = status, code, message, errors, breach

    def body(self) -> Json:
        said: Json = {"message": self.message, "code": self.code}
        if self.errors:
            said["errors"] = self.errors
        return said


def invalid(where: str, code: str, message: str) -> Refusal:
    """50035 with the place spelt as Discord nests it: `data.components.0.label`."""
    errors: Json = {"_errors": [{"code": code, "message": message}]}
    for step in reversed([step for step in where.split(".") if step]):
        errors = {step: errors}
    return Refusal(400, 50035, "Invalid Form Body", errors=errors, breach=f"{where or 'body'}: {message}")


def unauthorized() -> Refusal:
    return Refusal(401, 0, "401: Unauthorized")


def unknown_route() -> Refusal:
    return Refusal(404, 0, "404: Not Found", breach="unknown route")


def unknown_channel() -> Refusal:
    return Refusal(404, 10003, "Unknown Channel")


def unknown_guild() -> Refusal:
    return Refusal(404, 10004, "Unknown Guild")


def unknown_message() -> Refusal:
    return Refusal(404, 10008, "Unknown Message")


def unknown_user() -> Refusal:
    return Refusal(404, 10013, "Unknown User")


def unknown_webhook() -> Refusal:
    return Refusal(404, 10015, "Unknown Webhook")


def unknown_interaction() -> Refusal:
    return Refusal(404, 10062, "Unknown interaction")


def unknown_command() -> Refusal:
    return Refusal(404, 10063, "Unknown application command")


def acknowledged_already() -> Refusal:
    return Refusal(400, 40060, "Interaction has already been acknowledged.")


def too_large() -> Refusal:
    return Refusal(413, 40005, "Request entity too large")


def too_many_followups() -> Refusal:
    return Refusal(400, 40094, "This interaction has reached the maximum number of follow-up messages that can be sent.")


def missing_access() -> Refusal:
    return Refusal(403, 50001, "Missing Access")


def not_the_author() -> Refusal:
    return Refusal(403, 50005, "Cannot edit a message authored by another user")


def empty_message() -> Refusal:
    return Refusal(400, 50006, "Cannot send an empty message", breach="the message is empty")


def no_direct_messages() -> Refusal:
    return Refusal(403, 50007, "Cannot send messages to this user")


def missing_permissions() -> Refusal:
    return Refusal(403, 50013, "Missing Permissions")


def dead_token() -> Refusal:
    return Refusal(401, 50027, "Invalid Webhook Token")
