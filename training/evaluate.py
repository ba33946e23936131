"""How good the model is (`python -m training.evaluate WORK engine/pocket`, `make pocket-eval`): every row of the table in its README, measured.

Prompts come from combinations of thing, place and style that training left out, and from words no caption has (`training.heldout`). The shipped model draws
them through stock pipelines, in full and in the quick way members get by default; a judge that was trained apart (`training.judge`) reads the pictures. The
same judge reads freshly painted scenes of the same prompts: what it says of those is the most a perfect generator could get.
Pictures beside the words, or instead of them, are examined by `training.evaluate_pictures`. Results go into the model's metrics.json under "evaluation",
one key a row. `--quick` asks a fifth of the questions, `--pictures` those about pictures alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from training import dataset, judge, marks, report
from training.artist import Artist, Pictures, Way
from training.evaluate_pictures import Pictured
from training.heldout import Asked, Examiner
from training.marks import Mark as Mark
from training.marks import Marks, row
from training.places import EDGE
from training.scenes import Painter, Scene, article, sentence, where_of
from training.sprites import load as load_sprites
from training.vocabulary import COLOURS, PLACES, STYLES

#: Seeds of prompts, of painted answers and of drawn pictures; no training stage uses them.
SEED = 960_000
#: Questions of each kind in a full examination.
SINGLES, PAIRS, COUNTS, CAPTIONS, ERASED, SEEN = 300, 120, 90, 24, 48, 1_000
GRID = 4


class Examination:
    """The examiners' room: the model, the judge, a painter who knows the right answers. `share` of the questions are asked."""

    def __init__(self, work: Path, model: Path, share: float = 1.0) -> None:
        self.work, self.model, self.share = work, model, share
        self.artist, self.judge = Artist(model), judge.load(work)
        self.painter = Painter(load_sprites(work), SEED)
        self.rng = np.random.default_rng(SEED)
        self.examiner = Examiner(judge.names(), judge.grounds(), list(STYLES), SEED)
        self._drawn: list[tuple[Pictures, Pictures]] = []  # of places: drawn, and painted for the same prompts

    def marks(self) -> Iterator[Marks]:
        """Every part of the examination, in the table's order."""
        for part in (self.singles, self.pairs, self.words, self.counts, self.grids, self.sight, self.copies, self.erased, self.speed):
            yield part()

    def _some(self, count: int) -> int:
        return max(4, round(count * self.share))

    def answer(self, asked: Sequence[Asked]) -> tuple[list[str], list[Scene]]:
        """Each question's prompt, and the scene a painter makes of it."""
        prompts, scenes = [], []
        for each in asked:
            scene = self.painter.scene(kind=each.kind, things=each.things, place=each.place, style=each.style, relation=each.relation or None, count=each.count)
            said = str(self.rng.choice(STYLES[each.style]))
            prompts.append(sentence(article(each.word), where_of(each.place, self.rng), said, self.rng) if each.word else scene.caption)
            scenes.append(scene)
        return prompts, scenes

    def read(self, asked: Sequence[Asked], first: int, ways: Sequence[Way]) -> list[judge.Reading]:
        """What the judge sees in the answers: painted, then drawn in each of the ways. Seeds are counted from `first`."""
        prompts, scenes = self.answer(asked)
        painted = np.stack([scene.pixels for scene in scenes])
        drawn = [self.artist.draw(prompts, [SEED + first + k for k in range(len(prompts))], way) for way in ways]
        in_places = [scene.place in PLACES for scene in scenes]
        self._drawn.append((drawn[0][in_places], painted[in_places]))
        return [judge.read(self.judge, pictures) for pictures in (painted, *drawn)]

    def singles(self) -> Marks:
        """One thing each, of all styles; place, style and background colour are read from the same pictures."""
        asked = self.examiner.singles(self._some(SINGLES))
        artist = self.artist
        readings = self.read(asked, 0, [artist.full, artist.quick, artist.draft])
        things, grounds, styles = (
            [judge.names().index(a.things[0]) for a in asked],
            np.array([judge.grounds().index(a.place) for a in asked]),
            np.array([list(STYLES).index(a.style) for a in asked]),
        )
        placed = np.array([a.place in PLACES for a in asked])
        # A pencil sketch has no colours: nothing to read there.
        coloured = np.array([a.place in COLOURS and a.style != "pencil" for a in asked])
        out = {
            "object_top1": row([marks.among(r.things, things) for r in readings]),
            "object_top5": row([marks.among(r.things, things, 5) for r in readings]),
            "place": row([marks.among(r.places[placed], grounds[placed].tolist()) for r in readings]),
            "style": row([marks.among(r.styles, styles.tolist()) for r in readings]),
            "background_colour": row([marks.among(r.places[coloured], grounds[coloured].tolist()) for r in readings]),
        }
        scores = [float(marks.among(r.things, things).mean()) for r in readings[1:]]
        for name, way, plain, score in (("quick", artist.quick, "plain_4_steps", scores[1]), ("draft", artist.draft, "plain_1_step", scores[2])):
            key = f"{name}_student" if way.adapter else plain
            out[key] = Mark(score / max(scores[0], 1e-9), len(asked), note=f"{100 * score:.1f} % in {way.steps} steps, {100 * scores[0]:.1f} % in full")
        return out

    def pairs(self) -> Marks:
        """Two things: both there, and where they stand to each other."""
        asked = self.examiner.pairs(self._some(PAIRS), ("and", "left", "above", "and", "right", "below"))
        readings = self.read(asked, 1_000, [self.artist.full, self.artist.quick])
        wanted = [(judge.names().index(a.things[0]), judge.names().index(a.things[1])) for a in asked]
        both = [marks.both(r.things, wanted) for r in readings]
        out = {"two_objects": row(both)}
        for key, relations in (("left_right", ("left", "right")), ("above_below", ("above", "below"))):
            which = [k for k, a in enumerate(asked) if a.relation in relations]
            right = []
            for reading, there in zip(readings, both, strict=True):
                at = [(marks.middle(reading.cells[k, wanted[k][0]]), marks.middle(reading.cells[k, wanted[k][1]])) for k in which]
                right.append(np.array([there[k] and marks.stands(*spots, asked[k].relation) for k, spots in zip(which, at, strict=True)]))
            out[key] = row(right)
        return out

    def words(self) -> Marks:
        """Words that no caption has."""
        asked = self.examiner.words()
        asked = asked if self.share == 1 else asked[:: round(1 / self.share)]
        things = [judge.names().index(a.things[0]) for a in asked]
        readings = self.read(asked, 2_000, [self.artist.full, self.artist.quick])
        first = marks.among(readings[1].things, things)
        understood = row([marks.among(r.things, things, 5) for r in readings])
        missed = [a.word for a, right in zip(asked, marks.among(readings[1].things, things, 5), strict=True) if not right]
        return {"synonyms_top5": replace(understood, note=f"{100 * first.mean():.1f} % as the first guess; not understood: {', '.join(missed)}")}

    def counts(self) -> Marks:
        """One, two and three of a kind: the right thing, and as many."""
        asked = self.examiner.counts(self._some(COUNTS))
        things, counts = [judge.names().index(a.things[0]) for a in asked], [a.count - 1 for a in asked]
        readings = self.read(asked, 3_000, [self.artist.full, self.artist.quick])
        return {"count": row([marks.among(r.things, things) & marks.among(r.counts, counts) for r in readings])}

    def grids(self) -> Marks:
        """How unlike the four pictures of a grid are, against four painted scenes of the same caption; captions from the training set."""
        known = [each for each in dataset.words(self.work) if each["kind"] == "one"]
        captions = [known[k] for k in self.rng.permutation(len(known))[: self._some(CAPTIONS)] for _ in range(GRID)]
        asked = [Asked(kind="one", things=(each["things"][0][0],), place=each["place"], style=each["style"]) for each in captions]
        painted = self.answer(asked)[1]
        pictures = np.stack([scene.pixels for scene in painted])
        prompts, seeds = [each["caption"] for each in captions], [SEED + 4_000 + k for k in range(len(captions))]
        drawn = [self.artist.draw(prompts, seeds, way) for way in (self.artist.full, self.artist.quick)]
        in_places = [each["place"] in PLACES for each in captions]
        self._drawn.append((drawn[0][in_places], pictures[in_places]))
        spreads = []
        for each in (pictures, *drawn):
            features = judge.read(self.judge, each).features
            spreads.append(float(np.mean([marks.spread(features[k : k + GRID]) for k in range(0, len(features), GRID)])))
        return {"diversity": Mark(spreads[1] / spreads[0], len(captions) // GRID, quick=spreads[2] / spreads[0])}

    def sight(self) -> Marks:
        """The shipped image-text model on unseen painted scenes: captions found by pictures and pictures by captions, and the object's name."""
        if not (self.model / "sight" / "config.json").exists():
            return {key: Mark(None, 0, note="there is no sight/ in this model") for key in ("retrieval_r1", "retrieval_r5", "describe")}
        from training import sight
        from training.claims import Claims

        eyes, scenes = sight.Eyes(self.model), [self.painter.scene() for _ in range(self._some(SEEN))]
        pictures, captions = np.stack([scene.pixels for scene in scenes]), [scene.caption for scene in scenes]
        near = (eyes.see(pictures) @ eyes.read(captions).T).numpy()
        claims, everyone = Claims.of([sight.datasetrow(scene) for scene in scenes], eyes.names), torch.arange(len(scenes))
        # A caption that is just as true of the picture is no mistake.
        right = claims.fits(everyone, everyone).numpy().astype(bool)
        lone = [k for k, scene in enumerate(scenes) if scene.kind == "one"]
        named = marks.among(eyes.scores(pictures[lone])[0].numpy(), [eyes.names.things.index(scenes[k].things[0].name) for k in lone])
        strict = 100 * marks.recall(near, np.eye(len(scenes), dtype=bool), 1)
        return {
            "retrieval_r1": Mark(marks.recall(near, right, 1), len(scenes), note=f"{strict:.1f} % when only the very own caption counts"),
            "retrieval_r5": Mark(marks.recall(near, right, 5), len(scenes)),
            "describe": Mark(float(named.mean()), len(lone)),
        }

    def copies(self) -> Marks:
        """Drawn pictures that are nearer to a training scene than any freshly painted one is. Plain grounds are left out: there, equal scenes are no news."""
        store = np.concatenate([marks.thumbnails(np.asarray(part[k : k + 500])) for part in dataset.pixels(self.work) for k in range(0, len(part), 500)])
        drawn, painted = (marks.nearest(marks.thumbnails(np.concatenate(each)), store) for each in zip(*self._drawn, strict=True))
        near = marks.copies(drawn, painted)
        levels = f"nearest at {drawn.min():.1f} levels (median {np.median(drawn):.1f}), of painted ones {painted.min():.1f} ({np.median(painted):.1f})"
        return {"near_copies": Mark(float(near.mean()), len(near), note=f"of {len(store)} scenes; {levels}")}

    def erased(self) -> Marks:
        """Another thing in the place of one that was erased from a painted scene."""
        asked = [replace(a, place=str(self.rng.choice(list(PLACES)))) for a in self.examiner.singles(self._some(ERASED))]
        wished = self.rng.permutation([a.things[0] for a in asked])
        before, after = self.answer(asked)[1], self.answer([replace(a, things=(str(w),)) for a, w in zip(asked, wished, strict=True)])
        masks = np.zeros((len(asked), EDGE, EDGE), bool)
        for mask, scene in zip(masks, before, strict=True):
            thing = scene.things[0]
            mask[thing.y : thing.y + thing.edge, thing.x : thing.x + thing.edge] = True
        drawn = self.artist.repaint(np.stack([s.pixels for s in before]), masks, after[0], [SEED + 5_000 + k for k in range(len(asked))])
        seen, painted = judge.read(self.judge, drawn), judge.read(self.judge, np.stack([s.pixels for s in after[1]]))
        things, places = [judge.names().index(str(w)) for w in wished], [judge.grounds().index(a.place) for a in asked]
        return {
            "inpainting_thing": row([marks.among(r.things, things) for r in (painted, seen)]),
            "inpainting_place": row([marks.among(r.places, places) for r in (painted, seen)]),
        }

    def speed(self) -> Marks:
        """Seconds on this machine as it is now, the median of three: a grid as members get it, a draft, an enlargement."""
        artist, threads = self.artist, f"{torch.get_num_threads()} threads"
        grid = _median(lambda: artist.draw(["a fox in the snow"] * GRID, range(GRID), artist.usual))
        draft = _median(lambda: artist.draw(["a fox in the snow"], [0], artist.draft))
        out = {"seconds_grid": Mark(grid, GRID, note=f"{artist.usual.steps} steps, {threads}"), "seconds_draft": Mark(draft, 1, note=threads)}
        folder = self.model / "upscaler"
        if not (folder / "config.json").exists():
            return out | {"seconds_upscale": Mark(None, 0, note="there is no upscaler/ in this model")}
        from training.upscaler import Upscaler

        config = json.loads((folder / "config.json").read_text())
        network = Upscaler(config["channels"], config["blocks"]).eval()
        network.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        picture = torch.rand(1, 3, EDGE, EDGE)
        with torch.inference_mode():
            return out | {"seconds_upscale": Mark(_median(lambda: network(picture)), 1, note=threads)}


def _median(run: Any, times: int = 3) -> float:
    run()
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        spent.append(time.perf_counter() - started)
    return sorted(spent)[times // 2]


def told(found: Marks) -> dict[str, dict[str, Any]]:
    """As metrics.json keeps it: value, target and count of each row, and what else is known of it."""
    out: dict[str, dict[str, Any]] = {}
    for key, mark in found.items():
        more = {"ceiling": mark.ceiling, "quick": mark.quick, "note": mark.note}
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in more.items() if value not in (None, "")}
        value = None if mark.value is None else round(mark.value, 4)
        out[key] = {"value": value, "target": report.GOALS[key].target, "count": mark.count, **rounded}
    return out


def prepare(work: Path, seconds: float = 720, scenes: int = 40_000) -> None:
    """What the examination needs and `work` has not: training's scenes (painted again from their seeds, the same) and the judge."""
    if not dataset.parts(work):
        dataset.paint(work, scenes)
    if not (work / "judge" / "config.json").exists():
        judge.train(work, seconds, 1_000_000)


def evaluate(work: Path, model: Path, quick: bool = False, pictures: bool = False) -> dict[str, dict[str, Any]]:
    """Ask everything and write the answers into the model's metrics.json, and into `work` for the next export; returns them.

    `pictures`: only what `training.evaluate_pictures` asks; the other figures stay as they are.
    """
    started, share = time.time(), 0.2 if quick else 1.0
    found: dict[str, dict[str, Any]] = json.loads((model / "metrics.json").read_text())["evaluation"] if pictures else {}
    for part in chain(() if pictures else Examination(work, model, share).marks(), Pictured(work, model, share).marks()):
        found |= told(part)
        print(f"{time.time() - started:4.0f} s", json.dumps(told(part), ensure_ascii=False), flush=True)
    (work / "metrics.json").write_text(json.dumps({"evaluation": found}, indent=1) + "\n")
    report.write_figures(found, model)
    return found


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("model", type=Path)
    parse.add_argument("--quick", action="store_true", help="a fifth of the questions")
    parse.add_argument("--pictures", action="store_true", help="only what it makes of pictures; the other figures stay as they are")
    given = parse.parse_args()
    prepare(given.work)
    evaluate(given.work, given.model, given.quick, given.pictures)
    print(report.table(json.loads((given.model / "metrics.json").read_text())["evaluation"]))
