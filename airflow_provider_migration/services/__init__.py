"""Wire formats and status tables, one module per service, without Airflow or I/O."""
