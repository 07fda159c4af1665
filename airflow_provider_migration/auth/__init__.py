"""How requests are signed: one module per scheme, without Airflow and without I/O."""
