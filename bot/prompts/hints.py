"""While somebody types: what the grammar makes of it, and what could come next. Pure.

Called by `bot.studio.WordUpStudio.read` and `.complete`; `say` is the catalogue's, so that every word shown comes from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from bot.domain import Hint, Reading, Style
from bot.errors import BadWords, UserError
from bot.prompts.clean import clean
from bot.prompts.flags import BY_NAME, FLAGS, Flag, plain
from bot.prompts.grammar import flag_at, locate, scan
from bot.prompts.permutations import group_marks
from bot.prompts.prepare import Prompt, prepare
from bot.prompts.resolve import choose_model, layered, resolve
from bot.prompts.styles import BUILT_IN
from bot.prompts.wildcards import wildcards
from bot.prompts.words import Source, Words
from engine.api import Capabilities, ImagineRequest

Say = Callable[..., str]

MAX_HINTS = 12
_GLIMPSE = 60  #: characters of a style's words that are shown
_PHRASE = 4  #: words a suggested phrase may have
_DASHES = "-‒–—―"


def read(
    text: str,
    models: Sequence[Capabilities],
    say: Say,
    *,
    default: str = "",
    pictures: Sequence[Source] = (),
    cost: Callable[[ImagineRequest, Capabilities, bool], float] | None = None,
    lists: Mapping[str, Sequence[str]] | None = None,
    styles: Sequence[Style] | None = None,
    sets: Mapping[str, str] | None = None,
    defaults: Sequence[Words] = (),
) -> Reading:
    """Spans to colour, the mistake if any, and what all its prompts would cost together. An empty box is no mistake. Never raises UserError.

    `cost` is `bot.limits.price` (request, its model, whether it is relaxed). `lists`, `styles`, `sets` and `defaults` are as `prepare` takes them.
    None for lists or styles: they are not at hand, and to name one is no mistake, but has no price.
    """
    try:
        prompts = prepare(text, lists=lists, seed=int, styles=styles or (), sets=sets, defaults=defaults)
        spans = _spans(text, prompts, sets)
        if not any(prompt.located.words.parts for prompt in prompts) and not pictures:
            return Reading(spans=spans, prompts=len(prompts))
        price = 0.0
        for prompt in prompts:
            words, places, layers = prompt.located.words, prompt.located.places, (prompt.style, *defaults)
            capabilities = choose_model(words, models, default=default, defaults=layers, places=places)
            beside = pictures or _beside(words, capabilities)
            request = resolve(words, capabilities, seed=0, pictures=beside, defaults=layers, places=places)
            price += cost(request, capabilities, layered(words, *layers).lane == "relax") if cost else 0.0
    except UserError as error:
        unseen = {message for message, known in (("words.unknown_list", lists), ("words.unknown_style", styles)) if known is None}
        if error.message.removesuffix("_near") in unseen:
            return Reading(spans=_looks(text, sets))
        at = (error.start, error.end) if isinstance(error, BadWords) else None
        spans = _coloured(text, sets) if at else ()
        mark = [(*at, "mistake")] if at and at[0] < at[1] else []
        return Reading(spans=_laid(spans, mark), mistake=say(error.message, **error.parameters), mistake_at=at)
    return Reading(spans=spans, cost=price if cost else None, prompts=len(prompts))


def _beside(words: Words, can: Capabilities) -> tuple[Source, ...]:
    """Pictures that the words speak of: they may lie beside the box, where we do not see them."""
    asked = {
        "image": words.strength is not None or words.image_weight is not None,
        "style": words.style_picture is not None or words.style_weight is not None,
        "sketch": words.sketch is not None,
    }
    return tuple(Source(digest="", width=can.width, height=can.height, role=role) for role, is_asked in asked.items() if is_asked)


def _spans(text: str, prompts: Sequence[Prompt], sets: Mapping[str, str] | None) -> tuple[tuple[int, int, str], ...]:
    """Of one prompt as it was read; of several, or one with wildcards, by their looks."""
    return prompts[0].located.spans if len(prompts) == 1 and not _marks(text) else _looks(text, sets)


def _looks(text: str, sets: Mapping[str, str] | None) -> tuple[tuple[int, int, str], ...]:
    return _laid(_coloured(text, sets), _marks(text))


def _marks(text: str) -> list[tuple[int, int, str]]:
    """Of permutations and wildcards."""
    cleaned = clean(text)
    names = [(*cleaned.span(start, end), "flag") for start, end, _ in wildcards(cleaned.text)]
    return sorted([*((*place, "weight") for place in group_marks(text)), *names])


def _coloured(text: str, sets: Mapping[str, str] | None) -> tuple[tuple[int, int, str], ...]:
    """Spans of words that do not parse: flags and values by their looks."""
    cleaned = clean(text)
    spans: list[tuple[int, int, str]] = []
    for token in scan(cleaned.text, {name.casefold() for name in sets or ()}):
        spans.append((*cleaned.span(token.start, token.end), token.kind))
        if token.value:
            spans.append((*cleaned.span(token.value[0][0], token.value_end), "value"))
    return tuple(spans)


def _laid(spans: Sequence[tuple[int, int, str]], marks: Sequence[tuple[int, int, str]]) -> tuple[tuple[int, int, str], ...]:
    """`spans` with `marks` over them, each in the order of the text; marks that touch an earlier one are left out."""
    result: list[tuple[int, int, str]] = []
    waiting = deque(spans)
    end = 0
    for mark in marks:
        if mark[0] < end:
            continue
        while waiting and waiting[0][0] < mark[1]:
            start, stop, kind = waiting.popleft()
            if start < mark[0]:
                result.append((start, min(stop, mark[0]), kind))
            if stop > mark[1]:
                waiting.appendleft((max(start, mark[1]), stop, kind))
                break
        result.append(mark)
        end = mark[1]
    return (*result, *waiting)


def complete(
    text: str,
    at: int,
    models: Sequence[Capabilities],
    say: Say,
    own_prompts: Sequence[str] = (),
    *,
    default: str = "",
    styles: Sequence[Style] = (),
    sets: Mapping[str, str] | None = None,
) -> tuple[Hint, ...]:
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
        return (*_flags(text, typed, start, end, say), *_sets(typed, start, end, sets))[:MAX_HINTS]
    flag = _open_flag(text[:start])
    if flag and flag.takes == "value":
        return _values(flag, typed, start, end, models, capabilities, styles, say)[:MAX_HINTS]
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
    exact = [flag for flag in FLAGS if wanted and wanted in flag.aliases]
    rest = [flag for flag in FLAGS if flag.name.startswith(wanted) and flag not in exact]
    return tuple(
        Hint(insert=f"--{flag.name} ", label=f"--{flag.name}", start=start, end=end, detail=say(f"flag.{flag.name}"))
        for flag in (*exact, *rest)
        if flag.name not in said or flag.takes == "list" or flag.repeats
    )


def _sets(typed: str, start: int, end: int, sets: Mapping[str, str] | None) -> tuple[Hint, ...]:
    wanted = typed.lstrip(_DASHES).casefold()
    found = [name for name in sets or () if name.casefold().startswith(wanted) and name.casefold() not in BY_NAME]
    return tuple(Hint(insert=f"--{name} ", label=f"--{name}", start=start, end=end, detail=(sets or {})[name]) for name in found)


def _values(
    flag: Flag,
    typed: str,
    start: int,
    end: int,
    models: Sequence[Capabilities],
    capabilities: Capabilities,
    styles: Sequence[Style],
    say: Say,
) -> tuple[Hint, ...]:
    values: list[tuple[str, str]] = [(each, "") for each in flag.suggested]
    match flag.field:
        case "model":
            values = [(each.model, each.title) for each in models]
        case "style":
            known: dict[str, Style] = {}
            for each in (*styles, *BUILT_IN):
                known.setdefault(each.name.casefold(), each)
            values = [(style.name, style.words[:_GLIMPSE]) for style in known.values()]
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
