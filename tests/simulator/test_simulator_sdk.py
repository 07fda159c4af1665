"""The vendors' own SDK clients work against the simulator unchanged."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_migration.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    dts_client = import_module("alibabacloud_dts20200101.client")
    dts_models = import_module("alibabacloud_dts20200101.models")
    dataworks_client = import_module("alibabacloud_dataworks_public20200518.client")
    dataworks_models = import_module("alibabacloud_dataworks_public20200518.models")
    openapi = import_module("alibabacloud_tea_openapi.utils_models")
    oms_client = import_module("alibabacloud_oceanbasepro20190901.client")
    oms_models = import_module("alibabacloud_oceanbasepro20190901.models")
    tea_openapi = import_module("alibabacloud_tea_openapi.models")
    drs_v3 = import_module("huaweicloudsdkdrs.v3")
    drs_v5 = import_module("huaweicloudsdkdrs.v5")
    iam_v3 = import_module("huaweicloudsdkiam.v3")
    credentials = import_module("huaweicloudsdkcore.auth.credentials")
    regions = import_module("huaweicloudsdkcore.region.region")
    huawei_errors = import_module("huaweicloudsdkcore.exceptions.exceptions")

pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:Method '(batch_list_job_status|\w+_compare_\w+)':DeprecationWarning"),
    # The SDKs keep their sessions open until the process ends.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

KEY, SECRET = "SIMULATORACCESSKEY", "simulator-secret-key"
PROJECT = "5237e10fe9aa4ad5b16b6a5245248314"
JOB = "163b98e8-6088-46c3-8b86-c18fea6jb502"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    scenario = {
        "migrations": [
            {"service": "dataworks", "migration_id": 1234},
            {"service": "dts", "migration_job_id": "dtsdemo0001"},
            {"service": "drs", "job_id": JOB, "objects": 30},
            {"service": "oms", "project_id": "np_demo0001"},
        ]
    }
    with Simulator(scenario, speed=0.001) as running:
        yield running


@pytest.fixture(scope="module")
def checked() -> Iterator[Simulator]:
    ids = {"dts": ("migration_job_id", "dts1"), "oms": ("project_id", "np_1"), "drs": ("job_id", JOB)}
    check = {"outcome": "different", "different": 1}
    migrations = [
        {"service": service, name: it, "verification": check} for service, (name, it) in ids.items()
    ]
    with Simulator({"migrations": migrations}, speed=0.001) as running:
        for service, (_, it) in ids.items():
            running.jump(service, it, 100)
        yield running


def alibaba_config(simulator: Simulator, **changes: Any) -> Any:
    host = simulator.url.removeprefix("http://")
    values = {"access_key_id": KEY, "access_key_secret": SECRET, "endpoint": host, "protocol": "HTTP"}
    return openapi.Config(**{**values, **changes})


def huawei_client(client_class: Any, simulator: Simulator, **changes: Any) -> Any:
    values = {"ak": KEY, "sk": SECRET, "project_id": PROJECT, **changes}
    token = values.pop("token", None)
    basic = credentials.BasicCredentials(**values)
    if token:
        basic = basic.with_security_token(token)
    return client_class.new_builder().with_credentials(basic).with_endpoint(simulator.url).build()


@pytest.mark.parametrize(
    "credential", [{}, {"security_token": "simulator-security-token"}], ids=["AccessKey", "STS"]
)
def test_dts_client_reads_a_job(simulator: Simulator, credential: dict[str, str]) -> None:
    simulator.jump("dts", "dtsdemo0001", 100)
    client = dts_client.Client(alibaba_config(simulator, **credential))
    request = dts_models.DescribeMigrationJobStatusRequest(
        migration_job_id="dtsdemo0001", region_id="cn-hangzhou", client_token="a b+c/d~*"
    )
    body = client.describe_migration_job_status(request).body
    assert body.migration_job_status == "Migrating"
    assert body.data_synchronization_status.status == "Catched"
    assert body.migration_mode.data_synchronization is True
    assert len(body.precheck_status.detail.check_item) == 14


def test_dts_client_lists_jobs(simulator: Simulator) -> None:
    simulator.jump("dts", "dtsdemo0001", 100)
    client = dts_client.Client(alibaba_config(simulator))
    request = dts_models.DescribeDtsJobsRequest(
        dts_instance_id="dtsdemo0001,dtsnobody", region="cn-hangzhou", page_size=30, without_db_list=True
    )
    body = client.describe_dts_jobs(request).body
    (job,) = body.dts_job_list
    assert (body.success, body.total_record_count) == (True, 1)
    assert (job.dts_instance_id, job.status) == ("dtsdemo0001", "Migrating")
    assert job.data_synchronization_status.status == "Catched"
    assert 0 <= job.delay <= 5000
    assert job.migration_mode.data_synchronization is True
    assert job.precheck_status.detail[0].check_result == "Success"
    assert (job.performance.flow, job.performance.rps) == ("1.5", "120")


def test_dts_client_lists_a_wave() -> None:
    """The client reads 300 jobs of both types page by page, with tags and the reverse direction."""
    migrations = [
        {
            "service": "dts",
            "migration_job_id": f"dts{number:04}",
            "job_type": "SYNC" if number % 2 else "MIGRATION",
            "two_way": number % 2 == 1,
            "tags": {"wave": str(number % 3)},
        }
        for number in range(300)
    ]
    with Simulator({"migrations": migrations}, speed=0.001) as running:
        running.jump("dts", "dts0001", 100)
        client = dts_client.Client(alibaba_config(running))

        def rows(job_type: str, **fields: Any) -> list[Any]:
            found: list[Any] = []
            while True:
                request = dts_models.DescribeDtsJobsRequest(
                    region="cn-hangzhou",
                    job_type=job_type,
                    page_number=len(found) // 30 + 1,
                    page_size=30,
                    order_column="CreateTime",
                    order_direction="ASC",
                    without_db_list=True,
                    **fields,
                )
                body = client.describe_dts_jobs(request).body
                found += body.dts_job_list
                if len(found) >= body.total_record_count:
                    return found

        migrations_, syncs = rows("MIGRATION"), rows("SYNC")
        assert (len(migrations_), len(syncs)) == (150, 150)
        assert {job.job_type for job in migrations_} == {"online"}
        assert migrations_[0].reverse_job is None
        job = syncs[0]
        assert (job.job_type, job.status, job.dts_job_direction) == ("sync", "Synchronizing", "Forward")
        assert (job.reverse_job.status, job.reverse_job.dts_job_direction) == ("Synchronizing", "Reverse")
        assert job.reverse_job.dts_job_id != job.dts_job_id
        assert 0 <= job.reverse_job.delay <= 5
        assert job.reverse_job.migration_mode.data_synchronization is True
        assert [(tag.tag_key, tag.tag_value) for tag in job.tag_list] == [("wave", "1")]
        assert job.create_time == "2026-01-01T00:01:00Z"
        tags = '[{"key": "wave", "value": "1"}]'
        assert len(rows("MIGRATION", tags=tags)) + len(rows("SYNC", tags=tags)) == 100
        assert [one.dts_instance_id for one in rows("SYNC", status="Synchronizing")] == ["dts0001"]


def test_dts_client_lists_objects(simulator: Simulator) -> None:
    simulator.jump("dts", "dtsdemo0001", 14)
    client = dts_client.Client(alibaba_config(simulator))
    phases = {"structure_initialization": True, "data_initialization": True, "data_synchronization": False}
    mode = dts_models.DescribeMigrationJobDetailRequestMigrationMode(**phases)
    request = dts_models.DescribeMigrationJobDetailRequest(
        migration_job_id="dtsdemo0001",
        region_id="cn-hangzhou",
        migration_mode=mode,
        page_num=1,
        page_size=100,
    )
    body = client.describe_migration_job_detail(request).body
    (definition, *_) = body.structure_initialization_detail_list.structure_initialization_detail
    (table, *more) = body.data_initialization_detail_list.data_initialization_detail
    assert (body.success, body.total_record_count, body.page_record_count) == ("true", 48, 48)
    assert (definition.object_name, definition.object_type) == ("orders_0001", "Table")
    assert (definition.status, definition.object_definition[:12]) == ("Finished", "CREATE TABLE")
    assert (table.source_owner_dbname, table.table_name, table.status) == ("shop", "orders_0001", "Migrating")
    assert 0 < int(table.finish_row_num) < int(table.total_row_num)
    assert len(more) == 23
    assert body.data_synchronization_detail_list.data_synchronization_detail == []


def test_dts_client_reads_a_data_check(checked: Simulator) -> None:
    client = dts_client.Client(alibaba_config(checked))
    job = client.describe_dts_jobs(dts_models.DescribeDtsJobsRequest(region="cn-hangzhou")).body.dts_job_list[
        0
    ]
    request = dts_models.DescribeDataCheckTableDetailsRequest(
        check_type=1, dts_job_id=job.dts_job_id, status="6", page_number=1, page_size=10, schema_name="shop"
    )
    body = client.describe_data_check_table_details(request).body
    (table,) = body.table_details
    assert (job.migration_mode.full_data_check, job.migration_mode.inc_data_check) == (True, False)
    assert (job.full_data_check_status.status, job.full_data_check_status.percent) == ("Finished", "100")
    assert job.full_data_check_status.progress == "120 rows/s (row: 12780/12780, table: 12/12)"
    assert (body.success, body.total_count, body.finished_count) == (True, 12, 12780)
    assert (body.diff_table_count, body.failed_table_count) == (1, 0)
    assert (table.source_db_name, table.source_tb_name, table.status) == ("shop", "orders_0001", "0")
    assert (table.total_count, table.finish_count, table.diff_count) == (1010, 1010, 3)


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        ({"access_key_secret": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "NOBODY"}, "InvalidAccessKeyId.NotFound"),
        ({"security_token": "forged"}, "InvalidSecurityToken.Malformed"),
    ],
)
def test_dts_client_gets_the_reason_of_a_refusal(
    simulator: Simulator, credential: dict[str, str], code: str
) -> None:
    client = dts_client.Client(alibaba_config(simulator, **credential))
    request = dts_models.DescribeMigrationJobStatusRequest(migration_job_id="dtsdemo0001")
    with pytest.raises(Exception, match="request id") as caught:
        client.describe_migration_job_status(request)
    assert caught.value.code == code  # type: ignore[attr-defined] # the SDK is imported by name


def test_dataworks_client_reads_process_and_summary(simulator: Simulator) -> None:
    simulator.jump("dataworks", 1234, 100)
    client = dataworks_client.Client(alibaba_config(simulator))
    process = client.get_migration_process(
        dataworks_models.GetMigrationProcessRequest(migration_id=1234, project_id=123456)
    ).body
    summary = client.get_migration_summary(
        dataworks_models.GetMigrationSummaryRequest(migration_id=1234, project_id=123456)
    ).body
    assert [step.task_status for step in process.data] == ["SUCCESS"] * 5
    assert summary.data.status == "IMPORT_SUCCESS"
    assert "Signature=" in summary.data.download_url


def test_dataworks_client_lists_packages(simulator: Simulator) -> None:
    simulator.jump("dataworks", 1234, 100)
    client = dataworks_client.Client(alibaba_config(simulator))
    request = dataworks_models.ListMigrationsRequest(
        migration_type="IMPORT", project_id=123456, page_number=1, page_size=100
    )
    body = client.list_migrations(request).body
    (package,) = body.data.migrations
    assert (body.success, body.data.total_count) == (True, 1)
    assert (package.id, package.status, package.message) == (1234, "SUCCESS", None)


def test_oceanbasepro_client_reads_progress_and_steps(simulator: Simulator) -> None:
    simulator.jump("oms", "np_demo0001", 100)
    host = simulator.url.removeprefix("http://")
    config = tea_openapi.Config(access_key_id=KEY, access_key_secret=SECRET, endpoint=host, protocol="HTTP")
    client = oms_client.Client(config)
    progress = client.describe_project_progress(
        oms_models.DescribeProjectProgressRequest(id="np_demo0001")
    ).body
    steps = client.describe_project_steps(oms_models.DescribeProjectStepsRequest(id="np_demo0001")).body
    assert (progress.success, progress.data.status, progress.data.current_step) == (
        True,
        "RUNNING",
        "INCR_TRANSFER",
    )
    assert progress.data.enable_incr_sync is True
    assert progress.data.full_transfer_progress == 100
    assert [step.name for step in steps.data] == [
        "TRANSFER_PRECHECK",
        "STRUCT_TRANSFER",
        "TRANSFER_INCR_LOG_PULL",
        "FULL_TRANSFER",
        "INDEX_TRANSFER",
        "INCR_TRANSFER",
    ]
    assert (steps.data[-1].status, steps.data[-1].order) == ("MONITORING", 6)
    assert steps.data[-1].step_info["CheckpointSampleTimestamp"] > 0


def test_oceanbasepro_client_reads_a_data_check(checked: Simulator) -> None:
    host = checked.url.removeprefix("http://")
    config = tea_openapi.Config(access_key_id=KEY, access_key_secret=SECRET, endpoint=host, protocol="HTTP")
    client = oms_client.Client(config)
    step = client.describe_project_steps(oms_models.DescribeProjectStepsRequest(id="np_1")).body.data[-1]
    request = oms_models.ListProjectFullVerifyResultRequest(
        project_id="np_1", source_schemas=["shop"], status="FINISHED", page_number=1, page_size=10
    )
    body = client.list_project_full_verify_result(request).body
    table = body.data.full_verify_table_statistics[0]
    assert (step.name, step.status, step.progress) == ("FULL_VERIFIER", "RUNNING", 100)
    assert (step.step_info["ProcessedRecords"], step.step_info["Capacity"]) == (12780, 12780)
    assert step.start_time < step.finish_time
    assert (body.success, body.page_number, body.page_size, body.total_count) == (True, 1, 10, 12)
    assert body.data.different_number == 1
    assert len(body.data.full_verify_table_statistics) == 10
    assert (table.source_schema_name, table.source_table_name) == ("shop", "orders_0001")
    assert (table.status, table.result_type, table.progress) == ("FINISHED", "INCONSISTENT", "100")
    assert (table.source_only_count, table.mismatched_count, table.consistent_count) == (2, 1, 1007)


@pytest.mark.parametrize("token", [None, "simulator-security-token"], ids=["AK/SK", "temporary"])
def test_drs_v5_client_reads_pages_of_objects(simulator: Simulator, token: str | None) -> None:
    simulator.jump("drs", JOB, 25)
    client = huawei_client(drs_v5.DrsClient, simulator, token=token)
    request = drs_v5.ShowProgressDataRequest(
        x_language="zh-cn", job_id=JOB, type="table", offset=20, limit=1000
    )
    page = client.show_progress_data(request)
    assert page.count == 30
    assert len(page.flow_compare_data) == 10
    assert page.flow_compare_data[0].src_tb == "table_000020"


def test_drs_v5_client_filters_by_a_non_ascii_name(simulator: Simulator) -> None:
    simulator.jump("drs", JOB, 25)
    client = huawei_client(drs_v5.DrsClient, simulator)
    request = drs_v5.ShowProgressDataRequest(job_id=JOB, type="table", search_name="我 db/x~*")
    assert client.show_progress_data(request).count == 0
    request.search_name = "table_000003"
    assert client.show_progress_data(request).count == 1


def test_drs_v3_client_reads_the_status_of_jobs(simulator: Simulator) -> None:
    simulator.jump("drs", JOB, 100)
    client = huawei_client(drs_v3.DrsClient, simulator)
    request = drs_v3.BatchListProgressesRequest(body=drs_v3.BatchQueryProgressReq(jobs=[JOB, "nobody"]))
    known, unknown = client.batch_list_progresses(request).results
    assert known.transfer_status == "INCRE_TRANSFER_STARTED"
    assert known.progress_map["data"].completed == "100%"
    assert unknown.error_code == "DRS.M05003"


def test_drs_v3_client_reads_comparisons(checked: Simulator) -> None:
    client = huawei_client(drs_v3.DrsClient, checked)
    listed = client.list_data_level_table_compare_jobs(
        drs_v3.ListDataLevelTableCompareJobsRequest(job_id=JOB, limit=1000, offset=0)
    )
    (comparison,) = listed.compare_jobs
    ids = {"job_id": JOB, "compare_job_id": comparison.id, "limit": 1000, "offset": 0}
    overview = client.list_data_compare_overview(drs_v3.ListDataCompareOverviewRequest(**ids))
    detail = client.list_data_compare_detail(
        drs_v3.ListDataCompareDetailRequest(**ids, status=0, type="compare", db_name="shop")
    )
    (database,), (table,) = overview.data_compare_overview_infos, detail.table_line_compare_result_infos
    assert (listed.count, comparison.type, comparison.status) == (1, "lines", "SUCCESSFUL")
    assert comparison.start_time < comparison.end_time
    assert (database.source_db_name, database.status, database.compare_num) == ("shop", 0, 12)
    assert (database.data_inconsistent_num, database.uncomparable_num) == (1, 0)
    assert (table.source_table_name, table.status) == ("orders_0001", 0)
    assert (table.source_row_num, table.target_row_num, table.difference_row_num) == (1010, 1008, 2)
    for answer in (
        client.list_content_compare_overview(drs_v3.ListContentCompareOverviewRequest(**ids)),
        client.list_content_compare_detail(drs_v3.ListContentCompareDetailRequest(**ids, type="compare")),
    ):
        assert (answer.total_count, answer.content_compare_result_infos) == (0, [])


def test_drs_v3_client_reads_the_comparison_of_objects(checked: Simulator, simulator: Simulator) -> None:
    request = drs_v3.ListObejectLevelCompareOverviewRequest(job_id=JOB)
    client = huawei_client(drs_v3.DrsClient, checked)
    comparison = client.list_obeject_level_compare_overview(request)
    assert (comparison.status, comparison.report_remain_seconds) == ("SUCCESSFUL", -1)
    assert [(item.type, item.source_count, item.status) for item in comparison.compare_result] == [
        ("DB", 1, 2),
        ("TABLE", 12, 2),
    ]
    client = huawei_client(drs_v3.DrsClient, simulator)
    comparison = client.list_obeject_level_compare_overview(request)
    assert (comparison.compare_job_id, comparison.compare_result) == (None, [])


@pytest.mark.parametrize("name", ["create_object_level_compare_job", "delete_compare_job"])
def test_drs_v3_client_cannot_change_comparisons(checked: Simulator, name: str) -> None:
    client, before = huawei_client(drs_v3.DrsClient, checked), checked.writes
    request = {
        "create_object_level_compare_job": lambda: drs_v3.CreateObjectLevelCompareJobRequest(job_id=JOB),
        "delete_compare_job": lambda: drs_v3.DeleteCompareJobRequest(job_id=JOB, compare_job_id="1"),
    }[name]()
    with pytest.raises(huawei_errors.ClientRequestException):
        getattr(client, name)(request)
    assert checked.writes == before + 1


@pytest.fixture(scope="module")
def odd_jobs() -> Iterator[Simulator]:
    ended = {"transfer_status": "RELEASE_RESOURCE_COMPLETE", "progress": "100"}
    refusals = {
        "table": {"code": "DRS.M00302", "message": "not supported"},
        "view": {"code": "APIGW.0101", "message": "no such API", "http_status": 404},
    }
    jobs: dict[str, dict[str, Any]] = {
        "ended": {"job": {**ended, "incre_trans_delay": "18000", "incre_trans_delay_millis": "18000000"}},
        "silent": {"job": {"transfer_status": None}},
        "gone": {"error": {"code": "DRS.M05003", "message": "gone", "http_status": 400}},
        "unlisted": {"objects": refusals},
    }
    migrations = [
        {"service": "drs", "job_id": job, "steps": [{"at": 0, **step}]} for job, step in jobs.items()
    ]
    with Simulator({"migrations": migrations}) as running:
        yield running


def test_drs_v3_client_reads_ended_and_silent_jobs(odd_jobs: Simulator) -> None:
    client = huawei_client(drs_v3.DrsClient, odd_jobs)
    body = drs_v3.BatchQueryProgressReq(jobs=["ended", "silent"])
    ended, silent = client.batch_list_progresses(drs_v3.BatchListProgressesRequest(body=body)).results
    assert (ended.transfer_status, ended.task_mode) == ("RELEASE_RESOURCE_COMPLETE", "FULL_INCR_TRANS")
    assert (ended.incre_trans_delay, ended.incre_trans_delay_millis) == ("18000", "18000000")
    assert silent.transfer_status is None


def test_drs_v3_client_gets_a_code_in_the_results(odd_jobs: Simulator) -> None:
    client = huawei_client(drs_v3.DrsClient, odd_jobs)
    body = drs_v3.BatchQueryProgressReq(jobs=["gone"])
    with pytest.raises(huawei_errors.ClientRequestException) as caught:
        client.batch_list_progresses(drs_v3.BatchListProgressesRequest(body=body))
    assert caught.value.status_code == 400
    assert "DRS.M05003" in str(caught.value)


@pytest.mark.parametrize(
    ("object_type", "status", "code"), [("table", 400, "DRS.M00302"), ("view", 404, "APIGW.0101")]
)
def test_drs_v5_client_gets_a_refused_list(
    odd_jobs: Simulator, object_type: str, status: int, code: str
) -> None:
    client = huawei_client(drs_v5.DrsClient, odd_jobs)
    with pytest.raises(huawei_errors.ClientRequestException) as caught:
        client.show_progress_data(drs_v5.ShowProgressDataRequest(job_id="unlisted", type=object_type))
    assert (caught.value.status_code, caught.value.error_code) == (status, code)


def test_drs_v3_client_reads_the_deprecated_batch_status(simulator: Simulator) -> None:
    simulator.jump("drs", JOB, 100)
    client = huawei_client(drs_v3.DrsClient, simulator)
    body = drs_v3.BatchQueryJobReqPage(jobs=[JOB], page_req=drs_v3.PageReq(cur_page=1, per_page=0))
    answer = client.batch_list_job_status(drs_v3.BatchListJobStatusRequest(body=body))
    assert [(item.id, item.status) for item in answer.results] == [(JOB, "INCRE_TRANSFER_STARTED")]


def assume(simulator: Simulator, **changes: Any) -> Any:
    """Assume the simulator's agency with the IAM client, which asks for its account, and return the key."""
    key = credentials.GlobalCredentials(ak=KEY, sk=SECRET).with_iam_endpoint(simulator.url)
    region = regions.Region("cn-north-4", simulator.url)
    client = iam_v3.IamClient.new_builder().with_credentials(key).with_region(region).build()
    role = {"agency_name": "simulator-agency", "domain_name": "simulator-domain", **changes}
    identity = iam_v3.AgencyAuthIdentity(
        methods=["assume_role"], assume_role=iam_v3.IdentityAssumerole(**role)
    )
    body = iam_v3.CreateTemporaryAccessKeyByAgencyRequestBody(auth=iam_v3.AgencyAuth(identity=identity))
    request = iam_v3.CreateTemporaryAccessKeyByAgencyRequest(body=body)
    return client.create_temporary_access_key_by_agency(request).credential


def test_iam_client_assumes_an_agency(simulator: Simulator) -> None:
    given = assume(simulator, duration_seconds=900)
    assert "KeystoneListAuthDomains" in {asked.action for asked in simulator.requests}
    client = huawei_client(
        drs_v5.DrsClient, simulator, ak=given.access, sk=given.secret, token=given.securitytoken
    )
    request = drs_v5.ShowProgressDataRequest(job_id=JOB, type="table")
    assert client.show_progress_data(request).count is not None
    without_token = huawei_client(drs_v5.DrsClient, simulator, ak=given.access, sk=given.secret)
    with pytest.raises(huawei_errors.ClientRequestException, match="decrypt token fail"):
        without_token.show_progress_data(request)


@pytest.mark.parametrize(
    ("change", "status"),
    [({"agency_name": "nobody"}, 403), ({"domain_name": "nobody"}, 403), ({"duration_seconds": 60}, 400)],
)
def test_iam_client_gets_the_reason_of_a_refused_agency(
    simulator: Simulator, change: dict[str, Any], status: int
) -> None:
    with pytest.raises(huawei_errors.ClientRequestException) as caught:
        assume(simulator, **change)
    assert caught.value.status_code == status


def test_iam_client_lists_the_project_of_a_region(simulator: Simulator) -> None:
    key = credentials.GlobalCredentials(ak=KEY, sk=SECRET).with_iam_endpoint(simulator.url)
    client = iam_v3.IamClient.new_builder().with_credentials(key).with_endpoint(simulator.url).build()
    (project,) = client.keystone_list_projects(iam_v3.KeystoneListProjectsRequest(name="cn-north-4")).projects
    assert project.id == PROJECT


@pytest.mark.parametrize("change", [{"sk": "wrong"}, {"ak": "NOBODY"}, {"token": "forged"}])
def test_drs_client_gets_the_reason_of_a_refusal(simulator: Simulator, change: dict[str, str]) -> None:
    client = huawei_client(drs_v5.DrsClient, simulator, **change)
    with pytest.raises(huawei_errors.ClientRequestException) as caught:
        client.show_progress_data(drs_v5.ShowProgressDataRequest(job_id=JOB, type="table"))
    assert (caught.value.status_code, caught.value.error_code) == (401, "APIGW.0301")


def test_drs_client_finds_the_project_of_a_region(simulator: Simulator) -> None:
    basic = credentials.BasicCredentials(ak=KEY, sk=SECRET).with_iam_endpoint(simulator.url)
    region = regions.Region("cn-north-4", simulator.url)
    client = drs_v5.DrsClient.new_builder().with_credentials(basic).with_region(region).build()
    answer = client.show_progress_data(drs_v5.ShowProgressDataRequest(job_id=JOB, type="table"))
    assert answer.count is not None


# --- lists ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wave() -> Iterator[Simulator]:
    projects = [
        {
            "service": "oms",
            "project_id": f"np_{number}",
            "name": f"orders-{number}",
            "type": "SYNC" if number % 3 == 0 else "MIGRATION",
            "tags": {"wave-3": ""} if number < 5 else {},
        }
        for number in range(300)
    ]
    packages = [
        {"service": "dataworks", "migration_id": number, "name": f"pack-{number}"} for number in range(1, 131)
    ]
    with Simulator({"migrations": projects + packages}, speed=0.001) as running:
        running.jump("oms", "np_0", 10)
        yield running


def hosted_projects(simulator: Simulator, **query: Any) -> Any:
    host = simulator.url.removeprefix("http://")
    config = tea_openapi.Config(access_key_id=KEY, access_key_secret=SECRET, endpoint=host, protocol="HTTP")
    return oms_client.Client(config).list_projects(oms_models.ListProjectsRequest(**query)).body


def test_hosted_oms_client_lists_projects(wave: Simulator) -> None:
    seen = []
    for page in (1, 2):
        body = hosted_projects(wave, type="MIGRATION", page_number=page, page_size=150)
        assert (body.success, body.total_count, body.page_number) == (True, 200, page)
        seen += [project.id for project in body.data]
    assert len(set(seen)) == len(seen) == 200
    project = body.data[-1]
    assert (project.id, project.type, project.status) == ("np_1", "MIGRATION", "INIT")
    assert project.steps[0].name == "TRANSFER_PRECHECK"
    assert project.source_connect_info.username == "migrator"


def test_hosted_oms_client_filters_projects(wave: Simulator) -> None:
    query = {"label_ids": ["l_wave-3"], "type": "SYNC"}
    body = hosted_projects(wave, **query)
    assert [(project.id, project.labels[0].name) for project in body.data] == [
        ("np_3", "wave-3"),
        ("np_0", "wave-3"),
    ]
    (running,) = hosted_projects(wave, **query, status=["RUNNING"]).data
    assert running.id == "np_0"
    body = hosted_projects(wave, search_key="orders-7", visible_sub_project=False, order="asc")
    assert [project.id for project in body.data] == ["np_7"]
    assert hosted_projects(wave, status=["FAILED"]).data == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"type": "VERIFY"}, "Type"),
        ({"page_size": 151}, "PageSize"),
        ({"page_number": 0}, "PageNumber"),
        ({"status": ["BROKEN"]}, "Status"),
        ({"label_ids": ["l"] * 6}, "LabelIds"),
        ({"sort_field": "name"}, "SortField"),
        ({"order": "up"}, "Order"),
    ],
)
def test_hosted_oms_client_sees_a_refused_list(wave: Simulator, query: Any, name: str) -> None:
    body = hosted_projects(wave, **query)
    assert (body.success, body.code, body.message) == (False, "PARAM_ERROR", f"{name} is invalid.")


def test_dataworks_client_lists_pages_of_packages(wave: Simulator) -> None:
    client = dataworks_client.Client(alibaba_config(wave))
    seen = []
    for page in (1, 2):
        request = dataworks_models.ListMigrationsRequest(
            project_id=123456, migration_type="IMPORT", page_number=page, page_size=100
        )
        data = client.list_migrations(request).body.data
        assert (data.total_count, data.page_number, data.page_size) == (130, page, 100)
        seen += [(package.id, package.name) for package in data.migrations]
    assert seen == [(number, f"pack-{number}") for number in range(1, 131)]
    request = dataworks_models.ListMigrationsRequest(project_id=123456, migration_type="EXPORT")
    data = client.list_migrations(request).body.data
    assert (data.total_count, data.migrations) == (0, [])
