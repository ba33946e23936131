"""Cards that stand for no job, and the forms. Pure; called by `bot.studio`, `bot.drawing` and `bot.usecases`.

Nearly all of them are private: they are a word to one member. `trouble` has mistakes and refusals, `standing` wallet, queue, history and family, `offers`
prompts that a button may draw, `choices` preferences and settings, `shelf` what there is, `forms` the forms.
"""

from bot.notes.choices import prefer_card, settings_card
from bot.notes.forms import (
    ask_form,
    blend_form,
    forget_form,
    imagine_form,
    list_form,
    morph_form,
    picture_form,
    region_form,
    remix_form,
    style_form,
    words_form,
    zoom_form,
)
from bot.notes.offers import batch_card, confirm_card, describe_card, shorten_card
from bot.notes.shelf import EXAMPLES, help_card, lists_card, models_card, privacy_card, styles_card, verify_card
from bot.notes.standing import CHILDREN, HISTORY, children_card, history_card, info_card, queue_card
from bot.notes.trouble import caret, closed_card, deleted_card, error_card, note, web_card

__all__ = [
    "CHILDREN",
    "EXAMPLES",
    "HISTORY",
    "ask_form",
    "batch_card",
    "blend_form",
    "caret",
    "children_card",
    "closed_card",
    "confirm_card",
    "deleted_card",
    "describe_card",
    "error_card",
    "forget_form",
    "help_card",
    "history_card",
    "imagine_form",
    "info_card",
    "list_form",
    "lists_card",
    "models_card",
    "morph_form",
    "note",
    "picture_form",
    "prefer_card",
    "privacy_card",
    "queue_card",
    "region_form",
    "remix_form",
    "settings_card",
    "shorten_card",
    "style_form",
    "styles_card",
    "verify_card",
    "web_card",
    "words_form",
    "zoom_form",
]
