"""Connection forms for Airflow before 3.2; later releases read them from the provider metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_migration.hooks.base import MigrationHook


def offer_connection_form(hook: type[MigrationHook[Any]]) -> None:
    """
    Add the methods that describe the connection form; drop them with support for Airflow 3.1.

    The methods must be defined on the class itself: Airflow ignores inherited ones.
    """
    # The types are ignored because mypy does not support assigning methods to a class.
    hook.get_connection_form_widgets = classmethod(_form_widgets)  # type: ignore[assignment,method-assign]
    hook.get_ui_field_behaviour = classmethod(_field_behaviour)  # type: ignore[assignment,method-assign]


def _form_widgets(hook: type[MigrationHook[Any]]) -> dict[str, Any]:
    # A web server has these modules or stubs them; where both are missing, Airflow shows no such form.
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
