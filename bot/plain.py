"""The simplest card that says how a job ended, for when its own cannot be rendered or no chat takes it. Made by `bot.app` for `bot.outbox`.

It has neither words of the member's nor pictures nor buttons: any of them may be what went wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bot.domain import Card, Status, Visibility
from bot.messages import Catalogue, Catalogues
from bot.ports import Store


def plain_cards(store: Store, catalogues: Catalogues) -> Callable[[str], Awaitable[Card]]:
    """Renders by a job's id. What it makes raises NotFound, and Fault when the store is away."""

    async def render(job_id: str) -> Card:
        job = (await store.shown(job_id)).job
        catalogue = catalogues.of(job.actor.locale)
        return Card(
            title=_ended(job.status, catalogue, job_id) or (catalogue.tell(job.error) if job.error else catalogue.say("error.fault")),
            job_id=job_id,
            status=job.status,
            visibility=Visibility.PRIVATE if job.private else Visibility.PUBLIC,
        )

    return render


def _ended(status: Status, catalogue: Catalogue, job_id: str) -> str:
    """Empty where the job's own reason says more."""
    match status:
        case Status.DONE:
            return catalogue.say("card.shown_plainly", job=job_id)
        case Status.CANCELLED:
            return catalogue.say("card.cancelled")
    return ""
