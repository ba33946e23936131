"""Tokenizers built on the spot: every character is a token. Real classes, no files from anywhere."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHARACTERS = [chr(code) for code in range(32, 127)] + ["\n"]
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def clip(length: int = 24) -> Any:
    """CLIP's: words end in `</w>`, texts are padded to `length`."""
    from transformers import CLIPTokenizer

    letters = [character for character in CHARACTERS if character.isprintable() and character != " "]
    vocabulary = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    ends = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": length, **ends}))
        return CLIPTokenizer.from_pretrained(folder, model_max_length=length)


def plain(*, begins: str | None = None, ends: str | None = None, chat: bool = False, length: int = 512, further: Sequence[str] = ()) -> Any:
    """A tokenizer with a token a character, and perhaps one before and one after each text (T5 ends its texts, Gemma begins them)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *further]
    vocabulary = {token: i for i, token in enumerate([*special, *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    if begins or ends:
        around = f"{begins + ' ' if begins else ''}$A{' ' + ends if ends else ''}"
        tokens = [(token, vocabulary[token]) for token in (begins, ends) if token]
        tokenizer.post_processor = processors.TemplateProcessing(single=around, pair=None, special_tokens=tokens)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=special[4:],
        padding_side="right",
        model_max_length=length,
        chat_template=CHAT if chat else None,
    )
