"""Playback of a scenario: start times, positions and scripted steps of the migrations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_migration.simulator.scenario import ApiError, Migration, Scenario, Verification
from airflow_provider_migration.simulator.scripts import CheckRun, Moment, at, check_runs, copied_at

_RELATIVE_TIME = re.compile(r"now(?:([+-])(\d+))?")


class Frame:
    """The current response of one migration."""

    def __init__(
        self, migration: Migration, *, began: float, now: float, seconds: float, speed: float
    ) -> None:
        self.migration = migration
        self.began = began
        self.now = now
        self._seconds = seconds
        self._speed = speed
        self._steps = [step for step in migration.steps if step.at <= seconds]
        # Explicit steps without a script replace everything in the response of a migration that has not
        # started.
        script_time = 0.0 if migration.steps and migration.script is None else seconds
        script = migration.script or "success"
        self.moment: Moment = at(
            script,
            script_time,
            duration=migration.duration,
            incremental=migration.has_incremental,
        )
        self._copied_at = copied_at(script, incremental=migration.has_incremental)
        # Rounded, so that a jump to the end of a run is not a rounding error short of it.
        since_copy = round(script_time / migration.duration - self._copied_at, 6)
        self.check_runs: tuple[CheckRun, ...] = (
            check_runs(self.verification.outcome, since_copy) if self.verification else ()
        )

    @property
    def verification(self) -> Verification | None:
        """The data check of the migration; None if it has none."""
        return getattr(self.migration, "verification", None)

    def time_of(self, since_copy: float) -> float:
        """
        Return the epoch seconds of the start or end of a run of the data check.

        A slow script is dated as if it ran in real time, so that one that stands still has plausible times.
        """
        seconds = (self._copied_at + since_copy) * self.migration.duration
        return self.now - (self._seconds - seconds) / max(self._speed, 1.0)

    @property
    def error(self) -> ApiError | None:
        """The error of the latest step, if it has one."""
        return self._steps[-1].error if self._steps else None

    def steps_over(self, answer: Any, part: str | None = None, *, numbers_as_text: bool = False) -> Any:
        """
        Merge the fields of the steps over the response.

        :param part: the key of a step that holds the fields; default: the step itself.
        :param numbers_as_text: render times as text, for services that do so.
        """
        for step in self._steps:
            if part is None:
                fields: Any = step.fields
            elif part in step.fields:
                fields = step.fields[part]
            else:
                continue
            fields = self._with_times(fields, numbers_as_text)
            if isinstance(answer, Mapping) and isinstance(fields, Mapping) and not step.replace:
                answer = _merge(answer, fields)
            else:
                answer = fields
        return answer

    def _with_times(self, value: Any, as_text: bool) -> Any:
        if isinstance(value, Mapping):
            return {name: self._with_times(item, as_text) for name, item in value.items()}
        if isinstance(value, list):
            return [self._with_times(item, as_text) for item in value]
        if isinstance(value, str) and (found := _RELATIVE_TIME.fullmatch(value)):
            moment = int(self.now) + int(f"{found[1] or '+'}{found[2] or 0}")
            return str(moment) if as_text else moment
        return value


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        lower = merged.get(name)
        both = isinstance(lower, Mapping) and isinstance(value, Mapping)
        merged[name] = _merge(lower, value) if both else value  # type: ignore[arg-type]  # both are mappings
    return merged


class Playback:
    """
    The running scenario; a migration's script begins with its first poll; a list does not start it.

    :param clock: returns the time in epoch seconds.
    :param speed: seconds of script per second of clock.
    """

    def __init__(self, scenario: Scenario, *, clock: Callable[[], float], speed: float) -> None:
        self.scenario = scenario
        self.clock = clock
        self._speed = speed
        self._migrations: dict[tuple[str, str], Migration] = {
            (item.service, item.id): item for item in scenario.migrations
        }
        self._began: dict[tuple[str, str], float] = {}

    def poll(self, service: str, migration_id: str) -> Frame | None:
        """Return the current frame of a migration; None for an unknown migration."""
        if (service, migration_id) in self._migrations:
            self._began.setdefault((service, migration_id), self.clock())
        return self.peek(service, migration_id)

    def peek(self, service: str, migration_id: str) -> Frame | None:
        """Return the same frame as :meth:`poll`, without beginning the script."""
        key = (service, migration_id)
        migration = self._migrations.get(key)
        if migration is None:
            return None
        now = self.clock()
        began = self._began.get(key, now)
        seconds = max((now - began) * self._speed, 0.0)
        return Frame(migration, began=began, now=now, seconds=seconds, speed=self._speed)

    def jump(self, service: str, migration_id: str, seconds: float) -> None:
        """
        Move a migration to a second of its script, from which it continues.

        :raises KeyError: for an unknown migration.
        """
        key = (service, migration_id)
        if key not in self._migrations:
            raise KeyError(f"no {service} migration {migration_id!r} in the scenario")
        self._began[key] = self.clock() - seconds / self._speed

    def of(self, service: str) -> Iterator[Migration]:
        """Yield the migrations of a service."""
        return (item for item in self.scenario.migrations if item.service == service)
