"""Lists of projects of OceanBase Migration Service."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationConfigurationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
)
from airflow_provider_migration.progress import MigrationSummary
from airflow_provider_migration.services.listing import MigrationFilter
from airflow_provider_migration.services.oms import (
    PROJECT_TYPES,
    STATUSES,
    HostedOmsApi,
    ListedProject,
    OmsApi,
    ProjectPage,
    list_of,
)

NOW = datetime(2023, 7, 13, 8, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
CONSOLE = OmsApi(endpoint="http://oms.example:8089", signer=BasicSigner("user", "secret"), clock=lambda: NOW)
HOSTED = HostedOmsApi(
    endpoint="https://oceanbasepro.cn-hangzhou.aliyuncs.com",
    region="cn-hangzhou",
    signer=AlibabaSigner("id", "secret"),
    clock=lambda: NOW,
)
ONLY = ("MIGRATION",)


def listed(number: Any = "np_1", **changes: Any) -> dict[str, Any]:
    """Make a row of the list in the shape of the documented sample, with changes."""
    connection = {
        "username": "oms931mysql",
        "host": "198.51.100.7",
        "connExtraAttributes": {"drcUser": "drc"},
    }
    return {
        "id": number,
        "type": "MIGRATION",
        "name": f"orders-{number}",
        "labels": [{"id": "l_1", "name": "wave-3"}],
        "status": "RUNNING",
        "gmtCreate": "2023-07-13T06:26:15",
        "sourceConnectInfo": connection,
        "sinkConnectInfo": connection,
        "steps": [],
        "extraInfo": {"errorDetails": None},
        **changes,
    }


def page(*rows: Any, total: Any = None, **changes: Any) -> dict[str, Any]:
    """Make an answer; numbers and the success are texts, as in the documented sample."""
    count = str(len(rows)) if total is None else total
    return {
        "success": "true",
        "code": None,
        "pageNumber": "1",
        "totalCount": count,
        "data": [*rows],
        **changes,
    }


EMPTY = page()


def read(talk: Any, *answers: Any, api: Any = CONSOLE, **filtered: Any) -> tuple[list[MigrationSummary], Any]:
    """Read a list to its end; return its rows and the requests."""
    given = {"name": None, "status": None, "tags": None, "group": None, **filtered}
    listing = list_of(MigrationFilter.of(**given, words=STATUSES.known_words, states=STATUSES.states))
    rows, requests, canned = [], [], iter(answers)
    while not listing.at_end:
        told = talk(api.list_migrations(listing), next(canned))
        rows += told.result
        requests += told.requests
    assert next(canned, None) is None
    return rows, requests


# --- requests -------------------------------------------------------------------------------------------


def test_console_request_is_as_documented(talk: Any) -> None:
    _, requests = read(talk, EMPTY, EMPTY, name="orders", status="running", tags={"wave-3": ""})
    assert {(request.method, request.url) for request in requests} == {
        ("POST", "http://oms.example:8089/api/v2?Action=ListProjects")
    }
    assert [json.loads(request.body) for request in requests] == [
        {"type": kind, "pageNumber": 1, "pageSize": 50} for kind in PROJECT_TYPES
    ]
    assert {request.headers["content-type"] for request in requests} == {"application/json"}


def test_hosted_request_is_a_form(talk: Any) -> None:
    _, (request, _) = read(talk, page(Success=True), EMPTY, api=HOSTED)
    assert request.headers["x-acs-action"] == "ListProjects"
    assert parse_qs(request.body.decode()) == {
        "Type": ["MIGRATION"],
        "PageNumber": ["1"],
        "PageSize": ["50"],
    }


def test_list_goes_to_the_next_page(talk: Any) -> None:
    first = page(*(listed(f"np_{number}") for number in range(50)), total=51)
    rows, requests = read(talk, first, page(listed("np_50"), total="51"), page(listed("np_s", type="SYNC")))
    assert len(rows) == 52
    assert [json.loads(request.body)["pageNumber"] for request in requests] == [1, 2, 1]
    assert (rows[-1].migration_id, rows[-1].kind) == ("np_s", "sync")


# --- rows -----------------------------------------------------------------------------------------------


def test_row_is_a_light_record(talk: Any) -> None:
    ((row,), _) = read(talk, page(listed()), EMPTY)
    assert row.model_dump(mode="json") == {
        "service": "oms",
        "migration_id": "np_1",
        "name": "orders-np_1",
        "kind": "migration",
        "state": "running",
        "service_status": "RUNNING",
        "lag_seconds": None,
        "created_at": "2023-07-13T06:26:15Z",
    }


def test_row_has_no_data_of_its_data_sources(talk: Any) -> None:
    project = ListedProject.read(listed())
    assert not {name for name in ListedProject.model_fields if "connect" in name or "owner" in name}
    for secret in ("oms931mysql", "198.51.100.7", "drc"):
        assert secret not in repr(project)


@pytest.mark.parametrize(("state", "words"), STATUSES.words.items())
def test_row_has_the_state_of_its_status(talk: Any, state: str, words: tuple[str, ...]) -> None:
    for word in words:
        ((row,), _) = read(talk, page(listed(status=word)), EMPTY)
        assert (row.state, row.service_status) == (state, word)


@pytest.mark.parametrize("status", ["REBALANCING", "", None, 7, False, []])
def test_row_of_an_unknown_status_is_listed(talk: Any, status: Any) -> None:
    ((row,), _) = read(talk, page(listed(status=status)), EMPTY)
    assert row.state == "unknown"


@pytest.mark.parametrize(
    ("given", "part", "kind"),
    [
        ("MIGRATION", "MIGRATION", "migration"),
        ("SYNC", "SYNC", "sync"),
        (None, "SYNC", "sync"),
        ("VERIFY", "MIGRATION", "verify"),  # a release that does not filter by type
    ],
)
def test_kind_is_the_type_of_the_row(talk: Any, given: Any, part: str, kind: str) -> None:
    answers = [page(listed(type=given)) if each == part else EMPTY for each in PROJECT_TYPES]
    ((row,), _) = read(talk, *answers)
    assert row.kind == kind


def test_list_that_is_not_filtered_by_type_has_each_project_once(talk: Any) -> None:
    both = page(listed("np_1"), listed("np_2", type="SYNC"))
    rows, _ = read(talk, both, both)
    assert [(row.migration_id, row.kind) for row in rows] == [("np_1", "migration"), ("np_2", "sync")]


DELAYED = {
    "runningStep": "INCR_TRANSFER",
    "syncDelay": 7,
    "syncDelaySampleTimestamp": SECONDS - 2,
    "incrSyncTimestamp": SECONDS - 9,
}


@pytest.mark.parametrize(
    ("changes", "lag"),
    [
        ({}, 7),
        ({"syncDelay": "7"}, 7),
        ({"syncDelay": 0, "incrSyncTimestamp": SECONDS - 2}, 0),
        ({"incrSyncTimestamp": None}, 7),
        ({"runningStep": "CONNECTOR_INCR_SYNC"}, 7),
        ({"runningStep": "FULL_TRANSFER"}, None),
        ({"runningStep": "REVERSE_INCR_TRANSFER"}, None),
        ({"runningStep": None}, None),
        ({"syncDelay": -1}, None),
        ({"syncDelay": None}, None),
        ({"syncDelay": False}, None),
        ({"syncDelay": "soon"}, None),
        ({"syncDelay": 7000}, None),  # milliseconds, by the position
        ({"syncDelaySampleTimestamp": None}, None),
        ({"syncDelaySampleTimestamp": SECONDS - 61}, None),
        ({"syncDelaySampleTimestamp": 0}, None),
    ],
)
def test_lag_needs_a_plausible_delay(talk: Any, changes: dict[str, Any], lag: float | None) -> None:
    ((row,), _) = read(talk, page(listed(extraInfo={**DELAYED, **changes})), EMPTY)
    assert row.lag_seconds == lag
    assert row.state == "running"  # a list is no evidence of being in sync


@pytest.mark.parametrize("status", ["SUSPEND", "FAILED", "FINISHED", "ODD"])
def test_lag_needs_a_running_project(talk: Any, status: str) -> None:
    ((row,), _) = read(talk, page(listed(status=status, extraInfo=DELAYED)), EMPTY)
    assert row.lag_seconds is None


# --- labels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "is_listed"),
    [
        ([{"name": "wave-3"}], True),
        ([{"name": "other"}, {"id": "l_9", "name": "wave-3"}], True),
        ([{"name": "WAVE-3"}], False),
        ([{"name": "wave-30"}], False),
        ([], False),
        (None, False),
        ({"name": "wave-3"}, True),
    ],
)
def test_labels_are_tags_without_a_value(talk: Any, labels: Any, is_listed: bool) -> None:
    rows, _ = read(talk, page(listed(labels=labels)), EMPTY, tags={"wave-3": ""})
    assert bool(rows) is is_listed


@pytest.mark.parametrize("labels", ["wave-3", [{"id": "l_1"}], [{"name": ""}], [None], ["wave-3"], [[]]])
def test_unreadable_labels_are_an_error_of_a_filter(talk: Any, labels: Any) -> None:
    """A project without its label would be missing from the wave without a trace."""
    answer = page(listed(labels=labels))
    assert len(read(talk, answer, EMPTY)[0]) == 1
    with pytest.raises(MigrationResponseError, match="a label without a name"):
        read(talk, answer, tags={"wave-3": ""})


@pytest.mark.parametrize(
    ("filtered", "said"),
    [
        ({"group": "g"}, "OMS has no groups"),
        ({"tags": {"wave": "3"}}, r"write tags=\{'wave': ''\} for the label 'wave'"),
    ],
)
def test_filter_that_oms_does_not_have_is_refused(talk: Any, filtered: Any, said: str) -> None:
    with pytest.raises(MigrationConfigurationError, match=said):
        read(talk, **filtered)


# --- lists that cannot be trusted -----------------------------------------------------------------------


@pytest.mark.parametrize("api", [CONSOLE, HOSTED], ids=["console", "hosted"])
@pytest.mark.parametrize(
    "answer",
    [
        page(listed(None)),
        page(listed("")),
        page(listed(" ")),
        page(listed(False)),
        page(listed({"id": 1})),
        page(listed("np\n1")),
        page(listed("x" * 300)),
        page(listed(), None),
        page(listed(), "np_2"),
        page(listed(), []),
        page(listed(), totalCount=None),
        page(listed(), totalCount=True),
        page(listed(), totalCount="many"),
        page(listed(), totalCount=-1),
        page(listed(), totalCount=1.5),
        {"success": True, "data": [listed()]},
        {"success": True, "data": []},
        {"success": True},
        page(data=None, total=1),
        page(data={"id": "np_1"}, total=1),
        page(data="np_1", total=2),
        page(listed(), total=2, data=[]),
    ],
)
def test_unreadable_list_is_an_error(talk: Any, api: Any, answer: Any) -> None:
    with pytest.raises(MigrationResponseError):
        read(talk, answer, EMPTY, api=api)


def test_id_may_be_a_number(talk: Any) -> None:
    ((row,), _) = read(talk, page(listed(17), total=1), EMPTY)
    assert row.migration_id == "17"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([page(listed("np_1"), total=2), page(total=2)], "1 of 2 can be read"),
        ([page(listed("np_1"), total=2), page(listed("np_1"), total=2)], "1 of 2 can be read"),
        ([page(listed("np_1"), listed("np_1"), total=2)], "1 of 2 can be read"),
        ([page(listed("np_1"), total=3), page(listed("np_3"), total=2)], "from 3 to 2 rows"),
        ([page(listed("np_1"), total=2), page(listed("np_0"), total=3), page(total=3)], "2 of 3 can be read"),
    ],
)
def test_incomplete_list_is_an_error(talk: Any, answers: Any, said: str) -> None:
    with pytest.raises(MigrationResponseError, match=said):
        read(talk, *answers)


def test_count_of_pages_does_not_shorten_the_list(talk: Any) -> None:
    """OMS describes the count as one of pages, and shows one of projects."""
    pages = [page(listed("np_1"), listed("np_2"), total=2), page(listed("np_3"), total=2)]
    pages[0]["data"].append(listed("np_0"))
    rows, _ = read(talk, *pages, page(total=2), EMPTY)
    assert len(rows) == 4


# --- refusals -------------------------------------------------------------------------------------------

OLDER = "give the ids of the projects"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"<html>Not Found</html>", MigrationNotFoundError),
        (405, b"", MigrationRequestError),
        (302, b"", MigrationResponseError),
        (200, b"<html>Login</html>", MigrationResponseError),
        (200, {"success": False, "code": "PARAM_ERROR", "message": "unknown action"}, MigrationRequestError),
    ],
)
def test_console_without_a_list_says_what_to_do(
    talk: Any, response: Any, status: int, body: Any, error: type[MigrationApiError]
) -> None:
    for api in (CONSOLE, replace(CONSOLE, api="GetMigrationProgress")):
        with pytest.raises(error, match=f"ListProjects from community edition 4.1.1 .*{OLDER}"):
            read(talk, response(body, status), api=api)
    with pytest.raises(MigrationApiError) as caught:
        read(talk, response(body, status), api=HOSTED)
    assert OLDER not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, b"", MigrationServiceError),
        (200, {"success": False, "code": "GHANA-OPERIE000000"}, MigrationServiceError),
        (403, b"", MigrationPermissionError),
    ],
)
def test_other_refusal_is_not_blamed_on_the_release(
    talk: Any, response: Any, status: int, body: Any, error: type[MigrationApiError]
) -> None:
    with pytest.raises(error) as caught:
        read(talk, response(body, status))
    assert OLDER not in str(caught.value)


def test_hosted_permission_is_named(talk: Any, response: Any) -> None:
    refusal = response({"Code": "NoPermission", "Message": "no"}, 403)
    with pytest.raises(MigrationPermissionError, match="The RAM action is oceanbase:ListProjects"):
        read(talk, refusal, api=HOSTED)


def test_page_has_only_the_fields_that_are_read() -> None:
    assert {*ProjectPage.model_fields} >= {"total_count", "data"}
    assert {*ListedProject.model_fields} == {
        *("id", "name", "type", "status", "labels", "gmt_create", "extra_info")
    }
