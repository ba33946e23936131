"""Request bodies against Discord's own OpenAPI description, which lies beside the repository; without it everything passes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.fakes.discord.world import Json

DESCRIPTION = Path(__file__).resolve().parents[4] / "shared" / "specs" / "discord-openapi.json"
BASE = "urn:discord"
SENT_ANYWAY = {"tts", "nsfw"}
"""Keys the description misses: discord.py sends `tts` with every message body, edits too, and commands do take `nsfw`."""


@dataclass(frozen=True)
class Fault:
    where: str
    """Dotted, as in `components.0.label`."""
    what: str
    stranger: bool = False
    """An unknown key: Discord ignores it, the bot should not send it."""


def _other(error: ValidationError) -> bool:
    """Whether this member of a union is not the one that the value's own `type` means."""
    return list(error.relative_path) == ["type"] or (not error.relative_path and error.validator == "type")


def _told(error: ValidationError) -> Fault:
    """Goes down a union into the member that is meant, so that the place is the deepest one."""
    while error.context:
        branches: dict[Any, list[ValidationError]] = {}
        for inner in error.context:
            branches.setdefault(inner.schema_path[0], []).append(inner)
        meant = [inner for inner in branches.values() if not any(_other(one) for one in inner)]
        if len(meant) != 1:
            break
        error = meant[0][0]
    said = error.message if len(error.message) <= 200 else f"{error.message[:80]} … {error.message[-80:]}"
    limit = f" ({error.validator} {error.validator_value})" if str(error.validator).startswith(("min", "max")) else ""
    return Fault(".".join(map(str, error.absolute_path)), said + limit)


class Schema:
    """Finds the operation of a concrete path and validates what was sent to it."""

    def __init__(self, description: Json) -> None:
        self.description = description
        self._registry: Registry[Any] = Registry().with_resource(BASE, DRAFT202012.create_resource(description))
        self._validators: dict[str, Draft202012Validator] = {}
        # A literal segment beats a parameter: `@original` is not a `{message_id}`.
        ordered = sorted(description["paths"], key=lambda path: (path.count("{"), path))
        self._paths = [(re.compile("/".join("[^/]+" if step.startswith("{") else re.escape(step) for step in path.split("/"))), path) for path in ordered]

    def faults(self, method: str, path: str, body: Any, *, multipart: bool) -> list[Fault]:
        """At most one fault that Discord refuses, then the keys it does not know, which it lets pass."""
        paths, verb = self.description["paths"], method.lower()
        template = next((known for pattern, known in self._paths if pattern.fullmatch(path) and verb in paths[known]), None)
        if template is None:
            return []
        request = paths[template][verb].get("requestBody")
        if request is None:
            return [] if body is None else [Fault("", "a body where none is taken", stranger=True)]
        if body is None:
            return [Fault("", "no body where one is required")] if request.get("required") else []
        content = request["content"]
        kind = "multipart/form-data" if multipart and "multipart/form-data" in content else "application/json"
        step = template.replace("~", "~0").replace("/", "~1")
        pointer = f"#/paths/{step}/{verb}/requestBody/content/{kind.replace('/', '~1')}/schema"
        pointer, schema = self._variant(pointer, content[kind]["schema"], body)
        plain = normal(body)
        error = next(self._validator(pointer).iter_errors(plain), None)
        refused = [] if error is None else [_told(error)]
        return refused + [Fault(where, "unknown key", stranger=True) for where in self._strangers(schema, plain)]

    def _validator(self, pointer: str) -> Draft202012Validator:
        if pointer not in self._validators:
            # Braces of a path template stand percent-encoded in a reference.
            quoted = pointer.replace("{", "%7B").replace("}", "%7D")
            self._validators[pointer] = Draft202012Validator({"$ref": f"{BASE}{quoted}"}, registry=self._registry)
        return self._validators[pointer]

    def _resolve(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self.description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def _variant(self, pointer: str, schema: Json, body: Any) -> tuple[str, Json]:
        """Of a union told apart by `type`, the member that is meant: its errors name the place."""
        for option in schema.get("anyOf", []):
            kinds = self._resolve(option).get("properties", {}).get("type", {}).get("enum", [])
            if isinstance(body, dict) and body.get("type") in kinds and "$ref" in option:
                return option["$ref"], self._resolve(option)
        return pointer, schema

    def _properties(self, schema: Json) -> dict[str, Json]:
        schema = self._resolve(schema)
        known: dict[str, Json] = dict(schema.get("properties", {}))
        for union in ("anyOf", "oneOf", "allOf"):
            for option in schema.get(union, []):
                known |= self._properties(option)
        return known

    def _strangers(self, schema: Json, body: Any, where: str = "") -> list[str]:
        schema = self._resolve(schema)
        if isinstance(body, list):
            return [fault for index, item in enumerate(body) for fault in self._strangers(schema.get("items", {}), item, f"{index}.")]
        known = self._properties(schema)
        if not known or not isinstance(body, dict):
            return []
        faults = [f"{where}{key}" for key in body if key not in known and key not in SENT_ANYWAY]
        if "type" in known and isinstance(body.get("data"), dict):
            faults += self._strangers(known["data"], body["data"], "data.")
        return faults


def normal(value: Any, key: str = "") -> Any:
    """A copy with the ids that discord.py sends as integers made strings."""
    if isinstance(value, dict):
        return {k: normal(v, f"{key}.id" if key == "attachments" and k == "id" else k) for k, v in value.items()}
    if isinstance(value, list):
        return [normal(item, key) for item in value]
    an_id = key == "attachments.id" or key.endswith("_id") or key in ("users", "roles", "sticker_ids")
    return str(value) if an_id and isinstance(value, int) and not isinstance(value, bool) else value


@lru_cache(maxsize=1)
def load() -> Schema | None:
    """The description, or None where it is not beside the repository."""
    if not DESCRIPTION.is_file():
        return None
    return Schema(json.loads(DESCRIPTION.read_text("utf-8")))
