"""What is written into a picture about where it comes from, and who signs it: read back by the reference library's own reader."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from PIL import Image

from bot.domain import CLIP, GRID
from bot.provenance import Provenance, authority, manifest, marks
from engine import codec
from tests.contract.jobs import job
from tests.fakes.studio import paint

NOW = datetime.now(UTC)
PICTURE = codec.encode_png(Image.open(io.BytesIO(paint(7))).convert("RGB"), "a fox in the snow\nSteps: 20, Seed: 7")
ABOUT = manifest.About(job_id="01J00000000000000000000000", index=2, model="pocket", seed=7, version="0.1.0")


@pytest.fixture
def own(tmp_path: Path) -> authority.Credentials:
    return authority.own(tmp_path, NOW)


def signed(credentials: authority.Credentials, data: bytes = PICTURE) -> bytes:
    signer = manifest.Signer(credentials)
    try:
        return signer.sign(data, ABOUT)
    finally:
        signer.close()


def read(credentials: authority.Credentials, data: bytes) -> manifest.Claim | None:
    reader = manifest.Reader(credentials.anchor, credentials.leaf)
    try:
        return reader.read(data)
    finally:
        reader.close()


def report(data: bytes, kind: str = "image/png") -> Any:
    """What the library's own reader says, without any setting of ours."""
    with c2pa.Reader(kind, io.BytesIO(data)) as reader:
        return json.loads(reader.json())


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()


# ------------------------------------------------------------------------------------------------ the manifest


def test_the_librarys_own_reader_finds_a_valid_manifest_that_says_a_model_made_it(own: authority.Credentials) -> None:
    store = report(signed(own))
    active = store["manifests"][store["active_manifest"]]
    actions = next(each["data"]["actions"] for each in active["assertions"] if each["label"].startswith("c2pa.actions"))
    assert store["validation_state"] == "Valid", "valid, and not trusted: nobody else knows this authority"
    assert [(each["action"], each["digitalSourceType"]) for each in actions] == [("c2pa.created", manifest.MADE_BY_MODEL)]
    assert active["claim_generator_info"][0]["name"] == "Word Up!"
    assert active["signature_info"]["issuer"] == authority.ORGANISATION
    assert "thumbnail" not in active


def test_what_this_installation_signed_is_trusted_and_leads_to_its_job(own: authority.Credentials) -> None:
    claim = read(own, signed(own))
    assert claim is not None
    assert (claim.state, claim.job_id, claim.index, claim.source_type) == (manifest.TRUSTED, ABOUT.job_id, 2, manifest.MADE_BY_MODEL)
    assert claim.generator == "Word Up!"


def test_pixels_and_parameters_stay_as_they_were(own: authority.Credentials) -> None:
    marked = signed(own, marks.with_xmp(PICTURE, marks.packet("0.1.0")))
    assert pixels(marked) == pixels(PICTURE)
    with Image.open(io.BytesIO(marked)) as image:
        assert image.info["parameters"].startswith("a fox in the snow")
        assert manifest.MADE_BY_MODEL in image.info["xmp"].decode() if isinstance(image.info["xmp"], bytes) else image.info["xmp"]


def test_a_manifest_costs_a_few_kilobytes(own: authority.Credentials) -> None:
    assert len(signed(own)) - len(PICTURE) < 20_000


def test_a_picture_changed_afterwards_is_broken_and_leads_nowhere(own: authority.Credentials) -> None:
    data = bytearray(signed(own))
    at = data.index(b"IDAT") + 40
    data[at] ^= 1
    claim = read(own, bytes(data))
    assert claim is not None and claim.state == manifest.BROKEN and claim.job_id == ""


def test_a_manifest_taken_from_another_picture_is_broken(own: authority.Credentials) -> None:
    stolen = signed(own)
    begin = stolen.index(b"caBX") - 4
    chunk = stolen[begin : begin + 12 + int.from_bytes(stolen[begin : begin + 4])]
    other = codec.encode_png(Image.open(io.BytesIO(paint(8))).convert("RGB"), "something else")
    claim = read(own, other[:33] + chunk + other[33:])
    assert claim is not None and claim.state == manifest.BROKEN and claim.job_id == ""


def test_another_installation_of_the_same_name_is_not_this_one(own: authority.Credentials, tmp_path: Path) -> None:
    claim = read(own, signed(authority.own(tmp_path / "elsewhere", NOW)))
    assert claim is not None and claim.state == manifest.VALID and claim.job_id == ""


@pytest.mark.parametrize("data", [b"", b"jumd", b"\x89PNG\r\n\x1a\njumd" + bytes(200), b"\xff\xd8\xffjumd" + bytes(99), PICTURE, b"RIFF\0\0\0\0WEBPjumd"])
def test_what_has_no_manifest_is_nobodys(own: authority.Credentials, data: bytes) -> None:
    assert read(own, data) is None


def test_every_cut_of_a_signed_picture_is_read_without_harm(own: authority.Credentials) -> None:
    whole = signed(own)
    reader = manifest.Reader(own.anchor, own.leaf)
    for end in range(0, len(whole), max(1, len(whole) // 60)):
        claim = reader.read(whole[:end])
        assert claim is None or claim.state == manifest.BROKEN
    reader.close()


def test_a_manifest_elsewhere_is_never_fetched(own: authority.Credentials) -> None:
    """A stranger's file may name an address, of the operator's own network too; so may the extension of a certificate."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    asked: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listening)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        out = io.BytesIO()
        signer = manifest.Signer(own)
        with c2pa.Builder(json.dumps(manifest.definition(ABOUT, "image/png")), signer._context) as builder:
            builder.set_no_embed()
            builder.set_remote_url(f"http://127.0.0.1:{server.server_port}/manifest.c2pa")
            builder.sign(signer._signer, "image/png", io.BytesIO(PICTURE), out)
        signer.close()
        assert b"manifest.c2pa" in out.getvalue()
        reader = manifest.Reader(own.anchor, own.leaf)
        assert reader.read(out.getvalue()) is None
        assert reader.read(out.getvalue() + b"jumd") is None
        reader.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert asked == []


# ------------------------------------------------------------------------------------------------ who signs


def test_credentials_are_made_once_and_their_owner_alone_can_read_them(tmp_path: Path) -> None:
    first = authority.own(tmp_path / "signing", NOW)
    assert authority.own(tmp_path / "signing", NOW + timedelta(days=1)) == first
    assert {stat.S_IMODE(os.stat(file).st_mode) for file in (tmp_path / "signing").iterdir()} == {0o600}
    assert "PRIVATE" not in repr(first)


def test_processes_that_start_at_once_agree_on_one_authority(tmp_path: Path) -> None:
    found: list[authority.Credentials] = []
    gate = threading.Barrier(8)

    def start() -> None:
        gate.wait()
        found.append(authority.own(tmp_path, NOW))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({each.anchor for each in found}) == 1 and len(found) == 8
    assert sorted(file.name for file in tmp_path.iterdir()) == ["authority.pem", "leaf.pem"]


def test_a_leaf_near_its_end_is_renewed_and_older_pictures_stay_trusted(tmp_path: Path) -> None:
    then = NOW - authority.LEAF_LIFE + authority.RENEWED - timedelta(days=2)
    old = authority.own(tmp_path, then)
    picture = signed(old)
    new = authority.own(tmp_path, NOW)
    assert new.leaf != old.leaf and new.anchor == old.anchor
    claim = read(new, picture)
    assert claim is not None and claim.state == manifest.TRUSTED


def test_a_leaf_of_another_authority_is_replaced(tmp_path: Path) -> None:
    authority.own(tmp_path / "a", NOW)
    authority.own(tmp_path / "b", NOW)
    (tmp_path / "a" / "leaf.pem").write_bytes((tmp_path / "b" / "leaf.pem").read_bytes())
    mended = authority.own(tmp_path / "a", NOW)
    x509.load_pem_x509_certificate(mended.leaf.encode()).verify_directly_issued_by(x509.load_pem_x509_certificate(mended.anchor.encode()))


def test_a_damaged_authority_is_named(tmp_path: Path) -> None:
    authority.own(tmp_path, NOW)
    (tmp_path / "authority.pem").write_text("nonsense")
    with pytest.raises(OSError, match=r"move it away.*authority\.pem"):
        authority.own(tmp_path, NOW)


def test_the_operators_own_certificates_sign(tmp_path: Path, own: authority.Credentials) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(own.chain)
    key.write_text(own.key)
    theirs = authority.operators(chain, key)
    assert theirs.algorithm == "es256"
    claim = read(theirs, signed(theirs))
    assert claim is not None and claim.state == manifest.TRUSTED


def test_a_key_that_does_not_fit_is_refused(tmp_path: Path, own: authority.Credentials) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(own.chain)
    key.write_text(authority.own(tmp_path / "other", NOW).key)
    with pytest.raises(OSError, match="not that of the first certificate"):
        authority.operators(chain, key)
    key.write_text("nonsense")
    with pytest.raises(OSError, match="not a PEM chain"):
        authority.operators(chain, key)


def test_keys_are_named_as_c2pa_names_them() -> None:
    assert authority.algorithm_of(ec.generate_private_key(ec.SECP384R1())) == "es384"
    assert authority.algorithm_of(ed25519.Ed25519PrivateKey.generate()) == "ed25519"
    with pytest.raises(OSError, match="secp256k1"):
        authority.algorithm_of(ec.generate_private_key(ec.SECP256K1()))


# ------------------------------------------------------------------------------------------------ the whole


def provenance(folder: Path, **options: Any) -> Provenance:
    return Provenance(folder, clock=lambda: NOW, **options)


async def test_a_picture_is_marked_twice_over_and_has_a_fingerprint(tmp_path: Path) -> None:
    asked, marker = job(), provenance(tmp_path)
    marked = await marker.mark(asked, GRID, 7, PICTURE)
    claim = await marker.read(marked.data)
    assert claim is not None and (claim.job_id, claim.index) == (asked.id, GRID)
    assert b"DigitalSourceType" in marked.data and len(marked.fingerprint) == 16
    assert await marker.fingerprint(marked.data) == marked.fingerprint
    marker.close()


async def test_a_clip_is_signed_too(tmp_path: Path) -> None:
    clip = codec.encode_clip([Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")], [90, 900])
    marker, asked = provenance(tmp_path), job()
    marked = await marker.mark(asked, CLIP, 7, clip)
    claim = await marker.read(marked.data)
    assert claim is not None and claim.job_id == asked.id and marked.fingerprint == ""
    with Image.open(io.BytesIO(marked.data)) as image:
        assert getattr(image, "n_frames", 1) == 2
    marker.close()


async def test_turned_off_nothing_is_written_but_the_fingerprint_is_kept(tmp_path: Path) -> None:
    marker = provenance(tmp_path / "signing", marks=False)
    marked = await marker.mark(job(), 0, 7, PICTURE)
    assert marked.data == PICTURE and marked.fingerprint
    marker.close()


async def test_a_mark_that_fails_costs_the_mark_and_not_the_picture(tmp_path: Path) -> None:
    (tmp_path / "signing").write_text("a file where the folder would be")
    marker = provenance(tmp_path / "signing")
    marked = await marker.mark(job(), 0, 7, PICTURE)
    assert pixels(marked.data) == pixels(PICTURE) and marked.fingerprint
    marker.close()


async def test_certificates_that_cannot_be_used_are_told_at_the_start(tmp_path: Path) -> None:
    marker = provenance(tmp_path, certificate=tmp_path / "none.pem", key=tmp_path / "none.key")
    with pytest.raises(OSError, match=r"none\.pem"):
        await marker.start()
    marker.close()


async def test_a_certificate_for_another_purpose_is_told_at_the_start_and_costs_no_picture(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = authority._name("self")
    plain = authority._certificate(name, name, key.public_key(), NOW, timedelta(days=90)).sign(key, hashes.SHA256())
    (tmp_path / "chain.pem").write_bytes(plain.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_text(authority._key_pem(key))
    marker = provenance(tmp_path, certificate=tmp_path / "chain.pem", key=tmp_path / "key.pem")
    with pytest.raises(OSError, match="certificate"):
        await marker.start()
    marked = await marker.mark(job(), 0, 7, PICTURE)
    assert pixels(marked.data) == pixels(PICTURE)
    marker.close()


def test_a_visible_label_stands_in_the_corner_and_nowhere_else() -> None:
    labelled = marks.with_label(PICTURE, "AI")
    with Image.open(io.BytesIO(labelled)) as after, Image.open(io.BytesIO(PICTURE)) as before:
        assert after.info["parameters"] == before.info["parameters"]
        w, h = after.size
        corner = (w // 2, h // 2, w, h)
        assert after.convert("RGB").crop(corner).tobytes() != before.convert("RGB").crop(corner).tobytes()
        for box in ((0, 0, w, h // 2), (0, 0, w // 2, h)):
            assert after.convert("RGB").crop(box).tobytes() == before.convert("RGB").crop(box).tobytes()


def test_xmp_goes_into_a_png_alone() -> None:
    assert marks.with_xmp(b"RIFF....WEBP", "x") == b"RIFF....WEBP"
