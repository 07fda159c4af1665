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
def test_an_error_is_the_same_after_a_journey(error, travel) -> None:
    arrived = travel(error)

    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_the_list_above_has_every_error() -> None:
    classes = {
        item
        for _, item in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(item, MigrationError)
    }

    assert {type(error) for error in ALL_ERRORS} == classes


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
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


def test_what_may_pass_is_never_an_error_that_airflow_does_not_retry() -> None:
    passing = {type(error) for error in ALL_ERRORS if error.passing}

    assert passing == {MigrationThrottledError, MigrationServiceError, MigrationResponseError}
    assert not any(issubclass(error, AirflowFailException) for error in passing)


def test_an_error_can_be_told_with_a_reason_before_it() -> None:
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
def test_an_error_of_another_version_is_told_as_far_as_it_is_understood(data, expected) -> None:
    error = error_from_json(data)

    assert type(error) is expected
    assert str(error) == "m"


def test_a_configuration_error_is_a_value_error_too() -> None:
    assert issubclass(MigrationConfigurationError, ValueError)
