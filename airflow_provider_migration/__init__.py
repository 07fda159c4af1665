"""Watch database and workspace migrations between clouds from Apache Airflow."""

__version__ = "0.1.0"
