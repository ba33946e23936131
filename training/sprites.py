"""Emoji artwork from registry packages → RGBA sprites, one a thing and artwork style (`python -m training.sprites`).

Sources (NOTICE.md has the licences): Fluent Emoji 3D (MIT), Noto Emoji (Apache-2.0), names from emojibase-data (MIT).
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.vocabulary import THINGS

PACKAGES = {
    "fluent3d": "@lobehub/fluent-emoji-3d@1.1.0",
    "noto": "@iconify-json/noto@1.2.9",
    "names": "emojibase-data@17.0.0",
}
#: Edge of a sprite in pixels.
EDGE = 256


def fetch(folder: Path) -> None:
    """Download and unpack the packages with `npm pack` into `folder/<key>/package`, skipping what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, spec in PACKAGES.items():
        if (folder / key).exists():
            continue
        run = subprocess.run(["npm", "pack", "--silent", spec], cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603, S607
        with tarfile.open(folder / run.stdout.strip().splitlines()[-1]) as archive:
            archive.extractall(folder / key, filter="data")


def _svg(icons: dict[str, Any], name: str) -> Image.Image:
    import resvg_py

    icon = icons["icons"][name]
    width, height = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
    body = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" width="{EDGE}" height="{EDGE}">{icon["body"]}</svg>'
    )
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=body, width=EDGE, height=EDGE)))).convert("RGBA")


def _square(picture: Image.Image) -> Image.Image:
    """Crop to what is drawn and pad to a square, so every thing fills its sprite alike."""
    box = picture.getbbox()
    cut = picture.crop(box) if box else picture
    edge = max(cut.size)
    out = Image.new("RGBA", (edge, edge))
    out.paste(cut, ((edge - cut.width) // 2, (edge - cut.height) // 2))
    return out.resize((EDGE, EDGE), Image.Resampling.LANCZOS)


def render(folder: Path) -> dict[tuple[str, str], np.ndarray]:
    """{(thing, artwork): uint8 RGBA of EDGE × EDGE} for artworks 3d and cartoon; things without one of them are left out."""
    names = {e["label"]: e["hexcode"].lower() for e in json.loads((folder / "names/package/en/data.json").read_text())}
    sets = {style: [json.loads((folder / key / "package" / f).read_text()) for f in ("chars.json", "icons.json")] for style, key in (("cartoon", "noto"),)}
    assets = folder / "fluent3d/package/assets"
    out: dict[tuple[str, str], np.ndarray] = {}
    for label, words in THINGS.items():
        code = names.get(label)
        if code is None:
            raise KeyError(f"no emoji is labelled {label!r}")
        forms = [code, code.replace("-fe0f", ""), code + "-fe0f"]
        found: dict[str, Image.Image] = {}
        path = next((p for f in forms if (p := assets / f"{f}.webp").exists()), None)
        if path:
            found["3d"] = Image.open(path).convert("RGBA")
        for style, (chars, icons) in sets.items():
            name = next((chars[f] for f in forms if f in chars), None)
            if name and name in icons["icons"]:
                found[style] = _svg(icons, name)
        for style, picture in found.items():
            out[words[0], style] = np.asarray(_square(picture))
        if len(found) < 2:
            print(f"{label}: only {sorted(found)}")
    return out


def stand_ins() -> dict[tuple[str, str], np.ndarray]:
    """Discs of different colours and sizes in place of artwork, for a rehearsal without a network."""
    rows, columns = np.mgrid[:EDGE, :EDGE] - EDGE / 2 + 0.5
    out = {}
    for k, words in enumerate(THINGS.values()):
        for style in ("3d", "cartoon"):
            picture = np.zeros((EDGE, EDGE, 4), np.uint8)
            picture[np.hypot(rows, columns) < EDGE * (0.2 + 0.3 * (k % 7) / 7)] = (37 * k % 256, 91 * k % 256, 153 * k % 256, 255)
            out[words[0], style] = picture
    return out


def load(work: Path, rehearsal: bool = False) -> dict[tuple[str, str], np.ndarray]:
    """The sprites, from `work/sprites.npz` when it is there, else rendered (or stood in for) and kept there."""
    cache = work / "sprites.npz"
    if not cache.exists():
        if not rehearsal:
            fetch(work / "packages")
        found = stand_ins() if rehearsal else render(work / "packages")
        np.savez(cache, **{f"{thing}|{style}": a for (thing, style), a in found.items()})  # type: ignore[arg-type]
    with np.load(cache) as data:
        return {(key.split("|")[0], key.split("|")[1]): data[key] for key in data.files}


if __name__ == "__main__":
    import sys

    sprites = load(Path(sys.argv[1]))
    print(len(sprites), "sprites of", len({t for t, _ in sprites}), "things")
