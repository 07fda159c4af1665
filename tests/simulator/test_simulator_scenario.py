"""A wrong scenario is refused with the key that is wrong and what is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_migration.simulator import Scenario, ScenarioError
from tests.catalogue import NAMES

if TYPE_CHECKING:
    from pathlib import Path

DTS = {"service": "dts", "migration_job_id": "dts1"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"migration": []}, "migration: unknown key; allowed: clock_offset, faults, migrations, seed"),
        ({"seed": "x"}, "seed: Input should be a valid integer"),
        ({"clock_offset": "nan"}, "clock_offset: Input should be a finite number"),
        ({"migrations": [{"service": "dms"}]}, f"'dms' is not known; allowed: {', '.join(NAMES)}"),
        ({"migrations": [{"job_id": "x"}]}, "migrations[0]: the key 'service' is missing"),
        ({"migrations": [{"service": "dts"}]}, "migrations[0].migration_job_id: this key is missing"),
        (
            {"migrations": [{**DTS, "tables": 5}]},
            "migrations[0].tables: unknown key; allowed: duration, incremental, job_type, legacy",
        ),
        (
            {"migrations": [{**DTS, "script": "sucess"}]},
            "migrations[0]: script 'sucess' is not available for dts; allowed: failure, flap, never_ending",
        ),
        (
            {"migrations": [{**DTS, "script": "partial_success"}]},
            "script 'partial_success' is not available for dts",
        ),
        ({"migrations": [{**DTS, "script": "flap", "incremental": False}]}, "needs incremental: true"),
        ({"migrations": [{**DTS, "duration": 0}]}, "migrations[0].duration: Input should be greater than 0"),
        ({"migrations": [DTS, DTS]}, "dts dts1 is there twice"),
        ({"migrations": [{**DTS, "steps": [{"at": 5}, {"at": 1}]}]}, "in the order of 'at'"),
        ({"migrations": [{**DTS, "steps": [{}]}]}, "migrations[0].steps[0].at: this key is missing"),
        (
            {"migrations": [{**DTS, "steps": [{"at": 0, "error": {"codes": 1}}]}]},
            "steps[0].error.codes: unknown key; allowed: actions, code, http_status, message, xml",
        ),
        (
            {"migrations": [{"service": "drs", "job_id": "j", "steps": [{"at": 0, "status": "x"}]}]},
            "steps[0].status is not a part; allowed: at, replace, error, job, detail, objects",
        ),
        (
            {"migrations": [{"service": "drs", "job_id": "j", "steps": [{"at": 0, "objects": []}]}]},
            "steps[0].objects must be a mapping",
        ),
        *[
            (
                {
                    "migrations": [
                        {"service": "drs", "job_id": "j", "steps": [{"at": 0, "objects": {"view": x}}]}
                    ]
                },
                "steps[0].objects.view must be a list of rows, or a mapping with a code or a page",
            )
            for x in ({}, {"http_status": 403}, {"code": "DRS.M00302", "page": "<html>"}, "rows", None)
        ],
        (
            {"migrations": [{"service": "drs", "job_id": "j", "objects": 100_001}]},
            "migrations[0].objects: Input should be less than or equal to 100000",
        ),
        (
            {"migrations": [{"service": "dataworks", "migration_id": 1, "verification": None}]},
            "migrations[0].verification: unknown key",
        ),
        *[
            ({"migrations": [{**DTS, "verification": verification}]}, f"migrations[0].verification{message}")
            for verification, message in [
                ({}, ".outcome: this key is missing"),
                ({"outcome": "clean"}, ".outcome: Input should be 'pending', 'running'"),
                (
                    {"outcome": "failed", "table": 1},
                    ".table: unknown key; allowed: different, outcome, tables",
                ),
                ({"outcome": "failed", "tables": 0}, ".tables: Input should be greater"),
                ({"outcome": "failed", "tables": 10_001}, ".tables: Input should be less"),
                ({"outcome": "different", "different": 13}, ": different must be at most tables, 12"),
                ({"outcome": "different", "different": 0}, ".different: Input should be greater"),
                ({"outcome": "consistent", "different": 1}, ": different needs the outcome different or"),
            ]
        ],
        ({"faults": [{"kind": "drop", "service": "dms"}]}, f"allowed: {', '.join(NAMES)}, iam"),
        ({"faults": [{"kind": "fire"}]}, "faults[0].kind: Input should be 'throttle'"),
        (
            {"faults": [{"kind": "drop", "rate": 2}]},
            "faults[0].rate: Input should be less than or equal to 1",
        ),
        ({"faults": [{"kind": "drop", "chance": 1}]}, "faults[0].chance: unknown key; allowed: delay, first"),
    ],
)
def test_scenario_key_that_is_wrong_is_named(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scenario_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text("seed: 5\nmigrations:\n  - {service: oms, project_id: p_1, script: pause}\n")
    scenario = Scenario.load(path)
    assert scenario.seed == 5
    assert [(item.service, item.id, item.script) for item in scenario.migrations] == [("oms", "p_1", "pause")]
    assert Scenario.load(str(path)) == scenario
    assert Scenario.load(scenario) is scenario


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the scenario"),
        ("a: [", "is not valid YAML"),
        ("- a", "must be a mapping with the keys: seed, migrations, faults"),
        ("seeds: 1", "seeds: unknown key"),
    ],
)
def test_scenario_file_that_is_wrong_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "scenario.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_scenario_of_the_documentation_is_valid() -> None:
    import textwrap

    import yaml

    lines = (Scenario.__doc__ or "").split("::\n", 1)[1].split(":param", 1)[0]
    scenario = Scenario.load(yaml.safe_load(textwrap.dedent(lines)))
    assert len(scenario.migrations) == 3
