"""Operator link from a sensor to the service's console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_migration.keys import CONSOLE_URL_KEY

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey


class MigrationConsoleLink(BaseOperatorLink):
    """Opens the migration in the service's console; the sensor writes the address to XCom."""

    name = "Migration console"

    @property
    def xcom_key(self) -> str:
        """XCom key of the address."""
        return CONSOLE_URL_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty string before the first successful poll."""
        # A sensor that has just run knows its address; Airflow logs a missing XCom value as an error.
        url: str | None = getattr(operator, "console_url", None)
        if url is not None:
            return url
        from airflow_provider_migration.xcom import read_link

        return read_link(self.xcom_key, ti_key)
