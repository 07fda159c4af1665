"""Skip trigger tests that this Airflow does not support."""

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

collect_ignore = [] if AIRFLOW_V_3_0_PLUS else ["test_event.py"]  # Airflow 2 has no asset watchers
