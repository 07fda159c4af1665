"""Cost of parsing a DAG file with the sensors, and of their first import."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

from side_by_side import HOME, ROUNDS, Table, measure

PARSES: Final = 5

EMPTY: Final = "from airflow.sdk import DAG\n\nwith DAG('it', schedule=None):\n"

FILES: Final = {
    "an empty DAG file": f"{EMPTY}    pass\n",
    "a DAG file with four sensors of Airflow's own": """
from airflow.sdk.bases.sensor import BaseSensorOperator
"""
    + EMPTY
    + """
    for number in range(4):
        BaseSensorOperator(task_id=f"wait_{number}")
""",
    "a DAG file with all four sensors": """
from airflow_provider_migration.sensors.dataworks import DataWorksMigrationSensor
from airflow_provider_migration.sensors.drs import DrsProgressSensor
from airflow_provider_migration.sensors.dts import DtsMigrationJobSensor
from airflow_provider_migration.sensors.oms import OmsProjectSensor
"""
    + EMPTY
    + """
    DataWorksMigrationSensor(task_id="dataworks", project_id=1, migration_id=2, deferrable=True)
    DrsProgressSensor(task_id="drs", job_id="j", deferrable=True)
    DtsMigrationJobSensor(task_id="dts", migration_job_id="d", deferrable=True)
    OmsProjectSensor(task_id="oms", project_id="p", deferrable=True)
""",
    "a DAG file with fivetran's sensor": f"""
from fivetran_provider_async.sensors import FivetranSensor
{EMPTY}    FivetranSensor(task_id="wait", connector_id="c", deferrable=True)
""",
    "a DAG file with amazon's DMS sensor": f"""
from airflow.providers.amazon.aws.sensors.dms import DmsTaskCompletedSensor
{EMPTY}    DmsTaskCompletedSensor(task_id="wait", replication_task_arn="arn")
""",
}

IMPORT: Final = """
import time
from airflow.sdk import DAG, BaseHook, BaseSensorOperator
started = time.process_time()
import airflow_provider_migration.sensors.{service}
print(time.process_time() - started)
"""

SERVICES: Final = ("dataworks", "dts", "oms", "drs")


def parse(file: Path) -> float:
    """Parse a file as the DAG processor does, each time in a process forked for it."""
    import structlog
    from airflow.dag_processing.processor import DagFileParseRequest, _parse_file, _pre_import_airflow_modules

    log = structlog.get_logger()
    request = DagFileParseRequest(
        file=str(file), bundle_path=HOME, bundle_name="benchmark", callback_requests=[]
    )
    _pre_import_airflow_modules(str(file), log)  # once, in the DAG processor's main process
    before = _spent_by_children()
    for _ in range(PARSES):
        child = os.fork()
        if not child:
            try:
                result = _parse_file(request, log)
                os._exit(0 if result and result.serialized_dags and not result.import_errors else 1)
            except BaseException:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert status == 0, f"{file} cannot be parsed"
    return (_spent_by_children() - before) / PARSES


def _spent_by_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run the rounds and print the table."""
    table = Table(
        "DAG parse and import",
        f"CPU of one of {PARSES} parses, each in a process forked from one that has imported Airflow, as the "
        "DAG processor does it; and of the first import of a sensor where `airflow.sdk` is imported.",
    )
    files = {}
    for number, (name, text) in enumerate(FILES.items()):
        files[name] = HOME / f"dag_{number}.py"
        files[name].write_text(text)
    costs = measure({name: lambda file=file: parse(file) for name, file in files.items()})
    empty, plain, ours, *peers = FILES
    table.row(costs, ours, empty, 1.15)
    table.row(costs, ours, plain, 1.15)
    table.row(costs, plain, empty)
    for peer in peers:
        table.row(costs, ours, peer)
        table.row(costs, peer, empty)
    imports = []
    for round_ in range(ROUNDS):
        code = IMPORT.format(service=SERVICES[round_ % len(SERVICES)])
        printed = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        imports.append(float(printed.split()[-1]) * 1000)
    middle = statistics.median(imports)
    table.fact(
        "first import of a sensor's module",
        f"{middle:.3g} ms ({min(imports):.3g} to {max(imports):.3g})",
        "15 ms",
        is_met=middle <= 15,
    )


if __name__ == "__main__":
    main()
