"""From an Airflow Connection to a service: one hook per service."""
