"""Keys of a sensor's XCom and task state store entries."""

PROGRESS_KEY = "migration_progress"
"""XCom and task state store: the record."""

HISTORY_KEY = "migration_history"
"""XCom: the history of percent and lag, as a list of points."""

WAIT_KEY = "migration_wait"
"""XCom: the target of the wait, the state of its polls, and its outcome."""

CONSOLE_URL_KEY = "migration_console_url"
"""XCom: address of the migration in the service's console."""

TRACKER_KEY = "migration_tracker"
"""Task state store: the tracker of a rescheduled sensor between its polls."""

ALERTS_KEY = "migration_alerts"
"""XCom of a deferred task: which alerts have been sent, so that no triggerer repeats them."""
