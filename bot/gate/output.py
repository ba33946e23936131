"""The output gate: pictures are looked at before anybody sees or uses them. `bot.workshop` asks about what was drawn and forms, `bot.drawing` about uploads.

A classifier gives each picture a number; `decide` makes a verdict of it by the channel's policy, the same that the prompt gate goes by. It fails closed: what
could not be looked at, for whatever reason, is held back. Looking is blocking work and is done on this module's own thread, one picture after the other.
"""

from __future__ import annotations

import asyncio
import io
import math
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog
from PIL import Image

from bot.domain import Said
from bot.errors import Refused
from bot.gate import classifier
from bot.gate.classifier import Classifier, open_nsfw
from bot.gate.licence import alone_of, binds
from bot.gate.rules import Answer, Asked, Gate, People, Policy, Rule, Sexual, Verdict
from engine import codec
from engine.api import Capabilities, Progress, Report

log = structlog.get_logger(__name__)

PATIENCE = 30.0  #: seconds that one job's pictures may take, the wait for others' among them; far more than they do on a busy machine
IDLE = 2.0  #: after looking at a preview, previews wait so many times as long as it took: finished pictures come first, and so does what draws
BESIDE = ", nude"  #: what the prompt gate would refuse beside words for the young, and beside no others


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """From which number on a picture counts. Raises ValueError when they are not in order."""

    doubtful: float = 0.4  #: shown behind a click
    sexual: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.doubtful <= self.sexual <= 1:
            raise ValueError("the output gate's bounds must be 0 < doubtful <= sexual <= 1")


def decide(number: float, bounds: Bounds, policy: Policy, *, young: bool = False, photograph: bool = False) -> Verdict | None:
    """What is done with pictures of which the most telling got `number`; None: they are shown. Pure.

    `young`: the words are about a child or a youth; then a doubt is enough, and no setting matters. `photograph`: they come from a picture that was uploaded.
    """
    if number < bounds.doubtful:
        return None
    if young:
        return Verdict(rule=Rule.MINORS)
    surely = number >= bounds.sexual
    if surely and photograph and not policy.edits:
        return Verdict(rule=Rule.EDITS)
    if policy.sexual is Sexual.ALLOW:
        return None
    if surely and policy.sexual is Sexual.REFUSE:
        return Verdict(rule=Rule.SEXUAL)
    return Verdict(rule=Rule.SEXUAL, answer=Answer.HIDE)


class Unseen(Exception):
    """The pictures could not be looked at, so nobody knows what they show."""


class Held(Exception):
    """The pictures stay back. `said` is what the member is told; the job fails with it, and what it cost is given back."""

    def __init__(self, verdict: Verdict | None, licence: str = "") -> None:
        """None: they could not be looked at. `licence`: whose, where that alone is against it: the model's name for people."""
        super().__init__(str(verdict.rule) if verdict else "not looked at")
        self.verdict, self.licence = verdict, licence

    @property
    def said(self) -> Said:
        match self.verdict and self.verdict.rule:
            case None:
                return Said(message="error.gate_unseen")
            case Rule.MINORS:
                return Said(message="error.gate_picture_minors")
            case _ if self.licence:
                return Said(message="error.gate_picture_licence", parameters={"model": self.licence})
            case Rule.EDITS:
                return Said(message="error.gate_picture_edits")
        return Said(message="error.gate_picture")


class OutputGate:
    """Safe to share within one event loop. `start` it before anything is asked."""

    def __init__(self, words: Gate, bounds: Bounds | None = None, *, load: Callable[[], Classifier] = open_nsfw, patience: float = PATIENCE) -> None:
        """`words`: the prompt gate, which knows words for the young. `load` is called on the gate's thread. `patience`: seconds."""
        self._words, self.bounds, self._load, self._patience = words, bounds or Bounds(), load, patience
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gate")
        self._classifier: Classifier | None = None
        self._turn = asyncio.Lock()  # previews of all jobs take turns, in the order they came
        self._rested = -math.inf  # when the next preview may be looked at, by the loop's clock
        self.counted: Counter[str] = Counter()  #: for the metrics: "shown", "hidden", "refused" and "unseen" jobs, "upload_refused", "preview_withheld"

    async def start(self) -> None:
        """Load the classifier and try it on a grey picture. Raises NoClassifier."""

        def load() -> None:
            self._classifier = self._load()
            self._number([Image.new("RGB", (64, 64), "grey")], threading.Event())

        await asyncio.get_running_loop().run_in_executor(self._thread, load)

    def close(self) -> None:
        """End the thread after the picture it looks at. Idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------------------------ what is asked

    async def reread(self, asked: Asked, policy: Policy) -> bool:
        """Whether what comes of words that were let pass where more was allowed is to be shown behind a click. Raises Held where it must not be drawn.

        Only what they say of sexual content is read again: the other rules have no second moment. On a thread: 6,000 characters take some 10 ms of
        processor time, twice that where letters stand alone.
        """
        sexual_alone = Policy(sexual=policy.sexual, people=People.ALLOW, edits=True, artists=False)
        verdict = await asyncio.to_thread(self._words.judge, asked, sexual_alone)
        if verdict is not None and verdict.answer is Answer.REFUSE:
            self.counted["refused"] += 1
            raise Held(verdict)
        return verdict is not None

    async def hold_to(self, asked: Asked, can: Capabilities) -> None:
        """Read the words again by what the model's licence forbids: its card may say more by now. Raises Held."""
        verdict = await asyncio.to_thread(self._words.judge, asked, alone_of(can.refuses)) if binds(can.refuses) else None
        if verdict is not None:
            self.counted["refused"] += 1
            raise Held(verdict, can.title or can.model)

    async def check(self, pictures: Sequence[bytes], asked: Asked, policy: Policy, *, clip: bytes | None = None) -> bool:
        """Whether a job's finished pictures are to be shown behind a click. Raises Held where they must not be shown at all."""
        try:
            verdict = await self.judge(pictures, asked, policy, clip=clip)
        except Unseen:
            self.counted["unseen"] += 1
            raise Held(None) from None
        if verdict is not None and verdict.answer is Answer.REFUSE:
            self.counted["refused"] += 1
            raise Held(verdict)
        self.counted["hidden" if verdict else "shown"] += 1
        return verdict is not None

    async def admit(self, picture: bytes, policy: Policy) -> None:
        """Let an uploaded picture (or sketch, or mask), as it would be stored, be used; raises Refused.

        A sexual one can only be used where sexual pictures may be drawn and photographs made into such. What only might be one is used: what comes of it is
        looked at in its turn.
        """
        if policy.edits and policy.sexual is not Sexual.REFUSE:
            return
        try:
            number = await self._looked_at(lambda: [_opened(picture)])
        except Unseen:
            raise Refused("refused.gate_upload_unseen") from None
        if number >= self.bounds.sexual:
            self.counted["upload_refused"] += 1
            raise Refused("refused.gate_upload")

    async def judge(self, pictures: Sequence[bytes], asked: Asked, policy: Policy, *, clip: bytes | None = None) -> Verdict | None:
        """What the policy says of pictures drawn from these words, as files; None: show them. Raises Unseen."""
        young = await self._is_young(asked)
        if not self._matters(asked, policy, young):
            return None

        def opened() -> Iterator[Image.Image]:
            yield from map(_opened, pictures)
            yield from classifier.frames(clip) if clip is not None else ()

        return decide(await self._looked_at(opened), self.bounds, policy, young=young, photograph=asked.photograph)

    @asynccontextmanager
    async def previews(self, show: Report, asked: Asked, policy: Policy, rows: int = 1) -> AsyncIterator[Report]:
        """A report to give the engine instead of `show`: it hands on each step at once, and a preview once it was looked at; one that breaks a rule, never,
        nor any after it. `rows`: how many pictures form in one preview. After the block no preview comes any more.
        """
        young = await self._is_young(asked)
        if not self._matters(asked, policy, young):
            yield show
            return

        async def withheld(preview: bytes) -> bool:
            async with self._turn:
                await asyncio.sleep(max(0.0, self._rested - asyncio.get_running_loop().time()))
                begun = asyncio.get_running_loop().time()
                number = await self._looked_at(lambda: _formed(preview, rows))
                now = asyncio.get_running_loop().time()
                self._rested = now + IDLE * (now - begun)
            broken = decide(number, self.bounds, policy, young=young, photograph=asked.photograph) is not None
            self.counted["preview_withheld"] += broken
            return broken

        watch = _Watch(show, withheld)
        try:
            yield watch
        finally:
            await watch.aclose()

    # ------------------------------------------------------------------------------------------ how it is done

    async def _is_young(self, asked: Asked) -> bool:
        """Whether the words are such that the prompt gate refuses them beside a sexual one. On a thread: some take long to be read."""
        verdict = await asyncio.to_thread(self._words.judge, replace(asked, wanted=asked.wanted + BESIDE), Policy())
        return verdict is not None and verdict.rule is Rule.MINORS

    @staticmethod
    def _matters(asked: Asked, policy: Policy, young: bool) -> bool:
        """Whether anything a picture shows could change what is done with it."""
        return young or policy.sexual is not Sexual.ALLOW or (asked.photograph and not policy.edits)

    async def _looked_at(self, pictures: Callable[[], Iterable[Image.Image]]) -> float:
        """The number of the most telling of them. Raises Unseen for whatever goes wrong, and after `patience`."""
        given_up = threading.Event()
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._number(pictures(), given_up))
        except Exception as error:  # it fails closed, whatever it was
            log.warning("gate.not_looked_at", error=repr(error))
            raise Unseen from error
        finally:
            given_up.set()

    def _number(self, pictures: Iterable[Image.Image], given_up: threading.Event) -> float:
        """On the thread. Looks no further once the number cannot change what is done."""
        if self._classifier is None:
            raise RuntimeError("the output gate was not started")
        most = -math.inf
        for picture in pictures:
            for view in classifier.views(picture):
                if given_up.is_set():
                    raise TimeoutError
                number = self._classifier(view)
                if not 0 <= number <= 1:  # also when it is none at all
                    raise ValueError(f"the classifier said {number}")
                most = max(most, number)
                if most >= self.bounds.sexual:
                    return most
        if most < 0:
            raise ValueError("no pictures")
        return most


class _Watch:
    """A `Report` that lets previews through when they were looked at. Between two looks only the newest waits."""

    def __init__(self, show: Report, withheld: Callable[[bytes], Awaitable[bool]]) -> None:
        self._show, self._withheld = show, withheld
        self._newest = Progress(step=0, of=0)
        self._waiting: bytes | None = None
        self._over = False
        self._task: asyncio.Task[None] | None = None

    def __call__(self, progress: Progress) -> None:
        preview, self._newest = progress.preview, replace(progress, preview=None)
        self._show(self._newest)
        if preview is None or self._over:
            return
        self._waiting = preview
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="gate-previews")

    async def _look(self) -> None:
        while (preview := self._waiting) is not None:
            self._waiting = None
            try:
                self._over = await self._withheld(preview)
            except Unseen:
                continue
            if self._over:
                return
            self._show(replace(self._newest, preview=preview))

    async def aclose(self) -> None:
        self._over = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled() and (error := self._task.exception()):
                log.error("gate.previews_failed", error=repr(error))


def _opened(data: bytes) -> Image.Image:
    """A file of ours, of any size. Raises what Pillow raises."""
    with Image.open(io.BytesIO(data), formats=codec.FORMATS) as image:
        return image.convert("RGB")


def _formed(preview: bytes, rows: int) -> Iterator[Image.Image]:
    """A preview, and where several pictures form in it, each of them."""
    sheet = _opened(preview)
    yield sheet
    if rows > 1:
        columns = codec.columns_of(rows)
        yield from classifier.tiles(sheet, columns, math.ceil(rows / columns))
