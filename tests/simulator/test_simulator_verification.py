"""The services' own data checks, in each service's words."""

from __future__ import annotations

from typing import get_args

import pytest

from airflow_provider_migration.simulator.scripts import SCRIPTS, CheckOutcome, at, check_runs, copied_at

TIMES = (-0.1, 0.05, 0.15, 0.3, 0.65, 0.75, 2.0)
"""Times since the full copy, as fractions of the duration: before, twice in a run, after it, and again."""

RUNS = {
    "pending": "- waiting:0 waiting:0 waiting:0 waiting:0 waiting:0 waiting:0",
    "running": "- running:25 running:50 running:50 running:50 running:50 running:50",
    "consistent": "- running:25 running:75 consistent:100 consistent:100 consistent:100 consistent:100",
    "different": "- running:25 running:75 different:100 different:100 different:100 different:100",
    "failed": "- running:25 running:75 failed:90 failed:90 failed:90 failed:90",
    "repaired": "- running:25 running:75 different:100 running:25 running:75 consistent:100",
    "restarted": "- running:25 running:75 consistent:100 running:25 running:75 consistent:100",
}


@pytest.mark.parametrize("outcome", get_args(CheckOutcome))
def test_check_runs(outcome: CheckOutcome) -> None:
    runs = [check_runs(outcome, time) for time in TIMES]
    latest = [found[-1] if found else None for found in runs]
    words = [f"{run.condition.value}:{run.done * 100:.0f}" if run else "-" for run in latest]
    assert " ".join(words) == RUNS[outcome]
    recheck = 2 if outcome in ("repaired", "restarted") else 1
    assert [len(found) for found in runs] == [0, 1, 1, 1, recheck, recheck, recheck]
    assert all((run.end is None) == (run.condition.value in ("waiting", "running")) for run in latest if run)


@pytest.mark.parametrize("script", SCRIPTS["dts"])
@pytest.mark.parametrize("incremental", [True, False])
def test_check_begins_when_the_full_copy_is_done(script: str, incremental: bool) -> None:
    copied = copied_at(script, incremental=incremental)
    for time in (0.5, 0.79, 0.81, 0.99, 1.01, 1.09, 1.11, 1.29, 1.31, 50):
        moment = at(script, time, duration=1, incremental=incremental)
        assert (moment.full == 1) == (time >= copied)
