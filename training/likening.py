"""Stage 3: strange words (`python -m training.likening WORK`): a word that no caption has gets the place of the known word that is nearest to it.

MiniLM knows that a hound is nearly a dog, and its student lies near it; but a denoiser that has only ever heard of some hundred things takes what lies between
them for anything at all. So the table of word pieces is settled after `training.text_encoder`: a free word's row becomes that of the known word which the
teacher takes it for, where it is sure; words that would be cut into several pieces get one of their own at the end of the table. No list of synonyms is used
(the examination's words are asked about like any other), and the pieces of captions stay what they are, so nothing trained with the table changes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertModel, BertTokenizer

from training import meanings
from training.scenes import article, sentence, words_for
from training.text_encoder import LENGTH, ordinary_words
from training.vocabulary import COLOURS, PLACES, STYLES, THINGS

#: How near a free word must be to a known one, as a cosine of the teacher's, and how sure it must be that it is this one; for words around our world (of
#: emoji's names and keywords, and of lists), and for the teacher's own.
AROUND, ANYWHERE = (0.4, 0.2), (0.65, 0.75)
#: Words that say how something is or what it does: whoever says them means no other thing. So do most words with these endings.
TELLING = frozenset(
    """new old young four facing female male women woman man men girl boy child bright colorful colourful sharp walk run sit ride drive write win won kick
    swim fly smell smells sleep feel feels offer way public total angle floor eye eyes nose knee neck chest legs ears silver indigo violet dry wet cold
    hot warm small big large huge tiny little long short tall round open closed empty full half double single pair many some happy sad angry funny cute
    beautiful pretty lovely ugly strange weird silly crazy cool nice great good bad fast slow loud quiet silent invisible intelligent sacred royal wise
    rich poor strong weak soft hard smooth rough dark light plain simple modern ancient vintage retro classic famous magic magical scary spooky haunted
    evil mad drunk sick dead alive wild tame free busy lazy sleepy hungry lust mercy focus spell view entry address notice rise fallen born selling treat
    ripe secure protect shelter favor paid trade business symbol circle cycle map fortune religion worship shadow board room building tool channel media
    video tone rhythm project collage grade gas spill pop die say see look make made take hold play work love like go come stand jump dance sing read cook
    eat drink wear carry watch throw catch push pull break fix cut draw paint build grow fall climb crawl dive float hide hug kiss laugh cry smile think
    dream wish wait wake rest ram experiment marker sparkles daughter mary mrs gotta yum whew muah""".split()  # noqa: SIM905
)
ENDINGS = ("ing", "ed", "ly", "ous", "ful", "less", "ish", "ism", "ness", "tion", "able")
#: How softly it is judged how sure the teacher is.
SOFT = 0.05
#: New pieces the table may get at most: each costs 768 bytes.
NEW = 1_800
#: Captions whose pieces must stay as they are.
CAPTIONS = 20_000


@dataclass(frozen=True, slots=True)
class Pair:
    """A free word, the known word it is taken for, and how sure the teacher is of the thing: 0..1."""

    word: str
    known: str
    sure: float


def free_words(words: list[str]) -> list[str]:
    """Single words of letters that no caption has, in order."""
    said = {word for group in (THINGS, PLACES, STYLES) for ways in group.values() for way in ways for word in way.split()} | set(COLOURS)
    out = (word.lower() for word in words if word.isascii() and word.isalpha() and len(word) > 2)
    return [word for word in dict.fromkeys(out) if word not in said and word not in TELLING and not word.endswith(ENDINGS)]


@torch.no_grad()
def pairs(work: Path, most: int | None = None) -> list[Pair]:
    """What the teacher takes free words for, the surest first; `most`: it is asked about so many at most, of either kind."""
    master = meanings.teacher(work)
    around = free_words(ordinary_words(work))
    anywhere = [word for word in free_words(sorted(master[0].get_vocab())) if len(word) > 3 and word not in set(around)]
    ways = [(way, words[0]) for words in THINGS.values() for way in words]
    names = list(dict.fromkeys(name for _, name in ways))
    of = torch.tensor([names.index(name) for _, name in ways])
    said = meanings.meanings(master, [article(way) for way, _ in ways])
    out = []
    for words, (least, sure) in ((around[:most], AROUND), (anywhere[:most], ANYWHERE)):
        near = meanings.meanings(master, [article(word) for word in words]) @ said.T
        certain = torch.zeros(len(words), len(names)).index_add_(1, of, (near / SOFT).softmax(1))
        for word, cosines, chances in zip(words, near, certain, strict=True):
            which = int(chances.argmax())
            own = [k for k, (_, name) in enumerate(ways) if name == names[which]]
            best = max(own, key=lambda k: float(cosines[k]))
            if cosines[best] >= least and chances[which] >= sure:
                out.append(Pair(word, ways[best][0], float(chances[which])))
    return sorted(out, key=lambda pair: -pair.sure)


def used(tokenizer: Any, texts: list[str]) -> set[str]:
    """The pieces that these texts are cut into."""
    return {piece for text in texts for piece in tokenizer.tokenize(text)}


@torch.no_grad()
def settle(work: Path, found: list[Pair], new: int = NEW) -> int:
    """Rewrite `work/text_encoder` and `work/tokenizer`; what they were stays in `…_before`. Returns how many words were settled.

    A known word of several pieces lends the mean of its rows. Raises ValueError when a caption would be cut otherwise than before.
    """
    before = {name: work / f"{name}_before" for name in ("text_encoder", "tokenizer")}
    for name, kept in before.items():
        if not kept.exists():
            (work / name).rename(kept)
    tokenizer: Any = BertTokenizer.from_pretrained(before["tokenizer"])
    model: Any = BertModel.from_pretrained(before["text_encoder"], dtype=torch.float32, add_pooling_layer=False)
    rng = np.random.default_rng(6)
    texts = [sentence(*words_for(rng), rng) for _ in range(CAPTIONS)]
    texts += [way for group in (THINGS, PLACES, STYLES) for ways in group.values() for way in ways]
    cut, rows = tokenizer.get_vocab(), model.embeddings.word_embeddings.weight
    taken = used(tokenizer, texts)
    table, added, settled = rows.clone(), list[tuple[str, torch.Tensor]](), 0
    for pair in found:
        theirs = rows[tokenizer.convert_tokens_to_ids(tokenizer.tokenize(pair.known))].mean(0)
        if pair.word in cut:
            if pair.word not in taken:
                table[cut[pair.word]] = theirs
                settled += 1
        elif len(added) < new:
            added.append((pair.word, theirs))
            settled += 1
    wanted = len(added)
    # Pieces that would change how a caption is cut are left out again; behind one there may be a shorter one.
    while bad := used(wider := _with(tokenizer, [word for word, _ in added], work), texts) - cut.keys():
        added = [(word, row) for word, row in added if word not in bad]
    if any(wider.tokenize(text) != tokenizer.tokenize(text) for text in texts):
        raise ValueError("captions would be cut otherwise than before")
    settled -= wanted - len(added)
    weights = torch.cat([table, torch.stack([row for _, row in added])]) if added else table
    model.resize_token_embeddings(len(weights), mean_resizing=False)
    model.embeddings.word_embeddings.weight.copy_(weights)
    model.save_pretrained(work / "text_encoder")
    (work / "likening.json").write_text(json.dumps({"settled": settled, "new_pieces": len(added)}) + "\n")
    return settled


def _with(tokenizer: Any, words: list[str], work: Path) -> Any:
    """The tokenizer with more pieces at the end of its table, saved in `work/tokenizer`."""
    folder = work / "tokenizer"
    folder.mkdir(exist_ok=True)
    pieces = [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: int(item[1]))]
    (folder / "vocab.txt").write_text("\n".join([*pieces, *words]) + "\n")
    wider = BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True, model_max_length=LENGTH)
    wider.save_pretrained(folder)
    return wider


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--list", action="store_true", help="only print what would be taken for what")
    given = parse.parse_args()
    ours = pairs(given.work)
    if given.list:
        print("\n".join(f"{pair.word} → {pair.known} {pair.sure:.2f}" for pair in ours))
    else:
        print(f"{settle(given.work, ours)} of {len(ours)} words settled")
