"""The frozen values everybody speaks. Plain data, keyword-only; no I/O, no SDK.

Ids are ULIDs, times are aware UTC datetimes, digests are sha256 hex, credits are floats in credits (see `bot.limits`).
"""

from bot.domain.events import Command, Event, Inbound, Press, Reaction, Submit, Upload
from bot.domain.jobs import CLIP, GRID, MOVES, Accepted, Artifact, Family, Job, Limits, Load, Notice, Origin, Page, Said, Shown, Status, Submission, Wallet
from bot.domain.places import Actor, Place, Receipt, ReplyTo
from bot.domain.shown import Ack, Action, Button, ButtonStyle, Card, Field, Form, Hint, Link, Picture, Reading, Resend, Select, Verb, Visibility

__all__ = [
    "CLIP",
    "GRID",
    "MOVES",
    "Accepted",
    "Ack",
    "Action",
    "Actor",
    "Artifact",
    "Button",
    "ButtonStyle",
    "Card",
    "Command",
    "Event",
    "Family",
    "Field",
    "Form",
    "Hint",
    "Inbound",
    "Job",
    "Limits",
    "Link",
    "Load",
    "Notice",
    "Origin",
    "Page",
    "Picture",
    "Place",
    "Press",
    "Reaction",
    "Reading",
    "Receipt",
    "ReplyTo",
    "Resend",
    "Said",
    "Select",
    "Shown",
    "Status",
    "Submission",
    "Submit",
    "Upload",
    "Verb",
    "Visibility",
    "Wallet",
]
