"""Faults hit requests by rate, reproducibly from a seed."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def fates(ask: Any, count: int) -> list[int]:
    """Return the statuses of so many requests."""
    return [ask.oms().status for _ in range(count)]


def oms_with(*faults: dict[str, Any], seed: int = 3) -> dict[str, Any]:
    """Return a scenario with one OMS project, one DTS job, and faults."""
    return {
        "seed": seed,
        "migrations": [
            {"service": "oms", "project_id": "p_demo0001"},
            {"service": "dts", "migration_job_id": "dtsdemo0001"},
            {"service": "drs", "job_id": "163b98e8-6088-46c3-8b86-c18fea6jb502"},
        ],
        "faults": list(faults),
    }


def test_faults_follow_the_seed(play: Callable[..., Any]) -> None:
    scenario = oms_with({"kind": "throttle", "rate": 0.4})
    first = fates(play(scenario), 40)
    assert first == fates(play(scenario), 40)
    assert 5 < first.count(429) < 30
    assert first != fates(play(scenario, seed=4), 40)


def test_faults_are_independent_between_services(play: Callable[..., Any]) -> None:
    scenario = oms_with({"kind": "throttle", "rate": 0.4})
    alone = fates(play(scenario), 20)
    ask = play(scenario)
    mixed = []
    for _ in range(20):
        ask.dts()
        mixed.append(ask.oms().status)
    assert mixed == alone


def test_faults_of_the_first_requests(play: Callable[..., Any]) -> None:
    assert fates(play(oms_with({"kind": "server_error", "first": 2})), 4) == [500, 500, 200, 200]


def test_faults_of_one_service(play: Callable[..., Any]) -> None:
    ask = play(oms_with({"kind": "server_error", "service": "dts"}))
    assert (ask.dts().status, ask.oms().status) == (503, 200)


@pytest.mark.parametrize(
    ("fault", "statuses", "hints"),
    [
        ({"kind": "throttle"}, (400, 429, 429), (None, None, None)),
        ({"kind": "throttle_with_hint", "hint": 2}, (400, 429, 429), ("2000", "2", "2")),
        ({"kind": "throttle", "status": 503}, (503, 503, 503), (None, None, None)),
        ({"kind": "server_error"}, (503, 500, 500), (None, None, None)),
        ({"kind": "html"}, (502, 502, 502), (None, None, None)),
        ({"kind": "html", "status": 200}, (200, 200, 200), (None, None, None)),
    ],
)
def test_faults_have_the_form_of_the_vendor(
    play: Callable[..., Any],
    fault: dict[str, Any],
    statuses: tuple[int, ...],
    hints: tuple[str | None, ...],
) -> None:
    ask = play(oms_with(fault))
    replies = [ask.dts(), ask.oms(), ask.drs_objects()]
    assert tuple(reply.status for reply in replies) == statuses
    found = [reply.headers.get("x-acs-retry-after") or reply.headers.get("retry-after") for reply in replies]
    assert tuple(found) == hints
    if fault["kind"] == "html":
        assert all(reply.body.startswith(b"<html>") for reply in replies)
    else:
        assert (
            "Throttling.User" in replies[0].body.decode() or "ServiceUnavailable" in replies[0].json["Code"]
        )


def test_faults_of_iam_have_its_form(play: Callable[..., Any]) -> None:
    ask = play(oms_with({"kind": "server_error", "service": "iam"}))
    assert ask.iam_token().json["error"]["title"] == "Internal Server Error"
    assert ask.drs_objects().status == 200


def test_throttled_request_uses_up_its_nonce(play: Callable[..., Any]) -> None:
    ask = play(oms_with({"kind": "throttle", "first": 1}))
    assert ask.dts(nonce="once").json["Code"] == "Throttling.User"
    assert ask.dts(nonce="once").json["Code"] == "SignatureNonceUsed"


def test_faults_need_authentication(play: Callable[..., Any]) -> None:
    assert play(oms_with({"kind": "server_error"})).dts(secret="wrong").status == 400


def test_truncated_answer_is_too_short(play: Callable[..., Any]) -> None:
    ask = play(oms_with({"kind": "truncated", "first": 1}))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask.oms()
    assert b'"success":true' in caught.value.partial
    assert ask.oms().status == 200


def test_dropped_connection_has_no_answer(play: Callable[..., Any]) -> None:
    ask = play(oms_with({"kind": "drop", "first": 1}))
    with pytest.raises(ConnectionError):
        ask.oms()
    assert ask.oms().status == 200
    assert [(r.status, r.fault) for r in ask.simulator.requests] == [(0, "drop"), (200, None)]


def test_slow_answer_does_not_block_others(play: Callable[..., Any]) -> None:
    ask = play(oms_with({"kind": "slow", "delay": 0.4, "first": 1}))
    begin = time.monotonic()
    assert ask.oms().status == 200
    assert time.monotonic() - begin >= 0.4
