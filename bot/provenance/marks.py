"""Marks beside the manifest: IPTC's word for "a model made this" as XMP, which many programs read, and a visible one for who wants it. Pure; blocking.

XMP in PNG: XMP specification part 3, section 1.1.5; the property: IPTC Photo Metadata 2025.1, "Digital Source Type".
"""

from __future__ import annotations

import io
import struct
import zlib
from xml.sax.saxutils import quoteattr

from PIL import Image, ImageDraw, ImageFont

from bot.provenance.manifest import MADE_BY_MODEL, PROGRAM
from engine import codec

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = 33  #: signature, then IHDR: length 4, name 4, data 13, checksum 4
_KEYWORD = b"XML:com.adobe.xmp"


def packet(version: str) -> str:
    """The XMP of a picture that a model made."""
    tool = quoteattr(f"{PROGRAM} {version}")
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f"xmp:CreatorTool={tool} Iptc4xmpExt:DigitalSourceType={quoteattr(MADE_BY_MODEL)}/></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    )


def with_xmp(png: bytes, xmp: str) -> bytes:
    """The same PNG with that packet in it, nothing encoded anew. Anything but a PNG is given back as it is."""
    if not png.startswith(_SIGNATURE) or png[12:16] != b"IHDR":
        return png
    body = b"iTXt" + _KEYWORD + b"\0" + b"\0\0" + b"\0\0" + xmp.encode()  # no compression, no language, no translation
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_HEADER_END] + chunk + png[_HEADER_END:]


def with_label(png: bytes, label: str) -> bytes:
    """The picture with a small label in its lower right corner, its parameters kept. A picture that starts from this one starts from the label too."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
        parameters, image = str(opened.info.get("parameters", "")), opened.convert("RGB")
    size = max(10, min(image.size) // 24)
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(label)
    pad = max(2, size // 3)
    box = (image.width - int(right - left) - 3 * pad, image.height - int(bottom - top) - 3 * pad, image.width - pad, image.height - pad)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(box, radius=pad, fill=(24, 24, 27))
    draw.text((box[0] + pad - left, box[1] + pad - top), label, font=font, fill=(250, 250, 250))
    return codec.encode_png(image, parameters)
