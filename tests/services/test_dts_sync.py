"""Synchronization jobs of Alibaba Cloud DTS, both directions of two-way ones, and lists of jobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationResponseError,
    MigrationServiceError,
)
from airflow_provider_migration.hooks.dts import DtsHook
from airflow_provider_migration.progress import MigrationProgress, MigrationSummary
from airflow_provider_migration.sansio import Request
from airflow_provider_migration.services.dts import JOB_TYPES, STATUSES, DtsApi, JobListing
from airflow_provider_migration.services.listing import MigrationFilter
from airflow_provider_migration.transport.limiter import RateLimiter
from airflow_provider_migration.wait.policy import target_reached
from tests.flows import Talk, hold, to_response

NOW = datetime(2026, 9, 1, 12, 0, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
API = DtsApi(
    endpoint="https://dts.cn-hangzhou.aliyuncs.com",
    region="cn-hangzhou",
    signer=AlibabaSigner("id", "secret"),
    clock=lambda: NOW,
    api="DescribeDtsJobs",
)
SYNC = replace(API, job_type="SYNC")
MODE = {"StructureInitialization": True, "DataInitialization": True, "DataSynchronization": True}
REVERSE_MODE = {**dict.fromkeys(MODE, False), "DataSynchronization": True}
DONE = {"Status": "Finished", "Percent": "100"}
UNKNOWN = to_response({"Code": "InvalidJobId", "Message": "The job does not exist."}, 400)


def sync(status: Any = "Synchronizing", **changes: Any) -> dict[str, Any]:
    """Make a synchronization in sync; a change to None leaves a field out."""
    item = {
        "DtsInstanceID": "dts1",
        "DtsJobId": "j1",
        "DtsJobName": "orders",
        "JobType": "sync",
        "Status": status,
        "Delay": 3,
        "Checkpoint": str(SECONDS - 3),
        "CreateTime": "2026-08-01T10:00:00Z",
        "MigrationMode": MODE,
        "StructureInitializationStatus": DONE,
        "DataInitializationStatus": DONE,
        "DataSynchronizationStatus": {"Status": "Catched"},
        **changes,
    }
    return {name: value for name, value in item.items() if value is not None}


def reverse(status: Any = "Synchronizing", **changes: Any) -> dict[str, Any]:
    """Make the reverse direction of a two-way synchronization, in sync."""
    item = {
        "DtsInstanceID": "dts1",
        "DtsJobId": "j1-reverse",
        "DtsJobDirection": "Reverse",
        "Status": status,
        "Delay": 5,
        "Checkpoint": str(SECONDS - 5),
        "MigrationMode": REVERSE_MODE,
        "DataSynchronizationStatus": {"Status": "Catched"},
        **changes,
    }
    return {name: value for name, value in item.items() if value is not None}


def two_way(other: Any = None, **changes: Any) -> dict[str, Any]:
    return sync(
        **{"DtsJobDirection": "Forward", "ReverseJob": reverse() if other is None else other, **changes}
    )


def page(*rows: Any, total: Any = ..., **fields: Any) -> dict[str, Any]:
    total = len(rows) if total is ... else total
    return {"Success": True, "RequestId": "r", "DtsJobList": list(rows), "TotalRecordCount": total, **fields}


def ask(row: Any, api: DtsApi = SYNC, **options: Any) -> MigrationProgress:
    return hold(replace(api).progress("dts1", max_lag=60, **options), page(row)).result


def query(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


def requested(talk: Talk) -> list[tuple[str, ...]]:
    found = []
    for request in talk.requests:
        fields = query(request)
        ids = {name: fields[name] for name in ("DtsInstanceId", "DtsJobId") if name in fields}
        found.append((request.action[8:16], fields.get("JobType", ""), *map("=".join, ids.items())))
    return found


# --- the state of a synchronization ---------------------------------------------------------------------


def test_sync_job_has_a_record() -> None:
    progress = ask(sync())
    assert (progress.state, progress.service_status, progress.lag_seconds) == (
        "caught_up",
        "Synchronizing",
        3,
    )
    assert progress.checkpoint == progress.applied_until == datetime.fromtimestamp(SECONDS - 3, UTC)
    assert [phase.name for phase in progress.phases] == ["structure", "full", "incremental"]
    assert (progress.percent, progress.error, progress.warnings) == (100, None, ())


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (sync("synchronizing"), "caught_up"),
        (sync(Delay="60"), "caught_up"),
        (sync(Delay=None), "caught_up"),
        (sync("Finished"), "succeeded"),
        (sync(Delay=61), "running"),
        (sync(Delay=-1), "running"),
        (sync(Delay="soon"), "running"),
        (sync(Delay=False), "running"),
        (sync(DataSynchronizationStatus={"Status": "Migrating"}), "running"),
        (sync(DataSynchronizationStatus={"Status": "Finished"}), "running"),
        (sync(DataSynchronizationStatus={"Status": "Synchronizing"}), "running"),
        (sync(DataSynchronizationStatus=None), "running"),
        (sync(DataInitializationStatus={"Status": "Migrating"}), "running"),
        (sync(DataInitializationStatus=None), "running"),
        (sync(StructureInitializationStatus={"Status": "Failed"}), "running"),
        (
            sync(MigrationMode=None, StructureInitializationStatus=None, DataInitializationStatus=None),
            "running",
        ),
        # The words in which a synchronization moves, and may still call its increment Catched.
        (sync("Initializing"), "running"),
        (sync("Initializating"), "running"),
        (sync("initializating"), "running"),
        (sync("Modifying"), "running"),
        (sync("Retrying"), "running"),
        (sync("Starting"), "running"),
        (sync("Normal"), "running"),
        (sync("Suspending"), "paused"),
        (sync("Locked"), "paused"),
        (sync("NotConfigured"), "pending"),
        (sync("Failed"), "failed"),
        (sync("InitializeFailed"), "failed"),
        (sync("ModifyFailed"), "failed"),
        (sync("Abnormal"), "failed"),
        (sync("Synchronized"), "unknown"),
        # Ended by a person, while it lagged or before all was copied.
        (sync("Finished", Delay=61), "cancelled"),
        (sync("Finished", Delay="soon"), "cancelled"),
        (sync("Finished", DataSynchronizationStatus={"Status": "Migrating"}), "cancelled"),
        (sync("Finished", DataInitializationStatus={"Status": "Migrating"}), "cancelled"),
        (sync("Finished", MigrationMode=None), "unknown"),
    ],
)
def test_sync_job_has_its_state(row: Any, state: str) -> None:
    progress = ask(row)
    assert progress.state == state
    assert progress.reached("caught_up") == target_reached(progress, "catched")
    assert progress.reached("caught_up") is (state in ("caught_up", "succeeded"))


@pytest.mark.parametrize("asked", JOB_TYPES)
@pytest.mark.parametrize(
    ("word", "status", "milliseconds"),
    [
        ("online", "Migrating", True),
        (" Online ", "Migrating", True),
        (None, "Migrating", True),
        # The answer is not, or may not be, about a migration: the larger reading.
        (None, "Synchronizing", False),
        ("online", "synchronizing", False),
        ("sync", "Migrating", False),
        ("subscribe", "Migrating", False),
        ("odd", "Migrating", False),
        ("sync", "Synchronizing", False),
    ],
)
def test_delay_is_in_milliseconds_only_for_a_certain_migration(
    asked: str, word: Any, status: str, milliseconds: bool
) -> None:
    is_small = milliseconds and asked == "MIGRATION"
    progress = ask(sync(status, JobType=word, Delay=50_000), replace(API, job_type=asked))
    assert progress.lag_seconds == (50 if is_small else 50_000)
    assert progress.state == ("caught_up" if is_small else "running")


def test_two_way_job_is_never_in_milliseconds() -> None:
    for other in ({"DtsJobDirection": "Forward"}, {"ReverseJob": reverse()}):
        row = sync("Migrating", JobType="online", Delay=50_000, **other)
        assert ask(row, replace(API, job_type="MIGRATION")).state != "caught_up"


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "caught_up"),
        ({"JobType": None}, "caught_up"),
        ({"JobType": "sync"}, "unknown"),
        ({"Status": "Synchronizing"}, "unknown"),
        ({"DtsJobDirection": "Forward"}, "unknown"),
    ],
)
def test_migration_with_an_empty_reverse_section_has_one_direction(
    changes: dict[str, Any], state: str
) -> None:
    row = sync("Migrating", **{"JobType": "online", "Delay": 50_000, "ReverseJob": {}, **changes})
    row["Delay"] = 50_000 if state == "caught_up" else 5
    assert ask(row, replace(API, job_type="MIGRATION")).state == state


def test_sync_statuses_have_their_order() -> None:
    progress = ask(sync())
    for word in (
        "NotConfigured",
        "NotStarted",
        "Prechecking",
        "PreCheckPass",
        "Initializing",
        "Synchronizing",
    ):
        assert target_reached(progress, word)
    assert not target_reached(progress, "Migrating")
    assert not target_reached(progress, "Finished")
    assert not target_reached(ask(sync("Initializing")), "Synchronizing")


def test_failed_modification_has_a_remedy() -> None:
    error = ask(sync("ModifyFailed", ErrorMessage="no such table")).error
    assert error is not None
    assert (error.code, error.message) == ("ModifyFailed", "no such table")
    assert "change of its objects" in str(error.remedy)


def test_objects_of_a_sync_job_are_not_requested() -> None:
    progress = ask(sync(), objects=True)
    (warning,) = progress.warnings
    assert progress.objects is None
    assert "knows migration jobs only" in str(warning)


# --- two directions -------------------------------------------------------------------------------------


def test_two_way_job_has_the_worse_of_both_directions() -> None:
    progress = ask(two_way())
    assert (progress.state, progress.lag_seconds) == ("caught_up", 5)
    assert progress.checkpoint == progress.applied_until == datetime.fromtimestamp(SECONDS - 5, UTC)
    assert [(phase.name, phase.state) for phase in progress.phases] == [
        ("structure", "succeeded"),
        ("full", "succeeded"),
        ("incremental", "caught_up"),
        ("reverse_incremental", "caught_up"),
    ]
    assert progress.warnings == ()
    assert target_reached(progress, "Catched")


BEHIND = {"Status": "Migrating"}


@pytest.mark.parametrize(
    ("row", "state", "status"),
    [
        (two_way(Status="Suspending"), "paused", "Suspending"),
        (two_way(Delay=61), "running", "Synchronizing"),
        (two_way(reverse(Delay=61)), "running", "Synchronizing"),
        (two_way(reverse(Delay="61000")), "running", "Synchronizing"),
        (two_way(reverse(Delay=-1)), "running", "Synchronizing"),
        (two_way(reverse(Delay=False)), "running", "Synchronizing"),
        (two_way(reverse(DataSynchronizationStatus=BEHIND)), "running", "Synchronizing"),
        (two_way(reverse(DataSynchronizationStatus=None)), "running", "Synchronizing"),
        (two_way(reverse(DataSynchronizationStatus="odd")), "running", "Synchronizing"),
        (two_way(reverse(MigrationMode=None)), "running", "Synchronizing"),
        (two_way(reverse(MigrationMode={})), "running", "Synchronizing"),
        (
            two_way(reverse(MigrationMode={**REVERSE_MODE, "DataInitialization": True})),
            "running",
            "Synchronizing",
        ),
        (two_way(reverse("Modifying")), "running", "Modifying"),
        (two_way(reverse("Retrying")), "running", "Retrying"),
        (two_way(reverse("NotStarted")), "pending", "NotStarted"),
        (two_way(reverse("NotConfigured")), "pending", "NotConfigured"),
        (two_way(reverse("Suspending")), "paused", "Suspending"),
        (two_way(reverse("Locked")), "paused", "Locked"),
        (two_way(reverse("Failed")), "failed", "Failed"),
        (two_way(reverse("ModifyFailed")), "failed", "ModifyFailed"),
        (two_way(reverse("Failed"), Status="Suspending"), "failed", "Failed"),
        (two_way(reverse("Suspending"), Status="Failed"), "failed", "Failed"),
        (two_way(reverse("Odd")), "unknown", "Odd"),
        (two_way(reverse("Odd"), Status="Suspending"), "paused", "Suspending"),
        # An answer that is silent about the other direction, or shows this one twice.
        (two_way(reverse(None)), "unknown", "Synchronizing"),
        (two_way(reverse("")), "unknown", "Synchronizing"),
        (two_way(reverse(["Synchronizing"])), "unknown", "Synchronizing"),
        (two_way({}), "unknown", "Synchronizing"),
        (two_way([]), "unknown", "Synchronizing"),
        (two_way([reverse()]), "unknown", "Synchronizing"),
        (two_way("odd"), "unknown", "Synchronizing"),
        (two_way(False), "unknown", "Synchronizing"),
        (two_way(0), "unknown", "Synchronizing"),
        (sync(DtsJobDirection="Forward"), "unknown", "Synchronizing"),
        (sync(DtsJobDirection="Reverse"), "unknown", "Synchronizing"),
        (sync(DtsJobDirection=["Forward"]), "unknown", "Synchronizing"),
        (sync(DtsJobDirection=0), "unknown", "Synchronizing"),
        *((sync(ReverseJob=odd), "unknown", "Synchronizing") for odd in ({}, [], "odd", 0, False)),
        (two_way(reverse(DtsJobId="j1")), "unknown", "Synchronizing"),
        (two_way(reverse(DtsJobDirection="Forward")), "unknown", "Synchronizing"),
        (two_way(reverse(DtsJobDirection="forward")), "unknown", "Synchronizing"),
        (two_way(reverse(), DtsJobDirection="Reverse"), "unknown", "Synchronizing"),
        # The reverse direction begins later.
        (two_way(reverse("NotStarted"), Status="Initializing"), "running", "Initializing"),
        # One direction was ended, or both.
        (two_way(reverse("Finished")), "unknown", "Synchronizing"),
        (two_way(Status="Finished"), "unknown", "Synchronizing"),
        (two_way(reverse("Finished"), Status="Finished"), "succeeded", "Finished"),
        (two_way(reverse("Finished", Delay=61), Status="Finished"), "cancelled", "Finished"),
        (two_way(reverse("Finished", DataSynchronizationStatus=BEHIND)), "cancelled", "Finished"),
        # One-way after all.
        (sync(ReverseJob=None), "caught_up", "Synchronizing"),
        ({**sync(), "ReverseJob": None, "DtsJobDirection": ""}, "caught_up", "Synchronizing"),
        (two_way(reverse(DtsJobId=None, DtsJobDirection=None)), "caught_up", "Synchronizing"),
    ],
)
def test_two_way_job_is_in_sync_only_if_both_directions_are(row: Any, state: str, status: Any) -> None:
    progress = ask(row)
    assert (progress.state, progress.service_status) == (state, status)
    is_yes = state in ("caught_up", "succeeded")
    for target in ("caught_up", "catched", "finished" if state == "succeeded" else "succeeded"):
        assert target_reached(progress, target) is (is_yes and (target != "succeeded"))
    if "ReverseJob" in row and row["ReverseJob"] is not None:
        assert "reverse_incremental" in {phase.name for phase in progress.phases}


@pytest.mark.parametrize("other", [{}, "odd", {"Status": None}, reverse(DtsJobId="j1")])
def test_missing_reverse_direction_is_a_warning(other: Any) -> None:
    progress = ask(two_way(other))
    (warning,) = progress.warnings
    assert "does not show the status of its reverse direction" in str(warning)
    assert (progress.lag_seconds, progress.checkpoint, progress.applied_until) == (None, None, None)
    assert progress.phases[-1].state == "unknown"


@pytest.mark.parametrize(
    ("forward", "backward", "lag"),
    [(3, 5, 5), (9, 5, 9), (0, 0, 0), (None, 5, None), (3, None, None), (-1, 5, None), (3, "soon", None)],
)
def test_lag_of_a_two_way_job_is_the_larger(forward: Any, backward: Any, lag: Any) -> None:
    assert ask(two_way(reverse(Delay=backward), Delay=forward)).lag_seconds == lag


@pytest.mark.parametrize(
    ("forward", "backward", "ago"),
    [
        (SECONDS - 9, SECONDS - 5, 9),
        (SECONDS - 3, SECONDS - 90, 90),
        (SECONDS - 3, (SECONDS - 90) * 1000, 90),  # in milliseconds, and yet the older one
        (SECONDS - 3, 0, None),
        (SECONDS - 3, None, None),
        (None, SECONDS - 3, None),
        (SECONDS - 3, SECONDS + 10**6, None),
        (SECONDS - 3, "soon", None),
    ],
)
def test_checkpoint_of_a_two_way_job_is_the_older(forward: Any, backward: Any, ago: Any) -> None:
    progress = ask(two_way(reverse(Checkpoint=backward), Checkpoint=forward))
    expected = None if ago is None else datetime.fromtimestamp(SECONDS - ago, UTC)
    assert progress.checkpoint == progress.applied_until == expected


@pytest.mark.parametrize("row", [two_way(reverse("Finished")), two_way(Status="Finished")])
def test_ended_direction_is_a_warning(row: Any) -> None:
    (warning,) = ask(row).warnings
    assert "One direction of the two-way synchronization has been ended" in str(warning)


def test_error_of_both_directions_is_limited() -> None:
    failed = two_way(reverse("Failed", ErrorMessage="y" * 10**4), Status="Failed", ErrorMessage="x" * 10**4)
    error = ask(failed).error
    assert error is not None
    assert len(str(error.message)) == 2000


def test_errors_name_the_direction() -> None:
    failed = reverse("Failed", ErrorMessage="no route")
    error = ask(two_way(failed)).error
    assert error is not None
    assert (error.code, error.message) == ("Failed", "reverse direction: no route")
    error = ask(two_way(failed, Status="Failed", ErrorMessage="disk full")).error
    assert error is not None
    assert error.message == "forward direction: disk full; reverse direction: no route"
    error = ask(two_way(reverse("Finished", Delay=90))).error
    assert error is not None
    assert "reverse direction: The task was ended by hand" in str(error.message)


def test_bulk_phase_is_that_of_the_worse_direction() -> None:
    copying = reverse(
        MigrationMode=MODE,
        StructureInitializationStatus=DONE,
        DataInitializationStatus={"Status": "Failed", "ErrorMessage": "full"},
    )
    progress = ask(two_way(copying))
    phases = {phase.name: (phase.state, phase.error) for phase in progress.phases}
    assert phases["full"] == ("failed", "full")
    assert phases["structure"] == ("succeeded", None)
    assert not progress.reached("full_done")


words = st.sampled_from([*(word for group in STATUSES.words.values() for word in group), "Odd", "", None])
sections = st.sampled_from(
    [None, {}, *({"Status": word} for word in ("Catched", "Migrating", "Finished", "NotStarted", "Odd"))]
)
delays = st.sampled_from([None, 0, 60, 61, -1, "soon", False, "7"])


@given(status=words, section=sections, delay=delays, other=words, back=sections, lag=delays)
def test_two_way_verdict_is_never_better_than_either_direction(
    status: Any, section: Any, delay: Any, other: Any, back: Any, lag: Any
) -> None:
    alone = sync(status or "Odd", DataSynchronizationStatus=section, Delay=delay)
    backward = sync(other or "Odd", DataSynchronizationStatus=back, Delay=lag, MigrationMode=REVERSE_MODE)
    backward = {name: value for name, value in backward.items() if "Initialization" not in name}
    both = ask(
        {**alone, "DtsJobDirection": "Forward", "ReverseJob": {**backward, "DtsJobId": "j2"}},
    )
    each = ask(alone), ask(backward)
    for target in ("caught_up", "succeeded", "catched", "full_done", "Synchronizing", "Finished"):
        if target_reached(both, target):
            assert target_reached(each[0], target)
            assert target == "full_done" or target_reached(each[1], target)
    if {one.state for one in each} == {"caught_up"}:
        assert both.state == "caught_up"
    if "failed" in {one.state for one in each}:
        assert both.state == "failed"


# --- the data check of both directions ------------------------------------------------------------------


def table(**changes: Any) -> dict[str, Any]:
    return {
        "Id": 1,
        "SourceDbName": "shop",
        "SourceTbName": "t",
        "TargetDbName": "shop",
        "TargetTbName": "t",
        "TotalCount": 8,
        "FinishCount": 8,
        "DiffCount": 0,
        "Status": "0",
        **changes,
    }


def tables(different: int = 0) -> dict[str, Any]:
    return {
        "Success": True,
        "TotalCount": 1,
        "DiffTableCount": different,
        "FailedTableCount": 0,
        "TableDetails": [table(DiffCount=different)],
    }


CHECKED = {
    "MigrationMode": {**MODE, "FullDataCheck": True, "IncDataCheck": False},
    "FullDataCheckStatus": DONE,
}
REVERSE_CHECKED = {
    "MigrationMode": {**REVERSE_MODE, "FullDataCheck": True, "IncDataCheck": False},
    "FullDataCheckStatus": DONE,
}
UNCHECKED_REVERSE = {"MigrationMode": {**REVERSE_MODE, "FullDataCheck": False, "IncDataCheck": False}}


@pytest.mark.parametrize(
    ("row", "details", "state", "jobs"),
    [
        (two_way(reverse(**REVERSE_CHECKED), **CHECKED), {}, "consistent", ["j1", "j1-reverse"]),
        (two_way(reverse(**REVERSE_CHECKED), **CHECKED), {"j1": 1}, "inconsistent", ["j1", "j1-reverse"]),
        (two_way(reverse(**REVERSE_CHECKED), **CHECKED), {"j1-reverse": 1}, "inconsistent", None),
        (
            two_way(
                reverse(**{**REVERSE_CHECKED, "FullDataCheckStatus": {"Status": "Inconsistency"}}), **CHECKED
            ),
            {},
            "inconsistent",
            None,
        ),
        (
            two_way(reverse(**{**REVERSE_CHECKED, "FullDataCheckStatus": {"Status": "Checking"}}), **CHECKED),
            {},
            "running",
            ["j1"],
        ),
        (
            two_way(reverse(**{**REVERSE_CHECKED, "FullDataCheckStatus": {"Status": "Failed"}}), **CHECKED),
            {},
            "failed",
            None,
        ),
        (
            two_way(reverse(**{**REVERSE_CHECKED, "FullDataCheckStatus": None}), **CHECKED),
            {},
            "unknown",
            ["j1"],
        ),
        (two_way(reverse(**{**REVERSE_CHECKED, "DtsJobId": None}), **CHECKED), {}, "unknown", ["j1"]),
        (
            two_way(reverse(MigrationMode={"FullDataCheck": False, "IncDataCheck": False}), **CHECKED),
            {},
            "not_configured",
            ["j1"],
        ),
        # A reverse direction that copies no existing data needs no check of its own.
        (two_way(reverse(**UNCHECKED_REVERSE), **CHECKED), {}, "consistent", ["j1"]),
        (two_way(reverse(**UNCHECKED_REVERSE), **CHECKED), {"j1": 1}, "inconsistent", ["j1"]),
        (
            two_way(
                reverse(MigrationMode={**UNCHECKED_REVERSE["MigrationMode"], "DataInitialization": True}),
                **CHECKED,
            ),
            {},
            "not_configured",
            ["j1"],
        ),
        (two_way(reverse(MigrationMode=None), **CHECKED), {}, "unknown", ["j1"]),
        (two_way({}, **CHECKED), {}, "unknown", ["j1"]),
        (
            two_way(
                reverse(**REVERSE_CHECKED),
                MigrationMode={**MODE, "FullDataCheck": False, "IncDataCheck": False},
            ),
            {},
            "not_configured",
            ["j1-reverse"],
        ),
    ],
)
def test_data_check_covers_both_directions(
    row: Any, details: Mapping[str, int], state: str, jobs: Any
) -> None:
    asked = []

    def answer(request: Request) -> Any:
        if request.action == "DescribeDtsJobs":
            return to_response(page(row))
        asked.append(query(request)["DtsJobId"])
        return to_response(tables(details.get(asked[-1], 0)))

    progress = hold(replace(SYNC).progress("dts1", max_lag=60, verification=True), answer).result
    assert progress.verification.state == state
    assert progress.is_verified is (state == "consistent" and progress.state == "caught_up")
    if jobs is not None:
        assert asked == jobs


def test_reverse_check_that_has_begun_again_is_running() -> None:
    """More tables than on a page: a clean result is confirmed for both directions."""
    rows = [table(Id=number, SourceTbName=f"t{number}") for number in range(30)]
    details = {**tables(), "TotalCount": 40, "TableDetails": rows}
    again = reverse(**{**REVERSE_CHECKED, "FullDataCheckStatus": {"Status": "Checking"}})
    for second, state in ((reverse(**REVERSE_CHECKED), "consistent"), (again, "running")):
        lists = [page(two_way(other, **CHECKED)) for other in (reverse(**REVERSE_CHECKED), second)]

        def answer(request: Request, lists: list[Any] = lists) -> Any:
            return to_response(lists.pop(0) if request.action == "DescribeDtsJobs" else details)

        progress = hold(replace(SYNC).progress("dts1", max_lag=60, verification=True), answer).result
        assert progress.verification.state == state


# --- finding the type -----------------------------------------------------------------------------------


def test_type_is_found_and_remembered() -> None:
    api = replace(API, api="DescribeMigrationJobStatus")
    first = hold(api.progress("dts1", max_lag=60), UNKNOWN, page(), page(sync()))
    assert requested(first) == [
        (
            "Migratio",
            "",
        ),
        ("DtsJobs", "MIGRATION", "DtsInstanceId=dts1"),
        ("DtsJobs", "SYNC", "DtsInstanceId=dts1"),
    ]
    second = hold(api.progress("dts1", max_lag=60), page(sync("Suspending")))
    assert requested(second) == [("DtsJobs", "SYNC", "DtsInstanceId=dts1")]
    assert (first.result.state, second.result.state) == ("caught_up", "paused")


@pytest.mark.parametrize("job_type", JOB_TYPES)
def test_given_type_is_the_only_one_requested(job_type: str) -> None:
    api = replace(API, job_type=job_type)
    answers: list[Any] = []

    def nobody(request: Request) -> Any:
        answers.append(query(request)["JobType"])
        return to_response(page())

    with pytest.raises(MigrationNotFoundError, match=rf"DtsJobId of a job either \(JobType {job_type}\)"):
        hold(api.progress("dts1", max_lag=60), nobody)
    assert answers == [job_type] * 2


def test_sync_job_is_not_requested_with_the_older_call() -> None:
    api = replace(API, api="DescribeMigrationJobStatus", job_type="SYNC")
    assert requested(hold(api.progress("dts1", max_lag=60), page(sync()))) == [
        ("DtsJobs", "SYNC", "DtsInstanceId=dts1")
    ]


@pytest.mark.parametrize(("other", "state"), [(reverse(), "caught_up"), (reverse("Failed"), "failed")])
def test_older_call_that_answers_for_a_sync_job_is_not_trusted(other: Any, state: str) -> None:
    """It would show the forward direction only."""
    told = {"MigrationJobStatus": "synchronizing", "MigrationMode": MODE, **sync(Status=None)}
    api = replace(API, api="DescribeMigrationJobStatus")
    first = hold(api.progress("dts1", max_lag=60), told, page(), page(two_way(other)))
    again = hold(api.progress("dts1", max_lag=60), page(two_way(other)))
    assert first.result.state == again.result.state == state


def test_sync_job_is_found_by_its_job_id() -> None:
    api = replace(API)
    first = hold(api.progress("j1", max_lag=60), page(), page(), page(), page(two_way()))
    assert requested(first)[1:] == [
        ("DtsJobs", "SYNC", "DtsInstanceId=j1"),
        ("DtsJobs", "MIGRATION", "DtsJobId=j1"),
        ("DtsJobs", "SYNC", "DtsJobId=j1"),
    ]
    second = hold(api.progress("j1", max_lag=60), page(two_way()))
    assert requested(second) == [("DtsJobs", "SYNC", "DtsInstanceId=dts1")]
    assert first.result.state == second.result.state == "caught_up"


def test_job_that_has_left_its_type_is_searched_again() -> None:
    api = replace(API)
    hold(api.progress("dts1", max_lag=60), page(), page(sync()))
    moved = sync("Migrating", JobType="online")
    again = hold(api.progress("dts1", max_lag=60), page(), page(moved))
    assert [type_of for _, type_of, *_ in requested(again)] == ["SYNC", "MIGRATION"]
    assert again.result.service_status == "Migrating"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (to_response({}, 503), MigrationServiceError),
        (to_response({"Code": "Forbidden.RAM"}, 403), MigrationPermissionError),
        (page(sync(DtsInstanceID="dts2"), total=31), MigrationResponseError),
        ({"Success": True, "DtsJobList": None}, MigrationResponseError),
        (page(sync(None)), MigrationResponseError),
    ],
)
def test_failed_second_type_leaves_absence_open(answer: Any, error: type[MigrationApiError]) -> None:
    with pytest.raises(error) as caught:
        hold(replace(API).progress("dts1", max_lag=60), page(), answer)
    assert not isinstance(caught.value, MigrationNotFoundError)


async def run_all(api: DtsApi, ids: Sequence[str], send: Callable[[Request], Awaitable[Any]]) -> list[Any]:
    """Poll jobs at the same time, in batches as on the triggerer."""
    limiter = RateLimiter(None, monotonic=lambda: 0.0, async_sleep=asyncio.sleep)

    async def run(job_id: str) -> MigrationProgress:
        flow = api.progress(job_id, max_lag=60)
        request = next(flow)
        while True:
            try:
                answer = await limiter.send(request, send)
            except MigrationApiError as error:
                resume = partial(flow.throw, error)
            else:
                resume = partial(flow.send, answer)
            try:
                request = resume()
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return] # the record

    return await asyncio.gather(*map(run, ids))


async def test_batch_has_one_type() -> None:
    """Jobs that are not in the batch of the first type go into a batch of the second one."""
    asked: list[tuple[str, set[str]]] = []

    async def send(request: Request) -> Any:
        fields = query(request)
        ids = fields["DtsInstanceId"].split(",")
        asked.append((fields["JobType"], set(ids)))
        made = {"SYNC": sync, "MIGRATION": migration}[fields["JobType"]]
        rows = [
            made(DtsInstanceID=one, DtsJobId=f"j{one}") for one in ids if one.startswith(fields["JobType"])
        ]
        return request.read(request, to_response(page(*rows)))

    api = replace(API)
    syncs, migrations = (
        [f"{job_type}{number}" for number in range(10)] for job_type in ("SYNC", "MIGRATION")
    )
    found = await run_all(api, syncs, send)
    assert {record.state for record in found} == {"caught_up"}
    assert asked == [("MIGRATION", set(syncs)), ("SYNC", set(syncs))]
    asked.clear()
    found = await run_all(api, [*syncs, *migrations], send)
    assert {record.state for record in found} == {"caught_up"}
    assert sorted(asked) == [("MIGRATION", set(migrations)), ("SYNC", set(syncs))]


@pytest.mark.parametrize("job_type", JOB_TYPES)
async def test_known_job_that_a_batch_lacks_is_requested_alone(job_type: str) -> None:
    """One answer without it must not end the wait for a job that was listed before."""
    made, ids, asked = {"SYNC": sync, "MIGRATION": migration}[job_type], ["dts1", "dts2"], []

    async def send(request: Request) -> Any:
        fields = query(request)
        some = fields["DtsInstanceId"].split(",")
        asked.append((fields["JobType"], *some))
        kept = some[:1] if fields["JobType"] == job_type else []
        rows = [made(DtsInstanceID=one, DtsJobId=f"j{one}") for one in kept]
        return request.read(request, to_response(page(*rows)))

    api = replace(API)
    for one in ids:
        await run_all(api, [one], send)
    asked.clear()
    assert {record.state for record in await run_all(api, ids, send)} == {"caught_up"}
    assert asked == [(job_type, *ids), (job_type, "dts2")]


@pytest.mark.parametrize("job_type", ["sync", "SUBSCRIBE", "", 1, True, ["SYNC"]])
def test_wrong_type_is_refused_before_a_request(job_type: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="job_type must be MIGRATION or SYNC, not"):
        DtsHook("dts_default", job_type=job_type)
    with pytest.raises(MigrationConfigurationError, match="job_type must be MIGRATION or SYNC, not"):
        hold(API.describe_dts_jobs(["dts1"], job_type=job_type))


def test_list_call_takes_a_type() -> None:
    talk = hold(API.describe_dts_jobs(["dts1"], job_type="SYNC"), page(two_way()))
    (job,) = talk.result.dts_job_list
    assert query(talk.requests[0])["JobType"] == "SYNC"
    assert (job.reverse_job.status, job.dts_job_direction) == ("Synchronizing", "Forward")


# --- lists ----------------------------------------------------------------------------------------------

WORDS = [word for group in STATUSES.words.values() for word in group]


def selection(name: Any = None, status: Any = None, tags: Any = None, group: Any = None) -> MigrationFilter:
    return MigrationFilter.of(name, status, tags, group, words=WORDS)


def listed(
    *answers: Any, api: DtsApi = API, parts: Any = JOB_TYPES, **which: Any
) -> tuple[list[MigrationSummary], list[dict[str, str]]]:
    """Read a list to its end, and return it with the queries."""
    listing, found, queries, rest = JobListing(selection(**which), parts), [], [], list(answers)
    while not listing.at_end:
        talk = hold(api.list_migrations(listing), rest.pop(0))
        found += talk.result
        queries += map(query, talk.requests)
    assert rest == []
    return found, queries


def migration(number: int = 1, status: str = "Migrating", **changes: Any) -> dict[str, Any]:
    changes = {"JobType": "online", "Delay": 3000, **changes}
    return sync(status, **{"DtsInstanceID": f"dts{number}", "DtsJobId": f"j{number}", **changes})


def test_list_has_both_types() -> None:
    found, queries = listed(page(migration()), page(two_way(DtsInstanceID="dts2", DtsJobId="j2")))
    assert [row.model_dump(mode="json") for row in found] == [
        {
            "service": "dts",
            "migration_id": one,
            "name": "orders",
            "kind": kind,
            "state": "caught_up",
            "service_status": status,
            "lag_seconds": lag,
            "created_at": "2026-08-01T10:00:00Z",
        }
        for one, kind, status, lag in (
            ("dts1", "migration", "Migrating", 3),
            ("dts2", "sync", "Synchronizing", 5),
        )
    ]
    common = {
        "OrderColumn": "CreateTime",
        "OrderDirection": "DESC",
        "PageNumber": "1",
        "PageSize": "30",
        "Region": "cn-hangzhou",
        "WithoutDbList": "true",
    }
    assert queries == [{**common, "JobType": job_type} for job_type in JOB_TYPES]


def test_list_row_has_the_state_of_the_record() -> None:
    rows = [sync(Delay=61), two_way(reverse("Failed")), sync("ModifyFailed"), sync(DtsJobDirection="Forward")]
    for row in rows:
        (found,), _ = listed(page(row), parts=("SYNC",))
        record = ask(row)
        assert (found.state, found.lag_seconds, found.service_status) == (
            record.state,
            record.lag_seconds,
            record.service_status,
        )


def many(numbers: Any) -> list[dict[str, Any]]:
    return [migration(number) for number in numbers]


def test_list_is_read_page_by_page() -> None:
    answers = [page(*many(range(start, min(start + 30, 70))), total=70) for start in (0, 30, 60)]
    found, queries = listed(*answers, parts=("MIGRATION",))
    assert [row.migration_id for row in found] == [f"dts{number}" for number in range(70)]
    assert [one["PageNumber"] for one in queries] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("answers", "number"),
    [
        # A count of instances, some of which have several jobs: a full page is never the last one.
        ([page(*many(range(30)), total=30), page(total=30)], 30),
        ([page(*many(range(30)), total=10), page(*many(range(30, 33)), total=10), page(total=10)], 33),
        # A new job comes first, so that another one comes twice.
        ([page(*many(range(30)), total=31), page(*many(range(30, 32)), total=32)], 32),
        ([page(*many(range(30)), total=31), page(*many(range(29, 31)), total=31), page(total=31)], 31),
        ([page(total=0)], 0),
        ([{"Success": True, "TotalRecordCount": 0}], 0),
        ([page(migration(), EtlDemoList=[migration(2)])], 1),
    ],
)
def test_complete_list(answers: Any, number: int) -> None:
    found, _ = listed(*answers, parts=("MIGRATION",))
    assert len(found) == number


@pytest.mark.parametrize(
    "answers",
    [
        # A job was released meanwhile: the rows after it have moved to a page that was read before.
        [page(*many(range(30)), total=60), page(*many(range(31, 60)), total=59), page(total=59)],
        [page(*many(range(30)), total=60), page(total=60)],
        [page(*many(range(20)), total=25), page(*many(range(20)), total=25)],
        [page(migration(), migration(DtsInstanceID=None, DtsJobId=None))],
        [page(migration(), migration(DtsInstanceID=["odd"], DtsJobId=""))],
        [page(migration(), "odd")],
        # A list that is not counted may have been shortened in the same way.
        [page(*many(range(20)), total=None)],
        [page(*many(range(30)), total=60), page(*many(range(30, 59)), total="many")],
        [page(total=None)],
        [{"Success": True, "DtsJobList": None}],
        [{"Success": True}],
        [page(total=1)],
    ],
)
def test_incomplete_list_is_an_error(answers: Any) -> None:
    with pytest.raises(MigrationResponseError):
        listed(*answers, parts=("MIGRATION",))


def test_instance_with_several_jobs_is_listed_by_job() -> None:
    rows = [migration(1), migration(2, DtsInstanceID="dts1"), migration(3)]
    found, _ = listed(page(*rows), parts=("MIGRATION",))
    assert [row.migration_id for row in found] == ["j1", "j2", "dts3"]


def test_instance_with_jobs_on_two_pages_is_an_error() -> None:
    """The first page has named the instance, and the older call may answer that id with the other job."""
    first, second = many(range(1, 31)), [migration(31, DtsInstanceID="dts1")]
    with pytest.raises(MigrationResponseError, match="instance dts1 has several jobs, on different pages"):
        listed(page(*first, total=31), page(*second, total=31), parts=("MIGRATION",))


@pytest.mark.parametrize(
    ("which", "ids"),
    [
        ({"name": "ORD"}, ["dts1", "dts3"]),
        ({"status": "Suspending"}, ["dts2"]),
        ({"status": ["paused", "failed"]}, ["dts2", "dts3"]),
        ({"status": "caught_up"}, ["dts1"]),
        ({"name": "nobody"}, []),
    ],
)
def test_list_is_filtered_here(which: Any, ids: list[str]) -> None:
    rows = [
        migration(1),
        migration(2, "Suspending", DtsJobName="stock"),
        migration(3, "MigrationFailed", DtsJobName="new orders"),
    ]
    found, (request,) = listed(page(*rows), parts=("MIGRATION",), **which)
    assert [row.migration_id for row in found] == ids
    assert not request.keys() & {"Status", "Type", "Params"}


def tagged(number: int, **tags: str) -> dict[str, Any]:
    return migration(number, TagList=[{"TagKey": key, "TagValue": value} for key, value in tags.items()])


def test_tags_are_filtered_by_the_service_and_here() -> None:
    rows = [tagged(1, wave="3"), tagged(2, wave="2"), tagged(3), tagged(4, wave="3", team="shop")]
    found, (request,) = listed(page(*rows), parts=("MIGRATION",), tags={"wave": "3"})
    assert [row.migration_id for row in found] == ["dts1", "dts4"]
    assert json.loads(request["Tags"]) == [{"key": "wave", "value": "3"}]


@pytest.mark.parametrize("tags", [None, "odd", [7]])
def test_list_without_tags_is_an_error_when_selected_by_tag(tags: Any) -> None:
    rows = page(migration(TagList=tags))
    with pytest.raises(MigrationResponseError, match=r"does not show the tags of dts1.*: select by name"):
        listed(rows, parts=("MIGRATION",), tags={"wave": "3"})
    assert len(listed(rows, parts=("MIGRATION",))[0]) == 1


def test_group_is_the_resource_group() -> None:
    _, (request,) = listed(page(), parts=("SYNC",), group="rg-1")
    assert request["ResourceGroupId"] == "rg-1"


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"status": "Migratin"}, "did you mean 'migrating'"),
        ({"name": ""}, "name must be a text"),
        ({"tags": ["wave"]}, "tags must be a mapping"),
        (
            {"project_id": 7},
            "A list of Alibaba Cloud DTS takes name, status, tags, group, but not project_id",
        ),
    ],
)
def test_wrong_selection_is_refused_before_a_request(which: Any, message: str) -> None:
    with pytest.raises(MigrationConfigurationError, match=message):
        DtsHook("no_such_connection").list_migrations(**which)
