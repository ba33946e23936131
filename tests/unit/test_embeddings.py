"""Outputs of text encoders, remembered by what went in."""

from __future__ import annotations

from typing import Any

import torch

from engine.embeddings import EmbeddingCache, key_of


def ids(*numbers: int) -> torch.Tensor:
    return torch.tensor([numbers])


def test_the_same_words_are_computed_once() -> None:
    cache, computed = EmbeddingCache(), list[int]()

    def compute() -> torch.Tensor:
        computed.append(1)
        return torch.ones(4)

    assert cache.remembered(("m", key_of((ids(1, 2),), {})), compute) is cache.remembered(("m", key_of((ids(1, 2),), {})), compute)
    cache.remembered(("m", key_of((ids(1, 3),), {})), compute)
    assert (len(computed), cache.hits, cache.misses) == (2, 1, 2)


def test_everything_that_matters_is_in_the_key() -> None:
    keys: list[Any] = [
        key_of((ids(1, 2),), {}),
        key_of((ids(1, 3),), {}),
        key_of((ids(1, 2),), {"attention_mask": ids(1, 0)}),
        key_of((ids(1, 2),), {"attention_mask": ids(1, 1)}),
        key_of((ids(1, 2),), {"output_hidden_states": True}),
        key_of((torch.tensor([[1], [2]]),), {}),
        key_of((ids(1, 2).to(torch.int32),), {}),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of((), {"a": 1, "b": 2}) == key_of((), {"b": 2, "a": 1})


def test_pictures_and_things_without_content_are_not_remembered() -> None:
    assert key_of((torch.ones(1, 3),), {}) is None
    assert key_of((), {"generator": torch.Generator()}) is None


def test_past_the_budget_the_least_recently_used_is_forgotten() -> None:
    cache = EmbeddingCache(budget=40)
    for name in ("a", "b", "a", "c"):
        cache.remembered(name, lambda: {"out": torch.ones(4), "more": (torch.ones(1),)})
    assert cache.hits == 1
    cache.remembered("a", lambda: torch.ones(4))
    assert cache.hits == 2
    cache.remembered("b", lambda: torch.ones(4))
    assert cache.hits == 2  # it had to go for "c"


def test_what_is_larger_than_the_budget_is_not_kept() -> None:
    cache = EmbeddingCache(budget=8)
    cache.remembered("a", lambda: torch.ones(4))
    cache.remembered("a", lambda: torch.ones(4))
    assert cache.hits == 0


def test_a_model_that_leaves_takes_its_words_along() -> None:
    cache = EmbeddingCache()
    for owner in ("one", "two"):
        cache.remembered((owner, 1), lambda: torch.ones(4))
    cache.forget("one")
    for owner in ("one", "two"):
        cache.remembered((owner, 1), lambda: torch.ones(4))
    assert cache.hits == 1
