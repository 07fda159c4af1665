"""The Migration tab, the Migrations page and the connection forms, in a browser on a real Airflow."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page

from airflow_provider_migration.simulator import Simulator
from scripts.local_airflow import Api, LocalAirflow, free_port
from tests.browsers import SCREENSHOTS, chromium, wait_for
from tests.catalogue import SERVICES
from tests.conftest import ROOT
from tests.ui.test_pages import ROW

pytestmark = pytest.mark.browser

HERE = Path(__file__).parent
RUN = "manual__2026-01-01T00:00:00+00:00"
DURATION = 1000
"""Seconds that a migration takes; they stand still but for where a test moves them to."""

HOSTILE = "<script>document.title='owned'</script>\"><img src=x onerror=\"document.title='owned'\">"
PASSWORDS = {"admin": "admin-password", "guest": "guest-password"}
SEEDED = 500

SCENARIO = {
    "migrations": [
        {"service": "dts", "migration_job_id": "moving", "name": "orders", "duration": DURATION},
        {"service": "dts", "migration_job_id": "moving-too", "name": "customers", "duration": DURATION},
        {"service": "dts", "migration_job_id": "failing", "script": "precheck_failure", "name": "billing"},
        {"service": "dts", "migration_job_id": "paused", "script": "paused", "name": "archive"},
        {"service": "dts", "migration_job_id": "halted", "script": "paused", "name": "returns"},
        {
            "service": "dts",
            "migration_job_id": "unanswered",
            "name": "invoices",
            "script": "success",
            "duration": DURATION,
            "steps": [
                {"at": 1500, "error": {"code": "ServiceUnavailable", "message": "later", "http_status": 503}},
                {"at": 2000, "replace": True, "MigrationJobStatus": "MigrationFailed"},
            ],
        },
        {"service": "dts", "migration_job_id": "holding", "name": "refunds", "duration": DURATION},
        {"service": "dts", "migration_job_id": "secret", "name": "payroll", "duration": DURATION},
        {"service": "drs", "job_id": "objects", "objects": 120, "duration": DURATION},
        {"service": "oms", "project_id": "p_first", "duration": DURATION},
        {"service": "oms", "project_id": "p_second", "duration": DURATION},
        {
            "service": "dts",
            "migration_job_id": "hostile",
            "steps": [
                {
                    "at": 0,
                    "replace": True,
                    "MigrationJobName": HOSTILE,
                    "MigrationJobStatus": "PrecheckFailed",
                    "PrecheckStatus": {
                        "Status": "Failed",
                        "Percent": "30",
                        "Detail": {
                            "CheckItem": [
                                {
                                    "ItemName": "CHECK_IT",
                                    "CheckStatus": "Failed",
                                    "ErrorMessage": HOSTILE,
                                    "RepairMethod": f"repair {HOSTILE}",
                                }
                            ]
                        },
                    },
                }
            ],
        },
    ]
}


class UserApi(Api):
    """Airflow's API as one of its users."""

    def __init__(self, url: str, user: str = "admin") -> None:
        super().__init__(url)
        self._user = user

    @property
    def token(self) -> str:
        """A token that is good as the browser's cookie too."""
        answer = self._session.post(
            f"{self.url}/auth/token",
            json={"username": self._user, "password": PASSWORDS[self._user]},
            timeout=30,
        )
        answer.raise_for_status()
        token: str = answer.json()["access_token"]
        return token

    def log_in(self) -> None:
        """Take a token."""
        self._session.headers["Authorization"] = f"Bearer {self.token}"


@dataclass
class Scene:
    """An Airflow whose tasks watch, and a browser before it."""

    airflow: LocalAirflow
    api: Api
    simulator: Simulator
    browser: Browser

    def task(self, name: str, dag: str = "watched") -> str:
        """Return where Airflow shows the Migration tab of a task."""
        return f"{self.api.url}/dags/{dag}/runs/{quote(RUN, safe=':+')}/tasks/{name}/plugin/migration"

    def wait_for_task(self, name: str, *states: str, dag: str = "watched") -> None:
        """Wait until a task is in a state."""
        wait_for(lambda: self.states(name, dag) <= set(states), 120)

    def states(self, name: str, dag: str = "watched") -> set[str | None]:
        """Return the states of a task's instances."""
        return {task["state"] for task in self.api.tasks(dag, RUN) if task["task_id"] == name} or {None}

    def record(self, name: str) -> dict[str, Any] | None:
        """Return a task's record."""
        return self.api.xcom("watched", RUN, name, "migration_progress")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with chromium() as browser:  # first, for it skips where there is none
        home = tmp_path_factory.mktemp("ui") / "airflow"
        airflow = LocalAirflow(
            home,
            HERE / "ui_dags",
            settings={
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,guest:viewer",
            },
        )
        passwords = home / "simple_auth_manager_passwords.json.generated"
        passwords.write_text(json.dumps(PASSWORDS))
        airflow.api = UserApi(airflow.api.url)
        with Simulator(SCENARIO, speed=1e-6) as simulator:
            simulator.jump("dts", "unanswered", 1400)
            airflow.prepare(simulator.connections())
            with airflow.standalone() as api:
                for dag in ("watched", "confidential", "hostile"):
                    api.post(f"/dags/{dag}/dagRuns", {"logical_date": None, "dag_run_id": RUN})
                scene = Scene(airflow, api, simulator, browser)
                for task in ("deferred", "objects", "failing", "mapped"):
                    scene.wait_for_task(task, "deferred", "failed")
                wait_for(lambda: scene.record("unanswered"), 120)
                simulator.jump("dts", "unanswered", 1600)  # a poll retries for ten seconds before it fails
                yield scene


@pytest.fixture(scope="module")
def below(scene: Scene) -> Iterator[str]:
    """Give the URL of one more API server: below a path, and with an auth manager that refuses some a DAG."""
    port = free_port()
    url = f"http://localhost:{port}/some/path"
    airflow = copy.copy(scene.airflow)
    airflow.environment = {
        **scene.airflow.environment,
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.system.ui_auth.SomeDagsOnly",
        "PYTHONPATH": str(ROOT),
    }

    def is_up() -> bool:
        try:
            return requests.get(f"{url}/api/v2/version", timeout=5, proxies={"http": ""}).ok
        except requests.RequestException:
            return False

    with airflow.running("api-server", "--apps", "core"):
        wait_for(is_up, 120)
        yield url


@pytest.fixture
def as_user(scene: Scene) -> Iterator[Callable[..., Page]]:
    """Open a page as a user, and see that its policy was kept."""
    contexts: list[BrowserContext] = []
    violations: list[str] = []

    def open_page(user: str | None = "admin", url: str | None = None, **options: Any) -> Page:
        context = scene.browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        contexts.append(context)
        url = url or scene.api.url
        if user:
            token = UserApi(url, user).token
            context.add_cookies([{"name": "_token", "value": token, "url": url}])
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                violations.append(message.text) if "Content Security Policy" in message.text else None
            ),
        )
        page.on("pageerror", lambda error: violations.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert violations == []


def pane(page: Page) -> FrameLocator:
    """Return the plugin's page within Airflow's."""
    return page.frame_locator("iframe")


def text(frame: FrameLocator, selector: str) -> str:
    return frame.locator(selector).text_content(timeout=30_000) or ""


def keep(page: Page, name: str) -> None:
    """Keep a picture for a person to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")  # bars move softly


# --- the tab -------------------------------------------------------------------------------------------


def test_tab_refreshes_while_deferred(scene: Scene, as_user: Callable[..., Page]) -> None:
    scene.simulator.jump("dts", "moving", 350)
    page = as_user()
    page.goto(scene.task("deferred"))
    bar = pane(page).locator("#overall")
    wait_for(lambda: float(bar.get_attribute("aria-valuenow") or 0) > 40)
    pane(page).locator("body").evaluate("body => { body.dataset.mark = 'the same page'; }")
    seen = [float(bar.get_attribute("aria-valuenow") or 0)]

    for second in (450, 600):
        scene.simulator.jump("dts", "moving", second)
        wait_for(lambda: float(bar.get_attribute("aria-valuenow") or 0) > seen[-1])
        seen.append(float(bar.get_attribute("aria-valuenow") or 0))

    assert scene.states("deferred") == {"deferred"}
    assert bar.get_attribute("role") == "progressbar"
    assert bar.get_attribute("aria-label")
    assert text(pane(page), "#state") == "Running"
    assert text(pane(page), "#task") == "waiting (deferred)"
    assert pane(page).locator("body").get_attribute("data-mark") == "the same page"
    keep(page, "tab-deferred")


@pytest.mark.parametrize("task", ["poke", "rescheduled"])
def test_tab_shows_progress_in_other_modes(scene: Scene, as_user: Callable[..., Page], task: str) -> None:
    job = {"poke": "moving-too", "rescheduled": "paused"}[task]
    wait_for(lambda: scene.record(task), 60)
    scene.simulator.jump("dts", job, {"poke": 480, "rescheduled": 17}[task])
    page = as_user()
    page.goto(scene.task(task))

    wait_for(lambda: float(pane(page).locator("#overall").get_attribute("aria-valuenow") or 0) > 50, 60)
    assert scene.states(task) <= {"running", "up_for_reschedule", "scheduled", "queued"}


def test_tab_after_a_success(scene: Scene, as_user: Callable[..., Page]) -> None:
    scene.simulator.jump("dts", "moving", 1001)
    scene.wait_for_task("deferred", "success")
    page = as_user()
    page.goto(scene.task("deferred"))

    wait_for(lambda: text(pane(page), "#state") == "In sync")
    assert text(pane(page), "h1") == "orders"
    assert pane(page).locator("#overall").get_attribute("aria-valuenow") == "100"
    assert text(pane(page), "#task") == "succeeded"
    keep(page, "tab-success")


def test_tab_names_the_remedy_of_a_failure(scene: Scene, as_user: Callable[..., Page]) -> None:
    scene.simulator.jump("dts", "failing", 30)
    scene.wait_for_task("failing", "failed")
    page = as_user()
    page.goto(scene.task("failing"))

    wait_for(lambda: text(pane(page), "#state") == "Failed")
    error = text(pane(page), "#error")
    assert error.count("The binlog_format of the source database is STATEMENT") == 1
    assert pane(page).locator("#error-items li").count() > 1
    assert "Repair the failed items" in error
    keep(page, "tab-failure")


def test_tab_names_the_target_of_a_wait(scene: Scene, as_user: Callable[..., Page]) -> None:
    scene.simulator.jump("dts", "holding", 1400)
    page = as_user()
    page.goto(scene.task("holding"))
    wait_for(lambda: "s so far" in text(pane(page), "#purpose"), 60)
    assert text(pane(page), "#purpose").startswith(
        "Waits until it has caught up (lag at most 1 min) and that has held for 5 min; "
    )
    keep(page, "tab-holding")


def test_tab_names_failing_polls(scene: Scene, as_user: Callable[..., Page]) -> None:
    page = as_user()
    page.goto(scene.task("unanswered"))
    wait_for(lambda: "polls failed" in text(pane(page), "#polls-count"), 240)
    said = text(pane(page), "#polls")
    assert "ServiceUnavailable" in said
    assert "not a failed migration" in said
    assert scene.states("unanswered") == {"deferred"}
    assert text(pane(page), "#state") == "In sync"
    keep(page, "tab-failing-polls")

    page.goto(f"{scene.api.url}/plugin/migrations")
    row = pane(page).locator(ROW).filter(has_text="invoices")
    wait_for(lambda: "polls failed" in (row.text_content() or ""))
    pane(page).locator("#search").fill("watched")
    pane(page).locator("#search").blur()
    keep(page, "migrations-failing-polls")

    scene.simulator.jump("dts", "unanswered", 2100)
    scene.wait_for_task("unanswered", "failed")
    page.goto(scene.task("unanswered"))
    wait_for(lambda: text(pane(page), "#state") == "Failed")
    assert not pane(page).locator("#polls").is_visible()


def test_tab_names_the_reason_of_a_skip(scene: Scene, as_user: Callable[..., Page]) -> None:
    scene.simulator.jump("dts", "halted", 30)
    scene.wait_for_task("skipped", "skipped")
    page = as_user()
    page.goto(scene.task("skipped"))

    wait_for(lambda: "Why the task was skipped" in text(pane(page), "#error"))
    assert "The migration is paused: dts halted: paused" in text(pane(page), "#error")
    assert pane(page).locator("#phases .word").all_text_contents()[2].startswith("Paused")
    keep(page, "tab-skipped")


def test_tab_without_an_answer_names_migration_and_reason(scene: Scene, as_user: Callable[..., Page]) -> None:
    scene.wait_for_task("unknown_id", "failed")
    page = as_user()
    page.goto(scene.task("unknown_id"))

    wait_for(lambda: "does not exist" in text(pane(page), "#error"))
    assert text(pane(page), "h1") == "nowhere"
    assert text(pane(page), "#state") == "Task failed"
    keep(page, "tab-unknown-id")


def test_tab_of_an_ordinary_task(scene: Scene, as_user: Callable[..., Page]) -> None:
    page = as_user()
    page.goto(scene.task("ordinary"))

    wait_for(lambda: "This task does not watch a migration" in text(pane(page), "#friendly"))
    keep(page, "tab-ordinary")


def test_service_texts_are_never_markup(scene: Scene, as_user: Callable[..., Page]) -> None:
    scene.wait_for_task("hostile", "failed", dag="hostile")
    page = as_user()
    page.goto(scene.task("hostile", dag="hostile"))

    wait_for(lambda: text(pane(page), "h1") == HOSTILE)
    assert HOSTILE in text(pane(page), "#error")
    assert pane(page).locator("img").count() == 0
    page.goto(f"{scene.api.url}/plugin/migrations")
    wait_for(lambda: HOSTILE in text(pane(page), "#rows"))
    assert pane(page).locator("img").count() == 0
    assert "owned" not in page.title()


def test_tab_of_a_mapped_task(scene: Scene, as_user: Callable[..., Page]) -> None:
    scene.simulator.jump("oms", "p_second", 600)
    page = as_user()
    shown = []
    for index in (0, 1):
        page.goto(scene.task(f"mapped/mapped/{index}"))
        shown.append(text(pane(page), "h1:not(:empty)"))

    assert shown == ["p_first", "p_second"]


def test_slowest_objects_are_in_a_table(scene: Scene, as_user: Callable[..., Page]) -> None:
    scene.simulator.jump("drs", "objects", 640)
    page = as_user()
    page.goto(scene.task("objects"))

    wait_for(lambda: pane(page).locator("#objects-slowest tbody tr").count() > 0)
    assert " of 120 done" in text(pane(page), "#objects-count")
    keep(page, "tab-objects")


def test_dark_theme_is_followed(scene: Scene, as_user: Callable[..., Page]) -> None:
    def ground(body: str) -> str:
        return str(pane(page).locator(body).evaluate("body => getComputedStyle(body).backgroundColor"))

    page = as_user()
    page.goto(scene.task("objects"))
    wait_for(lambda: text(pane(page), "h1"))
    light = ground("body")
    page.evaluate("() => localStorage.setItem('theme', 'dark')")
    wait_for(lambda: ground("body") != light)
    page.reload()
    wait_for(lambda: text(pane(page), "h1"))

    assert pane(page).locator("html").get_attribute("class") == "dark"
    assert page.locator("html").get_attribute("class") == "dark"
    keep(page, "tab-dark")


# --- the page of all -----------------------------------------------------------------------------------


def test_navigation_leads_to_migrations(scene: Scene, as_user: Callable[..., Page]) -> None:
    page = as_user()
    page.goto(scene.api.url)
    page.get_by_role("link", name="Migrations").click()
    names = ("orders", "customers", "payroll", "objects", "p_first", "p_second")
    wait_for(lambda: all(name in text(pane(page), "#rows") for name in names))
    pane(page).locator("#search").fill("watched")
    pane(page).locator("#search").blur()
    keep(page, "migrations")

    pane(page).locator("#search").fill("customers")
    pane(page).locator("#days").select_option("7")
    assert page.url.endswith("?days=7")
    pane(page).get_by_role("link", name="customers").click()

    wait_for(lambda: unquote(page.url) == unquote(scene.task("poke")))
    wait_for(lambda: text(pane(page), "h1") == "customers")

    page.go_back()
    wait_for(lambda: "/plugin/migrations" in page.url)
    wait_for(lambda: pane(page).locator("#search").input_value() == "customers")
    wait_for(lambda: pane(page).locator(ROW).count() == 1)
    assert page.url.endswith("?days=7")
    assert pane(page).locator("#days").input_value() == "7"
    sent = page.url
    for address in (sent, f"{scene.api.url}/plugin/migrations?days=30"):
        page.goto(address)
        wait_for(lambda: pane(page).locator(ROW).count() == 1)
        assert pane(page).locator("#days").input_value() == address.rpartition("=")[2]
        wait_for(lambda address=address: page.url.endswith(address.rpartition("?")[2]))


def test_console_opens_in_a_new_window(scene: Scene, as_user: Callable[..., Page]) -> None:
    page = as_user()
    page.context.route("https://dts.console.aliyun.com/**", lambda route: route.fulfill(body="console"))
    page.goto(scene.task("poke"))
    with page.expect_popup() as popup:
        pane(page).locator("#console").click()

    assert popup.value.url.startswith("https://dts.console.aliyun.com/#/progress/")
    assert popup.value.evaluate("() => window.opener") is None
    assert page.url.endswith("/plugin/migration")


@pytest.mark.parametrize("task", ["poke", "rescheduled", "objects"])
def test_console_link_is_there_from_the_first_poll(scene: Scene, task: str) -> None:
    links = f"/dags/watched/dagRuns/{quote(RUN)}/taskInstances/{task}/links"
    # While a rescheduled poll runs, Airflow has deleted what the one before it wrote.
    link = wait_for(lambda: scene.api.get(links)["extra_links"]["Migration console"])

    assert link.startswith("https://")
    assert scene.states(task).isdisjoint({"success", "failed"})


def test_dag_permissions_are_honoured(below: str, as_user: Callable[..., Page]) -> None:
    page = as_user("guest", below)
    page.goto(f"{below}/plugin/migrations")
    wait_for(lambda: "customers" in text(pane(page), "#rows"))
    page.wait_for_timeout(1000)
    assert "payroll" not in text(pane(page), "body")
    assert "confidential" not in text(pane(page), "body")

    query = f"dag_id=confidential&run_id={quote(RUN, safe='')}&task_id=secret&map_index=-1"
    page.goto(f"{below}/migration-ui/migration.html?{query}")
    wait_for(lambda: "does not allow" in (page.locator("#trouble").text_content() or ""))
    assert "payroll" not in (page.locator("body").text_content() or "")
    assert not page.locator("#migration").is_visible()


@pytest.mark.parametrize("file", ["migrations.html", "migration.html?dag_id=watched&run_id=r&task_id=t"])
def test_log_in_is_asked_for(scene: Scene, as_user: Callable[..., Page], file: str) -> None:
    page = as_user(None)
    page.goto(f"{scene.api.url}/migration-ui/{file}")

    wait_for(lambda: "log in again" in (page.locator("#trouble").text_content() or ""))


# --- connections ---------------------------------------------------------------------------------------

FORMS = {
    "Alibaba Cloud DataWorks": ("Endpoint", "AccessKey ID", "AccessKey secret", "dataworks.cn-shanghai"),
    "Alibaba Cloud DTS": ("Endpoint", "AccessKey ID", "AccessKey secret", "dts.cn-hangzhou"),
    "OceanBase Migration Service": (
        "Console address, or endpoint",
        "Console user, or AccessKey ID",
        "Console password, or AccessKey secret",
        "http://oms",
    ),
    "Huawei Cloud DRS": (
        "Endpoint",
        "AK, or IAM user name",
        "SK, IAM password, or token",
        "drs.cn-north-4",
    ),
}
EXTRA = {
    "Alibaba Cloud DataWorks": ["Region", "Security token"],
    "Alibaba Cloud DTS": ["Region", "Security token"],
    "OceanBase Migration Service": ["Verify TLS"],
    "Huawei Cloud DRS": ["Region", "Project ID", "Authentication", "Account name", "IAM endpoint"],
}


def begin_connection(page: Page, kind: str) -> Any:
    page.get_by_role("button", name="Add Connection").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").click()
    page.keyboard.type(kind)
    page.get_by_role("option", name=kind).click()
    dialog.locator("input[name=host]").wait_for()
    return dialog


def test_connection_forms_have_labels_and_placeholders(scene: Scene, as_user: Callable[..., Page]) -> None:
    page = as_user()
    for kind, (host, login, password, example) in FORMS.items():
        page.goto(f"{scene.api.url}/connections")
        dialog = begin_connection(page, kind)
        standard = dialog.inner_text()
        assert {host, login, password, "Port"} <= set(standard.splitlines())
        assert "Schema" not in standard
        assert example in (dialog.locator("input[name=host]").get_attribute("placeholder") or "")
        assert dialog.locator("input[name=password]").get_attribute("type") == "password"
        dialog.get_by_role("button", name="Extra Fields", exact=True).click()
        dialog.get_by_text("Verify TLS").wait_for()
        wait_for(lambda labels=EXTRA[kind], form=dialog: set(labels) <= set(form.inner_text().splitlines()))
        for field in dialog.locator("input[name$=token]").all():
            assert field.get_attribute("type") == "password"
        keep(page, f"form-{kind.split()[-1].lower()}")


def toast_after_test(page: Page, conn_id: str) -> str:
    row = page.get_by_role("row").filter(has_text=conn_id)
    row.get_by_role("button", name="Test").click()
    toasts = page.locator("[data-scope=toast][data-part=root]").filter(has_not_text="Create Connection")
    toasts.first.wait_for()
    return wait_for(lambda: toasts.first.inner_text())


@pytest.mark.parametrize("conn_id", [service.hook.default_conn_name for service in SERVICES])
def test_connection_test_names_endpoint_and_identity(
    scene: Scene, as_user: Callable[..., Page], conn_id: str
) -> None:
    page = as_user()
    page.goto(f"{scene.api.url}/connections")
    said = toast_after_test(page, conn_id)

    assert f"at {scene.simulator.url} answered and accepted" in said
    assert "SIMU…" in said or "'simulator'" in said


def test_connection_test_names_the_error(scene: Scene, as_user: Callable[..., Page]) -> None:
    page = as_user()
    page.goto(f"{scene.api.url}/connections")
    dialog = begin_connection(page, "Alibaba Cloud DTS")
    host, _, port = scene.simulator.url.rpartition(":")
    for name, value in {
        "connection_id": "wrong",
        "host": host,
        "port": port,
        "login": "SIMULATORACCESSKEY",
        "password": "a-wrong-secret",
    }.items():
        dialog.locator(f"input[name={name}]").fill(value)
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("row").filter(has_text="wrong").wait_for()
    said = toast_after_test(page, "wrong")

    assert "Check the connection's login and password" in said
    assert "a-wrong-secret" not in said
    keep(page, "connection-test")


# --- many, and elsewhere -------------------------------------------------------------------------------


def test_base_path_is_honoured(below: str, as_user: Callable[..., Page]) -> None:
    page = as_user(url=below)
    page.goto(f"{below}/plugin/migrations")
    wait_for(lambda: "customers" in text(pane(page), "#rows"))
    assert "payroll" in text(pane(page), "#rows")
    pane(page).get_by_role("link", name="customers").click()
    wait_for(lambda: page.url.startswith(f"{below}/dags/watched/runs/"))
    wait_for(lambda: text(pane(page), "h1") == "customers")


def test_page_with_500_migrations_is_quick(scene: Scene, as_user: Callable[..., Page]) -> None:
    subprocess.run(
        [sys.executable, HERE / "seed_migrations.py", str(SEEDED)],
        env=scene.airflow.environment,
        check=True,
        capture_output=True,
    )
    page = as_user()
    began = time.monotonic()
    page.goto(f"{scene.api.url}/migration-ui/migrations.html")
    wait_for(lambda: page.locator(ROW).count() > 20)
    listed = time.monotonic() - began
    wait_for(lambda: "Loading …" not in page.locator("#rows td .badge").all_text_contents())
    told = time.monotonic() - began
    wait_for(lambda: " of 51" in (page.locator("#count").text_content() or ""), 60)
    page.locator("#search").fill("shard 0499")
    wait_for(lambda: page.locator(ROW).count() == 1, 60)

    assert listed < 10
    assert told < 30
