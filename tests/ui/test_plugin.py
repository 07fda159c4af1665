"""Cost of the plugin, and the files that it serves."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS
from starlette.applications import Starlette

from airflow_provider_migration import keys
from airflow_provider_migration.progress import MAX_WORST, MILESTONES, MigrationState, VerificationState
from airflow_provider_migration.ui.app import STATIC
from airflow_provider_migration.ui.plugin import MigrationUiPlugin
from tests.catalogue import NAMES, SERVICES
from tests.examples import EXAMPLES

FILES = sorted(path.name for path in STATIC.iterdir())
PAGES = [name for name in FILES if name.endswith(".html")]
CODE = [name for name in FILES if name.endswith((".html", ".js", ".css"))]

SERVERS = ("fastapi", "starlette", "airflow_provider_migration.ui.app")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(path: str, *, method: str = "GET", root_path: str = "", **headers: str) -> Answer:
    """Ask as a server would pass it on: with no path tidied up on the way."""
    app = Starlette()
    (mounted,) = MigrationUiPlugin().fastapi_apps
    app.mount(mounted["url_prefix"], mounted["app"])
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root_path,
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)  # longer than any answer takes
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return Answer(
        sent[0]["status"],
        {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        b"".join(message["body"] for message in sent[1:]),
    )


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


# --- what it costs -------------------------------------------------------------------------------------


def test_plugin_is_cheap_in_a_task_process() -> None:
    measured = in_a_new_process(
        "import json, sys, time\n"
        "from airflow.providers.common.compat.sdk import AirflowPlugin\n"  # as a task has it
        "before = set(sys.modules)\n"
        "costs = []\n"
        "for _ in range(5):\n"
        "    for name in [name for name in sys.modules if name.startswith('airflow_provider_migration')]:\n"
        "        del sys.modules[name]\n"
        "    start = time.process_time()\n"
        "    import airflow_provider_migration.ui.plugin as plugin\n"
        "    views = plugin.MigrationUiPlugin().external_views\n"
        "    costs.append(time.process_time() - start)\n"
        "loaded = [name for name in sys.modules if name.startswith('airflow_provider_migration')]\n"
        f"print(json.dumps([min(costs), loaded, [*({{*{SERVERS!r}}} & set(sys.modules) - before)]]))"
    )
    seconds, loaded, servers = json.loads(measured)

    assert seconds < 0.005
    assert sorted(loaded) == [
        "airflow_provider_migration",
        "airflow_provider_migration.ui",
        "airflow_provider_migration.ui.plugin",
    ]
    assert servers == []


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Give by example what it loads of the pages that none before it has loaded, all in one process."""
    heavy = (SERVERS[0], "airflow_provider_migration.ui")
    answer: dict[str, list[str]] = json.loads(
        in_a_new_process(
            "import json, runpy, sys\n"
            "from airflow.providers.common.compat.sdk import DAG, BaseSensorOperator\n"
            "BaseSensorOperator(task_id='other', dag=DAG('other', schedule=None))\n"
            "loaded = {}\n"
            f"for dag in {[str(path) for path in EXAMPLES]!r}:\n"
            "    before = set(sys.modules)\n"  # Airflow 3.0 loads FastAPI itself
            "    runpy.run_path(dag)\n"
            f"    loaded[dag] = [m for m in set(sys.modules) - before if m.startswith({heavy!r})]\n"
            "print(json.dumps(loaded))"
        )
    )
    return answer


@pytest.mark.parametrize("dag", EXAMPLES, ids=lambda path: path.stem)
def test_dag_file_loads_no_pages(dag: Path, loaded: dict[str, list[str]]) -> None:
    assert loaded[str(dag)] == []


# --- what Airflow is told ------------------------------------------------------------------------------


def test_plugin_is_found_by_airflow() -> None:
    code = "from airflow.__main__ import main; import sys; sys.argv = ['', 'plugins', '-o', 'json']; main()"
    (plugin,) = [plugin for plugin in json.loads(in_a_new_process(code)) if plugin["name"] == "migration_ui"]

    if AIRFLOW_V_3_1_PLUS:
        assert {view["url_route"] for view in plugin["external_views"]} == {"migrations", "migration"}


@pytest.mark.skipif(not AIRFLOW_V_3_1_PLUS, reason="Airflow before 3.1 has no views of plugins")
def test_plugin_views_fit_airflow() -> None:
    from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse

    for view in MigrationUiPlugin.external_views:
        described = ExternalViewResponse.model_validate(view)
        for address in (described.href, described.icon, described.icon_dark_mode):
            assert address is not None
            # Relative to where Airflow is, which may be below a path.
            name = address.partition("?")[0].removeprefix("migration-ui/")
            assert name in FILES


# --- what is served ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("root_path", ["", "/some/path"])
def test_files_are_served_with_a_strict_policy(name: str, root_path: str) -> None:
    answer = ask(f"{root_path}/migration-ui/{name}", root_path=root_path)

    assert answer.status == 200
    assert answer.body == (STATIC / name).read_bytes()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"


def test_files_are_cached_by_the_browser() -> None:
    first = ask("/migration-ui/style.css")
    again = ask("/migration-ui/style.css", if_none_match=first.headers["etag"])

    assert again.status == 304
    assert again.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    ["", "..", "../plugin.py", "..\\plugin.py", "static/../../plugin.py", "/etc/passwd", "nothing.html"],
)
def test_files_outside_are_not_served(path: str) -> None:
    assert ask(f"/migration-ui/{path}").status == 404


def test_files_are_read_only() -> None:
    assert ask("/migration-ui/migration.html", method="POST").status == 405


@pytest.mark.parametrize("name", PAGES)
def test_pages_need_no_exception_from_the_policy(name: str) -> None:
    page = (STATIC / name).read_text()

    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert address in FILES


@pytest.mark.parametrize("name", CODE)
def test_files_have_no_external_source_or_markup(name: str) -> None:
    text = (STATIC / name).read_text()

    assert re.findall(r"https?://(?!www\.w3\.org/)", text) == []
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text) == []
    )


# --- what is known in two places -----------------------------------------------------------------------


def table_of_pages(name: str) -> dict[str, str]:
    table = re.search(
        rf"^export const {name} = \{{(.*?)\}}", (STATIC / "format.js").read_text(), re.DOTALL | re.M
    )
    assert table is not None
    return dict(re.findall(r'(\w+): "(.*)"', table[1]))


def test_pages_name_every_service() -> None:
    assert sorted(table_of_pages("SERVICES")) == sorted(NAMES)


def test_pages_know_every_sensor_and_its_service() -> None:
    sensors = {service.sensor.__name__: service.name for service in SERVICES}
    assert table_of_pages("SENSOR_SERVICES") == sensors


def test_pages_name_every_common_target() -> None:
    table = re.search(r"const TARGETS = \{(.*?)\n\};", (STATIC / "wait.js").read_text(), re.DOTALL)[1]

    assert set(re.findall(r"^  (\w+):", table, re.MULTILINE)) == {*MILESTONES, *MigrationState, "verified"}


def test_pages_name_every_state_of_a_verification() -> None:
    script = (STATIC / "verification.js").read_text()
    for name in ("TONES", "VERDICTS"):
        table = re.search(rf"const {name} = \{{(.*?)\n\}};", script, re.DOTALL)[1]
        assert set(re.findall(r"^  (\w+):", table, re.MULTILINE)) == {*VerificationState}
    assert f"const MOST_TABLES = {MAX_WORST};" in script


def test_pages_name_every_state() -> None:
    table = re.search(r"const STATES = \{(.*?)\n\};", (STATIC / "format.js").read_text(), re.DOTALL)[1]

    assert set(re.findall(r"^  (\w+):", table, re.MULTILINE)) == {*MigrationState}


@pytest.mark.parametrize(
    ("constant", "key"),
    [("RECORD", keys.PROGRESS_KEY), ("HISTORY", keys.HISTORY_KEY), ("WAIT", keys.WAIT_KEY)],
)
def test_pages_read_the_written_xcom_keys(constant: str, key: str) -> None:
    scripts = [path.read_text() for path in STATIC.glob("*.js")]
    named = [name for text in scripts for name in re.findall(rf'const {constant} = "(\w+)"', text)]

    assert set(named) == {key}
