"""Huawei Cloud DRS: how a job ends where an answer is odd, silent or cut short."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.exceptions import MigrationError, MigrationServiceError
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.sansio import Request, Response
from airflow_provider_migration.services.drs import DrsApi
from airflow_provider_migration.wait.policy import target_reached

ID = "163b98e8-6088-46c3-8b86-c18fea6jb502"
API = DrsApi(
    endpoint="https://drs.cn-north-4.myhuaweicloud.com",
    project_id="5237e10fe9aa4ad5b16b6a5245248314",
    region="cn-north-4",
    signer=HuaweiSigner("AK", "SK"),
)
RELEASED, SYNCING, PAUSED = "RELEASE_RESOURCE_COMPLETE", "INCRE_TRANSFER_STARTED", "PAUSING"
AWAY, NO_RIGHT, NO_PAGE = (503, {}), (403, {"error_code": "DRS.M00102"}), (403, b"<html>no</html>")
CUT_SHORT = MigrationServiceError("The deadline of this poll is over.", reason="timeout")
CUT_SHORT.is_cut_short = True
TIMED_OUT = MigrationServiceError("No data came for 30 s.", reason="timeout")


def job(status: str, **changes: Any) -> dict[str, Any]:
    """Make a job in sync that says nothing of its existing data, with changes."""
    item = {"job_id": ID, "transfer_status": status, "task_mode": "FULL_INCR_TRANS", "progress": "0"}
    return {"results": [{**item, "incre_trans_delay": "3", "error_code": "", **changes}]}


def tables(*percents: int) -> dict[str, Any]:
    rows = [{"src_db": "a", "src_tb": f"t{number}", "progress": each} for number, each in enumerate(percents)]
    return {"count": len(rows), "flow_compare_data": rows}


class Watched:
    """
    One job as a sensor watches it, with a clock that is set by hand.

    :ivar asked: the object types that were asked for, in order.
    """

    def __init__(self, talk: Any, response: Any) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self.api = replace(API, clock=lambda: self.now)
        self._talk, self._response = talk, response
        self.asked: list[str] = []

    def poll(self, status: Any, **lists: Any) -> MigrationProgress:
        """Ask once; a list is a body, a status with a body, or the error of a call that brought nothing."""

        def answer(request: Request) -> Response:
            given = status
            if request.action != "BatchListProgresses":
                name = urlsplit(request.url).path.rpartition("/")[2]
                self.asked.append(name)
                given = lists[name]
            if isinstance(given, MigrationError):
                raise given
            code, body = given if isinstance(given, tuple) else (200, given)
            answered: Response = self._response(body, code)
            return answered

        record: MigrationProgress = self._talk(self.api.progress(ID, tuple(lists), max_lag=60), answer).result
        return record


@pytest.fixture
def watched(talk: Any, response: Any) -> Watched:
    return Watched(talk, response)


# --- in sync --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["DRS.M06007", "x", 7])
def test_increment_with_an_error_code_is_not_caught_up(watched: Watched, code: Any) -> None:
    assert watched.poll(job(SYNCING, error_code=code)).state == "running"


@pytest.mark.parametrize("code", ["", None])
def test_empty_error_code_is_no_error(watched: Watched, code: Any) -> None:
    assert watched.poll(job(SYNCING, error_code=code)).state == "caught_up"


@pytest.mark.parametrize("seconds", ["soon", "nan", "1,5", False, [], {}])
@pytest.mark.parametrize("millis", [0, "0", "3000"])
def test_milliseconds_beside_unreadable_seconds_are_no_lag(
    watched: Watched, seconds: Any, millis: Any
) -> None:
    delays = {"incre_trans_delay": seconds, "incre_trans_delay_millis": millis}
    record = watched.poll(job(SYNCING, **delays))
    assert (record.state, record.lag_seconds) == ("running", None)
    ended = watched.poll(job(RELEASED, progress="100", **delays))
    assert ended.state == "cancelled"
    assert "DRS gives no delay for its incremental phase" in str(ended.error and ended.error.message)


@pytest.mark.parametrize("seconds", [None, ""])
def test_milliseconds_without_seconds_are_the_lag(watched: Watched, seconds: Any) -> None:
    record = watched.poll(job(SYNCING, incre_trans_delay=seconds, incre_trans_delay_millis="3000"))
    assert (record.state, record.lag_seconds) == ("caught_up", 3)


# --- a list that could not be read ----------------------------------------------------------------------


@pytest.mark.parametrize(("failure", "asked"), [(CUT_SHORT, 2), (TIMED_OUT, 1), (AWAY, 1), (NO_RIGHT, 1)])
def test_list_cut_short_is_requested_at_the_next_poll(watched: Watched, failure: Any, asked: int) -> None:
    """Only the limits of a poll say nothing of the next one."""
    first = watched.poll(job(PAUSED), table=failure)
    watched.now += timedelta(minutes=1)
    second = watched.poll(job(PAUSED), table=tables(100, 40))
    assert len(watched.asked) == asked
    assert first.state == second.state == "paused"
    assert (len(first.warnings), len(second.warnings)) == (1, 2 - asked)
    assert (second.objects is not None) is (asked == 2)


@pytest.mark.parametrize("failure", [CUT_SHORT, TIMED_OUT, AWAY, (429, {}), (200, b"{cut"), (302, b"")])
@pytest.mark.parametrize("view", [None, tables(100)])
def test_end_is_not_judged_while_its_list_fails(watched: Watched, failure: Any, view: Any) -> None:
    """The poll fails, and the next one asks again at once."""
    more = {"view": view} if view else {}
    for _ in range(2):
        with pytest.raises(MigrationError) as caught:
            watched.poll(job(RELEASED), table=failure, **more)
        assert caught.value.is_transient
    record = watched.poll(job(RELEASED), table=tables(100), **more)
    assert (record.state, record.warnings) == ("succeeded", ())


def test_end_needs_every_requested_list(watched: Watched) -> None:
    for _ in range(2):
        with pytest.raises(MigrationServiceError):
            watched.poll(job(RELEASED), table=tables(100), view=AWAY)
    assert watched.poll(job(RELEASED), table=tables(100), view=tables(100)).state == "succeeded"


def test_end_ignores_a_failure_of_an_unneeded_list(watched: Watched) -> None:
    """The same job may be watched with another limit, for which it was behind."""
    behind, in_sync = job(RELEASED, incre_trans_delay="61"), job(RELEASED, incre_trans_delay="60")
    assert watched.poll(behind, table=AWAY).state == "cancelled"
    assert watched.poll(in_sync, table=tables(100)).state == "succeeded"


def test_list_not_needed_by_the_end_is_not_requested_again(watched: Watched) -> None:
    for _ in range(2):
        assert watched.poll(job(RELEASED, progress="100"), table=AWAY).state == "succeeded"
    assert watched.asked == ["table"]


@pytest.mark.parametrize(
    ("status", "lists", "state"),
    [
        (job(RELEASED, progress="100"), {"table": AWAY}, "succeeded"),
        (job(RELEASED, task_mode="INCR_TRANS"), {"table": AWAY}, "succeeded"),
        (job(RELEASED, progress="40"), {"table": AWAY}, "cancelled"),
        (job(RELEASED, incre_trans_delay="18000"), {"table": AWAY}, "cancelled"),
        (job(RELEASED, incre_trans_delay="-1"), {"table": AWAY}, "cancelled"),
        (job(RELEASED, error_code="DRS.M06007"), {"table": AWAY}, "cancelled"),
        (job(RELEASED), {"table": tables(100, 40), "view": AWAY}, "cancelled"),
        (job(RELEASED), {"table": NO_RIGHT}, "cancelled"),
        (job(RELEASED), {"table": NO_PAGE}, "cancelled"),
        (job("RELEASE_RESOURCE_STARTED"), {"table": AWAY}, "running"),
        (job("DELETED"), {"table": AWAY}, "cancelled"),
        (job(PAUSED), {"table": CUT_SHORT}, "paused"),
        (job("FULL_TRANSFER_FAILED"), {"table": AWAY}, "failed"),
    ],
)
def test_state_without_lists_is_returned(watched: Watched, status: Any, lists: Any, state: str) -> None:
    record = watched.poll(status, **lists)
    assert (record.state, len(record.warnings)) == (state, 1)
    assert target_reached(record, "succeeded") is (state == "succeeded")


def test_record_has_the_time_of_the_call_that_decides(talk: Any, response: Any) -> None:
    """The lists may take a minute."""
    began = datetime(2026, 1, 2, tzinfo=UTC)
    now = [began]

    def answer(request: Request[Any]) -> Response:
        if request.action != "BatchListProgresses":
            now[0] += timedelta(seconds=60)
        given: Response = response(job("FULL_TRANSFER_STARTED") if now[0] == began else tables(40))
        return given

    record = talk(replace(API, clock=lambda: now[0]).progress(ID, max_lag=60), answer).result
    assert (record.state, record.observed_at, now[0] - began) == ("running", began, timedelta(seconds=60))
