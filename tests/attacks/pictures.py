"""Files that strangers send as pictures: good ones of every make, and those that are made to break something. Used by the tests of this folder."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image

SECRET = b"47 Elm Street, 48.8584 N 2.2945 E"


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def plain(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert(mode) if mode != "I;16" else Image.new("I;16", size, 30_000)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG (specification §5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int, rows: bytes = b"") -> bytes:
    """A header of that size before data that may be much less, or pack much more."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def exif() -> Image.Exif:
    told = Image.Exif()
    told[0x010E], told[0x0112] = SECRET.decode(), 6  # a description; turned by a quarter
    return told


def good() -> dict[str, bytes]:
    """What any phone, camera or program makes."""
    made = {f"png {mode}": saved(plain(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")}
    made |= {f"jpeg {mode}": saved(plain(mode), "JPEG", exif=exif()) for mode in ("L", "RGB", "CMYK")}
    made |= {f"webp {mode}": saved(plain(mode), "WEBP", exif=exif()) for mode in ("RGB", "RGBA")}
    made["webp lossless"] = saved(plain("RGBA"), "WEBP", lossless=True)
    made["jpeg progressive"] = saved(plain(), "JPEG", progressive=True)
    made["jpeg of two pictures"] = saved(plain(), "MPO", save_all=True, append_images=[plain()])
    made["png with a colour that is transparent"] = saved(plain("P"), "PNG", transparency=3)
    made["png that moves"] = saved(plain(), "PNG", save_all=True, append_images=[Image.new("RGB", (40, 30), "red")] * 3)
    made["webp that moves"] = saved(plain(), "WEBP", save_all=True, append_images=[Image.new("RGB", (40, 30), "red")] * 3)
    made["png with exif"] = saved(plain(), "PNG", exif=exif())
    return made


def malformed() -> dict[str, bytes]:
    """None of them may be read, and none may do harm."""
    png, jpeg, webp = (saved(plain(), kind) for kind in ("PNG", "JPEG", "WEBP"))
    return {
        "nothing": b"",
        "one byte": b"\x89",
        "text": b"not a picture at all",
        "half a png": png[: len(png) // 2],
        "a png's beginning": png[:20],
        "a png without data": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""),
        "a png of no size": png_that_claims(0, 0),
        "a png whose sums are wrong": png.replace(b"IHDR", b"IHDS"),
        "a png that lacks rows": png_that_claims(4000, 4000, bytes(100)),
        "a png chunk longer than the file": png[:8] + struct.pack(">I", 0x7FFFFFFF) + png[12:],
        "a jpeg's beginning": jpeg[:30],
        "a jpeg's mark alone": b"\xff\xd8\xff",
        "a webp's beginning": webp[:30],
        "a webp of another size than it says": webp[:4] + struct.pack("<I", 7) + webp[8:],
    }


def other_formats() -> dict[str, bytes]:
    """Pillow reads these, and more; each is another decoder to be attacked, so none of them is let in, whatever its name says."""
    made = {kind: saved(plain(), kind) for kind in ("GIF", "BMP", "TIFF", "PPM", "ICO", "PCX", "TGA", "SGI", "EPS", "PDF")}
    made["SVG"] = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>'
    made["a script"] = b"#!/bin/sh\nrm -rf /\n"
    made["a web page"] = b"<!doctype html><script>alert(1)</script>"
    return made


def bombs() -> dict[str, bytes]:
    """Little to send, much to unpack."""
    return {
        "more pixels than are read": png_that_claims(8000, 5001),
        "the most a header can say": png_that_claims(2**31 - 1, 2**31 - 1),
        "more than the product holds": png_that_claims(65_537, 65_537),
        "one very long row": png_that_claims(40_000_001, 1),
        "a kilobyte a million times": png_that_claims(20_000, 20_000, bytes(10**6)),
    }


def with_text(key: bytes, size: int) -> bytes:
    """A PNG whose packed text unpacks to so many bytes."""
    png = saved(plain(), "PNG")
    return png[:33] + chunk(b"zTXt", key + b"\0\0" + zlib.compress(bytes(size), 9)) + png[33:]


def polyglots() -> dict[str, bytes]:
    """Pictures that are something else as well."""
    png, jpeg = saved(plain(), "PNG"), saved(plain(), "JPEG")
    script = b"<script>alert(document.domain)</script>"
    archive = b"PK\x05\x06" + bytes(18)
    return {
        "a png and a web page": png + script,
        "a png and an archive": png + archive,
        "a png with a page in its text": png[:33] + chunk(b"tEXt", b"Comment\0" + script) + png[33:],
        "a png with a chunk of its own": png[:33] + chunk(b"prVt", SECRET + script) + png[33:],
        "a jpeg and a program": jpeg + b"\x7fELF" + script,
        "a jpeg with a page in its comment": jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(script) + 2) + script + jpeg[2:],
    }
