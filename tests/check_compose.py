"""`python -m tests.check_compose compose.yaml`: what we ask of the compose file, since no container engine is at hand to try it (part of `make lint`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

KNOWN = {
    "build", "image", "restart", "read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period",
    "environment", "volumes", "ports", "depends_on", "healthcheck",
}  # fmt: skip


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
    bot = services.get("bot", {})
    for key, wanted in (("read_only", True), ("cap_drop", ["ALL"])):
        if bot.get(key) != wanted:
            found.append(f"bot: {key} must be {wanted}")
    return found


if __name__ == "__main__":
    found = problems(yaml.safe_load(Path(sys.argv[1]).read_text()))
    print(*found or ["compose.yaml: nothing to complain about"], sep="\n")
    sys.exit(bool(found))
