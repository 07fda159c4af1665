"""Provider info, checked with Airflow's own schema and reader."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import BaseHook
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_1_PLUS
from airflow.providers_manager import ProvidersManager

from airflow_provider_migration.get_provider_info import get_provider_info
from airflow_provider_migration.hooks.base import MigrationHook

AIRFLOW = Path(airflow.__file__).parent
INFO = get_provider_info()
CONNECTION_TYPES = {item["connection-type"]: item for item in INFO["connection-types"]}
HAS_FORMS = not AIRFLOW_V_3_0_PLUS or AIRFLOW_V_3_1_PLUS or importlib.util.find_spec("wtforms")


def schema(name: str) -> dict[str, Any]:
    return json.loads((AIRFLOW / name).read_text())


def hook_class(connection_type: str) -> type[MigrationHook[Any]]:
    module, _, name = CONNECTION_TYPES[connection_type]["hook-class-name"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_provider_info_fits_airflows_schema() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


@pytest.mark.parametrize("connection_type", CONNECTION_TYPES)
def test_connection_type_fits_airflows_schema(connection_type: str) -> None:
    rules = schema("provider.yaml.schema.json")["properties"]["connection-types"]["items"]

    jsonschema.validate(CONNECTION_TYPES[connection_type], rules)


def test_provider_info_is_plain_json() -> None:
    assert json.loads(json.dumps(INFO)) == INFO


@pytest.mark.parametrize(
    "module",
    sorted(
        {
            module
            for kind in ("hooks", "sensors", "triggers")
            for item in INFO[kind]
            for module in item["python-modules"]
        }
    ),
)
def test_named_modules_exist(module: str) -> None:
    importlib.import_module(module)


@pytest.mark.parametrize("kind", ["hooks", "sensors", "triggers"])
def test_modules_are_named(kind: str) -> None:
    package = importlib.import_module(f"airflow_provider_migration.{kind}")
    shared = {"__init__", "alerts", "alibaba", "base", "connection", "connection_form", "sharing"}
    there = {path.stem for path in Path(str(package.__file__)).parent.glob("*.py")} - shared

    named = {module.rpartition(".")[2] for item in INFO[kind] for module in item["python-modules"]}

    assert named == there


@pytest.mark.parametrize("kind", ["hooks", "sensors", "triggers"])
def test_integrations_are_described(kind: str) -> None:
    described = {item["integration-name"] for item in INFO["integrations"]}

    assert {item["integration-name"] for item in INFO[kind]} == described


@pytest.mark.parametrize("link", INFO["extra-links"])
def test_links_exist(link: str) -> None:
    module, _, name = link.rpartition(".")

    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("connection_type", CONNECTION_TYPES)
def test_hook_matches_its_connection_type(connection_type: str) -> None:
    hook = hook_class(connection_type)

    assert issubclass(hook, BaseHook)
    assert hook.conn_type == connection_type
    assert hook.hook_name == CONNECTION_TYPES[connection_type]["hook-name"]
    assert hook(**{hook.conn_name_attr: "some_id"})._conn_id == "some_id"
    assert hook()._conn_id == hook.default_conn_name
    assert callable(hook.test_connection)


def test_entry_point_leads_to_provider_info() -> None:
    (entry_point,) = [
        item
        for item in entry_points(group="apache_airflow_provider")
        if item.value.startswith("airflow_provider_migration.")
    ]

    assert entry_point.load()() == INFO
    assert entry_point.dist is not None
    assert entry_point.dist.name == INFO["package-name"]


@pytest.fixture
def manager() -> Iterator[ProvidersManager]:
    """Lend Airflow's one manager; the forms of Airflow 3.1 need one that has not seen the hooks before."""
    manager = ProvidersManager()
    yield manager
    manager._cleanup()


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")  # older releases have no other
def test_provider_loads_without_a_warning(
    caplog: pytest.LogCaptureFixture, manager: ProvidersManager
) -> None:
    with caplog.at_level(logging.WARNING):
        provider = manager.providers["airflow-provider-migration"]
        hooks = {name: manager.hooks[name] for name in CONNECTION_TYPES}
        links = manager.extra_links_class_names
        triggers = {item.trigger_class_name for item in manager.trigger}

    assert provider.data["package-name"] == "airflow-provider-migration"
    for name, hook in hooks.items():
        assert hook is not None
        assert hook.hook_class_name == CONNECTION_TYPES[name]["hook-class-name"]
        assert hook.connection_testable
    assert set(INFO["extra-links"]) <= set(links)
    assert any("airflow_provider_migration.triggers.migration" in str(item) for item in triggers)
    assert [item.getMessage() for item in caplog.records if "migration" in item.getMessage().lower()] == []


COMMON = {"verify", "connect_timeout", "read_timeout"}
ALIBABA = {
    "region",
    "security_token",
    "credential_type",
    "role_arn",
    "role_session_name",
    "external_id",
    "sts_endpoint",
    "role_name",
    "oidc_provider_arn",
    "oidc_token_file_path",
    "credentials_uri",
    *COMMON,
}
FIELDS = {
    "alibaba_dataworks": ALIBABA,
    "alibaba_dts": ALIBABA,
    "oceanbase_oms": {"auth_type", *ALIBABA},
    "huaweicloud_drs": {
        "region",
        "project_id",
        "auth_type",
        "security_token",
        "domain_name",
        "agency_name",
        "iam_endpoint",
        *COMMON,
    },
}


def form_of(connection_type: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the extra fields of a connection's form, and what it makes of the others, as the UI has them."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    (form,) = [item for item in HookMetaService.hook_meta_data() if item.connection_type == connection_type]
    assert form.hook_name == CONNECTION_TYPES[connection_type]["hook-name"]
    assert form.standard_fields is not None
    fields = {
        name: {"description": field["description"], "is_secret": field["schema"].get("format") == "password"}
        for name, field in (form.extra_fields or {}).items()
    }
    return fields, form.standard_fields.model_dump()


def form_in_airflow_2_of(connection_type: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the same of an Airflow whose forms are of Flask."""
    manager = ProvidersManager()
    prefix = f"extra__{connection_type}__"
    fields = {
        name.removeprefix(prefix): {
            "description": widget.field.kwargs["description"],
            "is_secret": widget.field.field_class.__name__ == "PasswordField",
        }
        for name, widget in manager.connection_form_widgets.items()
        if name.startswith(prefix)
    }
    behaviour = manager.field_behaviours[connection_type]
    others = {
        name: {
            "title": behaviour["relabeling"].get(name),
            "placeholder": behaviour["placeholders"].get(name),
            "hidden": name in behaviour["hidden_fields"],
        }
        for name in ("login", "password", "host", "schema")
    }
    return fields, {**others, "url_schema": others["schema"]}


@pytest.mark.skipif(
    not HAS_FORMS, reason="Airflow 3.0 gives a provider's forms only where the FAB provider is installed"
)
@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")  # Airflow 3.2 itself asks so
@pytest.mark.parametrize("connection_type", CONNECTION_TYPES)
def test_connection_form_has_its_fields(connection_type: str) -> None:
    fields, others = (form_of if AIRFLOW_V_3_0_PLUS else form_in_airflow_2_of)(connection_type)

    assert set(fields) == FIELDS[connection_type]
    assert others["login"]["title"]
    assert others["password"]["title"]
    assert others["host"]["placeholder"]
    assert others["url_schema"]["hidden"]
    for name, field in fields.items():
        assert field["description"], name
        assert field["is_secret"] is name.endswith("token"), name


@pytest.mark.parametrize("connection_type", ["alibaba_dataworks", "alibaba_dts", "oceanbase_oms"])
def test_connection_form_offers_the_known_credentials(connection_type: str) -> None:
    from airflow_provider_migration.hooks.alibaba import KINDS

    offered = CONNECTION_TYPES[connection_type]["conn-fields"]["credential_type"]["schema"]

    assert tuple(offered["enum"]) == KINDS
    assert offered["default"] == KINDS[0]


def test_connection_form_defaults_match_the_hooks() -> None:
    from airflow_provider_migration.transport.settings import TransportConfig

    for item in CONNECTION_TYPES.values():
        for name in ("connect_timeout", "read_timeout"):
            assert item["conn-fields"][name]["schema"]["default"] == getattr(TransportConfig(), name)
