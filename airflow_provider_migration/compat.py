"""
What differs between Airflow's releases, as far as ``airflow.providers.common.compat`` does not even it out.

Nothing else in the package asks which Airflow it runs on; ``docs/compatibility.md`` says what each one lacks.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.triggers import base

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context, Stats
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger

    from airflow_provider_migration.hooks.base import MigrationHook
else:
    # In Airflow 2 no asset is watched, but what the provider info names must be there.
    BaseEventTrigger = getattr(base, "BaseEventTrigger", base.BaseTrigger)


def first_reschedule_date(context: Context) -> datetime | None:
    """Return when the wait of a rescheduled task began, or None at its first poll."""
    ti: Any = context["ti"]
    date: datetime | None
    if hasattr(ti, "get_first_reschedule_date"):
        date = ti.get_first_reschedule_date(context)
    else:
        # Airflow 2.11 has it in the database, where its own sensors look it up so.
        from airflow.sensors.base import _orig_start_date

        first_try = (ti.max_tries or 0) - (ti.task.retries or 0) + 1
        date = _orig_start_date(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, first_try)
    return date


def statistics() -> type[Stats]:
    """Return Airflow's statistics, which know where to go."""
    with suppress(ImportError):
        # Airflow 3.2 tells them as this is loaded, which a triggerer without a deferred task has not done.
        import airflow.sdk.serde  # noqa: F401 - for what it does as it is loaded
    from airflow.providers.common.compat.sdk import Stats

    return Stats


def offer_connection_form(hook: type[MigrationHook[Any]]) -> None:
    """
    Let a hook tell how the form of its connections looks, which from Airflow 3.2 on the provider info tells.

    The methods have to be the class's own: those that it inherits are not asked.
    """
    # The types are ignored because mypy knows no methods that are put into a class.
    hook.get_connection_form_widgets = classmethod(_form_widgets)  # type: ignore[assignment,method-assign]
    hook.get_ui_field_behaviour = classmethod(_field_behaviour)  # type: ignore[assignment,method-assign]


def _form_widgets(hook: type[MigrationHook[Any]]) -> dict[str, Any]:
    # A webserver has these, or puts something in their place; where it has neither, Airflow does without.
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from wtforms import PasswordField, StringField
    from wtforms.validators import Optional, any_of

    def widget(label: str, description: str, schema: dict[str, Any]) -> Any:
        is_secret = schema.get("format") == "password"
        return (PasswordField if is_secret else StringField)(
            label,
            validators=[Optional(), *([any_of(schema["enum"])] if "enum" in schema else [])],
            description=description,
            default=str(schema["default"]) if "default" in schema else None,
            widget=BS3PasswordFieldWidget() if is_secret else BS3TextFieldWidget(),
        )

    return {name: widget(**field) for name, field in _form_of(hook)["conn-fields"].items()}


def _field_behaviour(hook: type[MigrationHook[Any]]) -> dict[str, Any]:
    behaviour: dict[str, Any] = _form_of(hook)["ui-field-behaviour"]
    return {name.replace("-", "_"): value for name, value in behaviour.items()}


def _form_of(hook: type[MigrationHook[Any]]) -> dict[str, Any]:
    from airflow_provider_migration.get_provider_info import get_provider_info

    forms: dict[str, dict[str, Any]] = {
        form["connection-type"]: form for form in get_provider_info()["connection-types"]
    }
    return forms[hook.conn_type]
