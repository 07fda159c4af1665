"""Texts of alerts, and their delivery by Airflow's notifiers."""
