"""Cards about what there is: help, models, styles, wildcard lists; about a picture's origin; about what is stored of a member. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.cards import NOBODY, PRIVATE, plain_text, shorten
from bot.domain import Action, Button, Card, Offer, Shown, Style, Verb, Visibility
from bot.messages import Catalogue
from bot.notes.parts import fives, run, within
from bot.presses.actions import EVERYTHING
from bot.prompts.flags import FLAGS
from engine.api import Capabilities

EXAMPLES = 4  #: on a help card
MODELS, STYLES, LISTS = 20, 20, 40  #: on their cards
_LICENCES = 5  #: in the help card's text
_COMMANDS = (
    *("imagine", "blend", "describe", "shorten", "morph", "history", "show", "info", "queue", "cancel"),
    *("styles", "lists", "models", "prefer", "settings", "verify", "privacy", "web"),
)
#: Operation → what it is called on the models' card; several of one name are one.
_ABILITIES: Mapping[str, str] = {
    "source": "can_source",
    "mix": "can_blend",
    "image_prompt": "can_image_prompt",
    "style": "can_style",
    "mask": "can_region",
    "extend": "can_extend",
    "creative": "can_creative",
    "animate": "can_animate",
    "morph": "can_morph",
    "describe": "can_describe",
    "control:sketch": "can_sketch",
    "control:edges": "can_sketch",
    "tile": "can_tile",
    "lora": "can_lora",
}


def help_card(models: Sequence[Capabilities], catalogue: Catalogue, offer: Offer | None = None) -> Card:
    """How to ask; the flags, the commands, whose the pictures are; and examples that a button draws (those of `offer`)."""
    flags = [catalogue.say("help.flag", name=flag.name, help=catalogue.say(f"flag.{flag.name}")) for flag in FLAGS]
    licences = [catalogue.say("help.licence", model=each.title or each.model, licence=shorten(each.licence, 60)) for each in models[:_LICENCES]]
    before = [catalogue.say("help.intro"), *([catalogue.say("help.examples")] if offer and offer.prompts else []), "", catalogue.say("help.flags")]
    after = ["", *licences]
    room = 1990 - sum(len(line) + 1 for line in (*before, *after)) - 30
    lines = [*before, within(flags, catalogue, room), *after]
    examples = [run(offer, index, words, catalogue) for index, words in enumerate(offer.prompts[:EXAMPLES])] if offer else []
    return Card(
        title=catalogue.say("help.title"),
        text="\n".join(lines).strip(),
        details=tuple((f"/{name}", catalogue.say(f"command.{name}")) for name in _COMMANDS),
        rows=tuple(tuple(examples[at : at + 2]) for at in range(0, len(examples), 2)),  # their labels are long
        visibility=Visibility.PRIVATE,
    )


# ------------------------------------------------------------------------------------------------ the shelf


def models_card(models: Sequence[Capabilities], offer: Offer | None, catalogue: Catalogue, loaded: frozenset[str] = frozenset()) -> Card:
    """Each model, what it is, what it can; a button for an example of each (`offer.prompts` in their order). `loaded`: names of those in memory."""
    listed = models[:MODELS]
    buttons = [
        run(offer, index, catalogue.say("shelf.try", model=each.title or each.model), catalogue)
        for index, each in enumerate(listed)
        if offer and index < len(offer.prompts)
    ]
    more = len(models) - len(listed)
    return Card(
        title=catalogue.say("shelf.title"),
        text=catalogue.say("offer.more", count=more) if more else catalogue.say("shelf.text") if models else catalogue.say("shelf.none"),
        details=tuple((each.title or each.model, _model(each, catalogue, is_loaded=each.model in loaded)) for each in listed),
        rows=fives(buttons),
        visibility=Visibility.PRIVATE,
    )


def _model(can: Capabilities, catalogue: Catalogue, *, is_loaded: bool) -> str:
    names = tuple(dict.fromkeys(name for operation, name in _ABILITIES.items() if operation in can.operations))
    lines = [
        f"--model {can.model}",
        catalogue.say("shelf.size", width=can.width * can.finish, height=can.height * can.finish),
        shorten(can.licence, 80),
        catalogue.say("shelf.can", abilities=tuple(catalogue.say(f"shelf.{name}") for name in names)) if names else catalogue.say("shelf.can_words"),
        *([catalogue.say("shelf.loaded")] if is_loaded else []),
    ]
    return shorten(" · ".join(lines), 400)


def styles_card(styles: Sequence[Style], offer: Offer | None, catalogue: Catalogue) -> Card:
    """The member's own, the server's and those that ship with the program; a button to draw with each (`offer.prompts` in their order)."""
    lines: list[str] = []
    for key, of_kind in (("own", _is_own), ("server", _is_servers), ("built_in", _is_built_in)):
        found = [each for each in styles if of_kind(each)]
        if found:
            lines += [catalogue.say(f"styles.{key}"), *(catalogue.say("styles.line", name=each.name, words=shorten(each.words, 70)) for each in found)]
    buttons = [run(offer, index, each.name, catalogue) for index, each in enumerate(styles[:STYLES]) if offer and index < len(offer.prompts)]
    return Card(
        title=catalogue.say("styles.title"),
        text="\n".join([catalogue.say("styles.text"), within(lines, catalogue, 1700)]),
        rows=(*fives(buttons), (_ask("style", offer.id if offer else "", catalogue),)),
        visibility=Visibility.PRIVATE,
    )


def _is_built_in(style: Style) -> bool:
    return not style.owner


def _is_servers(style: Style) -> bool:
    return style.owner.startswith("server:")


def _is_own(style: Style) -> bool:
    return not _is_built_in(style) and not _is_servers(style)


def lists_card(lists: Mapping[str, Sequence[str]], catalogue: Catalogue, id_: str = "") -> Card:
    """Wildcards: each list's name, how many entries it has, and the first of them."""
    named = sorted(lists.items())
    lines = [
        catalogue.say("wildcards.line", name=name, count=len(entries), entries=shorten(", ".join(entries), 60)) for name, entries in named[:LISTS] if entries
    ]
    more = [catalogue.say("offer.more", count=len(named) - LISTS)] if len(named) > LISTS else []
    text = within([*lines, *more], catalogue, 1700) if lines else catalogue.say("wildcards.none")
    return Card(
        title=catalogue.say("wildcards.title"),
        text="\n".join([catalogue.say("wildcards.text"), text]),
        rows=((_ask("list", id_, catalogue),),),
        visibility=Visibility.PRIVATE,
    )


def _ask(form: str, id_: str, catalogue: Catalogue) -> Button:
    """Opens the form of that name."""
    action = Action(verb=Verb.ASK, job_id=id_ or NOBODY, argument=form)
    return Button(label=catalogue.say(f"ask.{form}"), hint=catalogue.say(f"ask.{form}_hint"), action=action)


# ------------------------------------------------------------------------------------------------ whose, and what of whom


def verify_card(shown: Shown | None, claims: str, catalogue: Catalogue) -> Card:
    """Whether a picture was made here: `shown` is the job that has exactly this file, as far as the member may see it.

    `claims` are the parameters the file itself carries; anybody can write them, and the card says so.
    """
    if shown is None:
        text = [catalogue.say("verify.unknown"), *([catalogue.say("verify.claims")] if claims.strip() else [])]
        return Card(title=catalogue.say("verify.title"), text="\n".join(text), code=claims.strip()[:1500], visibility=Visibility.PRIVATE)
    job = shown.job
    picture = next(iter(shown.artifacts), None)
    found = {
        "when": f"{job.created_at:%Y-%m-%d %H:%M} UTC",
        "by": shorten(job.actor.name, 40),
        "model": job.request.model,
        "seed": str(picture.seed if picture else job.request.seed),
        "seen": picture.seen if picture else "",
        "id": job.id,
    }
    show = Action(verb=Verb.SHOW, job_id=job.id, argument=PRIVATE if job.private else "")
    words = shorten(plain_text(job.words), 80)
    button = Button(label=catalogue.say("button.show"), hint=catalogue.say("button.show_hint", words=words), action=show)
    return Card(
        title=catalogue.say("verify.title"),
        text=catalogue.say("verify.made_here"),
        code=job.words,
        details=tuple((catalogue.say(f"verify.{key}"), value) for key, value in found.items() if value),
        rows=((button,),),
        visibility=Visibility.PRIVATE,
    )


def privacy_card(count: int, catalogue: Catalogue, id_: str, *, days: int | None = None) -> Card:
    """What is stored of a member and why, of how many jobs; a copy of it, and its end.

    `days`: after which ended jobs go by themselves; None: not said. The first button is a COLLECT whose argument is `bot.presses.EVERYTHING`.
    """
    lines = [catalogue.say("privacy.text", count=count), catalogue.say("privacy.kept")]
    if days is not None:
        lines.append(catalogue.say("privacy.days", count=days) if days else catalogue.say("privacy.for_ever"))
    lines.append(catalogue.say("privacy.nobody"))
    export = Button(
        label=catalogue.say("privacy.export"),
        hint=catalogue.say("privacy.export_hint"),
        action=Action(verb=Verb.COLLECT, job_id=id_, argument=EVERYTHING),
    )
    forget = Action(verb=Verb.ASK, job_id=id_, argument="forget")
    rows = ((export, Button(label=catalogue.say("ask.forget"), hint=catalogue.say("ask.forget_hint"), action=forget, style="danger")),)
    return Card(title=catalogue.say("privacy.title"), text="\n\n".join(lines), rows=rows, visibility=Visibility.PRIVATE)
