"""Run each example DAG that is named in a ``dag.test()`` and print the states of their tasks as JSON."""

from __future__ import annotations

import json
import runpy
import sys


def main() -> None:
    """Run them one after the other; the last line has the states."""
    states = {}
    for path in sys.argv[1:]:
        dag = runpy.run_path(path)["dag"]
        run = dag.test()
        states[dag.dag_id] = {
            f"{ti.task_id} {ti.map_index}": str(ti.state) for ti in run.get_task_instances()
        }
    sys.stdout.write(f"\n{json.dumps(states)}\n")


if __name__ == "__main__":
    main()
