"""How good the model is with pictures beside its words: prompts, styles, sketches, and what is put where something was erased. Part of `training.evaluate`.

Everything goes through the engine as members get it (`training.studio`), in full and in the quick way; what starts from a picture is never drawn quickly. The
pictures that are shown to it are painted scenes of combinations that training left out, and the judge reads what comes of them. All luck is from SEED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.api import Control, ImagePrompt, ImagineRequest
from training import judge, marks
from training.heldout import Asked, Examiner
from training.lines import lines
from training.marks import Mark, Marks, row
from training.places import EDGE
from training.scenes import Painter, Placed, Scene
from training.sketch import agreement
from training.sprites import load
from training.studio import Studio
from training.vocabulary import COLOURS, PLACES, STYLES

#: Seeds of scenes, questions and drawn pictures; no training stage and no other examination uses them.
SEED = 970_000
#: Questions of each kind in a full examination.
PROMPTED, BLENDED, STYLED, SKETCHED, ERASED = 72, 48, 72, 64, 64
#: What a part of a picture is drawn in: the size members see, times the model's own.
SHOWN = 4
#: Levels of 0..255 by which a pixel may differ and still be the same.
SAME = 8


class Pictured:
    """The same judge and painter as the rest of the examination, and the engine. `share` of the questions are asked."""

    def __init__(self, work: Path, model: Path, share: float = 1.0) -> None:
        self.share, self.judge, self.studio, self.painter = share, judge.load(work), Studio(model), Painter(load(work), SEED)
        self.parts: dict[str, tuple[str, Callable[[], Marks]]] = {
            "prompted": ("image_prompt", self.prompted),
            "blended": ("image_prompt", self.blended),
            "styled": ("style", self.styled),
            "sketched": ("control:sketch", self.sketched),
            "erased": ("mask", self.erased),
        }
        self.begin()

    def begin(self, seed: int = SEED) -> None:
        """All luck anew, so that a part is the same with the others and without."""
        self.rng, self.painter.rng = np.random.default_rng(seed), np.random.default_rng(seed)
        self.examiner = Examiner(judge.names(), judge.grounds(), list(STYLES), seed)

    def marks(self) -> Iterator[Marks]:
        """Every part that the model can be asked for, in the table's order."""
        for k, (needs, part) in enumerate(self.parts.values()):
            self.begin(SEED + k)
            if needs in self.studio.can.operations:
                yield part()

    def _some(self, count: int) -> int:
        return max(4, round(count * self.share))

    def _painted(self, asked: Sequence[Asked], scale: int = 1) -> list[Scene]:
        return [self.painter.scene(kind="one", things=each.things, place=each.place, style=each.style, scale=scale) for each in asked]

    def _read(self, requests: Sequence[ImagineRequest]) -> judge.Reading:
        return judge.read(self.judge, self.studio.draw(requests))

    def _both_ways(self, requests: Sequence[ImagineRequest]) -> list[judge.Reading]:
        return [self._read(requests), self._read([self.studio.quick(each) for each in requests])]

    def prompted(self) -> Marks:
        """A picture and no words: what of it is drawn again."""
        asked = self.examiner.singles(self._some(PROMPTED))
        pictures = np.stack([scene.pixels for scene in self._painted(asked)])
        shown = [ImagePrompt(picture=self.studio.hold(picture)) for picture in pictures]
        readings = [judge.read(self.judge, pictures)]
        readings += self._both_ways([self.studio.ask("", SEED + k, image_prompts=(each,)) for k, each in enumerate(shown)])
        things, styles = [_thing(a.things[0]) for a in asked], [list(STYLES).index(a.style) for a in asked]
        # A pencil sketch has no colours: which ground it has is nowhere to be read.
        told = np.array([a.place in PLACES or a.style != "pencil" for a in asked])
        grounds = np.array([judge.grounds().index(a.place) for a in asked])[told].tolist()
        return {
            "image_prompt_thing": row([marks.among(r.things, things) for r in readings]),
            "image_prompt_ground": row([marks.among(r.places[told], grounds) for r in readings]),
            "image_prompt_style": row([marks.among(r.styles, styles) for r in readings]),
        }

    def blended(self) -> Marks:
        """Two pictures and no words (`/blend`): whether one of the two things is what is drawn."""
        asked = self.examiner.singles(2 * self._some(BLENDED))
        pictures = np.stack([scene.pixels for scene in self._painted(asked)])
        shown = [ImagePrompt(picture=self.studio.hold(picture)) for picture in pictures]
        pairs = list(zip(shown[::2], shown[1::2], strict=True))
        readings = self._both_ways([self.studio.ask("", SEED + 1_000 + k, image_prompts=pair) for k, pair in enumerate(pairs)])
        things = [_thing(a.things[0]) for a in asked]
        either = [marks.among(r.things, things[::2]) | marks.among(r.things, things[1::2]) for r in readings]
        return {"blend_thing": replace(row([either[0], *either]), ceiling=None)}

    def styled(self) -> Marks:
        """Words that name no style, and a picture of another thing in another place that has one (`--sref`): its style, and their thing."""
        asked = self.examiner.singles(self._some(STYLED))
        styles = [list(STYLES)[1 + k % (len(STYLES) - 1)] for k in range(len(asked))]  # all but the one it draws unasked
        lent = [replace(a, things=(b.things[0],), place=b.place, style=style) for a, b, style in zip(asked, [*asked[1:], asked[0]], styles, strict=True)]
        words = [_without_style(scene.caption) for scene in self._painted([replace(a, style="3d") for a in asked])]
        pictures = np.stack([scene.pixels for scene in self._painted(lent)])
        shown = [ImagePrompt(picture=self.studio.hold(picture), style=True) for picture in pictures]
        requests = [self.studio.ask(said, SEED + 2_000 + k, image_prompts=(each,)) for k, (said, each) in enumerate(zip(words, shown, strict=True))]
        readings = [judge.read(self.judge, pictures), *self._both_ways(requests)]
        wanted, things = [list(STYLES).index(style) for style in styles], [_thing(a.things[0]) for a in asked]
        named = [marks.among(r.things, things) for r in readings[1:]]
        return {
            "style_reference": row([marks.among(r.styles, wanted) for r in readings]),
            "style_reference_thing": replace(row([named[0], *named]), ceiling=None),
        }

    def sketched(self) -> Marks:
        """A drawing in a pen, and words: whether lines are where the drawing has them, against where the drawing of the next question has them."""
        asked = [replace(a, place=str(self.rng.choice(list(COLOURS)))) for a in self.examiner.singles(self._some(SKETCHED))]
        scenes = self._painted(asked)
        drawings = [penned(scene) for scene in scenes]
        held = [self.studio.hold(np.where(each, 20, 250).astype(np.uint8)[..., None].repeat(3, 2)) for each in drawings]
        requests = [
            self.studio.ask(scene.caption, SEED + 3_000 + k, control=Control(kind="sketch", picture=digest))
            for k, (scene, digest) in enumerate(zip(scenes, held, strict=True))
        ]
        plain = [replace(each, control=None) for each in requests]
        full, quick, free = (self.studio.draw(some) for some in (requests, [self.studio.quick(each) for each in requests], plain))
        wanted = [_thinned(each) for each in drawings]
        right, swift, without = (np.array([agreement(d, w) for d, w in zip(drawn, wanted, strict=True)]) for drawn in (full, quick, free))
        wrong, off = (np.array([agreement(d, w) for d, w in zip(drawn, [*wanted[1:], wanted[0]], strict=True)]) for drawn in (full, quick))
        things = [_thing(a.things[0]) for a in asked]
        seen = [judge.read(self.judge, each) for each in (np.stack([scene.pixels for scene in scenes]), full, quick)]
        return {
            "sketch_lines": Mark(float(right.mean()), len(asked), quick=float(swift.mean()), note=f"{without.mean():.2f} when the drawing is not shown"),
            "sketch_wrong_lines": Mark(float(wrong.mean()), len(asked), quick=float(off.mean())),
            "sketch_thing": row([marks.among(r.things, things) for r in seen]),
        }

    def erased(self) -> Marks:
        """Another thing where one is erased from a picture of the size members see: whether it is there, and whether the rest stays as it was."""
        asked = [replace(a, place=str(self.rng.choice(list(PLACES)))) for a in self.examiner.singles(self._some(ERASED))]
        wished = [replace(a, things=(str(w),)) for a, w in zip(asked, self.rng.permutation([a.things[0] for a in asked]), strict=True)]
        before, words = self._painted(asked, SHOWN), [scene.caption for scene in self._painted(wished)]
        masks = np.stack([_square(scene.things[0]) for scene in before])
        far = self.studio.can.strengths["region"]
        requests = [
            self.studio.ask(said, SEED + 4_000 + k, source=self.studio.hold(scene.pixels), mask=self.studio.hold(mask), strength=far, enlarge=SHOWN)
            for k, (said, scene, mask) in enumerate(zip(words, before, masks, strict=True))
        ]
        drawn = self.studio.draw(requests)
        sources = np.stack([scene.pixels for scene in before])
        same = (np.abs(drawn.astype(int) - sources).max(3) <= SAME) & (masks == 0)
        seen, painted = judge.read(self.judge, shrunk(drawn)), judge.read(self.judge, shrunk(sources))
        things, was = [_thing(a.things[0]) for a in wished], [_thing(a.things[0]) for a in asked]
        places = [judge.grounds().index(a.place) for a in asked]
        still = f"{100 * marks.among(seen.things, was).mean():.1f} % still show the erased thing"
        return {
            "region_thing": Mark(float(marks.among(seen.things, things).mean()), len(asked), note=still),
            "region_place": row([marks.among(r.places, places) for r in (painted, seen)]),
            "region_rest": Mark(float(same.sum() / (masks == 0).sum()), len(asked)),
        }


# ------------------------------------------------------------------------------------------------ pictures


def _thing(name: str) -> int:
    return judge.names().index(name)


def _without_style(caption: str) -> str:
    """A caption of the house style, which it need not name."""
    for said in STYLES["3d"]:
        caption = caption.removeprefix(f"{said} of ").removesuffix(f", {said}")
    return caption


def penned(scene: Scene) -> NDArray[np.bool_]:
    """What somebody would draw of its things with a pen three pixels wide, (H, W): their lines, not the scenery's."""
    found = lines(scene.pixels, "edges") & (_covered(scene.things, EDGE) > 0)
    wide = torch.nn.functional.max_pool2d(torch.from_numpy(found)[None, None].float(), 3, 1, 1)
    return wide[0, 0].numpy() > 0


def _thinned(drawing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The middle of its strokes."""
    kept = -torch.nn.functional.max_pool2d(-torch.from_numpy(drawing)[None, None].float(), 3, 1, 1)
    return kept[0, 0].numpy() > 0


def _covered(things: Sequence[Placed], edge: int) -> NDArray[np.uint8]:
    """255 where things stand, on a square canvas of that many pixels."""
    mask, by = np.zeros((edge, edge), np.uint8), edge // EDGE
    for each in things:
        mask[by * each.y : by * (each.y + each.edge), by * each.x : by * (each.x + each.edge)] = 255
    return mask


def _square(thing: Placed) -> NDArray[np.uint8]:
    return _covered([thing], SHOWN * EDGE)


def shrunk(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As the judge reads them: (N, H, W, 3) → (N, EDGE, EDGE, 3)."""
    return np.stack([np.asarray(Image.fromarray(each).resize((EDGE, EDGE), Image.Resampling.BOX)) for each in pictures])
