"""The forms: what is asked for before something is done. A form's `name` is an encoded Action, or the name of the command it stands for. Pure.

Field names, as `bot.usecases.forms` reads them: `words`, `image` (a picture), `mask` (a picture), `what`, `factor`, `before`, `after`, `flags`, `name`,
`entries`, `sure`, and `value` for a single preference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.domain import Action, Field, Form
from bot.errors import Refused
from bot.messages import Catalogue
from bot.notes.choices import values_of
from bot.presses.actions import asked_of
from bot.wishes import Standing

_MEMBERS = ("flags", "suffix", "sets")
_SERVERS = ("flags", "suffix", "channels", "off")
_LONG = ("sets", "channels", "off")


def imagine_form(catalogue: Catalogue, words: str = "", roles: Sequence[str] = ()) -> Form:
    """The words, and a picture if one likes. `roles`: what else a picture may be for, of "style" and "sketch"."""
    fields = (
        Field(name="words", label=catalogue.say("form.words"), value=words, long=True),
        _picture("image", "form.image_or_none", catalogue, required=False),
        *(_picture(role, f"form.{role}_or_none", catalogue, required=False) for role in roles),
    )
    return Form(name="imagine", title=catalogue.say("form.imagine"), fields=fields)


def remix_form(action: Action, words: str | None, catalogue: Catalogue) -> Form:
    """`words` None: they are not at hand, and an empty answer keeps them. `action` may be any that draws from words."""
    fields = (_words(words, catalogue), _picture("image", "form.image_or_none", catalogue, required=False))
    return Form(name=action.encode(), title=catalogue.say("form.remix"), fields=fields)


def zoom_form(action: Action, words: str | None, catalogue: Catalogue) -> Form:
    """How far out, and other words if one likes."""
    factor = Field(name="factor", label=catalogue.say("form.factor"), value="1.5", hint=catalogue.say("form.factor_hint"))
    return Form(name=action.encode(), title=catalogue.say("form.zoom"), fields=(factor, _words(words, catalogue)))


def region_form(action: Action, words: str | None, catalogue: Catalogue) -> Form:
    """What is to be drawn anew: a mask, or a phrase for what is there now; and what shall be there."""
    mask = _picture("mask", "form.mask", catalogue, required=False, hint="form.mask_hint")
    what = Field(name="what", label=catalogue.say("form.what"), required=False, hint=catalogue.say("form.what_hint"))
    return Form(name=action.encode(), title=catalogue.say("form.region"), fields=(mask, what, _words(words, catalogue)))


def _words(words: str | None, catalogue: Catalogue) -> Field:
    label = catalogue.say("form.words" if words is not None else "form.words_kept")
    return Field(name="words", label=label, value=words or "", long=True, required=words is not None)


def _picture(name: str, label: str, catalogue: Catalogue, *, required: bool = True, hint: str = "") -> Field:
    return Field(name=name, label=catalogue.say(label), kind="picture", required=required, hint=catalogue.say(hint) if hint else "")


# ------------------------------------------------------------------------------------------------ commands called bare


def words_form(name: str, catalogue: Catalogue) -> Form:
    """For a command that takes words (`/shorten`)."""
    return Form(name=name, title=catalogue.say(f"form.{name}"), fields=(Field(name="words", label=catalogue.say("form.prompt"), long=True),))


def morph_form(catalogue: Catalogue) -> Form:
    fields = (
        Field(name="before", label=catalogue.say("form.before")),
        Field(name="after", label=catalogue.say("form.after")),
        Field(name="flags", label=catalogue.say("form.flags"), required=False),
    )
    return Form(name="morph", title=catalogue.say("form.morph"), fields=fields)


def blend_form(catalogue: Catalogue) -> Form:
    """Two pictures at least; a platform whose field takes several files lets five come along."""
    fields = (
        _picture("image", "form.first", catalogue),
        _picture("image2", "form.second", catalogue),
        _picture("image3", "form.another", catalogue, required=False),
        _picture("image4", "form.another", catalogue, required=False),
        Field(name="words", label=catalogue.say("form.words_or_none"), required=False),
    )
    return Form(name="blend", title=catalogue.say("form.blend"), fields=fields)


def picture_form(name: str, catalogue: Catalogue) -> Form:
    """For a command that takes one picture: "describe", "verify" or "upscale"."""
    return Form(name=name, title=catalogue.say(f"form.{name}"), fields=(_picture("image", "form.image", catalogue),))


# ------------------------------------------------------------------------------------------------ what is kept


def style_form(catalogue: Catalogue) -> Form:
    fields = (
        Field(name="name", label=catalogue.say("form.style_name"), hint=catalogue.say("form.style_name_hint")),
        Field(name="words", label=catalogue.say("form.style_words"), long=True, hint=catalogue.say("form.style_words_hint")),
    )
    return Form(name="styles", title=catalogue.say("form.style"), fields=fields)


def list_form(catalogue: Catalogue) -> Form:
    fields = (
        Field(name="name", label=catalogue.say("form.list_name"), hint=catalogue.say("form.list_name_hint")),
        Field(name="entries", label=catalogue.say("form.entries"), long=True),
    )
    return Form(name="lists", title=catalogue.say("form.list"), fields=fields)


def forget_form(catalogue: Catalogue) -> Form:
    """Nothing is removed unless the word is written."""
    word = catalogue.say("privacy.forget_word")
    field = Field(name="sure", label=catalogue.say("form.sure", word=word), hint=catalogue.say("form.sure_hint"))
    return Form(name="privacy", title=catalogue.say("form.forget"), fields=(field,))


def ask_form(action: Action, catalogue: Catalogue, member: Mapping[str, Any], server: Mapping[str, Any]) -> Form:
    """What an ASK opens: a form for one preference of the member's or the server's, filled in with what holds, or one of the above. Raises Refused."""
    try:
        name, of_server = asked_of(action)
    except ValueError:
        raise Refused("refused.unknown_form") from None
    if not of_server and name in ("style", "list", "forget"):
        return {"style": style_form, "list": list_form, "forget": forget_form}[name](catalogue)
    if name not in (_SERVERS if of_server else _MEMBERS):
        raise Refused("refused.unknown_form")
    values = values_of(Standing(member=member, server=server), server=of_server)
    field = Field(
        name="value",
        label=catalogue.say(f"ask.{name}"),
        value=values.get(name, ""),
        long=name in _LONG,
        required=False,
        hint=catalogue.say(f"ask.{name}_hint"),
    )
    return Form(name=action.encode(), title=catalogue.say("form.settings" if of_server else "form.prefer"), fields=(field,))
