"""What the pocket model reached, for people (`python -m training.report WORK engine/pocket`): the table of figures, and pages of samples.

The table goes into the model's README and the project's, between `<!-- figures -->` and `<!-- /figures -->`; it is made of the "evaluation" that
`training.evaluate` left in the model's metrics.json. The samples are 8 × 8 pictures a style, prompts and seeds by a rule and nothing picked, in `docs/pocket/`.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.artist import Artist
from training.export import manifest
from training.heldout import Examiner
from training.scenes import Painter, sheet
from training.sprites import load as load_sprites
from training.vocabulary import COLOURS, PLACES, STYLES

ROOT = Path(__file__).parent.parent
OPENS, CLOSES = "<!-- figures -->", "<!-- /figures -->"
#: Bytes a page of samples may take.
PAGE = 250_000
#: Seeds of the pages of samples.
SEED = 7_100


@dataclass(frozen=True, slots=True)
class Goal:
    what: str
    target: float | None = None  #: None: only told
    unit: str = "share"  #: share (told in percent), ratio, seconds
    most: bool = False  #: the target is the most it may be, rather than the least


#: The rows of the table, by their keys in metrics.json.
GOALS: dict[str, Goal] = {
    "object_top1": Goal("single named object, the judge's first guess of the whole vocabulary", 0.80),
    "object_top5": Goal("… among its first five", 0.93),
    "two_objects": Goal("two objects, both right", 0.60),
    "place": Goal("place, of all places and colours", 0.95),
    "style": Goal("style, of all styles", 0.95),
    "background_colour": Goal("named background colour", 0.95),
    "synonyms_top5": Goal("words that no caption has, among the first five", 0.60),
    "count": Goal("count 1, 2, 3, and of the right thing", 0.80),
    "left_right": Goal("left or right of, both things right too", 0.80),
    "above_below": Goal("above or below, both things right too", 0.80),
    "diversity": Goal("diversity within a grid of 4, against the training set's own", 0.7, "ratio"),
    "quick_student": Goal("4-step student, of the full model's object score", 0.95, "ratio"),
    "plain_4_steps": Goal("no 4-step student: the full model in 4 steps, of its own object score", None, "ratio"),
    "draft_student": Goal("one-step draft, of the full model's object score", 0.75, "ratio"),
    "plain_1_step": Goal("no one-step student: the full model in one step, of its own object score", None, "ratio"),
    "retrieval_r1": Goal("words ⇄ pictures on unseen scenes, R@1", 0.70),
    "retrieval_r5": Goal("words ⇄ pictures on unseen scenes, R@5", 0.92),
    "describe": Goal("`/describe` names the object", 0.80),
    "near_copies": Goal("near copies of a training scene", 0.01, most=True),
    "inpainting_thing": Goal("inpainting: the new thing stands where the old one was erased"),
    "inpainting_place": Goal("inpainting: the place around it is still right"),
    "image_prompt_thing": Goal("a picture for a prompt, and no words: its thing is drawn again"),
    "image_prompt_ground": Goal("… its place or colour"),
    "image_prompt_style": Goal("… its style"),
    "blend_thing": Goal("`/blend` of two pictures, and no words: one of the two things is drawn"),
    "style_reference": Goal("`--sref`: the picture's style, under words that name none"),
    "style_reference_thing": Goal("… and the words' thing"),
    "sketch_lines": Goal("sketch: lines are where the sketch has them (F1, within 2 pixels)", unit="ratio"),
    "sketch_wrong_lines": Goal("… where another sketch has them", unit="ratio"),
    "sketch_thing": Goal("… and the words' thing"),
    "region_thing": Goal("erased at 512, as members do it: the new thing stands there"),
    "region_place": Goal("… the place around it is still right"),
    "region_rest": Goal("… pixels outside of what was erased that stay as they were"),
    "seconds_grid": Goal("a grid of 4, as members get it by default", 2.0, "seconds", most=True),
    "seconds_draft": Goal("a draft of 1", 0.5, "seconds", most=True),
    "seconds_upscale": Goal("128 → 512 px", 2.0, "seconds", most=True),
}


# ------------------------------------------------------------------------------------------------ the table


def reached(goal: Goal, value: float | None) -> bool | None:
    """Whether the goal is met; None where there is no goal or no figure."""
    if value is None or goal.target is None:
        return None
    return value < goal.target if goal.most else value >= goal.target


def _told(value: float | None, unit: str, digits: int = 1) -> str:
    if value is None:
        return "–"
    return {"share": f"{100 * value:.{digits}f} %", "ratio": f"{value:.2f}", "seconds": f"{value:.2f} s"}[unit]


def table(evaluation: Mapping[str, Any]) -> str:
    """The rows that were measured, in Markdown: what, to reach, reached, in quick steps, the judge's own, of how many."""
    lines = ["| what | to reach | reached | in quick steps | painted scenes, by the same judge | of |", "|---|---|---|---|---|---|"]
    for key, goal in GOALS.items():
        if key not in evaluation:
            continue
        row = evaluation[key]
        met = {True: " ✓", False: " (short)", None: ""}[reached(goal, row["value"])]
        value = row.get("note", "–") if row["value"] is None else _told(row["value"], goal.unit) + met
        target = "" if goal.target is None else ("< " if goal.most else "≥ ") + _told(goal.target, goal.unit, 0)
        lines.append(f"| {goal.what} | {target} | {value} | {_told(row.get('quick'), goal.unit)} | {_told(row.get('ceiling'), goal.unit)} | {row['count']} |")
    return "\n".join(lines) + "\n"


def filled(text: str, inside: str) -> str:
    """`text` with `inside` between its markers. Raises ValueError when it has none."""
    if OPENS not in text or CLOSES not in text:
        raise ValueError(f"no {OPENS} … {CLOSES} to write between")
    before, rest = text.split(OPENS, 1)
    return f"{before}{OPENS}\n{inside.strip()}\n{CLOSES}{rest.split(CLOSES, 1)[1]}"


def write_figures(evaluation: Mapping[str, Any], model: Path) -> None:
    """Put the evaluation into the model's metrics.json, and bring its manifest up to date."""
    path = model / "metrics.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | {"evaluation": evaluation}, indent=1) + "\n")
    (model / "MANIFEST.sha256").write_text(manifest(model))


def write_tables(model: Path, readme: Path) -> None:
    """Fill the table into the model's README and the project's, and bring the model's manifest up to date."""
    text = table(json.loads((model / "metrics.json").read_text())["evaluation"])
    for path in (model / "README.md", readme):
        path.write_text(filled(path.read_text(), text))
    (model / "MANIFEST.sha256").write_text(manifest(model))


# ------------------------------------------------------------------------------------------------ samples


def page(pictures: list[np.ndarray], most: int = PAGE) -> bytes:
    """A contact sheet of 8 columns as WebP of at most `most` bytes, as good as fits. Raises ValueError when even the coarsest does not."""
    whole: Image.Image = sheet(pictures, 8)
    for quality in (90, 80, 70, 60, 50, 40, 30, 20, 10):
        whole.save(out := io.BytesIO(), "WEBP", quality=quality, method=6)
        if out.tell() <= most:
            return out.getvalue()
    raise ValueError(f"the page does not fit into {most} bytes")


def prompts_of(painter: Painter, style: str, count: int = 64) -> list[str]:
    """What a page shows: from the combinations kept out of training, of each row of eight five of one thing, one of several and two pairs."""
    examiner = Examiner(painter.names, [*PLACES, *COLOURS], [style], SEED)
    kinds = [examiner.singles(count), examiner.counts(count), examiner.pairs(count, ("and", "left", "right", "above", "below"))]
    out = []
    for k in range(count):
        asked = kinds[(0, 0, 1, 0, 2, 0, 0, 2)[k % 8]][k]
        scene = painter.scene(kind=asked.kind, things=asked.things, place=asked.place, style=style, relation=asked.relation or None, count=asked.count)
        out.append(scene.caption)
    return out


def write_samples(work: Path, model: Path, docs: Path, count: int = 64) -> None:
    """One page a style in `docs/pocket/`, and `docs/pocket.md`, which shows them with their prompts."""
    artist = Artist(model)
    (docs / "pocket").mkdir(parents=True, exist_ok=True)
    way = artist.usual
    parts = [
        "# Samples of the pocket model\n",
        f"Made by `python -m training.report`: for each style, {count} prompts drawn by lot from combinations that training left out, "
        f"in {way.steps} steps as members get them by default, at the model's own size, each with the seed of its place on the page. Nothing was picked.\n",
        "How good it is, with words and with pictures beside them or instead of them: [the figures](../engine/pocket/README.md#figures).\n",
    ]
    for number, style in enumerate(STYLES):
        prompts = prompts_of(Painter(load_sprites(work), SEED + number), style, count)
        pictures = artist.draw(prompts, [SEED + k for k in range(count)], way)
        (docs / "pocket" / f"{style}.webp").write_bytes(page(list(pictures)))
        listed = "\n".join(f"{k + 1}. {prompt}" for k, prompt in enumerate(prompts))
        parts.append(f"## {STYLES[style][0]}\n\n![{count} pictures, {STYLES[style][0]}](pocket/{style}.webp)\n")
        parts.append(f"<details><summary>The prompts, row by row</summary>\n\n{listed}\n\n</details>\n")
    (docs / "pocket.md").write_text("\n".join(parts))


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("model", type=Path)
    parse.add_argument("--samples", action="store_true", help="also draw the pages of samples")
    given = parse.parse_args()
    write_tables(given.model, ROOT / "README.md")
    if given.samples:
        write_samples(given.work, given.model, ROOT / "docs")
