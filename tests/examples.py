"""The example DAGs, as far as this Airflow has what they use."""

from __future__ import annotations

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_1_PLUS

from tests.conftest import ROOT

NEED_A_NEWER_AIRFLOW = {
    *(() if AIRFLOW_V_3_0_PLUS else ("start_when_caught_up",)),  # asset watchers
    *(() if AIRFLOW_V_3_1_PLUS else ("cut_over_when_caught_up",)),  # questions to a person
}

EXAMPLES = [
    path for path in sorted((ROOT / "example_dags").glob("*.py")) if path.stem not in NEED_A_NEWER_AIRFLOW
]
