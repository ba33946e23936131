"""A picture's fingerprint: 64 bits that stay nearly the same when a chat encodes the picture anew or makes it smaller. Pure; blocking.

The signs of its lowest frequencies: grey, 32 × 32 pixels, a discrete cosine transform (type II), the 64 lowest coefficients without the mean, each
compared with their median. After C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section 3.2.

It is evidence, not proof: it does not survive more than a slight crop, a turn or a mirror, and two pictures of one composition can be near. What it
catches is measured by `tests/unit/test_provenance_fingerprint.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine import codec

BITS = 64
EDGE = 32  #: pixels
NEAR = 6  #: bits in which two pictures that are the same may differ
FLAT = 2.0  #: a picture whose grey values spread less than this has no fingerprint: all such are alike


def of(data: bytes) -> str:
    """16 hexadecimal digits; empty for a picture of one colour. Raises `engine.api.BadInput`."""
    return of_image(codec.decode(data))


def of_image(image: Image.Image) -> str:
    grey = np.asarray(image.convert("L").resize((EDGE, EDGE), Image.Resampling.LANCZOS, reducing_gap=3.0), dtype=np.float64)
    if grey.std() < FLAT:
        return ""
    spectrum = _BASIS @ grey @ _BASIS.T
    lowest = spectrum[_ROWS, _COLUMNS]
    bits = lowest > np.median(lowest)
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"


def distance(one: str, other: str) -> int:
    """In how many of 64 bits two fingerprints differ; all of them where one is missing."""
    if not one or not other:
        return BITS
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _basis() -> NDArray[np.float64]:
    """The transform of a column of EDGE values."""
    k, n = np.arange(EDGE)[:, None], np.arange(EDGE)[None, :]
    return np.asarray(np.cos(np.pi * k * (2 * n + 1) / (2 * EDGE)))


_BASIS = _basis()
#: The 64 lowest frequencies by row + column, the mean left out.
_LOWEST = sorted(((row, column) for row in range(12) for column in range(12) if row + column), key=lambda at: (at[0] + at[1], at))[:BITS]
_ROWS, _COLUMNS = np.array([at[0] for at in _LOWEST]), np.array([at[1] for at in _LOWEST])
