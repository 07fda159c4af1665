"""The errors: which of them Airflow does not retry, and how they travel."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from datetime import UTC, datetime

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_migration import exceptions
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationConfigurationError,
    MigrationConnectionNotFoundError,
    MigrationError,
    MigrationFailedError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationResponseError,
    MigrationServiceError,
    MigrationThrottledError,
    error_from_json,
)
from airflow_provider_migration.progress import MigrationProgress, MigrationState

PROGRESS = MigrationProgress(
    service="dts",
    migration_id="dts1",
    state=MigrationState.FAILED,
    service_status="MigrationFailed",
    observed_at=datetime(2026, 1, 2, tzinfo=UTC),
)
CALL = {
    "service": "dts",
    "action": "DescribeMigrationJobStatus",
    "http_status": 403,
    "code": "Forbidden.RAM",
    "request_id": "ABC",
    "retry_after": 1.5,
    "reason": "timeout",
}
ALL_ERRORS = [
    MigrationError("Something is wrong."),
    MigrationConfigurationError("Write region in extra."),
    MigrationConnectionNotFoundError("There is no connection."),
    *(
        error("The call failed.", **CALL)
        for error in (
            MigrationApiError,
            MigrationAuthenticationError,
            MigrationPermissionError,
            MigrationNotFoundError,
            MigrationRequestError,
            MigrationThrottledError,
            MigrationServiceError,
            MigrationResponseError,
        )
    ),
    MigrationApiError(),
    MigrationFailedError("The migration failed.", PROGRESS),
    MigrationFailedError(),
]


@pytest.mark.parametrize("error", ALL_ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "travel",
    [
        lambda error: error_from_json(json.loads(json.dumps(error.to_json()))),
        lambda error: pickle.loads(pickle.dumps(error)),
        copy.copy,
    ],
    ids=["json", "pickle", "copy"],
)
def test_error_survives_pickle_and_json(error, travel) -> None:
    arrived = travel(error)

    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize(
    ("error", "flag"),
    [
        (MigrationConfigurationError("no such host"), "tolerated_after_success"),
        (MigrationPermissionError("HTTP 403"), "tolerated_after_success"),
        (MigrationFailedError("failed", PROGRESS), "tolerated_after_success"),
        (MigrationThrottledError("the quota of the day"), "quota_exhausted"),
    ],
)
def test_flags_of_an_error_survive_json(error: MigrationError, flag: str) -> None:
    assert not getattr(error_from_json(error.to_json()), flag)

    setattr(error, flag, True)

    assert getattr(error_from_json(json.loads(json.dumps(error.to_json()))), flag) is True


def test_error_list_is_complete() -> None:
    classes = {
        item
        for _, item in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(item, MigrationError)
    }

    assert {type(error) for error in ALL_ERRORS} == classes


def test_error_tree_matches_its_docstring() -> None:
    lines = [
        line for line in (exceptions.__doc__ or "").splitlines() if "Migration" in line and "Error" in line
    ]
    drawn = {}
    path: list[str] = []
    for line in lines:
        name = line.split("Migration", 1)[1].split()[0]
        depth = line.index("Migration") // 4 - 1
        path[depth:] = [f"Migration{name}"]
        drawn[path[-1]] = (path[-2] if depth else "", "*" in line)

    for name, (parent, starred) in drawn.items():
        error = getattr(exceptions, name)
        assert error.__bases__[0].__name__ == (parent or "Exception"), name
        assert issubclass(error, AirflowFailException) is starred, name
    assert len(drawn) == len({type(error) for error in ALL_ERRORS})


def test_transient_error_is_retried_by_airflow() -> None:
    is_transient = {type(error) for error in ALL_ERRORS if error.is_transient}

    assert is_transient == {MigrationThrottledError, MigrationServiceError, MigrationResponseError}
    assert not any(issubclass(error, AirflowFailException) for error in is_transient)


def test_error_may_have_a_preceding_reason() -> None:
    error = MigrationNotFoundError("No such job.", **CALL)

    told = error_from_json(error.to_json(), prefix="After 3 polls: ")

    assert str(told) == "After 3 polls: No such job."
    assert isinstance(told, MigrationNotFoundError)
    assert told.code == "Forbidden.RAM"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"type": "MigrationApiError", "message": "m", "of_a_later_version": 1}, MigrationApiError),
        ({"type": "MigrationErrorOfALaterVersion", "message": "m", "service": "dts"}, MigrationError),
        ({"type": "SystemExit", "message": "m"}, MigrationError),
        ({"message": "m"}, MigrationError),
    ],
)
def test_error_of_another_version_is_read(data, expected) -> None:
    error = error_from_json(data)

    assert type(error) is expected
    assert str(error) == "m"


def test_configuration_error_is_a_value_error() -> None:
    assert issubclass(MigrationConfigurationError, ValueError)


def test_error_renders_message_hints_and_connection_in_this_order() -> None:
    error = exceptions.MigrationAuthenticationError("refused.", code="X")
    error.connection = "'dts_default'"
    for _ in range(2):  # polls that share a request are given the same error
        error.add_hint("First hint.")
        error.add_hint("Second hint.")
    text = "refused. First hint. Second hint. The connection is 'dts_default'."
    assert str(error) == text
    assert str(copy.copy(error)) == str(pickle.loads(pickle.dumps(error))) == text
    assert str(exceptions.error_from_json(error.to_json())) == text
