"""Strange words: a word no caption has takes the place of the known word nearest to it, and captions are read as before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertModel, BertTokenizer

from training.likening import Pair, free_words, settle
from training.text_encoder import LENGTH

SHIPPED = Path(__file__).parents[2] / "engine" / "pocket"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(SHIPPED / part, tmp_path / part)
    return tmp_path


def states(work: Path, text: str, suffix: str = "") -> torch.Tensor:
    """What the encoder in `work` says of a text."""
    tokenizer: Any = BertTokenizer.from_pretrained(work / f"tokenizer{suffix}")
    model: Any = BertModel.from_pretrained(work / f"text_encoder{suffix}", dtype=torch.float32, add_pooling_layer=False)
    tokens = tokenizer([text], padding="max_length", max_length=LENGTH, return_tensors="pt")
    with torch.no_grad():
        return model(tokens.input_ids, attention_mask=tokens.attention_mask)[0][0]  # type: ignore[no-any-return]


def test_a_word_of_several_pieces_gets_one_and_means_what_it_was_taken_for(work: Path) -> None:
    assert settle(work, [Pair("xylodog", "dog", 0.9)]) == 1
    assert torch.equal(states(work, "a xylodog in the snow"), states(work, "a dog in the snow"))


def test_what_captions_say_is_read_as_before(work: Path) -> None:
    settle(work, [Pair("xylodog", "dog", 0.9), Pair("zebroid", "zebra", 0.8)])
    for caption in ("a dog in the snow, 3d render", "two zebras at night", "a fox on a teal background"):
        assert torch.equal(states(work, caption), states(work, caption, "_before"))


def test_a_new_piece_that_would_cut_captions_otherwise_is_left_out(work: Path) -> None:
    tokenizer: Any = BertTokenizer.from_pretrained(work / "tokenizer")
    long = next(word for word in ("hippopotamus", "rhinoceros", "accordion", "microscope", "skateboard") if len(tokenizer.tokenize(word)) > 1)
    first = tokenizer.tokenize(long)[0]
    assert settle(work, [Pair(long[: len(first) + 1], "dog", 0.9)]) == 0
    assert BertTokenizer.from_pretrained(work / "tokenizer").tokenize(long) == tokenizer.tokenize(long)


def test_words_of_captions_and_words_that_name_nothing_are_not_free() -> None:
    assert free_words(["dog", "hound", "beautiful", "running", "teal", "hound", "x1"]) == ["hound"]
