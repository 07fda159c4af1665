"""
Send the messages of alerts with Airflow's notifiers.

A notifier that fails or hangs costs one warning: no wait ends or is late because of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import BaseNotifier
from asgiref.sync import sync_to_async

from airflow_provider_migration.compat import can_look_up_beside_others, task_address, template_accessors
from airflow_provider_migration.notifications.texts import texts
from airflow_provider_migration.progress import MigrationProgress, clean_text
from airflow_provider_migration.wait.alerts import Notification

_T = TypeVar("_T")

SEND_SECONDS: Final = 10.0
"""Maximum seconds for a message."""

MAX_SENDING: Final = 20
"""Maximum number of triggers of one event loop that send at the same time."""

MAX_THREADS: Final = 100
"""Maximum number of threads that send: those of notifiers that hang cannot be ended."""

_THREAD_NAME: Final = "migration-alert"

_ADDRESS: Final = re.compile(
    r"""
    (https?://)(?:[^\s/?\#'"@]*@)?([^\s/?\#'"<>),]*[/?\#]?)[^\s'"<>),]*
    | ((?!https?:)\b[a-z][\w+.-]*://)[^\s'"<>),]+  # Apprise's, whose host is a secret too
    | (\burl:\s/)[^\s'"<>),]+                       # as urllib3 names a path
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Addresses in errors: the path and the query of a webhook are its secret."""

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Message:
    """
    A message of an alert, with the variables of its templates.

    :ivar notification: the alert, and whether its condition was entered or left.
    :ivar record: the last record in plain JSON, or None.
    :ivar wait: XCom ``migration_wait`` in plain JSON.
    :ivar task_key: ``dag_id``, ``task_id``, ``run_id`` and ``map_index`` of the task; None for a watcher.
    """

    notification: Notification
    record: dict[str, Any] | None
    wait: dict[str, Any]
    task_key: Mapping[str, Any] | None

    def __str__(self) -> str:
        """Return the alert's name in a log line."""
        alert = self.notification.alert
        what = "the end of alert" if self.notification.is_over else "alert"
        return f"{what} {alert.when!r} with {alert.notifier}"

    def context(self) -> dict[str, Any]:
        """Return the variables for the notifier's templates."""
        due = self.notification
        alert: dict[str, Any] = {
            "when": due.alert.when,
            "is_over": due.is_over,
            "since": due.since,
            "at": due.at,
            "after": due.alert.after,
            "above": due.alert.above,
            "reason": self.wait.get("reason"),
        }
        key, link, task = self.task_key, "", ""
        if key is not None:
            link, task = task_address(**key), f"{key['dag_id']}.{key['task_id']}"
            task += f"[{key['map_index']}]" if key["map_index"] >= 0 else ""
        ready = texts({**alert, "task": task}, self.record, self.wait, link)
        return {
            "alert": {**alert, **ready["en"], "zh": ready["zh"]},
            "record": self.record,
            "wait": self.wait,
            "link": link,
            "ti": SimpleNamespace(**(self.task_key or {})),
            "dag": None,
            **template_accessors(),
        }


def messages_of(
    due: Iterable[Notification],
    progress: MigrationProgress | None,
    wait: dict[str, Any],
    task_key: Mapping[str, Any] | None,
) -> list[Message]:
    """Return the messages of the alerts that are due after a poll."""
    record = progress.model_dump(mode="json") if progress else None
    return [Message(notification, record, wait, task_key) for notification in due]


def send(messages: Iterable[Message], log: Callable[..., Any], seconds: float) -> None:
    """
    Send messages from a worker.

    :param log: takes the level, ``"%s"`` and the text of a log line.
    :param seconds: maximum seconds for all messages together; before Airflow 3.3.2, whose workers have one
        thread that may look up connections, for each.
    """
    sending: dict[Future[None], Message] = {}
    for message in messages:
        try:
            future = _in_thread(partial(_send, message))
        except RuntimeError as problem:  # also if the system has no thread left
            log(logging.WARNING, "%s", _failed(message, problem))
            continue
        sending[future] = message
        if not can_look_up_beside_others():
            wait([future], seconds)
    if can_look_up_beside_others():
        wait(sending, seconds)
    for future, message in sending.items():
        if not future.done():
            log(logging.WARNING, "%s", _unanswered(message, seconds))
        elif (error := future.exception()) is not None:
            log(logging.WARNING, "%s", _failed(message, error))
        else:
            log(logging.INFO, "%s", f"Sent {message}.")


def turn() -> asyncio.Semaphore:
    """Return the semaphore that a trigger holds while it sends."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_SENDING))


async def asend(messages: Iterable[Message], log: Callable[..., Any]) -> None:
    """
    Send messages from an event loop; each takes at most :data:`SEND_SECONDS`.

    :param log: takes the level, ``"%s"`` and the text of a log line.
    """
    await asyncio.gather(*(_asend_and_log(message, log) for message in messages))


async def _asend_and_log(message: Message, log: Callable[..., Any]) -> None:
    # A notifier that hangs may ignore its cancellation: it is abandoned, not awaited.
    sending = asyncio.create_task(_asend(message))
    try:
        _, unanswered = await asyncio.wait([sending], timeout=SEND_SECONDS)
    finally:
        sending.cancel()
    if unanswered or sending.cancelled():
        log(logging.WARNING, "%s", _unanswered(message, SEND_SECONDS))
    elif (error := sending.exception()) is not None:
        log(logging.WARNING, "%s", _failed(message, error))
    else:
        log(logging.INFO, "%s", f"Sent {message}.")


def _prepare(message: Message) -> tuple[BaseNotifier, Any]:
    """Create the notifier, and render its templates."""
    alert, context = message.notification.alert, message.context()
    notifier: BaseNotifier = resolve_name(alert.notifier)(**alert.notifier_kwargs)
    rendered: Any = context
    notifier.render_template_fields(rendered)
    return notifier, rendered


def _send(message: Message) -> None:
    _notify(*_prepare(message))


def _notify(notifier: BaseNotifier, context: Any) -> None:
    try:
        notifier.notify(context)
    except NotImplementedError:
        asyncio.run(notifier.async_notify(context))


async def _asend(message: Message) -> None:
    try:
        # In a thread, because templates may look up variables, and a notifier's module may take long to load.
        notifier, context = await _off_the_loop(partial(_prepare, message))
        # Before 3.1, Airflow has no asynchronous notifiers, and lacks methods that its providers call.
        if hasattr(BaseNotifier, "async_notify"):
            try:
                await notifier.async_notify(context)
                return
            except NotImplementedError:
                pass
        await _off_the_loop(partial(_notify, notifier, context))
    except SystemExit as problem:  # would end the event loop, and every trigger with it
        raise RuntimeError(repr(problem)) from None


async def _off_the_loop(function: Callable[[], _T]) -> _T:
    if can_look_up_beside_others():
        return await asyncio.wrap_future(_in_thread(function))
    return await sync_to_async(function)()


def _in_thread(function: Callable[[], _T]) -> Future[_T]:
    """
    Run a function in a thread that does not keep the process alive, as those of an executor do.

    :raises RuntimeError: if too many notifiers hang.
    """
    if sum(thread.name == _THREAD_NAME for thread in threading.enumerate()) >= MAX_THREADS:
        raise RuntimeError(f"{MAX_THREADS} earlier messages have not ended: see which notifier hangs")
    future: Future[_T] = Future()
    future.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(function))
        except BaseException as problem:
            future.set_exception(problem)

    threading.Thread(target=run, name=_THREAD_NAME, daemon=True).start()
    return future


def _failed(message: Message, problem: BaseException) -> str:
    error = f"{type(problem).__name__}: {problem}"[:2000]  # before the search, which is slow in long texts
    text = clean_text(_ADDRESS.sub(r"\1\2\3\4…", error), 500)
    return f"Cannot send {message}: {text}. Check the notifier's connection and notifier_kwargs."


def _unanswered(message: Message, seconds: float) -> str:
    return f"Cannot tell whether {message} was sent: no answer within {seconds:g} s."
