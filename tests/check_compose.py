"""`python -m tests.check_compose compose.yaml`: what we ask of the compose file and the Dockerfile beside it (part of `make lint`).

No container engine is at hand to try them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

KNOWN = {
    "build", "image", "restart", "user", "read_only", "tmpfs", "cap_drop", "security_opt", "pids_limit", "stop_grace_period",
    "environment", "volumes", "ports", "depends_on", "healthcheck",
}  # fmt: skip

#: What every service has: nothing written but its volumes, no capability, no way to new ones.
WANTED: dict[str, Any] = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def problems(compose: dict[str, Any]) -> list[str]:
    services, found = compose.get("services", {}), []
    volumes = set(compose.get("volumes", {}))
    for name, service in services.items():
        found += [f"{name}: unknown key {key!r}" for key in service if key not in KNOWN]
        found += [f"{name}: volume {v.split(':')[0]!r} is not declared" for v in service.get("volumes", ()) if v.split(":")[0] not in volumes]
        found += [f"{name}: depends on unknown service {other!r}" for other in service.get("depends_on", {}) if other not in services]
        found += [f"{name}: port {p!r} is open to the world" for p in service.get("ports", ()) if not str(p).startswith("127.0.0.1:")]
        if ("build" in service) == ("image" in service):
            found.append(f"{name}: exactly one of build and image")
        for key, wanted in WANTED.items():
            if service.get(key) != wanted:
                found.append(f"{name}: {key} must be {wanted}")
        if "build" not in service and service.get("user", "root") in ("root", "0", 0):
            found.append(f"{name}: its user must be named, and not be root")
    return found


def dockerfile_problems(text: str) -> list[str]:
    """What hadolint does not ask: the last stage runs as a number that is not root's, so that an orchestrator can see it."""
    lines = [line.split() for line in text.rpartition("\nFROM ")[2].splitlines()]
    users = [words[1] for words in lines if words[:1] == ["USER"]]
    if not users or not users[-1].partition(":")[0].isdigit() or int(users[-1].partition(":")[0]) == 0:
        return ["Dockerfile: the last stage must end as a numbered user other than 0"]
    return []


if __name__ == "__main__":
    compose = Path(sys.argv[1])
    found = problems(yaml.safe_load(compose.read_text("utf-8"))) + dockerfile_problems(compose.with_name("Dockerfile").read_text("utf-8"))
    print(*found or ["compose.yaml and Dockerfile: nothing to complain about"], sep="\n")
    sys.exit(bool(found))
