"""Fault injection: faults are drawn from the seed, reproducibly."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_migration.simulator.scenario import Fault


class Faults:
    """Draws faults; each service counts its own requests, so services do not affect one another."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._faults = faults
        self._seed = seed
        self._requests: Counter[str] = Counter()

    def next(self, service: str) -> Fault | None:
        """Return the first listed fault drawn for the service's next request, or None."""
        number = self._requests[service]
        self._requests[service] += 1
        for position, fault in enumerate(self._faults):
            if fault.service not in (None, service) or (fault.first is not None and number >= fault.first):
                continue
            if random.Random(f"{self._seed}:{position}:{service}:{number}").random() < fault.rate:
                return fault
        return None
