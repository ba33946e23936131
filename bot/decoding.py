"""The program that reads strangers' pictures: a process of its own, with bounds on its memory and time. Started by `bot.uploads`, which alone speaks to it.
Its bounds are those of `bot.provenance.reading`, too.

A decoder is the largest piece of C that a stranger's bytes reach. What goes wrong in one happens here: the process has no secrets (its environment is made
for it), no database, no files that it could write, and is started anew after a fault. Over its standard input and output go frames of `TASK` or `ANSWER` and
so many bytes; it ends when its input does, so it never outlives the bot.
"""

from __future__ import annotations

import io
import struct
import sys
import warnings
from enum import IntEnum

from PIL import Image, MpoImagePlugin, PngImagePlugin, TiffImagePlugin

from engine import codec

MEMORY = 1536 * 2**20  #: bytes of address space: a picture of the most pixels with transparency takes three copies of 160 MB on its way, beside libraries
SECONDS = 20  #: of processor time for one picture
MAX_CLAIM = 1500  #: characters of a strange file's own parameters that are repeated
READY = b"ready"

#: What Pillow would load at the first picture that needs it, when no file can be opened any more.
LOADED = (MpoImagePlugin, PngImagePlugin, TiffImagePlugin)

TASK = struct.Struct(">BII")  #: what is asked (`Ask`), the longest edge in pixels, bytes that follow
ANSWER = struct.Struct(">BIII")  #: what came of it (`Said`), width, height, bytes that follow


class Ask(IntEnum):
    PICTURE = 1
    PARAMETERS = 2


class Said(IntEnum):
    DONE = 1
    UNREADABLE = 2
    TOO_LARGE = 3


class Unreadable(Exception):
    """No PNG, JPEG or WebP that can be decoded."""


class TooLarge(Exception):
    """More pixels than are read."""


def normalise(data: bytes, edge: int) -> tuple[bytes, int, int]:
    """A stranger's file → (RGB, width, height), upright and at most `edge` pixels long, of its first frame. Raises Unreadable, TooLarge.

    What comes out is the pixels alone, a byte for each of three colours: no metadata, no file that is also something else, nothing to be decoded again.
    """
    try:
        with Image.open(io.BytesIO(data), formats=codec.FORMATS) as image:  # the header only: a bomb is refused before it is decoded
            too_large = image.width * image.height > codec.MAX_PIXELS
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        too_large = True
    except Exception as error:  # Pillow raises anything on a stranger's bytes
        raise Unreadable from error
    if too_large:
        raise TooLarge
    try:
        picture = codec.decode(data)
        picture.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        return picture.tobytes(), picture.width, picture.height
    except Exception as error:
        raise Unreadable from error


def parameters(data: bytes) -> str:
    """The text that most programs leave in a PNG, at most MAX_CLAIM characters; empty where there is none. Never raises."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            found = image.info.get("parameters", "")
    except Exception:  # Pillow raises anything on a stranger's bytes
        return ""
    return found[:MAX_CLAIM] if isinstance(found, str) else ""


def answer(ask: int, edge: int, data: bytes) -> bytes:
    """The whole frame that answers a task."""
    if ask == Ask.PARAMETERS:
        said = parameters(data).encode("utf-8", "replace")
        return ANSWER.pack(Said.DONE, 0, 0, len(said)) + said
    try:
        pixels, width, height = normalise(data, edge)
    except TooLarge:
        return ANSWER.pack(Said.TOO_LARGE, 0, 0, 0)
    except Unreadable:
        return ANSWER.pack(Said.UNREADABLE, 0, 0, 0)
    return ANSWER.pack(Said.DONE, width, height, len(pixels)) + pixels


def confine() -> None:
    """Bounds that this process cannot lift again. Raises OSError, ValueError, ImportError where the system cannot set one: then nothing is decoded.

    No file and no socket can be opened any more: what took over a decoder could neither read the operator's files nor call anybody.
    """
    import resource  # there is none on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold what members sent
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # the three there are
    if sys.platform != "darwin":  # which says that it does not know this one
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def grant(seconds: int = SECONDS) -> None:
    """So many seconds of processor time from now on; past them the system ends the process."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    wanted, most = int(used.ru_utime + used.ru_stime) + seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _strictly() -> None:
    """What Pillow only warns of is an error, and what is loaded at a first picture is loaded now, while files can still be opened."""
    Image.MAX_IMAGE_PIXELS = codec.MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    turned = Image.Exif()
    turned[0x0112] = 6
    for kind in codec.FORMATS:
        for mode in ("RGB", "CMYK" if kind == "JPEG" else "RGBA", "I;16" if kind == "PNG" else "L"):
            out = io.BytesIO()
            Image.new(mode, (8, 8)).save(out, kind, exif=turned)
            normalise(out.getvalue(), 4)
            parameters(out.getvalue())


def main() -> None:
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _strictly()
    confine()
    sink.write(READY)
    sink.flush()
    while len(head := source.read(TASK.size)) == TASK.size:
        ask, edge, length = TASK.unpack(head)
        data = source.read(length)
        if len(data) != length:
            return
        grant()
        sink.write(answer(ask, edge, data))
        sink.flush()


if __name__ == "__main__":
    main()
