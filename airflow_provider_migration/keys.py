"""Under which keys a sensor shows and remembers what it sees."""

PROGRESS_KEY = "migration_progress"
"""XCom and task state store: the record."""

HISTORY_KEY = "migration_history"
"""XCom: how percent and lag went, as a list of points."""

WAIT_KEY = "migration_wait"
"""XCom: what the task waits for, how its polls go, and how the wait ended."""

CONSOLE_URL_KEY = "migration_console_url"
"""XCom: where a person looks at the migration."""

WATCH_KEY = "migration_watch"
"""Task state store: what a rescheduled sensor remembers between its polls."""
