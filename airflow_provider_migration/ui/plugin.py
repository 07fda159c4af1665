"""
Airflow plugin that registers the pages in the UI.

Every task process loads this module, so it imports nothing that is not loaded anyway.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

_PREFIX = "migration-ui"
# Without a slash in front: Airflow may live below a path.
_ICONS = {"icon": f"{_PREFIX}/icon.svg", "icon_dark_mode": f"{_PREFIX}/icon-dark.svg"}


class MigrationUiPlugin(AirflowPlugin):
    """Adds the Migrations page to the navigation and the Migration tab to each task instance."""

    name = "migration_ui"
    external_views: list[dict[str, str | bool]] = [  # noqa: RUF012 # as Airflow declares it
        {
            "name": "Migrations",
            "href": f"{_PREFIX}/migrations.html",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "migrations",
            **_ICONS,
        },
        {
            "name": "Migration",
            "href": f"{_PREFIX}/migration.html"
            "?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
            "destination": "task_instance",
            "url_route": "migration",
            **_ICONS,
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override] # reads like the base's list
        """The app that serves the pages' files; created only in the API server, which mounts it."""
        from airflow_provider_migration.ui.app import Pages

        return [{"app": Pages(), "url_prefix": f"/{_PREFIX}", "name": "Migration pages"}]
