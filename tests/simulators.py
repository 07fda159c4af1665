"""A simulator for tests that each need their own instance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final

from airflow_provider_migration.simulator import Simulator

_STOPPING: Final = ThreadPoolExecutor(max_workers=32, thread_name_prefix="stopping")
"""Enough for the fastest tests: a backlog of simulators would disturb the measurements of other tests."""


class BriefSimulator(Simulator):
    """Stops in the background while the next test runs: uvicorn takes a fifth of a second to stop."""

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _STOPPING.submit(self.stop)
