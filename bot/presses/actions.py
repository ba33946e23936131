"""What a button, a reaction or a form says: read, checked and sorted. Pure; used by `bot.studio` and `bot.usecases`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.cards.buttons import PRIVATE
from bot.cards.pictures import frames
from bot.cards.room import DIRECTIONS, MOST_ZOOM, ZOOMS
from bot.domain import GRID, Action, Actor, Artifact, Job, Origin, Reaction, Shown, Status, Verb
from bot.domain.moderation import Decision
from bot.errors import NotFound, Refused
from bot.prompts.flags import plain

_KEYCAP = "\u20e3"
_TEXT_OR_EMOJI = "\ufe0e\ufe0f"
EVERYTHING = "everything"  #: a COLLECT with this argument is of all that is stored of the member, and of no offer
SET = "set"  #: a SHOW or CANCEL with this argument is of a set of jobs: an offer's id stands in the place of a job's
WAYS = ("", "subtle", "strong")  #: of varying; empty: as the model does by itself

#: Emoji (without variation selectors) → verb and index. A cross cancels what runs and deletes what has ended.
REACTIONS: Mapping[str, tuple[Verb, int]] = {
    **{f"{number}{_KEYCAP}": (Verb.PICK, number - 1) for number in range(1, 5)},
    "🔄": (Verb.REROLL, GRID),
    "❌": (Verb.DELETE, GRID),
    "✉": (Verb.PARAMS, GRID),
    "⭐": (Verb.FAVOURITE, GRID),
}

#: Answered to the presser alone; everything else makes or moves a card all may see.
QUIET = frozenset(
    {
        *(Verb.PARAMS, Verb.CHILDREN, Verb.CANCEL, Verb.DELETE, Verb.FAVOURITE, Verb.REMIX, Verb.REGION, Verb.DESCRIBE),
        *(Verb.DISMISS, Verb.COLLECT, Verb.CHOOSE, Verb.ASK),
        *(Verb.REPORT, Verb.CONTEST, Verb.DECIDE),
    }
)

#: Another click within a second is no second wish.
DRAWS = frozenset(
    {
        *(Verb.PICK, Verb.VARY, Verb.REROLL, Verb.UPSCALE, Verb.CREATIVE, Verb.ENHANCE),
        *(Verb.ZOOM, Verb.SQUARE, Verb.PAN, Verb.ANIMATE, Verb.RUN),
    }
)

#: The card that was pressed changes, and no other comes.
IN_PLACE = frozenset({Verb.CANCEL, Verb.DELETE, Verb.FAVOURITE, Verb.CHOOSE, Verb.DISMISS})

#: Of one picture; the others are of a job as a whole.
_OF_ONE = frozenset(
    {Verb.PICK, Verb.VARY, Verb.UPSCALE, Verb.CREATIVE, Verb.ZOOM, Verb.SQUARE, Verb.PAN, Verb.REGION, Verb.ANIMATE},
)
#: Their argument says what is meant, to its last letter: no mark of privacy follows it.
_UNMARKED = frozenset({Verb.CHOOSE, Verb.ASK, Verb.DECIDE})

_CHOICE = re.compile(r"(!?)([a-z]{1,20})=([^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,59}|)")
_ASKED = re.compile(r"(!?)([a-z]{1,20})")


def action_of(text: str) -> Action:
    """A press, as it came from the platform. Raises Refused for anything this program never wrote."""
    try:
        action = Action.decode(text)
        if not GRID <= action.index < 100:
            raise ValueError(f"no picture {action.index}")
        _check(action)
    except ValueError:
        raise Refused("refused.unknown_button") from None
    return action


def _check(action: Action) -> None:
    """Raises ValueError for an argument its verb does not take."""
    argument = argument_of(action)
    match action.verb:
        case Verb.UPSCALE | Verb.CREATIVE:
            factor_of(action)
        case Verb.ZOOM if argument and argument not in map(plain, ZOOMS):
            raise ValueError(f"no zoom: {argument!r}")
        case Verb.PAN if argument not in DIRECTIONS:
            raise ValueError(f"no direction: {argument!r}")
        case Verb.VARY if argument not in WAYS:
            raise ValueError(f"no way to vary: {argument!r}")
        case Verb.CHOOSE:
            choice_of(action)
        case Verb.ASK:
            asked_of(action)
        case Verb.DECIDE:
            Decision(argument)


def reaction_of(event: Reaction) -> Action:
    """Raises Refused for an emoji that asks for nothing (or whose removal does)."""
    bare = event.emoji.strip().translate(dict.fromkeys(map(ord, _TEXT_OR_EMOJI)))
    verb, index = REACTIONS.get(bare, (None, GRID))
    if verb is None or not (event.added or verb is Verb.FAVOURITE):
        raise Refused("refused.unknown_emoji")
    return Action(verb=verb, job_id=event.job_id, index=index)


# ------------------------------------------------------------------------------------------------ what it says


def argument_of(action: Action) -> str:
    """What a button says beside its verb, without the mark of privacy."""
    return action.argument if action.verb in _UNMARKED else action.argument.removesuffix(PRIVATE)


def is_private(action: Action) -> bool:
    """Whether the button stood under a private picture (see `bot.cards`)."""
    return action.verb not in _UNMARKED and action.argument.endswith(PRIVATE)


def is_of_set(action: Action) -> bool:
    """Whether it is about a set of jobs: `job_id` names an offer."""
    return action.verb in (Verb.SHOW, Verb.CANCEL) and argument_of(action) == SET


def asks(action: Action) -> bool:
    """Whether its answer is a form, to be given at once (for REGION: where there is no mask painter)."""
    return action.verb in (Verb.REMIX, Verb.REGION, Verb.ASK, Verb.REPORT) or (action.verb is Verb.ZOOM and not argument_of(action))


def draws(action: Action) -> bool:
    """Whether it costs something: then a second click within a second is no second wish."""
    return action.verb in DRAWS and not asks(action)


def is_quiet(action: Action) -> bool:
    """Whether the answer is for the presser alone."""
    return action.verb in QUIET or is_private(action)


def is_in_place(action: Action) -> bool:
    """Whether the card that was pressed changes, and no other comes."""
    return action.verb in IN_PLACE or is_of_set(action)


def is_of_server(action: Action) -> bool:
    """Whether a CHOOSE or an ASK is about the server's settings."""
    return action.verb in _UNMARKED and action.argument.startswith("!")


def factor_of(action: Action) -> int:
    """Of an upscale, as it is or creative. Raises ValueError."""
    factor = argument_of(action)
    if factor not in ("2", "4"):
        raise ValueError(f"no factor: {factor!r}")
    return int(factor)


def choice_of(action: Action) -> tuple[str, str, bool]:
    """Name, value (empty: as if it had never been said) and whether it is the server's, of a CHOOSE. Raises ValueError."""
    found = _CHOICE.fullmatch(action.argument)
    if found is None:
        raise ValueError(f"no choice: {action.argument!r}")
    return found[2], found[3], bool(found[1])


def asked_of(action: Action) -> tuple[str, bool]:
    """Which form an ASK opens, and whether it is about the server. Raises ValueError."""
    found = _ASKED.fullmatch(action.argument)
    if found is None:
        raise ValueError(f"no form: {action.argument!r}")
    return found[2], bool(found[1])


def zoom_of(text: str) -> float:
    """How far out, as a member writes it ("1.8", "1,8×"). Raises Refused."""
    bare = text.strip().lower().rstrip("x×").strip().replace(",", ".")
    try:
        factor = round(float(bare), 2) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{0,6})?", bare) else 0.0
    except ValueError:
        factor = 0.0
    if not 1 < factor <= MOST_ZOOM:
        raise Refused("refused.zoom", given=text.strip()[:20], high=plain(MOST_ZOOM))
    return factor


def read_sets(text: str) -> dict[str, str]:
    """Named option sets, one a line, as a form shows them ("wide: --ar 16:9"). A line that names none is left out."""
    pairs = (line.partition(":") for line in text.splitlines() if line.strip())
    return {name.strip().casefold().lstrip("-"): flags.strip() for name, _, flags in pairs if name.strip()}


def print_sets(sets: Mapping[str, str]) -> str:
    """The inverse."""
    return "\n".join(f"{name}: {flags}" for name, flags in sorted(sets.items()))


# ------------------------------------------------------------------------------------------------ who and what


def origin_of(action: Action) -> Origin:
    """What a child of this press remembers: which button, of which picture."""
    return Origin(job_id=action.job_id, verb=action.verb.value, index=max(action.index, 0) if action.verb in _OF_ONE else GRID)


def index_of(origin: Origin) -> int:
    """Which of its parent's pictures a child came from; the first, where it came from all of them."""
    return max(origin.index, 0)


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
