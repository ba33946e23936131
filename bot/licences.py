"""What the licences of the models at hand forbid, kept from whoever asks for it. Made and asked by `bot.drawing`; `bot.workshop` looks again when it is drawn.

Which words a licence is against is `bot.gate.licence`'s to say; models that may not be used here at all are left out by `bot.commercial`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import structlog

from bot.domain import Event, Origin
from bot.errors import Refused
from bot.gate import Answer, Asked, Gate, Policy, Rule, Verdict, from_outside
from bot.gate.asking import Records
from bot.gate.licence import alone_of, binds, others, refusal
from engine.api import Capabilities, Request

log = structlog.get_logger(__name__)


class Licences:
    """The other half of the prompt gate."""

    def __init__(self, gate: Gate, records: Records, models: Callable[[], Sequence[Capabilities]], forbidden: Collection[str] = ()) -> None:
        """`records` tell where pictures came from. `models`: what is on the shelf. `forbidden`: names of the operator's models that are not offered, because
        their licence forbids commercial use.
        """
        self._gate, self._records, self._models = gate, records, models
        self._forbidden = frozenset(name.casefold() for name in forbidden)

    def need_offered(self, name: str | None) -> None:
        """Raises Refused for a model that is not offered for its licence's sake."""
        if name and name.casefold() in self._forbidden:
            raise Refused("refused.model_forbidden", model=name[:40], available=tuple(each.model for each in self._models()))

    async def need(self, event: Event, request: Request, parent: Origin | None, asked: Asked, place: Policy) -> None:
        """Raises Refused where the licence of the request's model forbids these words, whatever the place allows and whatever moderators do; and Fault."""
        can = self._bound(request.model)
        if can is None:
            return
        verdict = await asyncio.to_thread(self._broken, can, asked)
        if verdict is not None and verdict.rule is Rule.EDITS and not await from_outside(self._records, request, parent, event.actor.key):
            asked = replace(asked, photograph=False)
            verdict = await asyncio.to_thread(self._broken, can, asked)
        if verdict is not None:
            self._refuse(event, can, verdict, await asyncio.to_thread(self._gate.judge, asked, place))

    def need_at_once(self, event: Event, model: str, asked: Asked, place: Policy) -> None:
        """The same in memory, for words that `bot.drawing` has found short enough."""
        can = self._bound(model)
        if can is not None and (verdict := self._broken(can, asked)) is not None:
            self._refuse(event, can, verdict, self._gate.judge(asked, place))

    def _bound(self, model: str) -> Capabilities | None:
        """The model, where its licence has anything for the gate."""
        return next((each for each in self._models() if each.model == model and binds(each.refuses)), None)

    def _broken(self, can: Capabilities, asked: Asked) -> Verdict | None:
        """What the licence is against. The rule about minors is the other half's to tell."""
        verdict = self._gate.judge(asked, alone_of(can.refuses))
        return None if verdict is None or verdict.rule is Rule.MINORS else verdict

    def _refuse(self, event: Event, can: Capabilities, verdict: Verdict, here: Verdict | None) -> None:
        """`here`: what the place says of it; another model is named only where that may draw it. Raises Refused."""
        log.info("gate.refused", rule=verdict.rule.value, licence=can.model, actor=event.actor.key, server=event.place.server)
        allowed = here is None or here.answer is not Answer.REFUSE
        raise refusal(verdict, can, others(self._models(), verdict) if allowed else ())
