"""What a button, a reaction or a form asks for, and the request a child is drawn from. Pure; called by `bot.studio`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bot.cards import MAX_EDGE, PRIVATE, frames
from bot.domain import GRID, Action, Actor, Artifact, Job, Origin, Reaction, Shown, Status, Verb
from bot.errors import BadWords, NotFound, Refused
from bot.prompts import parse, print_words
from engine.api import Capabilities, ImagineRequest, Request, UpscaleRequest
from engine.efforts import LEAST_STEPS, in_full

VARIATION_STRENGTH = 0.6
PICK_FACTOR = 2
_KEYCAP = "\u20e3"
_TEXT_OR_EMOJI = "\ufe0e\ufe0f"

#: Emoji (without variation selectors) → verb and index. A cross cancels what runs and deletes what has ended.
REACTIONS: Mapping[str, tuple[Verb, int]] = {
    **{f"{number}{_KEYCAP}": (Verb.PICK, number - 1) for number in range(1, 5)},
    "🔄": (Verb.REROLL, GRID),
    "❌": (Verb.DELETE, GRID),
    "✉": (Verb.PARAMS, GRID),
    "⭐": (Verb.FAVOURITE, GRID),
}

#: Answered to the presser alone; everything else makes or moves a card all may see.
QUIET = frozenset({Verb.PARAMS, Verb.CHILDREN, Verb.CANCEL, Verb.DELETE, Verb.FAVOURITE, Verb.REMIX})

#: Another click within a second is no second wish.
DRAWS = frozenset({Verb.PICK, Verb.VARY, Verb.REROLL, Verb.UPSCALE})

#: The card that was pressed changes, and no other comes.
IN_PLACE = frozenset({Verb.CANCEL, Verb.DELETE, Verb.FAVOURITE})


def action_of(text: str) -> Action:
    """A press, as it came from the platform. Raises Refused for anything this program never wrote."""
    try:
        action = Action.decode(text)
        if action.verb is Verb.UPSCALE:
            factor_of(action)
        if not GRID <= action.index < 100:
            raise ValueError(f"no picture {action.index}")
    except ValueError:
        raise Refused("refused.unknown_button") from None
    return action


def reaction_of(event: Reaction) -> Action:
    """Raises Refused for an emoji that asks for nothing (or whose removal does)."""
    bare = event.emoji.strip().translate(dict.fromkeys(map(ord, _TEXT_OR_EMOJI)))
    verb, index = REACTIONS.get(bare, (None, GRID))
    if verb is None or not (event.added or verb is Verb.FAVOURITE):
        raise Refused("refused.unknown_emoji")
    return Action(verb=verb, job_id=event.job_id, index=index)


def origin_of(action: Action) -> Origin:
    """What a child of this press remembers: which button, of which picture."""
    of_one = action.verb in (Verb.PICK, Verb.VARY, Verb.UPSCALE)
    return Origin(job_id=action.job_id, verb=action.verb.value, index=max(action.index, 0) if of_one else GRID)


def is_private(action: Action) -> bool:
    """Whether the button stood under a private picture (see `bot.cards`)."""
    return action.argument.endswith(PRIVATE)


def factor_of(action: Action) -> int:
    """Of an upscale. Raises ValueError."""
    factor = action.argument.removesuffix(PRIVATE)
    if factor not in ("2", "4"):
        raise ValueError(f"no factor: {factor!r}")
    return int(factor)


def may_see(actor: Actor, job: Job) -> bool:
    return not job.private or job.actor.key == actor.key


def need_owner(actor: Actor, job: Job) -> None:
    """Raises Refused."""
    if job.actor.key != actor.key:
        raise Refused("refused.not_yours")


def picture_at(shown: Shown, index: int) -> Artifact:
    """A drawn picture; GRID is the first. Raises Refused or NotFound."""
    if shown.job.status is not Status.DONE:
        raise Refused("refused.not_done")
    wanted = max(index, 0)
    for each in frames(shown):
        if each.index == wanted:
            return each
    raise NotFound("refused.no_picture", number=wanted + 1)


def enlarged(artifact: Artifact, capabilities: Capabilities, factor: int) -> UpscaleRequest:
    """Raises Refused when the model cannot, or the result would pass MAX_EDGE."""
    if "upscale" not in capabilities.operations:
        raise Refused("refused.cannot", model=capabilities.model, what=f"{factor}×")
    width, height = artifact.width * factor, artifact.height * factor
    if max(width, height) > MAX_EDGE:
        raise Refused("refused.too_large", width=width, height=height, limit=MAX_EDGE)
    return UpscaleRequest(model=capabilities.model, source=artifact.digest, factor=factor, seed=artifact.seed, width=artifact.width, height=artifact.height)


def varied(base: ImagineRequest, artifact: Artifact, capabilities: Capabilities, seed: int) -> ImagineRequest:
    """The same words from this picture on, with another seed. Raises Refused when the model cannot start from a picture."""
    if "source" not in capabilities.operations:
        raise Refused("refused.no_source", model=capabilities.model)
    count = min(4, capabilities.max_count)
    swift = {(each.steps, each.guidance) for each in (capabilities.draft, capabilities.quick) if each and each.steps < LEAST_STEPS}
    if (base.steps, base.guidance) in swift:
        base = in_full(base, capabilities)  # so few steps have no room for a strength
    fresh = ImagineRequest(model=base.model, parts=base.parts, width=base.width, height=base.height, steps=base.steps, guidance=base.guidance)
    kept = replace(fresh, unwanted=base.unwanted, scheduler=base.scheduler, loras=base.loras, tile=base.tile)
    return replace(kept, source=artifact.digest, strength=VARIATION_STRENGTH, seed=seed, count=count, enlarge=base.enlarge)


def rerolled(job: Job, seed: int) -> Request:
    """The same once more: with another seed where chance plays a part."""
    return job.request if isinstance(job.request, UpscaleRequest) else replace(job.request, seed=seed)


def kept_whole(text: str, words: str) -> str:
    """What a remix form asks for: an empty one means the same words, and so does one too small for them, sent back as it was shown (cut, with an ellipsis)."""
    cut = text.removesuffix("…")
    return words if not text or (cut != text and len(cut) > 100 and words.startswith(cut)) else text


def unseeded(words: str) -> str:
    """The words a child with another seed is shown with: a seed in them would be a lie."""
    try:
        said = parse(words)
    except BadWords:
        return words
    return words if said.seed is None else print_words(said.evolve(seed=None))
