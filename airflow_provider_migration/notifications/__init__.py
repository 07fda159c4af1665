"""What an alert says, and its delivery by Airflow's notifiers."""
