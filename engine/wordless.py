"""What pictures say that a small image adapter cannot carry, said in the model's own words. Used by `engine.operations`, inside a hub's task.

An adapter reaches a denoiser's attentions and nothing else. What a network is told of words another way as well (pooled into its timesteps) no picture
reaches, and a small adapter that learned beside words carries colours and light, but neither what is to be seen nor how it is drawn (docs/decisions/0022).
So where a model's card asks for it (`pictures_in_words`), it is told what a picture shows (`engine.describe`):

- Image prompts without a word are told as the sentence that describes them: one picture, or one that weighs much more than the others, by itself; of several
  the things of the two heaviest, in the place and the style of the heaviest.
- A reference of style is told as the name of its style, where the words name none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from engine import describe
from engine.api import ImagePrompt, ImagineRequest, Part
from engine.canvas import Canvas
from engine.describe import Describer, Description
from engine.model import Model

#: A reference of style that weighs less is not told: words are a style or they are not.
HEARD = 0.5
#: So many times heavier than the next, a picture is told by itself.
ALONE = 2.0


def spoken(model: Model, request: ImagineRequest, canvas: Canvas) -> ImagineRequest:
    """The request with words for its pictures where it has none for them; where the card does not ask for it (`pictures_in_words`), as it is.

    Raises UnsupportedOperation where the card does and the model cannot describe.
    """
    if not request.image_prompts or not model.entry.pictures_in_words:
        return request
    pairs = [(prompt, picture) for prompt, picture in zip(request.image_prompts, canvas.prompts, strict=True) if prompt.weight]
    describer = describe.of(model)
    if any(part.text.strip() for part in request.parts):
        styled = [picture for prompt, picture in pairs if prompt.style and prompt.weight >= HEARD]
        if not styled or names_style(request.parts, model.entry.can.words):
            return request
        named = ", ".join(dict.fromkeys(found.style.word for found in _seen(describer, styled) if found.style))
        return replace(request, parts=tuple(replace(part, text=f"{part.text}, {named}") for part in request.parts)) if named else request
    told = heaviest([pair for pair in pairs if not pair[0].style])
    if not told:
        return request
    return replace(request, parts=(Part(text=sentence(describer, _seen(describer, [picture for _, picture in told]))),))


def heaviest(pairs: Sequence[tuple[ImagePrompt, Image.Image]]) -> list[tuple[ImagePrompt, Image.Image]]:
    """The one or two pictures that are told, the heavier first; of equals, as they were given."""
    if not pairs:
        return []
    first, *others = sorted(pairs, key=lambda pair: -pair[0].weight)
    return [first, *(other for other in others[:1] if first[0].weight < ALONE * other[0].weight)]


def sentence(describer: Describer, found: Sequence[Description]) -> str:
    """One that describes a picture, or what two of them show together. Of a picture in which nothing is recognised, what else is seen."""
    first = found[0]
    things = list(dict.fromkeys(thing.word for each in found for thing in each.things[:1]))
    if len(things) < 2 or not first.prompts:
        return first.prompts[0] if first.prompts else ""
    subject = " and ".join(describe.with_article(thing) for thing in things)
    return describer.sentence(subject, first.ground, first.style)


def names_style(parts: Sequence[Part], words: Mapping[str, Sequence[str]]) -> bool:
    """Whether one of the parts has a word that one of the model's styles is called by."""
    known = {word for style in words.get("styles", ()) for word in re.findall(r"\w+", style.casefold())}
    return any(known & set(re.findall(r"\w+", part.text.casefold())) for part in parts)


def _seen(describer: Describer, pictures: Sequence[Image.Image]) -> list[Description]:
    return [describer(torch.from_numpy(np.array(each.convert("RGB"))).permute(2, 0, 1)[None].float() / 255)[0] for each in pictures]
