"""An auth manager under which not everyone may read everything."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class SomeDagsOnly(SimpleAuthManager):
    """Keeps the DAG ``confidential`` from everyone but ``admin``."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **kwargs: Any) -> bool:
        """Tell whether a user may do something with a DAG."""
        if user.username != "admin" and details is not None and details.id == "confidential":
            return False
        return super().is_authorized_dag(user=user, details=details, **kwargs)
