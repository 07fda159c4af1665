"""The simulated lists and details of DRS: read by the vendor's SDK, and strict as the cloud."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_migration.simulator import Simulator
from airflow_provider_migration.simulator.scenario import Scenario, ScenarioError

if TYPE_CHECKING:
    from tests.simulator.conftest import Asker

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    drs_v3 = import_module("huaweicloudsdkdrs.v3")
    drs_v5 = import_module("huaweicloudsdkdrs.v5")
    credentials = import_module("huaweicloudsdkcore.auth.credentials")
    huawei_errors = import_module("huaweicloudsdkcore.exceptions.exceptions")

pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Method 'show_job_list':DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PROJECT = "5237e10fe9aa4ad5b16b6a5245248314"
WAVES = {"wave": "3"}


def job(job_id: str, **changes: Any) -> dict[str, Any]:
    return {"service": "drs", "job_id": job_id, "name": f"name of {job_id}", **changes}


SCENARIO = {
    "migrations": [
        *[job(f"m{number:03}", tags=WAVES if number % 2 else {}) for number in range(150)],
        job("parent", job_type="sync", children=["child-1", "child-2"], tags=WAVES),
        job("child-1", job_type="sync"),
        job("child-2", job_type="sync"),
        job("standby", job_type="cloudDataGuard", direction="down", enterprise_project_id="eps-1"),
        job("old", generation="v3"),
        job("new", generation="v5"),
    ]
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(SCENARIO, speed=0.001) as running:
        for job_id in ("standby", "parent", "new", "old"):
            running.jump("drs", job_id, 100)
        yield running


def client(client_class: Any, simulator: Simulator) -> Any:
    basic = credentials.BasicCredentials(
        ak="SIMULATORACCESSKEY", sk="simulator-secret-key", project_id=PROJECT
    )
    return client_class.new_builder().with_credentials(basic).with_endpoint(simulator.url).build()


def test_v5_client_lists_jobs(simulator: Simulator) -> None:
    sdk = client(drs_v5.DrsClient, simulator)
    found: list[str] = []
    for offset in (0, 100):
        page = sdk.list_jobs(drs_v5.ListJobsRequest(job_type="migration", limit=100, offset=offset))
        assert page.total_count == 151
        found += [row.id for row in page.jobs]
    assert len(set(found)) == 151
    assert "old" not in found
    first = sdk.list_jobs(drs_v5.ListJobsRequest(job_type="migration", name="m001,m003", limit=10)).jobs[0]
    assert (first.id, first.job_type, first.status, first.children) == ("m001", "migration", "CREATING", [])
    assert int(first.create_time) > 1e12


def test_v5_client_lists_children_in_their_parent(simulator: Simulator) -> None:
    (parent,) = (
        client(drs_v5.DrsClient, simulator)
        .list_jobs(drs_v5.ListJobsRequest(job_type="sync", limit=10, x_language="zh-cn"))
        .jobs
    )
    assert (parent.id, parent.job_mode_role) == ("parent", "parent")
    assert [(child.id, child.job_mode_role) for child in parent.children] == [
        ("child-1", "child"),
        ("child-2", "child"),
    ]


def test_v5_client_reads_a_detail(simulator: Simulator) -> None:
    sdk = client(drs_v5.DrsClient, simulator)
    shown = sdk.show_job_detail(drs_v5.ShowJobDetailRequest(job_id="new", type="progress")).job
    info = shown.progress_info
    assert (shown.id, shown.status, info.transfer_status) == ("new", *["INCRE_TRANSFER_STARTED"] * 2)
    assert (info.task_mode, shown.base_info) == ("FULL_INCR_TRANS", None)
    assert 0 <= int(info.incr_trans_delay) < 60
    detail = sdk.show_job_detail(drs_v5.ShowJobDetailRequest(job_id="standby", type="detail")).job
    assert (detail.job_kernel_direction, detail.base_info.job_direction) == ("down", "down")
    assert detail.base_info.job_type == "cloudDataGuard"
    with pytest.raises(huawei_errors.ClientRequestException) as caught:
        sdk.show_job_detail(drs_v5.ShowJobDetailRequest(job_id="old", type="progress"))
    assert (caught.value.status_code, caught.value.error_code) == (400, "DRS.10000010")


def test_v5_client_finds_jobs_by_tag(simulator: Simulator) -> None:
    body = drs_v5.QueryInstanceByTagReq(tags=[drs_v5.Tag(key="wave", values=["3"])])
    request = drs_v5.ListInstanceByTagsRequest(resource_type="migration", limit=1000, offset=0, body=body)
    page = client(drs_v5.DrsClient, simulator).list_instance_by_tags(request)
    assert page.total_count == len(page.resources) == 75
    assert page.resources[0].resource_id == "m001"
    assert (page.resources[0].tags[0].key, page.resources[0].tags[0].value) == ("wave", "3")


def test_v3_client_lists_jobs(simulator: Simulator) -> None:
    sdk = client(drs_v3.DrsClient, simulator)
    body = drs_v3.QueryJobsReq(cur_page=2, per_page=100, db_use_type="migration")
    page = sdk.show_job_list(drs_v3.ShowJobListRequest(body=body))
    assert (page.total_record, len(page.jobs)) == (151, 51)
    assert page.jobs[-1].id == "old"
    body = drs_v3.QueryJobsReq(db_use_type="migration", tags=WAVES, per_page=0)
    assert sdk.show_job_list(drs_v3.ShowJobListRequest(body=body)).total_record == 75
    body = drs_v3.QueryJobsReq(db_use_type="sync", name="parent")
    (parent,) = sdk.show_job_list(drs_v3.ShowJobListRequest(body=body)).jobs
    assert [child.id for child in parent.children] == ["child-1", "child-2"]
    assert (parent.db_use_type, parent.children[0].db_use_type) == ("sync", "sync")


def test_v3_client_reads_recovery_points(simulator: Simulator) -> None:
    body = drs_v3.BatchQueryRpoAndRtoReq(jobs=["standby", "m001"])
    answer = client(drs_v3.DrsClient, simulator).batch_list_rpos_and_rtos(
        drs_v3.BatchListRposAndRtosRequest(body=body)
    )
    standby, other = answer.results
    assert (answer.count, standby.rpo_info.delay) == (2, "0")
    assert 0 <= int(standby.rto_info.delay) < 60
    assert other.error_code == "DRS.M05003"


def test_batch_progress_knows_its_own_jobs(simulator: Simulator) -> None:
    body = drs_v3.BatchQueryProgressReq(jobs=["old", "new"])
    old, new = (
        client(drs_v3.DrsClient, simulator)
        .batch_list_progresses(drs_v3.BatchListProgressesRequest(body=body))
        .results
    )
    assert (old.transfer_status, new.error_code) == ("INCRE_TRANSFER_STARTED", "DRS.M05003")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "DRS.M00201"),
        ("job_type=odd", "DRS.M00202"),
        ("job_type=sync&limit=0", "DRS.M00202"),
        ("job_type=sync&limit=101", "DRS.M00202"),
        ("job_type=sync&offset=-1", "DRS.M00202"),
        ("job_type=sync&status=PAUSING", "DRS.M00202"),
        ("job_type=sync&name=" + "%2C".join(map(str, range(11))), "DRS.M00202"),
    ],
)
def test_v5_list_is_strict(play: Callable[..., Asker], query: str, code: str) -> None:
    answer = play(SCENARIO).huawei("GET", f"/v5/{PROJECT}/jobs?{query}")
    assert (answer.status, answer.json["error_code"]) == (400, code)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"db_use_type": "replay"},
        {"db_use_type": "sync", "per_page": 101},
        {"db_use_type": "sync", "per_page": "10"},
        {"db_use_type": "sync", "cur_page": 0},
        {"db_use_type": "sync", "per_page": 0, "cur_page": 2},
        {"db_use_type": "sync", "enterprise_project_id": ""},
        {"db_use_type": "sync", "status": "odd"},
    ],
)
def test_v3_list_is_strict(play: Callable[..., Asker], body: Any) -> None:
    assert play(SCENARIO).huawei("POST", f"/v3/{PROJECT}/jobs", body=body).status == 400


def test_language_and_project_are_checked(play: Callable[..., Asker]) -> None:
    ask = play(SCENARIO)
    path = f"/v5/{PROJECT}/jobs?job_type=sync"
    assert ask.huawei("GET", path, headers={"x-language": "fr-fr"}).status == 400
    assert ask.huawei("GET", path.replace(PROJECT, "other")).status == 403
    for part, code in (("", "DRS.M00201"), ("odd", "DRS.M00202")):
        answer = ask.huawei("GET", f"/v5/{PROJECT}/jobs/new?type={part}")
        assert answer.json["error_code"] == code


def test_list_starts_no_script(play: Callable[..., Asker], clock: Any) -> None:
    ask = play({"migrations": [job("a")]})
    for _ in range(2):
        listed = ask.huawei("GET", f"/v5/{PROJECT}/jobs?job_type=migration").json
        assert listed["jobs"][0]["status"] == "CREATING"
        clock.now += 100
    assert ask.drs_jobs("a").json["results"][0]["transfer_status"] == "CREATING"
    clock.now += 100
    listed = ask.huawei("GET", f"/v5/{PROJECT}/jobs?job_type=migration").json
    assert listed["jobs"][0]["status"] == "INCRE_TRANSFER_STARTED"


@pytest.mark.parametrize("children", [["nobody"], ["a"]])
def test_children_are_other_jobs(children: list[str]) -> None:
    with pytest.raises(ScenarioError, match="is not another job of drs"):
        Scenario.load({"migrations": [job("a", children=children)]})
