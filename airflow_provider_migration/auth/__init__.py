"""Request signing: one module per scheme, without Airflow and without I/O."""
