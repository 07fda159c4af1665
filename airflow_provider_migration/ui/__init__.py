"""The Migrations page and the Migration tab of the Airflow UI."""
