"""
Mistakes that ``make lint`` must find: were one to pass, its ignored error would be reported as unused.

Nothing imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_migration.sansio import Flow, Request, Response, send, send_optional


def read_number(request: Request[Any], response: Response) -> int:
    return response.status


def read_numbers(request: Request[Any], response: Response) -> list[int]:
    return [response.status]


def flow(request: Request[int]) -> Flow[str]:
    text: str = yield from send(request)  # type: ignore[assignment] # a number is not a string
    return text


def flow_of_another_type(request: Request[int]) -> Flow[str]:
    number = yield from send(request)
    return number  # type: ignore[return-value] # a number is not a string


def flow_without_a_check(request: Request[int]) -> Flow[int]:
    number: int = yield from send_optional(request)  # type: ignore[assignment] # it may be None
    return number


def wrong_reader(request: Request[int]) -> Request[int]:
    return Request(
        service=request.service,
        action=request.action,
        method=request.method,
        url=request.url,
        signer=request.signer,
        read=read_numbers,  # type: ignore[arg-type] # reads a list
    )


def wrong_batch(request: Request[int]) -> Request[int]:
    def batch(items: Sequence[str]) -> Request[Mapping[str, str]]:
        return Request(
            service=request.service,
            action=request.action,
            method=request.method,
            url=request.url,
            signer=request.signer,
            read=lambda request, response: dict.fromkeys(items, ""),
        )

    return Request(
        service=request.service,
        action=request.action,
        method=request.method,
        url=request.url,
        signer=request.signer,
        read=read_number,
        batch=batch,  # type: ignore[arg-type] # its answers are texts
    )
