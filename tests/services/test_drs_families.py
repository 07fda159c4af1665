"""Huawei Cloud DRS: jobs that another API serves, child jobs, switchovers, and the lists of jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.progress import MigrationProgress, MigrationSummary
from airflow_provider_migration.sansio import Request, Response
from airflow_provider_migration.services.drs import KINDS, STATUSES, DrsApi, DrsListing
from airflow_provider_migration.services.listing import MigrationFilter
from airflow_provider_migration.wait.policy import target_reached
from tests.flows import hold, to_response

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = "163b98e8-6088-46c3-8b86-c18fea6jb502"
SYNCING = "INCRE_TRANSFER_STARTED"
API = DrsApi(
    endpoint="https://drs.example", project_id="p", signer=HuaweiSigner("AK", "SK"), clock=lambda: NOW
)
NO_CALL = to_response({"error_code": "APIGW.0101", "error_msg": "The API does not exist."}, 404)
UNKNOWN = to_response({"error_code": "DRS.10000010", "error_msg": "Job does not exist."}, 400)
UNKNOWN_V3 = to_response({"error_code": "DRS.M05003", "error_msg": "Task information not found."}, 400)
NO_RIGHT = to_response({"error_code": "DRS.M00102", "error_msg": "Insufficient permissions."}, 403)
THROTTLED = to_response({"error_code": "APIGW.0308"}, 429)
AWAY = to_response({}, 503)
PROXY = to_response(b"<html>no</html>", 404)


def v3(word: str = SYNCING, job: str = ID, **changes: Any) -> dict[str, Any]:
    """Make a job of batch-progress in sync, with changes."""
    item = {"job_id": job, "transfer_status": word, "task_mode": "FULL_INCR_TRANS", "progress": "100"}
    return {**item, "incre_trans_delay": "0", "error_code": "", **changes}


def batch(*items: dict[str, Any]) -> dict[str, Any]:
    return {"results": list(items), "count": len(items)}


def v5(word: Any = SYNCING, *, info: Any = None, job: Any = ID, **changes: Any) -> dict[str, Any]:
    """Make a v5 detail of a job in sync, with changes."""
    progress = {
        "progress": "100",
        "incr_trans_delay": "0",
        "incr_trans_delay_millis": "0",
        "task_mode": "FULL_INCR_TRANS",
        "transfer_status": SYNCING,
        "progress_map": {},
        **(info or {}),
    }
    return {"job": {"id": job, "status": word, "progress_info": progress, **changes}}


def rows(*jobs: dict[str, Any], total: Any = None) -> dict[str, Any]:
    return {"total_count": len(jobs) if total is None else total, "jobs": list(jobs)}


def row(job: str = ID, **changes: Any) -> dict[str, Any]:
    return {"id": job, "name": f"name of {job}", "status": SYNCING, "job_type": "migration", **changes}


class Cloud:
    """
    Answers by action, each a body, a response, an error or a function of the request.

    :ivar asked: the actions of the requests, in order.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = {"BatchListProgresses": batch(v3()), "lists": rows(row()), **answers}
        self.asked: list[str] = []

    def __call__(self, request: Request) -> Any:
        self.asked.append(request.action)
        action = request.action.partition(" ")[0]
        is_list = action in ("ListJobs", "ShowJobList")
        of_list = self.answers.get(action, self.answers["lists"] if is_list else NO_CALL)
        answer = of_list(request) if callable(of_list) else of_list
        if isinstance(answer, Exception):
            raise answer
        return answer


def poll(cloud: Cloud, api: DrsApi | None = None, max_lag: float = 60) -> MigrationProgress:
    flow = (api or replace(API)).progress(ID, (), max_lag=max_lag)
    result: MigrationProgress = hold(flow, cloud, families=True).result
    return result


# --- which API serves a job -----------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [UNKNOWN_V3, NO_CALL, batch({"job_id": ID, "error_code": "DRS.M00289"})])
def test_job_of_v5_is_found_and_the_choice_is_kept(refusal: Any) -> None:
    cloud, api = Cloud(BatchListProgresses=refusal, ShowJobDetail=v5()), replace(API)
    assert poll(cloud, api).state == "caught_up"
    assert cloud.asked == ["BatchListProgresses", "ShowJobDetail", "ListJobs (migration)"]
    cloud.asked.clear()
    assert poll(cloud, api).state == "caught_up"
    assert cloud.asked == ["ShowJobDetail"]


def test_job_that_leaves_v5_is_found_in_v3_again() -> None:
    cloud, api = Cloud(BatchListProgresses=UNKNOWN_V3, ShowJobDetail=v5()), replace(API)
    poll(cloud, api)
    cloud.answers |= {"BatchListProgresses": batch(v3("PAUSING")), "ShowJobDetail": UNKNOWN}
    assert poll(cloud, api).state == "paused"
    cloud.asked.clear()
    assert poll(cloud, api).state == "paused"
    assert cloud.asked == ["BatchListProgresses"]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (THROTTLED, MigrationThrottledError),
        (AWAY, MigrationServiceError),
        (NO_RIGHT, MigrationPermissionError),
        (PROXY, MigrationNotFoundError),
        (to_response(b"<html>", 200), MigrationResponseError),
        (batch({"job_id": "another", "transfer_status": SYNCING}), MigrationResponseError),
    ],
)
def test_other_refusal_never_leads_to_v5(refusal: Any, error: type[MigrationApiError]) -> None:
    cloud, api = Cloud(BatchListProgresses=refusal, ShowJobDetail=v5()), replace(API)
    with pytest.raises(error):
        poll(cloud, api)
    assert cloud.asked == ["BatchListProgresses"]
    cloud.answers["BatchListProgresses"] = batch(v3())
    assert poll(cloud, api).state == "caught_up"
    assert "ShowJobDetail" not in cloud.asked


OF_IAM = MigrationNotFoundError("no", action="KeystoneCreateUserTokenByPassword", http_status=404, code="x")


def test_refusal_by_iam_leads_nowhere() -> None:
    """The transport raises it in place of the call that needed a token."""
    cloud = Cloud(BatchListProgresses=OF_IAM, ShowJobDetail=v5())
    with pytest.raises(MigrationNotFoundError):
        poll(cloud)
    assert cloud.asked == ["BatchListProgresses"]
    with pytest.raises(MigrationNotFoundError) as caught:
        poll(Cloud(BatchListProgresses=UNKNOWN_V3, ShowJobDetail=OF_IAM))
    assert caught.value is OF_IAM
    assert len(poll(Cloud(lists=OF_IAM)).warnings) == 1
    requests: list[Request] = []

    def refusing(request: Request) -> Any:
        requests.append(request)
        raise OF_IAM

    with pytest.raises(MigrationNotFoundError):
        listed(refusing)
    assert len(requests) == 1


@pytest.mark.parametrize("second", [UNKNOWN, NO_CALL, NO_RIGHT, PROXY])
def test_job_that_neither_serves_names_both(second: Any) -> None:
    cloud = Cloud(BatchListProgresses=UNKNOWN_V3, ShowJobDetail=second)
    with pytest.raises(MigrationNotFoundError, match=r"M05003.*ShowJobDetail failed \(HTTP 40\d") as caught:
        poll(cloud)
    assert not caught.value.is_transient
    # A proxy in front of v5 must not end the wait for a job that v5 has served before.
    assert caught.value.tolerated_after_success is (second is PROXY)


@pytest.mark.parametrize("second", [THROTTLED, AWAY, to_response(b"<html>", 200)])
def test_outage_of_v5_is_not_a_missing_job(second: Any) -> None:
    with pytest.raises(MigrationApiError) as caught:
        poll(Cloud(BatchListProgresses=UNKNOWN_V3, ShowJobDetail=second))
    assert caught.value.is_transient


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"job": None},
        {"job": []},
        v5(job="another"),
        v5(job=None),
        v5(None, info={"transfer_status": " "}),
    ],
)
def test_detail_without_this_job_is_an_error(detail: Any) -> None:
    with pytest.raises(MigrationResponseError):
        poll(Cloud(BatchListProgresses=UNKNOWN_V3, ShowJobDetail=detail))


COPIED, COPYING, RELEASED = "FULL_TRANSFER_COMPLETE", "FULL_TRANSFER_STARTED", "RELEASE_RESOURCE_COMPLETE"


@pytest.mark.parametrize(
    ("word", "info", "state", "shown"),
    [
        (SYNCING, {}, "caught_up", SYNCING),
        (SYNCING, {"incr_trans_delay": "60"}, "caught_up", SYNCING),
        (SYNCING.lower(), {}, "caught_up", SYNCING.lower()),
        (None, {}, "caught_up", SYNCING),
        (SYNCING, {"transfer_status": None}, "caught_up", SYNCING),
        (COPIED, {"transfer_status": COPIED, "task_mode": "FULL_TRANS"}, "succeeded", COPIED),
        (RELEASED, {"transfer_status": RELEASED}, "succeeded", RELEASED),
        # No figure, an odd one, or too large a one.
        (SYNCING, {"incr_trans_delay": "61"}, "running", SYNCING),
        (SYNCING, {"incr_trans_delay": "-1"}, "running", SYNCING),
        (SYNCING, {"incr_trans_delay": "soon"}, "running", SYNCING),
        (SYNCING, {"incr_trans_delay": False}, "running", SYNCING),
        (SYNCING, {"incr_trans_delay_millis": "61000"}, "running", SYNCING),
        (SYNCING, {"incr_trans_delay": None, "incr_trans_delay_millis": None}, "running", SYNCING),
        (SYNCING, {"incr_trans_delay": None, "incr_trans_delay_millis": "-1"}, "running", SYNCING),
        (SYNCING, {"error_code": "DRS.M06007"}, "running", SYNCING),
        (RELEASED, {"transfer_status": RELEASED, "incr_trans_delay": "-1"}, "cancelled", RELEASED),
        (RELEASED, {"transfer_status": RELEASED, "progress": "99"}, "cancelled", RELEASED),
        # Two statuses that differ: the one that promises less, and no figure counts.
        (SYNCING, {"transfer_status": COPYING}, "running", COPYING),
        (SYNCING, {"transfer_status": COPIED}, "running", COPIED),
        (COPIED, {"transfer_status": SYNCING, "task_mode": "FULL_TRANS"}, "running", COPIED),
        (COPIED, {"transfer_status": COPYING, "task_mode": "FULL_TRANS"}, "running", COPYING),
        (SYNCING, {"transfer_status": "PAUSING"}, "paused", "PAUSING"),
        (SYNCING, {"transfer_status": "INCRE_TRANSFER_FAILED"}, "failed", "INCRE_TRANSFER_FAILED"),
        (SYNCING, {"transfer_status": RELEASED}, "cancelled", RELEASED),
        (SYNCING, {"transfer_status": "odd"}, "unknown", "odd"),
        ("PAUSING", {}, "paused", "PAUSING"),
        ("INCRE_TRANSFER_FAILED", {}, "failed", "INCRE_TRANSFER_FAILED"),
        (RELEASED, {}, "cancelled", RELEASED),
        ("CHILD_TRANSFER_STARTED", {}, "running", "CHILD_TRANSFER_STARTED"),
    ],
)
def test_v5_detail_is_as_strict_as_batch_progress(
    word: Any, info: dict[str, Any], state: str, shown: str
) -> None:
    progress = poll(Cloud(BatchListProgresses=UNKNOWN_V3, ShowJobDetail=v5(word, info=info)))
    assert (progress.state, progress.service_status) == (state, shown)
    if shown == COPYING:
        assert not target_reached(progress, "full_done")
    if shown.upper() != SYNCING:
        assert not target_reached(progress, "caught_up") or state == "succeeded"


def test_v5_mode_that_contradicts_itself_is_no_success() -> None:
    info = {"transfer_status": COPIED, "task_mode": "FULL_TRANS"}
    detail = v5(COPIED, info=info, base_info={"task_type": "FULL_INCR_TRANS"})
    assert poll(Cloud(BatchListProgresses=UNKNOWN_V3, ShowJobDetail=detail)).state == "running"


@given(
    words=st.tuples(*[st.sampled_from([None, "", "odd", *STATUSES._states]) for _ in range(2)]),
    delay=st.one_of(st.none(), st.booleans(), st.integers(-3, 100), st.text(max_size=3)),
)
def test_v5_yes_needs_two_equal_words_and_a_delay(words: tuple[Any, Any], delay: Any) -> None:
    info = {"transfer_status": words[1], "incr_trans_delay": delay, "incr_trans_delay_millis": None}
    try:
        progress = poll(Cloud(BatchListProgresses=UNKNOWN_V3, ShowJobDetail=v5(words[0], info=info)))
    except MigrationResponseError:
        return
    if progress.state == "caught_up":
        assert {word.upper() for word in words if word} == {SYNCING}
        assert not isinstance(delay, bool)
        assert 0 <= float(delay) <= 60


# --- child jobs -----------------------------------------------------------------------------------------


def family(children: Sequence[str] = ("c1", "c2"), **changes: Any) -> dict[str, Any]:
    nested = [{"id": child, "status": SYNCING} for child in children]
    return rows(row(job_type="sync", children=nested, **changes))


def siblings(**second: Any) -> Callable[[Request], Any]:
    """Answer batch-progress for a parent and a child in sync, and another child with changes."""

    def answer(request: Request) -> Any:
        items = {ID: v3(), "c1": v3(job="c1"), "c2": v3(**{"job": "c2", **second})}
        return batch(*(items[job] for job in json.loads(request.body)["jobs"]))

    return answer


@pytest.mark.parametrize(
    ("second", "state", "is_copied"),
    [
        ({}, "caught_up", True),
        ({"incre_trans_delay": "60"}, "caught_up", True),
        ({"word": COPIED, "task_mode": "FULL_TRANS"}, "caught_up", True),
        ({"word": RELEASED}, "caught_up", True),
        ({"word": "RELEASE_CHILD_TRANSFER_COMPLETE"}, "caught_up", True),
        ({"incre_trans_delay": "61"}, "running", True),
        ({"incre_trans_delay": "-1"}, "running", True),
        ({"incre_trans_delay": None}, "running", True),
        ({"incre_trans_delay": "soon"}, "running", True),
        ({"error_code": "DRS.M06007"}, "running", True),
        ({"word": COPYING, "progress": "70"}, "running", False),
        ({"word": COPIED}, "running", True),
        ({"word": "INCRE_TRANSFER_FAILED"}, "running", True),
        ({"word": "FULL_TRANSFER_FAILED"}, "running", False),
        ({"word": "PAUSING"}, "running", True),
        ({"word": "DELETED"}, "running", True),
        ({"word": "odd"}, "running", True),
        ({"word": RELEASED, "incre_trans_delay": "-1"}, "running", True),
        ({"word": "RELEASE_CHILD_TRANSFER_COMPLETE", "progress": "70"}, "running", False),
        ({"word": "CHILD_TRANSFER_STARTED", "progress": "0"}, "running", False),
    ],
)
def test_parent_is_in_sync_with_all_its_children(second: dict[str, Any], state: str, is_copied: bool) -> None:
    progress = poll(Cloud(BatchListProgresses=siblings(**second), lists=family()))
    assert progress.state == state
    assert target_reached(progress, "full_done") is is_copied
    if state == "running":
        (phase,) = (phase for phase in progress.phases if phase.name == "children")
        assert (phase.done, phase.total, phase.service_status) == (1, 2, second.get("word", SYNCING))
        assert "c2" in " ".join(progress.warnings)
        assert progress.applied_until is None
        assert not target_reached(progress, "caught_up")


@pytest.mark.parametrize(
    "lists",
    [
        to_response(b"<html>", 200),
        {"results": [{"job_id": ID, "transfer_status": SYNCING}]},
        {"jobs": None},
        MigrationServiceError("no answer", action="ShowJobList (migration)", reason="refused"),
    ],
)
def test_unreadable_list_decides_nothing(lists: Any) -> None:
    """A list only adds to what the poll itself shows; it is asked for again ten minutes later."""
    cloud = Cloud(lists=lists)
    progress = poll(cloud)
    assert progress.state == "caught_up"
    (warning,) = progress.warnings
    assert "so only its own status counts" in str(warning)


@pytest.mark.parametrize(
    ("lists", "answer"),
    [
        (family(), {"c2": None}),
        (rows(row(job_mode_role="parent", children=None)), {}),
        (family([], job_mode_role="parent"), {}),
        (family(["c1", ""]), {}),
        (rows(row(children=[{"status": SYNCING}])), {}),
        (rows(row(children=["c2"])), {}),
        (rows(row(children=[None])), {}),
        (rows(row(children=[["c1"]])), {}),
        (rows(row(children="c2")), {}),
        (rows(row(children={"id": "c2"})), {}),
        (rows(row(children=7)), {}),
        (AWAY, {}),
        (THROTTLED, {}),
        ({"jobs": [row(job_mode_role="parent", children=None)]}, {}),
    ],
)
def test_parent_with_unknown_children_is_not_in_sync(lists: Any, answer: dict[str, Any]) -> None:
    def progresses(request: Request) -> Any:
        items = {ID: v3(), "c1": v3(job="c1"), **answer}
        asked = json.loads(request.body)["jobs"]
        found = [items[job] for job in asked if items.get(job)]
        return batch(*found) if found else UNKNOWN_V3

    progress = poll(Cloud(BatchListProgresses=progresses, lists=lists, ShowJobDetail=UNKNOWN))
    assert progress.state == "running"
    assert len(progress.warnings) == 1


def test_lag_of_a_parent_is_the_largest() -> None:
    progress = poll(Cloud(BatchListProgresses=siblings(incre_trans_delay="500"), lists=family()))
    assert progress.lag_seconds == 500


def test_child_of_v5_is_read_there() -> None:
    def progresses(request: Request) -> Any:
        found = [v3(job=job) for job in json.loads(request.body)["jobs"] if job != "c2"]
        return batch(*found) if found else UNKNOWN_V3

    cloud = Cloud(BatchListProgresses=progresses, lists=family(), ShowJobDetail=v5(job="c2"))
    assert poll(cloud).state == "caught_up"


def test_children_of_a_parent_that_runs_are_not_requested() -> None:
    cloud = Cloud(BatchListProgresses=batch(v3(incre_trans_delay="500")))
    assert poll(cloud).state == "running"
    assert cloud.asked == ["BatchListProgresses"]


@pytest.mark.parametrize("refusal", [NO_RIGHT, NO_CALL, PROXY])
def test_refused_look_up_leaves_the_state_and_warns(refusal: Any) -> None:
    progress = poll(Cloud(lists=refusal))
    assert progress.state == "caught_up"
    (warning,) = progress.warnings
    assert "child jobs" in warning


@pytest.mark.parametrize(
    ("served", "first", "other"),
    [
        ({}, "ShowJobList", "ListJobs"),
        ({"BatchListProgresses": UNKNOWN_V3, "ShowJobDetail": v5()}, "ListJobs", "ShowJobList"),
    ],
)
def test_job_is_looked_up_in_the_api_that_serves_it_first(
    served: dict[str, Any], first: str, other: str
) -> None:
    plain = rows(row())
    cloud = Cloud(**served, **{first: plain, other: NO_RIGHT})
    assert poll(cloud).state == "caught_up"
    assert not any(action.startswith(other) for action in cloud.asked)
    parent = rows(row(job_mode_role="parent"))
    assert poll(Cloud(**served, **{first: NO_CALL, other: parent})).state == "running"


def test_migration_is_looked_up_once_and_a_synchronisation_at_each_yes() -> None:
    for lists, calls in ((rows(row()), 1), (family([]), 2)):
        cloud, api = Cloud(lists=lists), replace(API)
        assert [poll(cloud, api).state for _ in range(2)] == ["caught_up"] * 2
        assert cloud.asked.count("ShowJobList (migration)") == calls


@pytest.mark.parametrize("refusal", [NO_RIGHT, NO_CALL, PROXY, rows()])
def test_children_that_were_listed_count_while_lists_are_refused(refusal: Any) -> None:
    cloud, api = Cloud(BatchListProgresses=siblings(), lists=family()), replace(API)
    assert poll(cloud, api).state == "caught_up"
    cloud.answers |= {"BatchListProgresses": siblings(word="PAUSING"), "lists": refusal}
    assert poll(cloud, api).state == "running"


def test_child_that_appears_with_an_edited_object_counts() -> None:
    cloud, api = Cloud(lists=family([])), replace(API)
    assert poll(cloud, api).state == "caught_up"
    cloud.answers |= {"BatchListProgresses": siblings(word=COPYING, progress="5"), "lists": family()}
    assert poll(cloud, api).state == "running"


def test_warning_is_the_same_at_each_poll() -> None:
    """A request id would make every poll log it again."""
    numbers = iter(range(10))

    def refused(request: Request) -> Any:
        return replace(NO_RIGHT, headers={"x-request-id": f"r-{next(numbers)}"})

    cloud, api = Cloud(lists=refused), replace(API)
    assert len({poll(cloud, api).warnings for _ in range(3)}) == 1


def test_look_up_expires() -> None:
    now = NOW
    cloud, api = Cloud(), replace(API, clock=lambda: now)
    poll(cloud, api)
    cloud.answers["lists"] = rows(row(job_mode_role="parent"))
    assert poll(cloud, api).state == "caught_up"
    for moved in (timedelta(minutes=10), timedelta(days=-1)):  # a clock that was set back, too
        now = NOW + moved
        assert poll(cloud, api).state == "running"


@pytest.mark.parametrize("outage", [AWAY, THROTTLED])
@pytest.mark.parametrize(("job_type", "state"), [("migration", "caught_up"), ("sync", "running")])
def test_outage_of_the_lists_breaks_no_hold_of_a_migration(outage: Any, job_type: str, state: str) -> None:
    """Only a synchronisation is known to get children while it runs."""
    now = NOW
    cloud, api = Cloud(lists=rows(row(job_type=job_type))), replace(API, clock=lambda: now)
    assert poll(cloud, api).state == "caught_up"
    now, cloud.answers["lists"] = NOW + timedelta(minutes=10), outage
    assert poll(cloud, api).state == state
    cloud.answers["lists"] = rows(row(job_type=job_type, job_mode_role="parent"))
    assert poll(cloud, api).state == "running"


def test_outage_of_the_lists_holds_a_yes_back_where_none_has_shown_the_job() -> None:
    now = NOW
    cloud, api = Cloud(lists=NO_RIGHT), replace(API, clock=lambda: now)
    assert poll(cloud, api).state == "caught_up"
    now, cloud.answers["lists"] = NOW + timedelta(minutes=10), AWAY
    assert poll(cloud, api).state == "running"


@pytest.mark.parametrize(("is_v3", "most"), [(True, 100), (False, 10)])
def test_many_jobs_are_looked_up_together(is_v3: bool, most: int) -> None:
    (request,) = hold(
        replace(API)._find_row("job-0", is_v3), lambda request: rows(row("job-0")), families=True
    ).requests
    assert request.batch is not None
    names = [f"job-{number}" for number in range(most)]
    together = request.batch(names)
    query = json.loads(together.body) if is_v3 else dict(parse_qsl(urlsplit(together.url).query))
    assert query["name"].split(",") == names
    assert (query["db_use_type" if is_v3 else "job_type"], request.batch_limit) == ("migration", most)
    found = together.read(together, to_response(rows(row("job-3"))))
    assert {job for job, each in found.items() if each} == {"job-3"}
    assert len(found) == most


# --- disaster recovery ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "direction", "state"),
    [
        ("up", "up", "caught_up"),
        ("Down", "down", "caught_up"),
        ("down", "up", "running"),
        ("up", "down", "running"),
        (None, "up", "running"),
        ("up", None, "running"),
        ("", "", "running"),
        (None, None, "running"),
    ],
)
@pytest.mark.parametrize("generation", ["v3", "v5"])
def test_disaster_recovery_is_in_sync_unless_it_switches_over(
    generation: str, kernel: Any, direction: Any, state: str
) -> None:
    detail = v5(base_info={"job_direction": direction}, job_kernel_direction=kernel)
    served = {"BatchListProgresses": UNKNOWN_V3} if generation == "v5" else {}
    progress = poll(Cloud(ShowJobDetail=detail, lists=rows(row(job_type="cloudDataGuard")), **served))
    assert progress.state == state
    phases = [phase.service_status for phase in progress.phases if phase.name == "switchover"]
    assert bool(phases) is (state == "running")
    if kernel and direction and state == "running":
        assert phases == [f"job_kernel_direction {kernel}, job_direction {direction}"]


@pytest.mark.parametrize("detail", [NO_CALL, NO_RIGHT, AWAY, THROTTLED, UNKNOWN, {}, v5(job="another")])
def test_disaster_recovery_without_a_direction_is_not_in_sync(detail: Any) -> None:
    progress = poll(Cloud(ShowJobDetail=detail, lists=rows(row(job_type="cloudDataGuard"))))
    assert progress.state == "running"
    assert "switching over" in progress.warnings[0]


def test_direction_is_requested_at_each_yes() -> None:
    same = v5(base_info={"job_direction": "up"}, job_kernel_direction="up")
    cloud = Cloud(ShowJobDetail=same, lists=rows(row(job_type="cloudDataGuard")))
    api = replace(API)
    assert poll(cloud, api).state == "caught_up"
    cloud.answers["ShowJobDetail"] = v5(base_info={"job_direction": "up"}, job_kernel_direction="down")
    assert poll(cloud, api).state == "running"


def test_recovery_point_and_time() -> None:
    item = {"job_id": ID, "rpo_info": {"delay": "0"}, "rto_info": {"delay": "3", "gtid_set": "g"}}
    talk = hold(API.get_rpo_and_rto(ID), {"count": 2, "results": [{"job_id": "another"}, item]})
    (request,) = talk.requests
    assert (request.method, request.url) == ("POST", "https://drs.example/v3/p/jobs/batch-rpo-and-rto")
    assert json.loads(request.body) == {"jobs": [ID]}
    assert (talk.result.rpo_info.delay, talk.result.rto_info.delay) == (0, 3)
    assert talk.result.rto_info.check_point is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"results": [{"job_id": ID, "error_code": "DRS.M05003"}]}, MigrationNotFoundError),
        ({"results": [{"job_id": "another", "rpo_info": {"delay": "0"}}]}, MigrationResponseError),
        ({"results": [{"rpo_info": {"delay": "0"}}]}, MigrationResponseError),
        ({}, MigrationResponseError),
        (NO_RIGHT, MigrationPermissionError),
    ],
)
def test_recovery_point_of_another_job_is_an_error(answer: Any, error: type[MigrationApiError]) -> None:
    with pytest.raises(error):
        hold(API.get_rpo_and_rto(ID), answer)


def test_unreadable_recovery_point_is_not_zero() -> None:
    item = {"job_id": ID, "rpo_info": {"delay": False}, "rto_info": {"delay": ""}}
    found = hold(API.get_rpo_and_rto(ID), {"results": [item]}).result
    assert (found.rpo_info.delay, found.rto_info.delay) == (None, None)


# --- lists ----------------------------------------------------------------------------------------------


def listed(
    cloud: Callable[[Request], Any], api: DrsApi | None = None, **selection: Any
) -> list[MigrationSummary]:
    listing, found = DrsListing(MigrationFilter(**selection)), []
    while not listing.at_end:
        found += hold((api or replace(API)).list_migrations(listing), cloud).result
    return found


def paged(jobs: dict[str, list[dict[str, Any]]]) -> Callable[[Request], Any]:
    """Answer as the v5 list of these jobs by type."""

    def answer(request: Request) -> Any:
        query = dict(parse_qsl(urlsplit(request.url).query))
        offset, found = int(query["offset"]), jobs.get(query["job_type"], [])
        return rows(*found[offset : offset + int(query["limit"])], total=len(found))

    return answer


def test_each_type_is_listed_with_its_kind() -> None:
    jobs = {job_type: [row(job_type, job_type=job_type)] for job_type in KINDS}
    assert {item.migration_id: item.kind for item in listed(paged(jobs))} == KINDS


def test_list_of_many_pages_is_complete() -> None:
    jobs = [row(f"job-{number}", create_time="1686038576882") for number in range(300)]
    requests: list[Request] = []
    answer = paged({"sync": jobs})

    def counting(request: Request) -> Any:
        requests.append(request)
        return answer(request)

    found = listed(counting)
    assert [item.migration_id for item in found] == [job["id"] for job in jobs]
    assert len(requests) == 5  # three pages, and one empty list each of the other types
    assert found[0].created_at == datetime(2023, 6, 6, 8, 2, 56, 882000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "year"),
    [("2020-09-01T18:50:20.200Z", 2020), ("1686038576882", 2023), ("", None), ("x", None), (None, None)],
)
def test_time_of_creation(text: Any, year: int | None) -> None:
    (item,) = listed(paged({"sync": [row(create_time=text)]}))
    assert (item.created_at.year if item.created_at else None) == year


@pytest.mark.parametrize("word", [*STATUSES._states, "odd", "odd_failed"])
def test_list_is_no_evidence(word: str) -> None:
    (item,) = listed(paged({"sync": [row(status=word.upper(), task_type="FULL_INCR_TRANS")]}))
    assert item.state not in ("caught_up", "succeeded")
    assert (item.service_status, item.lag_seconds) == (word.upper(), None)


def test_children_are_rows_of_their_own() -> None:
    children = [{"id": f"c{number}", "status": "INCRE_TRANSFER_FAILED", "name": "x"} for number in range(2)]
    jobs = {"sync": [row("parent", children=children), row("other")]}
    assert [item.migration_id for item in listed(paged(jobs))] == ["parent", "other", "c0", "c1"]
    failed = listed(paged(jobs), statuses=frozenset(("failed",)))
    assert [item.migration_id for item in failed] == ["c0", "c1"]
    assert [item.migration_id for item in listed(paged(jobs), name="X")] == ["c0", "c1"]


def test_child_that_is_also_a_row_counts_once() -> None:
    for jobs in ([row("p", children=[row("c")]), row("c")], [row("c"), row("p", children=[row("c")])]):
        found = listed(paged({"sync": jobs}))
        assert sorted(item.migration_id for item in found) == ["c", "p"]


@pytest.mark.parametrize(
    "answer",
    [
        rows(row("a"), total=2),
        rows(row("a"), row("a"), total=2),
        rows(row("a"), {"name": "without an id"}, total=2),
        rows(row("a"), row("b"), total=1),
        rows(row("a"), total=0),
        rows(total=3),
        rows(row("a", children=[{"status": SYNCING}])),
        rows(row("a", children=7)),
        {"jobs": [row("a")]},
        {},
        {"total_count": "many", "jobs": []},
    ],
)
def test_incomplete_list_is_an_error(answer: Any) -> None:
    with pytest.raises(MigrationResponseError):
        listed(lambda request: answer)


def test_row_that_slips_over_the_edge_of_a_page_is_missed_loudly() -> None:
    """A job that leaves the first page moves another over its edge, and lowers the total."""
    jobs = {"migration": [row(f"job-{number}") for number in range(150)]}
    answer = paged(jobs)

    def shrinking(request: Request) -> Any:
        page = answer(request)
        if len(jobs["migration"]) == 150:
            del jobs["migration"][3]
        return page

    with pytest.raises(MigrationResponseError, match="from 150 to 149"):
        listed(shrinking)


def test_filters_of_the_service_are_only_the_group() -> None:
    """A status or a name would hide a parent, and with it children that are selected."""
    requests: list[Request] = []

    def counting(request: Request) -> Any:
        requests.append(request)
        if "job_type=sync" not in request.url:
            return rows()
        return rows(row(enterprise_project_id="g"), row("x", enterprise_project_id="other"))

    found = listed(counting, name="a,b", statuses=frozenset(("running",)), group="g")
    assert found == []
    queries = [dict(parse_qsl(urlsplit(request.url).query)) for request in requests]
    assert all(query.keys() == {"job_type", "offset", "limit", "enterprise_project_id"} for query in queries)
    assert [item.migration_id for item in listed(counting, group="g")] == [ID]


def test_list_of_v3_where_v5_has_none() -> None:
    requests: list[Request] = []

    def answer(request: Request) -> Any:
        requests.append(request)
        if request.method == "GET":
            return NO_CALL
        body = json.loads(request.body)
        jobs = [{"id": f"job-{number}", "status": SYNCING} for number in range(150)]
        if body["db_use_type"] != "cloudDataGuard":
            jobs = []
        start = (body["cur_page"] - 1) * body["per_page"]
        return {"total_record": len(jobs), "jobs": jobs[start : start + body["per_page"]]}

    api = replace(API)
    found = listed(answer, api)
    assert len(found) == 150
    assert {item.kind for item in found} == {"disaster_recovery"}
    assert [request.method for request in requests] == ["GET", *["POST"] * 4]
    listed(answer, api)
    assert [request.method for request in requests].count("GET") == 1


@pytest.mark.parametrize("answer", [NO_RIGHT, THROTTLED, AWAY, PROXY, to_response(b"<html>", 200)])
def test_refused_list_is_an_error_and_asks_no_other_api(answer: Response) -> None:
    requests: list[Request] = []

    def counting(request: Request) -> Any:
        requests.append(request)
        return answer

    with pytest.raises(MigrationApiError):
        listed(counting)
    assert len(requests) == 1


def test_list_that_neither_api_has_names_both() -> None:
    with pytest.raises(MigrationNotFoundError, match=r"ListJobs .*ShowJobList"):
        listed(lambda request: NO_CALL)


def tagged(**tags: str) -> dict[str, Any]:
    return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}


def test_tags_select_jobs_and_their_children() -> None:
    def answer(request: Request) -> Any:
        if request.action == "ListInstanceByTags":
            assert json.loads(request.body) == {"tags": [{"key": "wave", "values": ["3"]}]}
            resources = [
                {"resource_id": "a", **tagged(wave="3")},
                {"resource_id": "p", **tagged(wave="3", x="y")},
                {"resource_id": "b", **tagged(wave="4")},  # the service has not filtered
            ]
            is_sync = "/sync/" in request.url
            return {"total_count": 3 if is_sync else 0, "resources": resources if is_sync else []}
        jobs = {"sync": [row("a"), row("b"), row("c"), row("p", children=[row("child")])]}
        return paged(jobs)(request)

    assert [item.migration_id for item in listed(answer, tags={"wave": "3"})] == ["a", "p", "child"]


@pytest.mark.parametrize("is_first", [True, False])
def test_child_with_a_row_of_its_own_has_the_tags_of_its_parent(is_first: bool) -> None:
    parent, child = row("p", children=[row("c")]), row("c")
    jobs = {"sync": [child, parent] if is_first else [parent, child]}

    def answer(request: Request) -> Any:
        if request.action != "ListInstanceByTags":
            return paged(jobs)(request)
        found = [{"resource_id": "p", **tagged(wave="3")}] if "/sync/" in request.url else []
        return {"total_count": len(found), "resources": found}

    assert [item.migration_id for item in listed(answer, tags={"wave": "3"})] == ["p", "c"]


@pytest.mark.parametrize(
    "answer",
    [
        {"total_count": 2, "resources": [{"resource_id": "a", **tagged(wave="3")}]},
        {"total_count": 1, "resources": None},
        {"resources": [{"resource_id": "a", **tagged(wave="3")}]},
        {},
    ],
)
def test_incomplete_list_of_tags_is_an_error(answer: Any) -> None:
    def answers(request: Request) -> Any:
        return answer if request.action == "ListInstanceByTags" else rows(row("a"))

    with pytest.raises(MigrationResponseError):
        listed(answers, tags={"wave": "3"})


def test_tags_are_a_filter_of_v3() -> None:
    def answer(request: Request) -> Any:
        if request.action.startswith("ShowJobList"):
            assert json.loads(request.body)["tags"] == {"wave": "3"}
            return {"total_record": 1, "jobs": [row(json.loads(request.body)["db_use_type"])]}
        return NO_CALL

    assert len(listed(answer, tags={"wave": "3"})) == 3
