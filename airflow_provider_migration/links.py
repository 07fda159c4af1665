"""The button that leads from a sensor to the service's own console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_migration.keys import CONSOLE_URL_KEY

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey


class MigrationConsoleLink(BaseOperatorLink):
    """Opens the migration where a person looks at it; the sensor leaves the address in XCom."""

    name = "Migration console"

    @property
    def xcom_key(self) -> str:
        """XCom key of the address."""
        return CONSOLE_URL_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing before the first poll has succeeded."""
        # Where the sensor has just run it knows; Airflow logs a value that is not there yet as an error.
        url: str | None = getattr(operator, "console_url", None)
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or "" if url is None else url
