"""C2PA manifests: a picture says, signed, that a model made it. Written and read with the reference library; used by this package.

What is written is written in the bot's own process. What a stranger sends is read by `bot.provenance.reading`, apart from it.

The specification: https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html. The words for where pictures come from are IPTC's:
https://cv.iptc.org/newscodes/digitalsourcetype/. Blocking: callers run it on a thread.

A stranger's file may name an address to fetch a manifest from, or to ask whether a certificate was revoked. Neither is ever done.
"""

from __future__ import annotations

import errno
import io
import json
from dataclasses import dataclass
from typing import Any

import c2pa
from PIL import Image

from bot.provenance.authority import Credentials

MADE_BY_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PROGRAM = "Word Up!"
LABEL = "local.wordup.picture"  #: of the assertion that holds a job's number
NO_NETWORK = {"remote_manifest_fetch": False, "ocsp_fetch": False}

TRUSTED, VALID, BROKEN = "trusted", "valid", "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a manifest says of a picture."""

    job_id: str
    index: int  #: of the artifact; -1 is the contact sheet
    model: str
    seed: int
    version: str  #: of this program


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a manifest in a file says, and how far it can be believed."""

    state: str  #: TRUSTED: signed here and unchanged since. VALID: by somebody else, and unchanged. BROKEN: the file was changed, or the signature is wrong.
    issuer: str  #: the organisation its certificate names
    generator: str  #: the program
    source_type: str  #: IPTC's word, or empty
    job_id: str = ""  #: only of a manifest that is TRUSTED
    index: int = 0
    text: str = ""  #: the whole report, JSON


def kind_of(data: bytes) -> str | None:
    """The media type, of those that are signed and read here; by the file's first bytes. Pure."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def may_hold_one(data: bytes) -> bool:
    """Whether it is worth looking for a manifest: it is of a kind that is read here, and has the box that every manifest begins with somewhere. Pure."""
    return kind_of(data) is not None and b"jumd" in data


def definition(about: About, kind: str) -> dict[str, Any]:
    """The manifest to be, as the library takes it. No thumbnail: it would cost more than all else together. Pure."""
    agent = {"name": PROGRAM, "version": about.version}
    return {
        "claim_generator_info": [agent],
        "format": kind,
        "title": f"wordup-{about.job_id}-{about.index}",
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": MADE_BY_MODEL, "softwareAgent": agent}]},
            },
            {"label": LABEL, "data": {"job": about.job_id, "index": about.index, "model": about.model, "seed": about.seed}},
        ],
    }


class Signer:
    """Signs pictures with one installation's credentials. One thread at a time."""

    def __init__(self, credentials: Credentials) -> None:
        """Raises OSError when the library does not take them."""
        try:
            self._signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(credentials.algorithm, credentials.chain.encode(), credentials.key.encode(), None))
            self._context = c2pa.Context.from_dict({"verify": NO_NETWORK, "builder": {"thumbnail": {"enabled": False}}})
        except c2pa.C2paError as error:
            raise OSError(f"the certificate cannot sign pictures: {error}") from error

    def sign(self, data: bytes, about: About) -> bytes:
        """The same picture with a manifest in it. Raises OSError when the library refuses, and for a file of another kind."""
        kind = kind_of(data)
        if kind is None:
            raise OSError("not a PNG, JPEG or WebP")
        out = io.BytesIO()
        try:
            with c2pa.Builder(json.dumps(definition(about, kind)), self._context) as builder:
                builder.sign(self._signer, kind, io.BytesIO(data), out)
        except c2pa.C2paError as error:
            raise OSError(f"a picture could not be signed: {error}") from error
        return out.getvalue()

    def close(self) -> None:
        self._signer.close()
        self._context.close()


class Reader:
    """Reads manifests. One thread at a time."""

    def __init__(self, anchor: str, leaf: str) -> None:
        """What the owner of these certificates (PEM) signed is TRUSTED."""
        trust = {"trust_anchors": anchor, "allowed_list": leaf}
        self._context = c2pa.Context.from_dict({"verify": {**NO_NETWORK, "verify_trust": True}, "trust": trust})

    def read(self, data: bytes) -> Claim | None:
        """None where there is no manifest, or none that can be parsed at all. Never raises for what a stranger sent."""
        kind = kind_of(data)
        if kind is None or not may_hold_one(data):
            return None
        try:
            with c2pa.Reader(kind, io.BytesIO(data), context=self._context) as reader:
                report = reader.json()
            return claim_of(report)
        except (c2pa.C2paError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def close(self) -> None:
        self._context.close()


def read(anchor: str, leaf: str, data: bytes) -> Claim | None:
    """What a file says to who trusts these certificates. See `Reader`."""
    reader = Reader(anchor, leaf)
    try:
        return reader.read(data)
    finally:
        reader.close()


def need_to_work(signer: Signer, anchor: str, leaf: str) -> None:
    """Sign one grey pixel and read it back. Raises OSError: better at the start than with every picture."""
    out = io.BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG")
    claim = read(anchor, leaf, signer.sign(out.getvalue(), About(job_id="trial", index=0, model="", seed=0, version="0")))
    if claim is None or claim.state != TRUSTED:
        raise OSError(errno.EINVAL, "what is signed with this certificate is not valid; C2PA asks for a purpose (e-mail protection or document signing)")


def claim_of(report: str) -> Claim:
    """What the library's report comes to. Pure. Raises ValueError, KeyError and the like for a report without a manifest."""
    store = json.loads(report)
    manifest = store["manifests"][store["active_manifest"]]
    state = {"Trusted": TRUSTED, "Valid": VALID}.get(store.get("validation_state", ""), BROKEN)
    assertions = {each["label"]: each["data"] for each in manifest.get("assertions", ()) if isinstance(each.get("data"), dict)}
    actions: list[dict[str, Any]] = next((data.get("actions", []) for label, data in assertions.items() if label.startswith("c2pa.actions")), [])
    ours = assertions.get(LABEL, {}) if state == TRUSTED else {}
    return Claim(
        state=state,
        issuer=str((manifest.get("signature_info") or {}).get("issuer", "")),
        generator=" ".join(str(each.get("name", "")) for each in manifest.get("claim_generator_info") or ()).strip(),
        source_type=next((str(each["digitalSourceType"]) for each in actions if each.get("digitalSourceType")), ""),
        job_id=str(ours.get("job", "")),
        index=int(ours.get("index", 0)),
        text=report,
    )
