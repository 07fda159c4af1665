"""Whatever stands in whichever field, an answer becomes a record or an error of the service."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.exceptions import MigrationApiError
from airflow_provider_migration.progress import MAX_RECORD_BYTES, MigrationProgress, MigrationSummary
from airflow_provider_migration.sansio import Request, Response
from airflow_provider_migration.services import dataworks, oms
from airflow_provider_migration.services.dataworks import DataWorksApi
from airflow_provider_migration.services.drs import DrsApi
from airflow_provider_migration.services.dts import DtsApi
from airflow_provider_migration.services.listing import MigrationFilter
from airflow_provider_migration.services.oms import HostedOmsApi, OmsApi
from airflow_provider_migration.wait.messages import describe

NOW = datetime(2022, 8, 23, 7, 22, 30, tzinfo=UTC)
ALIBABA = AlibabaSigner("id", "secret")
DATAWORKS = DataWorksApi(endpoint="https://x", signer=ALIBABA, clock=lambda: NOW)
DTS = DtsApi(endpoint="https://x", signer=ALIBABA, clock=lambda: NOW)
OMS = OmsApi(endpoint="https://x", signer=BasicSigner("u", "p"), clock=lambda: NOW)
HOSTED_OMS = HostedOmsApi(endpoint="https://x", signer=ALIBABA, clock=lambda: NOW)
DRS = DrsApi(endpoint="https://x", project_id="p", signer=HuaweiSigner("AK", "SK"), clock=lambda: NOW)

JOB = {
    "results": [
        {
            "job_id": "j",
            "transfer_status": "RELEASE_RESOURCE_COMPLETE",
            "task_mode": "FULL_INCR_TRANS",
            "progress": "0",
            "progress_map": {"struct": {"completed": "94%"}, "data": {"completed": "100%"}},
            "incre_trans_delay": "-1",
            "incre_trans_delay_millis": "-1",
            "error_code": "DRS.M06007",
            "error_msg": "no",
        }
    ]
}
DETAIL = {
    "job": {
        "id": "j",
        "status": "RELEASE_RESOURCE_COMPLETE",
        "base_info": {"job_type": "sync", "job_direction": "up", "task_type": "FULL_INCR_TRANS"},
        "job_kernel_direction": "up",
        "progress_info": {
            "transfer_status": "RELEASE_RESOURCE_COMPLETE",
            "task_mode": "FULL_INCR_TRANS",
            "progress": "0",
            "progress_map": {"struct": {"completed": "94%"}, "data": {"completed": "100%"}},
            "incr_trans_delay": "-1",
            "incr_trans_delay_millis": "-1",
        },
    }
}
OBJECTS = {
    "count": 1,
    "create_time": "1",
    "flow_compare_data": [{"src_db": "a", "src_tb": "b", "progress": 10}],
}
DTS_JOBS = {
    "Success": True,
    "DtsJobList": [
        {
            "DtsInstanceID": "dts1",
            "Status": "MigrationFailed",
            "MigrationMode": {"DataInitialization": True, "DataSynchronization": True},
            "PrecheckStatus": {"Status": "Failed", "Detail": [{"CheckItem": "A", "CheckResult": "Failed"}]},
            "DataInitializationStatus": {"Status": "Finished", "Percent": "100", "Progress": "7"},
            "DataSynchronizationStatus": {"Status": "Catched"},
            "Delay": 1500,
            "Checkpoint": "1661239340",
            "ErrorMessage": "no",
        }
    ],
}
OMS_PROGRESS = {
    "success": True,
    "data": {"status": "FAILED", "currentStep": "INCR_TRANSFER", "incrSyncCheckpoint": 1661239340},
}
OMS_STEPS = {
    "success": True,
    "data": [
        {"name": "FULL_TRANSFER", "status": "FAILED", "extraInfo": {"errorMsg": "no"}},
        {"name": "FULL_TRANSFER", "stepInfo": {"processedRecords": 7}},
        {
            "name": "INCR_TRANSFER",
            "status": "MONITORING",
            "stepInfo": {
                "incrTimestampCheckpoint": 1661239340,
                "checkpointSampleTimestamp": 1661239345,
            },
        },
    ],
}
PACKAGES = {"Success": True, "Data": {"Migrations": [{"Id": 2, "Message": "no"}], "TotalCount": 1}}
FAILED_PACKAGE = {"Success": True, "Data": {"Status": "IMPORT_ERROR"}}
WRITTEN_HERE: dict[str, Any] = {
    "drs_detail": DETAIL,
    "drs_job": JOB,
    "dts_jobs": DTS_JOBS,
    "oms_steps": OMS_STEPS,
    "dataworks_list": PACKAGES,
}

CASES: dict[str, Callable[[], Any]] = {
    "dts_describe_migration_job_status": lambda: DTS.progress("1", max_lag=60),
    "dataworks_get_migration_summary": lambda: DATAWORKS.progress(1, 2, max_lag=60),
    "dataworks_get_migration_process": lambda: DATAWORKS.progress(1, 2, max_lag=60),
    "oms_progress_reverse_incremental": lambda: replace(OMS).progress("1", max_lag=60),
    "oms_progress_out_of_range": lambda: replace(OMS).progress("1", max_lag=60),
    "drs_progress_data": lambda: DRS.progress("j", job_status=False, max_lag=60),
    "drs_error_not_found": lambda: DRS.progress("j", job_status=False, max_lag=60),
    "drs_job": lambda: replace(DRS).progress("j", max_lag=60),
    "drs_detail": lambda: replace(DRS).progress("j", max_lag=60),
    "dts_jobs": lambda: replace(DTS, api="DescribeDtsJobs").progress("dts1", max_lag=60),
    "oceanbasepro_describe_project_progress": lambda: replace(HOSTED_OMS).progress("np_1", max_lag=60),
    "oms_steps": lambda: replace(OMS).progress("np_1", max_lag=60),
    "dataworks_list": lambda: replace(DATAWORKS).progress(1, 2, max_lag=60),
}

numbers = st.one_of(
    st.integers(), st.integers(min_value=10**15), st.sampled_from([10**400, -(10**4000)]), st.floats()
)
texts = st.one_of(
    st.text(), numbers.map(str), st.sampled_from(["true", "FINISHED", "\ud800", "\x1b[2J{0}%s", "9" * 9999])
)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)


def paths(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths(value, (*path, key))


def put(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    body = copy.deepcopy(body)
    place = body
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return body


def answerer(name: str, body: Any, sample: Any) -> Callable[[Request], Response]:
    """Answer with the body where it belongs, and as documented elsewhere."""
    bodies = {
        "GetMigrationSummary": sample("dataworks_get_migration_summary"),
        "GetMigrationProcess": sample("dataworks_get_migration_process"),
        "ListMigrations": PACKAGES,
        "ShowProgressData": OBJECTS,
        "BatchListProgresses": {"results": []},
        "ShowJobDetail": DETAIL,
        "DescribeProjectProgress": OMS_PROGRESS,
        "DescribeProjectSteps": OMS_STEPS,
    }
    own = {
        "dataworks_get_migration_process": "GetMigrationProcess",
        "dataworks_get_migration_summary": "GetMigrationSummary",
        "dataworks_list": "ListMigrations",
        "drs_job": "BatchListProgresses",
        "drs_detail": "ShowJobDetail",
        "oceanbasepro_describe_project_progress": "DescribeProjectProgress",
        "oms_steps": "DescribeProjectSteps",
    }
    if name == "dataworks_list":
        bodies["GetMigrationSummary"] = FAILED_PACKAGE

    def answer(request: Request) -> Response:
        is_own = own.get(name, request.action) == request.action
        return Response(200, {}, json.dumps(body if is_own else bodies[request.action]).encode())

    return answer


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=120)
@given(data=st.data())
def test_fuzzed_answer_is_a_record_or_an_error(
    name: str, data: st.DataObject, talk: Any, sample: Any
) -> None:
    original = WRITTEN_HERE.get(name) or sample(name)
    body = original
    for path in data.draw(
        st.lists(st.sampled_from(list(paths(original))), min_size=1, max_size=3, unique=True)
    ):
        # An earlier value may have taken the place away.
        with suppress(TypeError, KeyError, IndexError):
            body = put(body, path, data.draw(values))
    try:
        record = talk(CASES[name](), answerer(name, body, sample)).result
    except MigrationApiError:
        return
    assert isinstance(record, MigrationProgress)
    dumped = record.model_dump(mode="json")
    assert len(json.dumps(dumped)) < MAX_RECORD_BYTES
    assert MigrationProgress.model_validate(dumped).model_dump(mode="json") == dumped
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", describe(record))


LISTS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "dataworks": (
        lambda: DATAWORKS.list_migrations(dataworks.list_of(MigrationFilter(), 1)),
        {
            "Success": True,
            "Data": {
                "TotalCount": 2,
                "Migrations": [
                    {"Id": 1, "Name": "a", "Status": "RUNNING", "CreateTime": 1661239332000},
                    {"Id": 2, "Name": "b", "Status": "SUCCESS", "CreateTime": 1661239332000},
                ],
            },
        },
    ),
    "oms": (
        lambda: OMS.list_migrations(oms.list_of(MigrationFilter(tags={"wave": ""}))),
        {
            "success": True,
            "totalCount": 2,
            "data": [
                {
                    "id": f"np_{number}",
                    "type": "MIGRATION",
                    "name": "a",
                    "labels": [{"id": "l_1", "name": "wave"}],
                    "status": "RUNNING",
                    "gmtCreate": "2022-08-23T06:26:15",
                    "extraInfo": {
                        "runningStep": "INCR_TRANSFER",
                        "syncDelay": 5,
                        "syncDelaySampleTimestamp": 1661239340,
                        "incrSyncTimestamp": 1661239335,
                    },
                }
                for number in (1, 2)
            ],
        },
    ),
}


@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=120)
@given(data=st.data())
def test_fuzzed_list_is_complete_or_an_error(name: str, data: st.DataObject, talk: Any) -> None:
    """Whatever stands in a row, the row is listed, unless its label is another."""
    flow, body = LISTS[name]
    changed = data.draw(st.lists(st.sampled_from(list(paths(body))), min_size=1, max_size=3, unique=True))
    for path in changed:
        with suppress(TypeError, KeyError, IndexError):
            body = put(body, path, data.draw(values))
    try:
        rows = talk(flow(), Response(200, {}, json.dumps(body).encode())).result
    except MigrationApiError:
        return
    keys = {str(key) for path in changed for key in path}
    count = next(value for key, value in paths_with_values(body) if key.lower() == "totalcount")
    if "labels" not in keys and int(count) == 2:
        assert len(rows) == 2
    for row in rows:
        assert MigrationSummary.model_validate(row.model_dump(mode="json")) == row


def paths_with_values(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in body.items():
        yield key, value
        if key == "Data" and isinstance(value, dict):
            yield from value.items()
