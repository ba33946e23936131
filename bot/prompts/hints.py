"""While somebody types: what the grammar makes of it, and what could come next. Pure.

Called by `bot.studio.read` and `.complete`; `say` is the catalogue's, so that every word shown comes from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from bot.domain import Hint, Reading
from bot.errors import BadWords, UserError
from bot.prompts.clean import clean
from bot.prompts.flags import FLAGS, Flag, plain
from bot.prompts.grammar import flag_at, locate, scan
from bot.prompts.resolve import choose_model, resolve
from bot.prompts.words import Source
from engine.api import Capabilities, ImagineRequest

Say = Callable[..., str]

MAX_HINTS = 12
_PHRASE = 4  #: words a suggested phrase may have
_DASHES = "-‒–—―"


def read(
    text: str,
    models: Sequence[Capabilities],
    say: Say,
    *,
    default: str = "",
    source: Source | None = None,
    cost: Callable[[ImagineRequest, Capabilities], float] | None = None,
) -> Reading:
    """Spans to colour, the mistake if any, and what it would cost. An empty box is no mistake. Never raises UserError."""
    try:
        located = locate(text)
        spans = located.spans
        capabilities = choose_model(located.words, models, default=default, places=located.places)
        if not located.words.parts and source is None:
            return Reading(spans=spans)
        if located.words.strength is not None and source is None and "source" in capabilities.operations:
            source = Source(digest="", width=capabilities.width, height=capabilities.height)  # it may lie beside the box, which we do not see
        request = resolve(located.words, capabilities, seed=0, source=source, places=located.places)
    except UserError as error:
        at = (error.start, error.end) if isinstance(error, BadWords) else None
        spans = _coloured(text) if at else ()
        return Reading(spans=_marked(spans, at), mistake=say(error.message, **error.parameters), mistake_at=at)
    return Reading(spans=spans, cost=cost(request, capabilities) if cost else None)


def _coloured(text: str) -> tuple[tuple[int, int, str], ...]:
    """Spans of words that do not parse: flags and values by their looks."""
    cleaned = clean(text)
    spans: list[tuple[int, int, str]] = []
    for token in scan(cleaned.text):
        spans.append((*cleaned.span(token.start, token.end), token.kind))
        if token.value:
            spans.append((*cleaned.span(token.value[0][0], token.value_end), "value"))
    return tuple(spans)


def _marked(spans: tuple[tuple[int, int, str], ...], at: tuple[int, int] | None) -> tuple[tuple[int, int, str], ...]:
    """`spans` with the mistake laid over them."""
    if at is None or at[0] >= at[1]:
        return spans
    left = [(start, min(end, at[0]), kind) for start, end, kind in spans if start < at[0]]
    right = [(max(start, at[1]), end, kind) for start, end, kind in spans if end > at[1]]
    return (*left, (*at, "mistake"), *right)


def complete(text: str, at: int, models: Sequence[Capabilities], say: Say, own_prompts: Sequence[str] = (), *, default: str = "") -> tuple[Hint, ...]:
    """What could stand at offset `at` (of the text as typed): flags, their values, the model's words, own prompts. Best first."""
    at = min(max(at, 0), len(text))
    start = at
    while start and not text[start - 1].isspace():
        start -= 1
    end = at
    while end < len(text) and not text[end].isspace():
        end += 1
    typed = text[start:at]
    capabilities = _model(text, models, default)
    if capabilities is None:
        return ()
    if typed[:1] and typed[0] in _DASHES and len(typed) <= 24:
        return _flags(text, typed, start, end, say)[:MAX_HINTS]
    flag = _open_flag(text[:start])
    if flag and flag.takes == "value":
        return _values(flag, typed, start, end, models, capabilities, say)[:MAX_HINTS]
    hints = [] if flag else _own(text, at, own_prompts, say)
    return tuple([*hints, *_phrases(text, start, at, end, capabilities, say)][:MAX_HINTS])


def _model(text: str, models: Sequence[Capabilities], default: str) -> Capabilities | None:
    try:
        return choose_model(locate(text).words, models, default=default)
    except UserError:
        return next((each for each in models if each.model == default), models[0] if models else None)


def _open_flag(before: str) -> Flag | None:
    """The flag whose value would stand at the end of `before`, or None."""
    last = next(iter(deque(scan(clean(before).text), maxlen=1)), None)
    if last is None or last.flag is None:
        return None
    if last.flag.takes == "list" or (last.flag.takes == "value" and not last.value):
        return last.flag
    return None


def _flags(text: str, typed: str, start: int, end: int, say: Say) -> tuple[Hint, ...]:
    said = {token.flag.name for token in scan(clean(text[:start] + " " + text[end:]).text) if token.flag}
    wanted = typed.lstrip(_DASHES).casefold()
    exact = [flag for flag in FLAGS if not flag.later and wanted and wanted in flag.aliases]
    rest = [flag for flag in FLAGS if not flag.later and flag.name.startswith(wanted) and flag not in exact]
    return tuple(
        Hint(insert=f"--{flag.name} ", label=f"--{flag.name}", start=start, end=end, detail=say(f"flag.{flag.name}"))
        for flag in (*exact, *rest)
        if flag.name not in said or flag.takes == "list" or flag.repeats
    )


def _values(flag: Flag, typed: str, start: int, end: int, models: Sequence[Capabilities], capabilities: Capabilities, say: Say) -> tuple[Hint, ...]:
    values: list[tuple[str, str]] = [(each, "") for each in flag.suggested]
    match flag.field:
        case "model":
            values = [(each.model, each.title) for each in models]
        case "scheduler":
            values = [(each, "") for each in capabilities.schedulers]
        case "count":
            values = [(value, detail) for value, detail in values if int(value) <= capabilities.max_count]
        case "loras":
            values = [(f"{each}:0.8", "") for each in capabilities.loras]
        case "steps":
            choices = sorted({max(1, capabilities.steps // 2), capabilities.steps, min(capabilities.max_steps, capabilities.steps * 2)})
            values = [(str(each), say("hint.usual") if each == capabilities.steps else "") for each in choices]
        case "guidance":
            values = [(plain(float(capabilities.guidance)), say("hint.usual"))]
        case "size":
            values = [(f"{capabilities.width * capabilities.finish}x{capabilities.height * capabilities.finish}", say("hint.usual"))]
    wanted = typed.casefold()
    return tuple(Hint(insert=f"{value} ", label=value, start=start, end=end, detail=detail) for value, detail in values if value.casefold().startswith(wanted))


def _own(text: str, at: int, own_prompts: Sequence[str], say: Say) -> list[Hint]:
    """Own prompts that begin with what was typed (all of it, so that a choice replaces it whole); all of them for an empty box."""
    wanted = text[:at].casefold()
    if at < len(text.rstrip()):
        return []
    found: Iterable[str] = (each for each in own_prompts if each.casefold().startswith(wanted) and each.casefold() != wanted)
    return [Hint(insert=each, label=each, start=0, end=len(text), detail=say("hint.own")) for each in list(dict.fromkeys(found))[:5]]


def _phrases(text: str, start: int, at: int, end: int, capabilities: Capabilities, say: Say) -> list[Hint]:
    """The model's words (things, places, styles, colours) that go on from the last words typed; its examples for an empty box."""
    if not text.strip():
        return [Hint(insert=each, label=each, start=0, end=len(text), detail=say("hint.example")) for each in capabilities.examples[:6]]
    if not text[start:at].strip(",.;:()"):
        return []
    hints: dict[str, Hint] = {}
    begin = start
    for _ in range(_PHRASE):
        lead = len(text[begin:at]) - len(text[begin:at].lstrip(",.;:("))
        wanted = text[begin + lead : at].casefold()
        for group, phrases in capabilities.words.items():
            for phrase in phrases:
                if phrase.casefold().startswith(wanted) and phrase.casefold() != wanted:
                    hints.setdefault(phrase, Hint(insert=phrase, label=phrase, start=begin + lead, end=end, detail=_group(group, say)))
        before = text[:begin].rstrip()
        if not before or before[-1] in ",.;" or len(text[:begin]) - len(before) != 1:
            break
        begin = max(before.rfind(" ") + 1, 0)
        if flag_at(text[begin : len(before)]):
            break
    return sorted(hints.values(), key=lambda hint: (hint.start, hint.label))


def _group(name: str, say: Say) -> str:
    known = ("things", "places", "styles", "colours")
    return say(f"hint.{name}") if name in known else name
