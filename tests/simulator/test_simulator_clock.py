"""The clocks of the services can be ahead of, or behind, the one of the machine that asks."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from airflow_provider_migration.sensors.oms import OmsProjectSensor
from airflow_provider_migration.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable


def skewed(offset: float, lag: int = 0) -> dict[str, Any]:
    """Make a scenario of one OMS project with a lag, and one job of DTS and DRS each."""
    data = {
        "status": "RUNNING",
        "currentStep": "INCR_SYNC",
        "structMigrationProgress": 100,
        "fullMigrationProgress": 100,
        "incrSyncCheckpoint": f"now-{lag}",
    }
    return {
        "clock_offset": offset,
        "migrations": [
            {"service": "oms", "project_id": "p_demo0001", "steps": [{"at": 0, **data}]},
            {"service": "dts", "migration_job_id": "dtsdemo0001"},
            {"service": "drs", "job_id": "163b98e8-6088-46c3-8b86-c18fea6jb502"},
        ],
    }


@pytest.mark.parametrize("offset", [0, 600, -600.5])
def test_answers_follow_the_simulated_clock(play: Callable[..., Any], clock: Any, offset: float) -> None:
    ask = play(skewed(offset))
    for reply in (ask.oms(), ask.dts(), ask.drs_jobs(), ask.oms(password="wrong")):
        date = parsedate_to_datetime(reply.headers["date"]).timestamp()
        assert date == pytest.approx(clock.now + offset, abs=1)
    assert ask.oms().json["data"]["incrSyncCheckpoint"] == pytest.approx(clock.now + offset, abs=1)


@pytest.mark.parametrize("offset", [1200, -1200])
def test_clock_skew_of_a_signature_is_refused(play: Callable[..., Any], offset: float) -> None:
    ask = play(skewed(offset))
    assert ask.dts().json["Code"] == "InvalidTimeStamp.Expired"
    assert ask.drs_jobs().status == 401
    assert (ask.dts(skew=offset).status, ask.drs_jobs(skew=offset).status) == (200, 202)


@pytest.mark.parametrize(
    ("offset", "lag", "says"),
    [(600, 90, "10 minutes behind"), (-600, 30, "10 minutes ahead of"), (0, 90, "")],
)
def test_clock_skew_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], offset: float, lag: int, says: str
) -> None:
    """By the clock of this machine the lag would be 0, or ten minutes more than it is."""
    with Simulator(skewed(offset, lag)) as simulator:
        monkeypatch.setenv("AIRFLOW_CONN_OMS_DEFAULT", json.dumps(simulator.connections()["oms_default"]))
        sensor = OmsProjectSensor(task_id="wait", project_id="p_demo0001", max_lag=60)
        context: Any = {"ti": Mock()}
        verdicts = [bool(sensor.poke(context)) for _ in range(3)]
    assert verdicts == [lag <= 60] * 3
    log = capsys.readouterr().out
    assert log.count("The clock of this machine is") == int(bool(says))
    assert says in log
