"""
Check the notifiers of alerts when a task begins: before the first poll, not when a message is due.

A module of its own, because triggers send messages and check nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pkgutil import resolve_name
from typing import Any, Final

from airflow.providers.common.compat.sdk import BaseNotifier
from jinja2 import TemplateSyntaxError, UndefinedError

from airflow_provider_migration.alerts import MigrationAlert
from airflow_provider_migration.exceptions import MigrationConfigurationError
from airflow_provider_migration.notifications.delivery import Message
from airflow_provider_migration.progress import MigrationErrorInfo, MigrationProgress, MigrationState
from airflow_provider_migration.wait.alerts import Notification

_SAMPLE: Final = MigrationProgress(
    service="dts",
    migration_id="sample",
    name="sample",
    state=MigrationState.RUNNING,
    service_status="Migrating",
    percent=50,
    lag_seconds=60,
    checkpoint=datetime(2026, 1, 1, tzinfo=UTC),
    remaining_seconds=3600,
    remaining_source="estimate",
    error=MigrationErrorInfo(code="sample", message="sample", remedy="sample"),
    observed_at=datetime(2026, 1, 1, tzinfo=UTC),
    console_url="https://example.com",
).model_dump(mode="json")
"""The record with which templates are tried."""

_SAMPLE_WAIT: Final = {"service": "dts", "migration_id": "sample", "targets": ["caught_up"], "deadline": 3600}
_SAMPLE_TASK: Final = {"dag_id": "sample", "task_id": "sample", "run_id": "sample", "map_index": -1}


def check_notifiers(subject: str, alerts: Iterable[MigrationAlert], log: Callable[..., Any]) -> None:
    """
    Import the notifiers, and compare their arguments with those of the alerts.

    :param subject: the beginning of the message.
    :param log: takes the level, ``"%s"`` and the text of a warning about its templates.
    :raises MigrationConfigurationError: for a notifier that cannot be imported or created, and for a template
        that cannot be read.
    """
    for alert in alerts:
        place = f"{subject}: notifier {alert.notifier} of alert {alert.when!r}"
        try:
            notifier = resolve_name(alert.notifier)
        except Exception as problem:
            raise MigrationConfigurationError(
                f"{place} cannot be imported: {problem}. {_import_remedy(alert.notifier)}"
            ) from None
        if not (isinstance(notifier, type) and issubclass(notifier, BaseNotifier)):
            raise MigrationConfigurationError(f"{place} is not a class derived from BaseNotifier.")
        try:
            created = notifier(**alert.notifier_kwargs)
        except Exception as problem:
            raise MigrationConfigurationError(
                f"{place} cannot be created: {problem}. Correct notifier_kwargs."
            ) from None
        try:
            doubt = _doubt(alert, created)
        except TemplateSyntaxError as problem:
            raise MigrationConfigurationError(f"{place} has a template with an error: {problem}.") from None
        if doubt is not None:
            log(logging.WARNING, "%s", f"{place} {doubt}")


def _import_remedy(path: str) -> str:
    if path.startswith("airflow.providers."):
        package = f"apache-airflow-providers-{path.split('.')[2]}"
        return f"Install {package} on workers and triggerers, or correct the path."
    return "Put its module where workers and triggerers import it, such as in $AIRFLOW_HOME/plugins."


def _doubt(alert: MigrationAlert, notifier: BaseNotifier) -> str | None:
    """
    Return the probable fault of a notifier's templates, or None. The notifier may know better.

    :raises TemplateSyntaxError: for a template that cannot be read.
    """
    fields = {name: getattr(notifier, name, None) for name in notifier.template_fields}
    for name, value in alert.notifier_kwargs.items():
        if name not in fields and value not in fields.values() and "{{" in str(value):
            return f"renders no template in {name}; it renders {', '.join(fields) or 'none'}."
    if fields and not any("{{" in str(value) or "{%" in str(value) for value in fields.values()):
        return (
            "has no template, so that all its messages read the same. Give it {{ alert.text }} in one of "
            f"{', '.join(fields)}."
        )
    context: Any = Message(Notification(alert, False, 0, 60), _SAMPLE, _SAMPLE_WAIT, _SAMPLE_TASK).context()
    try:
        notifier.render_template_fields(context)
    except UndefinedError as problem:
        names = ", ".join(name for name in context if name != "dag")
        return f"has a template that cannot be rendered with a sample: {problem}. Templates have {names}."
    except TemplateSyntaxError:
        raise
    except Exception as problem:  # a connection or a variable may be out of reach only now
        return f"has a template that cannot be rendered with a sample: {type(problem).__name__}."
    return None
