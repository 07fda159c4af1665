"""Task groups for a DAG."""

from airflow_provider_migration.task_groups.cut_over import CutOverTaskGroup as CutOverTaskGroup
from airflow_provider_migration.task_groups.fleet import MigrationFleetTaskGroup as MigrationFleetTaskGroup
