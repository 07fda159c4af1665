"""Run example DAGs in ``dag.test()``, each with a configuration, and print what each run came to as JSON."""

from __future__ import annotations

import json
import runpy
import sys


def main() -> None:
    """Run each argument, a ``[path, configuration]``, in turn; the last line has the states."""
    runs = []
    for path, configuration in map(json.loads, sys.argv[1:]):
        dag = runpy.run_path(path)["dag"]
        run = dag.test(run_conf=configuration)
        tasks = {f"{ti.task_id} {ti.map_index}": str(ti.state) for ti in run.get_task_instances()}
        runs.append({"dag": dag.dag_id, "state": str(run.state), "tasks": tasks})
    sys.stdout.write(f"\n{json.dumps(runs)}\n")


if __name__ == "__main__":
    main()
