"""The status tables: a change must reach every place that depends on one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from airflow_provider_migration.auth.alibaba import AlibabaSigner
from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.auth.huawei import HuaweiSigner
from airflow_provider_migration.progress import MigrationProgress, MigrationState
from airflow_provider_migration.services import alibaba, dataworks, drs, dts, huawei, oms
from airflow_provider_migration.services.wire import StatusTable, WordTable
from airflow_provider_migration.wait.policy import target_reached
from tests.catalogue import SERVICES, Service, each_service
from tests.services import test_verification as verification

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TABLES = {
    f"{service}.{name}": table
    for service in SERVICES
    for name, table in vars(service.module).items()
    if isinstance(table, WordTable)
}
STATUS_TABLES = {name: table for name, table in TABLES.items() if isinstance(table, StatusTable)}
ORDERS: list[tuple[ModuleType, tuple[str, ...]]] = [
    *((dataworks, order) for order in dataworks.ORDERS),
    (dts, dts.ORDER),
    (oms, oms.STATUS_ORDER),
    (drs, (*drs._FULL, drs._INCREMENTAL, *drs._RELEASE)),
]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_status_is_in_one_group(table: WordTable[Any]) -> None:
    words = Counter(word.lower() for group in table.words.values() for word in group)
    assert [word for word, number in words.items() if number > 1] == []
    assert all(re.fullmatch(r"[a-z_]+|\d+", word) for word in words)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_status_has_the_state_of_its_group(table: WordTable[Any]) -> None:
    for state, group in table.words.items():
        for word in group:
            assert (
                table.state_of(word) is table.state_of(word.upper()) is table.state_of(f" {word} ") is state
            )


@pytest.mark.parametrize("table", STATUS_TABLES.values(), ids=STATUS_TABLES)
def test_unknown_status_has_no_group(table: StatusTable) -> None:
    assert MigrationState.UNKNOWN not in table.words
    for word in ("", None, "no such word"):
        assert table.state_of(word) is MigrationState.UNKNOWN


@pytest.mark.parametrize(("module", "order"), ORDERS)
def test_order_has_documented_statuses_once(module: Any, order: tuple[str, ...]) -> None:
    assert len(set(order)) == len(order)
    for word in order:
        assert module.STATUSES.state_of(word) is not MigrationState.UNKNOWN


def test_oms_steps_are_unique() -> None:
    steps = Counter(word for _, words in oms.STEPS for word in words)
    assert set(steps.values()) == {1}


@pytest.mark.parametrize("module", [alibaba, huawei, oms])
def test_error_table_patterns_are_unique(module: Any) -> None:
    patterns = [pattern for pattern, _ in module.ERRORS]
    assert len(set(patterns)) == len(patterns)
    for pattern in patterns:
        re.compile(pattern)


# --- targets --------------------------------------------------------------------------------------------


def answers_of_dataworks() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    api = dataworks.DataWorksApi(endpoint="https://x", signer=AlibabaSigner("i", "s"), clock=lambda: NOW)
    for word in (*_words(dataworks), "odd"):
        summary = {"Data": {"Status": word}}
        is_pending = dataworks.STATUSES.state_of(word) is MigrationState.PENDING
        further: tuple[Any, ...] = () if is_pending else ({"Success": True},)
        if word in dataworks.MIGRATION_TYPES:
            further += ({"Success": True, "Data": {}},)
        yield replace(api).progress(1, 2, max_lag=60), (summary, *further)


def answers_of_dts() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    api = dts.DtsApi(endpoint="https://x", signer=AlibabaSigner("i", "s"), clock=lambda: NOW)
    mode = {"structureInitialization": False, "dataInitialization": False, "dataSynchronization": True}
    for word in (*_words(dts), "odd"):
        for increment in ("Migrating", "Catched"):
            body = {
                "MigrationJobStatus": word,
                "MigrationMode": mode,
                "DataSynchronizationStatus": {"Status": increment},
            }
            # A synchronization is always read from the list.
            listed = {"DtsInstanceID": "1", "Status": word, "JobType": "sync"}
            jobs = {"Success": True, "DtsJobList": [{**body, **listed}]}
            if word == "Synchronizing":
                yield replace(api, job_type="SYNC").progress("1", max_lag=60), (jobs,)
            else:
                yield api.progress("1", max_lag=60), (body,)


def answers_of_oms() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    api = oms.OmsApi(endpoint="https://x", signer=BasicSigner("u", "p"), clock=lambda: NOW)
    bulk = {"enableStructMigration": False, "enableFullMigration": False, "enableIncrSync": True}
    for word in (*_words(oms), "odd"):
        for step in (step for _, steps in oms.STEPS for step in steps):
            data = {"status": word, "currentStep": step, "incrSyncCheckpoint": NOW.timestamp(), **bulk}
            yield api.progress("1", max_lag=60), ({"success": True, "data": data},)


def answers_of_drs() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    api = drs.DrsApi(endpoint="https://x", project_id="p", signer=HuaweiSigner("a", "s"), clock=lambda: NOW)
    for word in (*_words(drs), "odd"):
        result = {"transfer_status": word, "task_mode": "FULL_INCR_TRANS", "incre_trans_delay": "0"}
        for progress in ("10", "100"):
            body = {"results": [{**result, "progress": progress}]}
            yield api.progress("1", (), max_lag=60), (body,)


def clean_checks() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Give a migration of each service whose data check has found no difference."""
    options = {"max_lag": 60, "verification": True}
    yield replace(verification.DTS).progress("dts1", **options), (verification.job(), verification.tables())
    yield (
        replace(verification.OMS).progress("np_1", **options),
        (
            verification.project(),
            verification.steps(verification.verifier()),
            verification.results(verification.row()),
        ),
    )
    yield (
        replace(verification.DRS).progress("j", (), **options),
        (
            verification.drs_job(),
            verification.ONE,
            verification.overview(verification.database()),
            verification.NOTHING,
        ),
    )


def _words(module: Any) -> list[str]:
    return [word for group in module.STATUSES.words.values() for word in group]


RECORDS = {
    "dataworks": answers_of_dataworks,
    "dts": answers_of_dts,
    "oms": answers_of_oms,
    "drs": answers_of_drs,
}


@pytest.fixture(scope="module")
def records(talk: Any) -> dict[str, list[MigrationProgress]]:
    found = {
        name: [talk(flow, *answers).result for flow, answers in made()] for name, made in RECORDS.items()
    }
    for flow, answers in clean_checks():
        record = talk(flow, *answers).result
        found[record.service].append(record)
    return found


@each_service
def test_targets_are_reachable(service: Service, records: Any) -> None:
    never = [
        target
        for target in service.module.TARGETS
        if not any(target_reached(record, target) for record in records[service.name])
    ]
    assert never == []


@each_service
def test_targets_cover_every_state_and_status(service: Service, records: Any) -> None:
    reached = {record.state.value for record in records[service.name]}
    reached |= {word for record in records[service.name] for word in record.statuses_reached} - {"odd"}
    assert reached - service.module.TARGETS == set()


@each_service
def test_targets_are_lower_case(service: Service) -> None:
    targets = service.module.TARGETS
    assert {target.lower() for target in targets} == targets


def test_targets_of_drs_without_job_status() -> None:
    assert frozenset({"full_done"}) == drs.TARGETS_WITHOUT_JOB_STATUS
