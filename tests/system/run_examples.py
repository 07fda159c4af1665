"""
Run the example DAGs in a ``dag.test()`` and print the states of their tasks as JSON on the last line.

Those that ask a person are left out.
"""

from __future__ import annotations

import json
import os
import sys

from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.hitl import HITLOperator


def main() -> None:
    """Run them one after the other."""
    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    states = {}
    for dag_id, dag in bag.dags.items():
        if any(isinstance(task, HITLOperator) for task in dag.tasks):
            continue
        run = dag.test()
        states[dag_id] = {f"{ti.task_id} {ti.map_index}": str(ti.state) for ti in run.get_task_instances()}
    sys.stdout.write(f"\n{json.dumps({'errors': bag.import_errors, 'states': states})}\n")


if __name__ == "__main__":
    main()
