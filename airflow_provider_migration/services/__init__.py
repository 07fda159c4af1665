"""What each service says on the wire and what it means: one module per service, without Airflow or I/O."""
