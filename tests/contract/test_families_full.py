"""The whole product: every small model, started in every way its family has, under every scheduler it takes, all of them at once. `make test-full`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from engine.shelf import SCHEDULERS
from tests.contract.families import networks, shelves
from tests.contract.families.company import CANVASES, Guest, far, party
from tests.contract.test_families import TOLERANCE, ask, stock

pytestmark = pytest.mark.full

#: Schedulers of flow-matching models. The last two sample their flows from noise only: they have no way of adding it to a picture as flows do.
FLOWS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler")
TAKEN = {"sd": SCHEDULERS, "sdxl": SCHEDULERS, "pixart": SCHEDULERS, "sd3": FLOWS[:2], "sana": FLOWS}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    yield
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # a diffusers scheduler hands tensors to numpy
@pytest.mark.parametrize("name", sorted(networks.BUILDERS))
def test_every_start_under_every_scheduler_equals_stock_among_all_the_others(name: str) -> None:
    model, family = shelves.model(name), networks.BUILDERS[name][0]
    schedulers = [None, *TAKEN.get(family, ())] if name != "sprint" else [None]
    starts = [start for start in model.family.pipelines if start in CANVASES]
    guests = []
    for number, (scheduler, start) in enumerate((scheduler, start) for scheduler in schedulers for start in starts):
        changes = {"source": "0" * 64, "strength": 0.8} if start != "words" else {}
        request = ask(
            name,
            "cat " * (number % 5 + 1),
            steps=number % 3 + 3,
            guidance=float(number % 3 + 1),
            seed=number,
            scheduler=scheduler,
            unwanted=("rain",) if number % 2 else (),
            **changes,
        )
        guests.append(Guest(request, start, joins=number % 3))
    party(model, guests)
    assert not [guest.error for guest in guests if guest.error]
    apart = {(guest.request.scheduler, guest.start): far(guest.images, stock(name, guest, model.scheduler(guest.request.scheduler))) for guest in guests}
    assert max(apart.values()) < TOLERANCE, apart
