"""All that the text tower of `training.sight` reads while it learns, cut into tokens once: to cut them in every step takes longer than to learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from training import text_encoder
from training.claims import Names
from training.meanings import Lessons

#: Sentences with a free word that are made up beforehand, and drawn from.
LIKENED = 20_000
#: Texts that are cut at once.
AT_ONCE = 10_000

Numbers = NDArray[np.int64]


def cut(tokenizer: Any, texts: list[str]) -> tuple[torch.Tensor, Numbers]:
    """Texts → their tokens, padded to the longest (texts × tokens, int64), and how many each has."""
    rows: list[list[int]] = []
    for k in range(0, len(texts), AT_ONCE):
        rows += tokenizer(texts[k : k + AT_ONCE], truncation=True, max_length=text_encoder.LENGTH).input_ids
    lengths = np.array([len(row) for row in rows])
    tokens = np.full((len(rows), int(lengths.max())), int(tokenizer.pad_token_id))
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.concatenate([np.array(row) for row in rows])
    return torch.from_numpy(tokens), lengths


class Script:
    """The captions, every way to say a name, sentences with free words, and what the teacher told: each text has a number."""

    def __init__(self, tokenizer: Any, captions: list[str], names: Names, taught: Lessons, rng: Generator, device: torch.device) -> None:
        strange, known, sure = taught.likened(names, LIKENED if taught.pairs else 0, rng)
        ways = [way for group in names.ways for each in group for way in each]
        number = {text: k for k, text in enumerate(dict.fromkeys([*captions, *ways, *strange, *known, *taught.texts]))}
        tokens, self._lengths = cut(tokenizer, list(number))
        self._tokens, self._sure, self._meant = tokens.to(device), sure.to(device), taught.meant.to(device)
        self.captions, self._strange, self._known, self._texts, said = (
            np.array([number[text] for text in texts], np.int64) for texts in (captions, strange, known, taught.texts, ways)
        )
        self._said, self._many = said, np.array([len(each) for group in names.ways for each in group])
        self._begin = np.cumsum(self._many) - self._many

    def tokens(self, numbers: Numbers) -> torch.Tensor:
        """Of the texts of these numbers, on the device, as wide as the longest of them."""
        return self._tokens[torch.from_numpy(numbers).to(self._tokens.device), : int(self._lengths[numbers].max())]

    def names(self, rng: Generator) -> Numbers:
        """Every name, said in one of its ways."""
        chosen: Numbers = self._said[self._begin + (rng.random(len(self._many)) * self._many).astype(np.int64)]
        return chosen

    def likened(self, count: int, rng: Generator) -> tuple[Numbers, Numbers, torch.Tensor]:
        """`count` sentences with a word no caption has, the same ones with the known word in its place, and how sure it is that they mean the same."""
        some = rng.integers(0, len(self._strange), count if len(self._strange) else 0)
        return self._strange[some], self._known[some], self._sure[torch.from_numpy(some).to(self._sure.device)]

    def taught(self, count: int, rng: Generator) -> tuple[Numbers, torch.Tensor]:
        """`count` texts, and what the teacher says they mean."""
        some = rng.integers(0, len(self._texts), count)
        return self._texts[some], self._meant[torch.from_numpy(some).to(self._meant.device)]
