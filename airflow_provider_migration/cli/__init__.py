"""Shell commands: ``airflow migrations``, and ``python -m airflow_provider_migration``."""
