"""The objects of a DTS job: when they are listed, what their lists say, and that no list decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.exceptions import (
    MigrationConfigurationError,
    MigrationError,
    MigrationNotFoundError,
    MigrationServiceError,
)
from airflow_provider_migration.progress import MAX_RECORD_BYTES, MigrationProgress
from airflow_provider_migration.sansio import Request, Response
from airflow_provider_migration.services.dts import (
    ASK_AGAIN_AFTER,
    MAX_OBJECT_PAGES,
    MAX_OBJECTS,
    DtsApi,
    ObjectListing,
)
from tests.flows import hold, to_response

DETAIL = "DescribeMigrationJobDetail"
SKIP = object()
"""Answer of a list that the rate limiter skips."""
DONE, COPYING, BEGUN = (
    {"Status": "Finished"},
    {"Status": "Migrating", "Percent": "40"},
    {"Status": "Migrating"},
)
FAILED = {"Status": "Failed", "ErrorMessage": "no space"}
SYNCING = {"Status": "Migrating", "Delay": "500"}
REFUSED = to_response({"Code": "Forbidden.RAM", "Message": "no", "RequestId": "r1"}, 403)


class Watch:
    """Polls of one job, by one API whose clock the test sets."""

    def __init__(self, **options: Any) -> None:
        self.now = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
        signer = AlibabaSigner("id", "secret")
        self.api = DtsApi(
            endpoint="https://dts.example", signer=signer, region="cn-x", clock=lambda: self.now, **options
        )
        self.requests: list[Request] = []

    def poll(self, job: dict[str, Any], *pages: Any, objects: bool = True) -> MigrationProgress:
        """
        Poll once.

        :param pages: the answers to the requests for objects, in turn; :data:`SKIP`, an error or a body.
        """
        left = list(pages)
        flow = self.api.progress("dts1", max_lag=60, objects=objects)
        self.requests = []
        step: Callable[[], Any] = partial(next, flow)
        while True:
            try:
                request = step()
            except StopIteration as stop:
                assert not left, "fewer requests than answers"
                progress: MigrationProgress = stop.value
                return progress
            self.requests.append(request)
            answer = left.pop(0) if request.action == DETAIL else job
            if answer is SKIP:
                assert request.is_optional
                step = partial(flow.send, None)
                continue
            try:
                if isinstance(answer, Exception):
                    raise answer
                value = request.read(request, answer if isinstance(answer, Response) else to_response(answer))
            except MigrationError as error:
                step = partial(flow.throw, error)
            else:
                step = partial(flow.send, value)

    @property
    def asked(self) -> int:
        """Number of requests for objects in the last poll."""
        return sum(request.action == DETAIL for request in self.requests)


def job(
    status: str = "Migrating",
    structure: Any = DONE,
    full: Any = COPYING,
    increment: Any = None,
    **changes: Any,
) -> dict[str, Any]:
    sections = {
        "StructureInitializationStatus": structure,
        "DataInitializationStatus": full,
        "DataSynchronizationStatus": increment,
    }
    mode = dict.fromkeys(("structureInitialization", "dataInitialization", "dataSynchronization"), True)
    return {
        "RequestId": "r",
        "MigrationJobId": "dts1",
        "MigrationJobStatus": status,
        "MigrationMode": mode,
        **{name: section for name, section in sections.items() if section},
        **changes,
    }


def table(name: str, status: str | None = "Migrating", done: Any = "0", total: Any = "100") -> dict[str, Any]:
    return {
        "SourceOwnerDBName": "shop",
        "DestinationOwnerDBName": "store",
        "TableName": name,
        "TotalRowNum": total,
        "FinishRowNum": done,
        "MigrationTime": "3",
        "Status": status,
        "ErrorMessage": "duplicate key" if status == "Failed" else "",
    }


def page(*rows: dict[str, Any], total: Any = None) -> dict[str, Any]:
    return {
        "Success": "true",
        "TotalRecordCount": len(rows) if total is None else total,
        "DataInitializationDetailList": {"DataInitializationDetail": list(rows)},
    }


def structure(*rows: tuple[str, str]) -> dict[str, Any]:
    details = [
        {
            "SourceOwnerDBName": "shop",
            "DestinationOwnerDBName": "store",
            "ObjectName": name,
            "ObjectType": "Table",
            "ObjectDefinition": "CREATE TABLE secret_columns (a int)",
            "ConstraintList": {"StructureInitializationDetail": [{"ObjectDefinition": "secret_columns"}]},
            "Status": status,
        }
        for name, status in rows
    ]
    lists = {"StructureInitializationDetailList": {"StructureInitializationDetail": details}}
    return {"Success": "true", "TotalRecordCount": len(rows), **lists}


def query(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


def many(count: int, begin: int = 0, total: int | None = None) -> dict[str, Any]:
    rows = [table(f"t{number}", done=str(number % 100)) for number in range(begin, begin + count)]
    return page(*rows, total=total)


ALL_DONE = page(table("a", "Finished"))


# --- what is asked -----------------------------------------------------------------------------------------


def test_objects_are_not_asked_for_by_default() -> None:
    watch = Watch()
    assert watch.poll(job(), objects=False).objects is None
    assert watch.asked == 0


def test_objects_are_asked_for_by_the_name_of_the_phase() -> None:
    watch = Watch()
    watch.poll(job(full=None, structure=BEGUN), structure(("a", "Migrating")))
    first = query(watch.requests[1])
    watch.poll(job(), page(table("a")))
    second = query(watch.requests[1])
    common = {"MigrationJobId": "dts1", "PageNum": "1", "PageSize": "100", "RegionId": "cn-x"}
    assert first == {**common, "MigrationMode.StructureInitialization": "true"}
    assert second == {**common, "MigrationMode.DataInitialization": "true"}


def test_objects_are_read_page_by_page() -> None:
    watch = Watch()
    progress = watch.poll(job(), many(100, total=250), many(100, 100, 250), many(50, 200, 250))
    assert progress.objects is not None
    assert (progress.objects.total, progress.objects.completed) == (250, 0)
    assert [query(request)["PageNum"] for request in watch.requests[1:]] == ["1", "2", "3"]
    assert [item.percent for item in progress.objects.slowest] == [0.0] * 3 + [1.0] * 3 + [2.0] * 3 + [
        3.0
    ] * 3 + [4.0] * 3 + [5.0] * 3 + [6.0] * 2


@pytest.mark.parametrize(
    ("polled", "asked"),
    [
        (job("NotStarted", None, None), 0),
        (job("Prechecking", None, None, PrecheckStatus={"Status": "Checking"}), 0),
        (job("PrecheckFailed", None, None, PrecheckStatus={"Status": "Failed"}), 0),
        (job("Migrating", None, None), 0),
        (job("Migrating", {"Status": "NotStarted"}, None), 0),
        (job("Migrating", BEGUN, None), 1),
        (job("Migrating"), 1),
        (job("Migrating", full={"Status": "NotStarted"}), 0),
        (job("Migrating", full=None), 0),
        # Of a pure increment there is nothing new to know.
        (job("Migrating", full=DONE, increment=SYNCING), 0),
        (job("Migrating", full=DONE, increment={"Status": "Catched", "Delay": "0"}), 0),
        (job("Suspending", full=DONE, increment={"Status": "Suspending"}), 0),
        # Only in the documented statuses.
        (job("Retrying"), 0),
        (job("Modifying"), 0),
        (job("a new word"), 0),
        (job("suspending"), 1),
        (job("MigrationFailed", full=FAILED), 1),
        (job("Finished"), 1),
        (job("Finished", full=DONE, increment={"Status": "Finished"}), 1),
    ],
)
def test_first_poll_asks_only_where_a_list_may_be_new(polled: dict[str, Any], asked: int) -> None:
    watch = Watch()
    pages = [structure(("a", "Migrating")) if "DataInitializationStatus" not in polled else page(table("a"))]
    progress = watch.poll(polled, *pages[:asked])
    assert watch.asked == asked
    assert (progress.objects is not None) == bool(asked)
    assert progress.warnings == ()


def test_list_is_asked_for_until_all_is_done() -> None:
    watch = Watch()
    watch.poll(job(), page(table("a")))
    watch.poll(job(), page(table("a", done="50")))
    ended = job(full=DONE, increment=SYNCING)
    progress = watch.poll(ended, ALL_DONE)
    for _ in range(2):
        watch.now += ASK_AGAIN_AFTER
        assert watch.poll(ended).objects == progress.objects
        assert watch.asked == 0


@pytest.mark.parametrize(
    "standing", [job("Suspending"), job("MigrationFailed", full=FAILED), job(full=DONE, increment=SYNCING)]
)
def test_list_of_a_job_that_stands_is_asked_for_every_ten_minutes(standing: dict[str, Any]) -> None:
    watch, unfinished = Watch(), page(table("a"))
    watch.poll(job(), unfinished)
    watch.poll(standing, unfinished)
    for seconds, asked in ((60, 0), (539, 0), (1, 1), (60, 0), (-120, 1)):
        watch.now += timedelta(seconds=seconds)
        assert watch.poll(standing, *[unfinished] * asked).objects is not None
        assert watch.asked == asked


@pytest.mark.parametrize(
    ("polled", "is_optional"),
    [(job(), True), (job("Suspending"), True), (job("Finished"), False), (job("Failed", full=FAILED), False)],
)
def test_only_the_first_page_of_an_open_job_is_optional(polled: dict[str, Any], is_optional: bool) -> None:
    watch = Watch()
    watch.poll(polled, many(100, total=120), many(20, 100, 120))
    assert [request.is_optional for request in watch.requests] == [False, is_optional, False]


def test_skipped_list_keeps_the_last_objects() -> None:
    watch = Watch()
    assert watch.poll(job(), SKIP).objects is None
    known = watch.poll(job(), page(table("a"))).objects
    assert known is not None
    assert watch.poll(job(), SKIP).objects == known
    assert watch.poll(job("Retrying")).objects == known


def test_objects_of_the_structure_make_way_for_the_tables() -> None:
    watch = Watch()
    first = watch.poll(job(structure=BEGUN, full=None), structure(("a", "Finished"), ("b", "Migrating")))
    assert first.objects is not None
    assert (first.objects.total, first.objects.completed) == (2, 1)
    assert first.objects.slowest[0].model_dump() == {
        "source": "shop.b",
        "destination": "store",
        "percent": None,
        "error": None,
    }
    assert watch.poll(job(), SKIP).objects is None


def test_sql_of_objects_is_never_read() -> None:
    progress = Watch().poll(job(structure=BEGUN, full=None), structure(("a", "Failed")))
    assert progress.objects is not None
    assert "secret_columns" not in progress.model_dump_json()
    api = Watch().api
    (row,) = hold(
        api.describe_migration_job_detail("dts1", ObjectListing("structure")), structure(("a", "Failed"))
    ).result
    assert "secret_columns" not in repr(row)


# --- what a list says --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "percent"),
    [
        (table("a", "NotStarted", "", ""), 0.0),
        (table("a", "Migrating", "50", "100"), 50.0),
        (table("a", "migrating", 50, 100), 50.0),
        # The number of rows is an estimate: never 100 % before the status says so.
        (table("a", "Migrating", "100", "100"), 99.9),
        (table("a", "Migrating", "120", "100"), 99.9),
        (table("a", "Finished", "200001", "201477"), 100.0),
        (table("a", "Finished", "", ""), 100.0),
        (table("a", "Migrating", "0", "0"), None),
        (table("a", "Migrating", "", "100"), None),
        (table("a", "Migrating", "many", "100"), None),
        (table("a", "Migrating", "-5", "100"), None),
        (table("a", "Migrating", True, "100"), None),
        (table("a", "odd", "50", "100"), 50.0),
        (table("a", None, "50", "100"), 50.0),
    ],
)
def test_percent_of_a_table(row: dict[str, Any], percent: float | None) -> None:
    objects = Watch().poll(job(), page(row, table("z", "Failed"))).objects
    assert objects is not None
    assert objects.completed == (percent == 100)
    assert [item.percent for item in objects.slowest] == ([] if percent == 100 else [percent])


def test_failed_objects_are_named_with_their_errors() -> None:
    rows = [table(f"t{number}", "Failed", "10") for number in range(30)]
    objects = Watch().poll(job("MigrationFailed", full=FAILED), page(*rows, table("ok", "Finished"))).objects
    assert objects is not None
    assert (objects.total, objects.completed, objects.slowest) == (31, 1, ())
    assert [item.source for item in objects.failed] == [f"shop.t{number}" for number in range(20)]
    assert objects.failed[0].model_dump() == {
        "source": "shop.t0",
        "destination": "store",
        "percent": 10.0,
        "error": "duplicate key",
    }


def test_empty_list_is_not_known() -> None:
    assert Watch().poll(job(), page()).objects is None


def test_count_of_the_service_counts_too() -> None:
    objects = Watch().poll(job(), page(table("a", "Finished"), total=3), page(total=3)).objects
    assert objects is not None
    assert (objects.total, objects.completed) == (3, 1)


def test_list_without_a_count_ends_at_a_page_without_new_objects() -> None:
    watch = Watch()
    objects = watch.poll(job(), page(table("a"), total=0), page(table("a"), total=0)).objects
    assert objects is not None
    assert (watch.asked, objects.total) == (2, 1)


def test_record_of_ten_thousand_tables_stays_small() -> None:
    text = "表" * 3000
    rows = [
        {**table(f"{text[:250]}{n}", "Failed" if n % 2 else "Migrating"), "ErrorMessage": text}
        for n in range(100)
    ]
    pages = []
    for number in range(100):
        own = [{**row, "SourceOwnerDBName": f"db{number}"} for row in rows]
        pages.append(page(*own, total=10_000))
    watch = Watch()
    progress = watch.poll(job(), *pages)
    assert progress.objects is not None
    assert (watch.asked, progress.objects.total) == (100, 10_000)
    assert progress._size() < MAX_RECORD_BYTES


def test_longer_list_than_a_poll_reads_is_a_warning() -> None:
    watch = Watch()
    progress = watch.poll(job(), many(100, total=MAX_OBJECTS + 1))
    assert (watch.asked, progress.objects) == (1, None)
    (warning,) = progress.warnings
    assert warning is not None
    assert "10,001 are more than the 10,000 that a poll lists" in warning
    assert watch.poll(job()).warnings == progress.warnings


# --- a list never decides ----------------------------------------------------------------------------------

WRONG: list[tuple[Any, str]] = [
    (REFUSED, "(HTTP 403, Forbidden.RAM).*Give the account AliyunDTSReadOnlyAccess"),
    (
        to_response({"Code": "InvalidJobId", "Message": "no"}, 400),
        "(HTTP 400, InvalidJobId).*leave out objects",
    ),
    (
        to_response({"Code": "InvalidAction", "Message": "no"}, 404),
        "(HTTP 404, InvalidAction).*leave out objects",
    ),
    (to_response({"Code": "SignatureDoesNotMatch"}, 400), "(HTTP 400, SignatureDoesNotMatch).*in 10 minutes"),
    ({"Success": "false", "ErrCode": "InternalError"}, "(HTTP 200, InternalError).*in 10 minutes"),
    (MigrationServiceError("x", reason="timeout"), "(timeout).*in 10 minutes"),
    (MigrationError("x"), "(MigrationError)"),
    ({"Success": "true", "TotalRecordCount": 2}, "(HTTP 200)"),
    ({"RequestId": "r1"}, "(HTTP 200)"),
    (b"<html>", "(HTTP 200)"),
]


@pytest.mark.parametrize(("answer", "said"), WRONG)
@pytest.mark.parametrize("polled", [job(), job("Finished", full=DONE, increment={"Status": "Finished"})])
def test_list_that_fails_is_a_stable_warning(answer: Any, said: str, polled: dict[str, Any]) -> None:
    watch, plain = Watch(), Watch()
    progress = watch.poll(polled, answer)
    assert progress.model_copy(update={"warnings": ()}) == plain.poll(polled, objects=False)
    (warning,) = progress.warnings
    assert warning is not None
    assert warning.startswith(
        "The objects of the job are not listed: DescribeMigrationJobDetail cannot be read "
    )
    parts = said.split(".*")
    assert all(part in warning for part in parts)
    assert "r1" not in warning
    # It stands for ten minutes.
    assert watch.poll(polled).warnings == progress.warnings
    watch.now += ASK_AGAIN_AFTER
    assert watch.poll(polled, ALL_DONE).warnings == ()


@pytest.mark.parametrize("error", [MigrationServiceError("x"), REFUSED])
def test_list_that_fails_keeps_the_last_objects(error: Any) -> None:
    """A list that comes and goes would look like progress."""
    watch = Watch()
    known = watch.poll(job(), page(table("a"))).objects
    assert watch.poll(job(), error).objects == known is not None


def test_objects_of_equal_percent_have_one_order() -> None:
    """Another order would look like progress."""
    watch = Watch()
    first = watch.poll(job(), page(table("a"), table("b"))).objects
    assert watch.poll(job(), page(table("b"), table("a"))).objects == first


def test_list_that_was_cut_short_is_asked_for_at_the_next_poll() -> None:
    watch, error = Watch(), MigrationServiceError("x")
    error.is_cut_short = True
    watch.poll(job(), error)
    assert watch.poll(job(), ALL_DONE).warnings == ()


def test_list_that_fails_is_asked_for_again_in_a_new_status() -> None:
    watch = Watch()
    watch.poll(job(), REFUSED)
    watch.poll(job("Suspending"), ALL_DONE)
    assert watch.asked == 1


@pytest.mark.parametrize("rows", [[table("a", "Finished")], [table("a", "Failed")], []])
@pytest.mark.parametrize(
    "polled",
    [
        job(),
        job("Suspending"),
        job("MigrationFailed", full=FAILED),
        job("Finished"),
        job("Finished", full=DONE, increment={"Status": "Finished"}),
    ],
)
def test_no_list_changes_the_state(polled: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    progress = Watch().poll(polled, page(*rows))
    assert progress.model_copy(update={"objects": None}) == Watch().poll(polled, objects=False)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ODD = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
)
ROWS = st.dictionaries(st.sampled_from([*table("a"), "ObjectName", "ObjectType"]), ODD)
PAGES = st.fixed_dictionaries(
    {
        "TotalRecordCount": ODD,
        "DataInitializationDetailList": ODD
        | st.fixed_dictionaries({"DataInitializationDetail": ODD | st.lists(ROWS | ODD, max_size=5)}),
    }
)


@given(content=PAGES | ODD)
def test_odd_list_changes_no_state(content: Any) -> None:
    api, polled = Watch().api, job()
    flow = api.progress("dts1", max_lag=60, objects=True)
    progress = hold(flow, lambda request: to_response(content if request.action == DETAIL else polled)).result
    assert progress.model_copy(update={"objects": None, "warnings": ()}) == Watch().poll(
        polled, objects=False
    )
    assert progress._size() < MAX_RECORD_BYTES


@pytest.mark.parametrize("value", [None, 1, "true", "false"])
def test_objects_must_be_a_bool(value: Any) -> None:
    with pytest.raises(MigrationConfigurationError, match="objects must be True or False"):
        Watch().api.progress("dts1", max_lag=60, objects=value)


# --- all objects -------------------------------------------------------------------------------------------

UNKNOWN = to_response({"Code": "InvalidJobId", "Message": "no"}, 400)
LISTED = {
    "Success": True,
    "TotalRecordCount": 1,
    "DtsJobList": [{"DtsInstanceID": "dts1", "DtsJobId": "j1", "Status": "Migrating"}],
}


def test_objects_are_found_by_the_id_of_the_job() -> None:
    api, listing = Watch().api, ObjectListing("full")
    first = hold(api.describe_migration_job_detail("j1", listing), UNKNOWN, LISTED, many(100, total=101))
    second = hold(api.describe_migration_job_detail("j1", listing), many(1, 100, 101))
    assert (len(first.result), len(second.result), listing.at_end) == (100, 1, True)
    assert [query(request).get("MigrationJobId") for request in first.requests + second.requests] == [
        *("j1", None),
        *("dts1", "dts1"),
    ]


def test_objects_of_an_unknown_job_are_an_error() -> None:
    nobody = {"Success": True, "TotalRecordCount": 0, "DtsJobList": []}
    api = replace(Watch().api)
    with pytest.raises(MigrationNotFoundError, match="InvalidJobId"):
        hold(api.describe_migration_job_detail("j1", ObjectListing("full")), UNKNOWN, nobody)


def test_endless_list_ends() -> None:
    api, listing = Watch().api, ObjectListing("full")
    listing.page = MAX_OBJECT_PAGES
    hold(api.describe_migration_job_detail("dts1", listing), many(1, total=10**9))
    with pytest.raises(MigrationError, match="does not end after 2000 pages of 100"):
        hold(api.describe_migration_job_detail("dts1", listing))
