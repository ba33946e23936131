"""A Hugging Face hub on loopback: as much of its HTTP API as huggingface_hub asks for when a repository is looked at and fetched.

After https://huggingface.co/docs/hub/api and what huggingface_hub 2.4 sends: `/api/models/…`, `/api/models/…/tree/…`, `/…/resolve/…`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    files: dict[str, bytes]
    licence: str = "apache-2.0"
    gated: bool = False  #: nobody's terms have been accepted
    corrupt: frozenset[str] = frozenset()  #: files that arrive with another content than they are said to have


@dataclass
class FakeHub:
    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)  #: `owner/name/file` of every body that was sent

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a GET."""
        path, _, _ = path.partition("?")
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            hub, verb, revision = found.groups()
            return self._api(hub, verb, revision)
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            hub, _, name = found.groups()
            repository = self.repositories.get(hub)
            if repository is None or repository.gated or name not in repository.files:
                return self._refusal(repository)
            data = repository.files[name]
            headers = {"ETag": f'"{_sha256(data)}"', "X-Repo-Commit": COMMIT, "Content-Type": "application/octet-stream"}
            return 200, headers, data[:-1] + b"?" if name in repository.corrupt else data
        return 404, {}, b""

    def _api(self, hub: str, verb: str | None, revision: str | None) -> tuple[int, dict[str, str], bytes]:
        repository = self.repositories.get(hub)
        if repository is None:
            return self._refusal(None)
        if revision not in (None, "main", COMMIT):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        if verb == "tree":
            return _json([{"type": "file", "path": name, **_facts(data)} for name, data in repository.files.items()])
        siblings = [{"rfilename": name, **_facts(data)} for name, data in repository.files.items()]
        card = {"license": repository.licence}
        return _json({"id": hub, "modelId": hub, "sha": COMMIT, "gated": "auto" if repository.gated else False, "cardData": card, "siblings": siblings})

    def _refusal(self, repository: Repository | None) -> tuple[int, dict[str, str], bytes]:
        if repository is None:
            return 401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b"{}"
        return 403 if repository.gated else 404, {"X-Error-Code": "GatedRepo" if repository.gated else "EntryNotFound"}, b"{}"


def _facts(data: bytes) -> dict[str, Any]:
    large = {"lfs": {"oid": _sha256(data), "sha256": _sha256(data), "size": len(data), "pointerSize": 130}} if data[8:9] == b"{" else {}
    return {"size": len(data), "oid": hashlib.sha1(data, usedforsecurity=False).hexdigest(), "blobId": "0" * 40, **large}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A hub that listens until the end of the block."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                if "/resolve/" in self.path and status == 200:
                    hub.fetched.append(re.sub(r"/resolve/[^/]+", "", self.path)[1:])
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
