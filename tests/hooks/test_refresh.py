"""Refresh of credentials while polls wait for it, also after the deadline of these polls."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from airflow_provider_migration.auth.basic import BasicSigner
from airflow_provider_migration.credentials.refreshable import IssuedCredential, RefreshableCredential
from airflow_provider_migration.exceptions import MigrationAuthenticationError, MigrationServiceError
from airflow_provider_migration.hooks.connection import ConnectionReader
from airflow_provider_migration.hooks.drs import DrsHook
from airflow_provider_migration.hooks.oms import OmsHook
from airflow_provider_migration.progress import MigrationProgress
from airflow_provider_migration.sansio import AuthenticatedFlow, BlockingCall, call_blocking
from airflow_provider_migration.services.oms import OmsApi
from airflow_provider_migration.transport import limiter
from airflow_provider_migration.transport.limiter import limit_calls
from tests.servers import Asked, Reply, Server, http

RUNNING = http(body=b'{"success": true, "data": {"status": "RUNNING"}}')


@dataclass(slots=True, kw_only=True)
class LibraryCredential(RefreshableCredential):
    """A credential whose library does what the test says."""

    is_cached_by_source = True
    identity = "the library"

    refresh: Callable[[], object]
    fresh_seconds: float

    def _fetch(self, service: str) -> AuthenticatedFlow[IssuedCredential]:
        return call_blocking(BlockingCall(call=self._ask_library, fresh_seconds=self.fresh_seconds))

    def _ask_library(self) -> IssuedCredential:
        self.refresh()
        return IssuedCredential(BasicSigner("user", "password"))


class LibraryHook(OmsHook):
    """A hook whose credential comes from a library."""

    refresh: Callable[[], object]
    fresh_seconds = 0.0

    def _connect(self, reader: ConnectionReader) -> OmsApi:
        return replace(
            super()._connect(reader),
            signer=LibraryCredential(refresh=self.refresh, fresh_seconds=self.fresh_seconds),
        )


@pytest.fixture
def console(connect: Callable[..., str]) -> Iterator[Server]:
    with Server([RUNNING]) as server:
        extra = {"read_timeout": 5}
        connect("oms_default", login="user", password="password", host=server.url, extra=extra)
        yield server


def refreshing(refresh: Callable[[], object]) -> LibraryHook:
    hook = LibraryHook()
    hook.refresh = refresh
    return hook


@pytest.mark.parametrize("left", [-1000, 0.05])
async def test_refresh_at_the_deadline_has_the_time_of_an_answer(left: float, console: Server) -> None:
    """Without time of its own the refresh, and so the last poll, would be cut off before it begins."""
    refreshed = []
    slow = threading.Event()
    hook = refreshing(lambda: refreshed.append(slow.wait(0.2)))
    deadline = hook.clock.monotonic() + left

    with limit_calls(queue_seconds=60, deadline=deadline):
        progress = await hook.aget_progress("p_1")

    assert progress.service_status == "RUNNING"
    assert (len(refreshed), len(console.asked)) == (1, 1)


async def test_refresh_that_hangs_is_cut_off_and_nothing_is_sent(
    console: Server, connect: Callable[..., str]
) -> None:
    released = threading.Event()
    extra = {"read_timeout": 0.1}
    connect("oms_default", login="user", password="password", host=console.url, extra=extra)
    hook = refreshing(lambda: bool(released.wait(30)))
    try:
        with (
            limit_calls(queue_seconds=60, deadline=hook.clock.monotonic() - 1000),
            pytest.raises(MigrationServiceError, match="nor within read_timeout after it") as caught,
        ):
            await asyncio.wait_for(hook.aget_progress("p_1"), 20)
    finally:
        released.set()

    assert (caught.value.reason, caught.value.is_cut_short) == ("timeout", True)
    assert console.asked == []


async def test_refresh_that_is_refused_names_the_connection_once_to_all_who_wait(console: Server) -> None:
    slow = threading.Event()

    def refuse() -> None:
        slow.wait(0.2)
        raise MigrationAuthenticationError("the role is gone.")

    hook = refreshing(refuse)
    errors = await asyncio.gather(
        *(hook.aget_progress(f"p_{number}") for number in range(3)), return_exceptions=True
    )

    said = "the role is gone. The connection is 'oms_default', of type 'generic'."
    assert [str(error) for error in errors] == [said] * 3
    assert len(set(map(id, errors))) < 3


@pytest.mark.parametrize(("fresh_seconds", "refreshes"), [(0.0, 2), (60.0, 1)])
@pytest.mark.parametrize("is_refused", [False, True])
async def test_refresh_and_its_error_serve_later_polls_while_fresh(
    fresh_seconds: float, refreshes: int, is_refused: bool, console: Server
) -> None:
    asked = []

    def ask() -> None:
        asked.append(1)
        if is_refused:
            raise MigrationAuthenticationError("the role is gone.")

    hook = refreshing(ask)
    hook.fresh_seconds = fresh_seconds
    for _ in range(2):
        (result,) = await asyncio.gather(hook.aget_progress("p_1"), return_exceptions=True)
        assert isinstance(result, MigrationAuthenticationError) is is_refused

    assert len(asked) == refreshes


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_refusal_of_a_credential_that_its_source_refreshes_is_neither_retried_nor_remembered(
    driver: str, connect: Callable[..., str]
) -> None:
    """A retry would use the same credential; the next poll may get another."""
    asked = []
    hook = refreshing(lambda: asked.append(1))
    with Server([http(401), http(401), RUNNING]) as server:
        connect("oms_default", login="user", password="password", host=server.url)

        def poll() -> MigrationProgress:
            return hook.get_progress("p_1") if driver == "sync" else asyncio.run(hook.aget_progress("p_1"))

        for _ in range(2):
            with pytest.raises(MigrationAuthenticationError):
                poll()
        assert poll().service_status == "RUNNING"
        hook.close()

        assert (len(asked), len(server.asked)) == (3, 3)


# --- IAM tokens -------------------------------------------------------------------------------------------


@pytest.fixture
def drs(connect: Callable[..., str]) -> Iterator[tuple[DrsHook, Server]]:
    """Serve DRS and IAM from one address, IAM slowly, with one token after the other."""
    slow = threading.Event()
    tokens = iter(range(100))

    def answer(asked: Asked) -> Reply:
        if "/v3/auth/tokens" in asked.target:
            slow.wait(0.2)
            body = json.dumps({"token": {"expires_at": "2999-01-01T00:00:00Z"}}).encode()
            return http(201, body, {"x-subject-token": f"token-{next(tokens)}"})
        jobs = [job["job_id"] if isinstance(job, dict) else job for job in json.loads(asked.body)["jobs"]]
        rows = [{"job_id": job, "transfer_status": "INCRE_TRANSFER_STARTED"} for job in jobs]
        return http(body=json.dumps({"results": rows, "count": len(rows)}).encode())

    with Server([answer]) as server:
        extra = {
            "region": "cn-north-4",
            "project_id": "p",
            "auth_type": "password",
            "domain_name": "d",
            "iam_endpoint": server.url,
        }
        yield DrsHook(connect(login="user", password="password", host=server.url, extra=extra)), server


@pytest.mark.parametrize("left", [-1000, 0.05])
@pytest.mark.parametrize("has_old_token", [False, True])
async def test_token_refresh_after_the_deadline_signs_every_request_of_a_batch(
    left: float, has_old_token: bool, drs: tuple[DrsHook, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter, "BATCH_WINDOW_SECONDS", 0.05)
    hook, server = drs

    async def ask(*jobs: str) -> list[str]:
        answers = await asyncio.gather(*(hook.aget_progress(job, object_types=()) for job in jobs))
        return [answer.service_status or "" for answer in answers]

    if has_old_token:
        await ask("job-0")
        hook._api.signer.expires_at = hook.clock.now()  # type: ignore[union-attr] # it is an IamToken
    server.asked.clear()
    deadline = hook.clock.monotonic() + left
    with limit_calls(queue_seconds=60, deadline=deadline):
        assert await ask("job-1", "job-2", "job-3") == ["INCRE_TRANSFER_STARTED"] * 3

    to_iam = [asked for asked in server.asked if "/v3/auth/tokens" in asked.target]
    others = [asked for asked in server.asked if asked not in to_iam]
    assert len(to_iam) == 1
    assert others
    assert {asked.headers.get("x-auth-token") for asked in others} == {f"token-{int(has_old_token)}"}
