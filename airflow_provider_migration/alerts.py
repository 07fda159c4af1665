"""
Alerts: messages through Airflow's notifiers while a sensor or a watcher waits.

A DAG file imports this module, so it imports nothing that costs time.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Final, NoReturn, Self

STALLED: Final = "stalled"
LAG_ABOVE: Final = "lag_above"
PAUSED: Final = "paused"
POLLS_FAILING: Final = "polls_failing"
VERIFICATION_FAILED: Final = "verification_failed"
REMAINING_ABOVE: Final = "remaining_above"
REACHED: Final = "reached"
FAILED: Final = "failed"

CONDITIONS: Final = (
    STALLED,
    LAG_ABOVE,
    PAUSED,
    POLLS_FAILING,
    VERIFICATION_FAILED,
    REMAINING_ABOVE,
    REACHED,
    FAILED,
)
"""Every ``when``."""

WITH_THRESHOLD: Final = (LAG_ABOVE, REMAINING_ABOVE)
"""Conditions that compare a figure with ``above``."""

AT_THE_END: Final = (REACHED, FAILED)
"""Conditions that the end of a wait decides."""

WHATEVER_AFTER: Final = (*AT_THE_END, POLLS_FAILING)
"""Conditions that are told at once when a wait ends with them: no later poll could tell."""

_SECRET_NAME: Final = re.compile(
    r"(passw(or)?d|passphrase|secret|token|credential|authorization|cookie|webhook([_-]?ur[il])?"
    r"|(api|access|private|signing|integration|routing)[_-]?key)s?$",
    re.IGNORECASE,
)
"""Ends of names that say that the value is a secret; ``token_url`` and ``slack_conn_id`` do not."""

_SECRET_VALUE: Final = re.compile(
    r"""
    ://[^/\s:@]*:[^/\s@]+@                                               # a URL with a password
    | \A\s*(?!(https?|file|s?ftps?|s3a?|gs|oss|obs|hdfs):)[a-z][\w+-]*:// # Apprise's, whose parts are tokens
    | hook[^\s?\#]*/(?=[\w-]*\d)[\w-]{16,}                               # a webhook of Slack, Feishu, Teams …
    | /bot\d+:[\w-]{16,}                                                 # of Telegram
    | [?&]\w*(token|secret|key|sig|signature|password)=[^\s&]{16,}       # of DingTalk, WeCom …
    | \A\s*(Authorization:\s*)?(Bearer|Basic)\s+[\w.~+/=-]{16,}\s*\Z
    | \bx(ox[a-z]|app)-\w[\w-]{9,}                                       # a token of Slack
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TEMPLATE: Final = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, init=False)
class MigrationAlert:
    """
    A message when a migration enters a condition, and one when it leaves it.

    Each message is sent once, also across restarts of a triggerer. An alert never fails or delays the wait: a
    notifier that fails or takes more than 10 s is one warning in the task's log.

    :param when: the condition: ``stalled`` (running, and nothing moves), ``lag_above``, ``paused``,
        ``polls_failing``, ``verification_failed`` (the service's data check found differences, or failed),
        ``remaining_above`` (the time left of the bulk work), ``reached`` (the target) or ``failed`` (the
        migration failed, or the wait ended without reaching its target).
    :param notifier: a class derived from Airflow's ``BaseNotifier``, or its import path. Worker and triggerer
        import it, so it cannot be defined in the DAG file.
    :param after: seconds, or a timedelta, for which the condition must hold before the message is sent;
        ``stalled`` needs it. A wait that ends sends ``reached``, ``failed`` and ``polls_failing`` at once.
    :param above: the threshold of ``lag_above`` and ``remaining_above`` in seconds, or a timedelta.
    :param notifier_kwargs: arguments of the notifier, in plain JSON. They are stored with the trigger, so
        secrets belong in a connection. Templates in the notifier's own template fields are rendered when
        the message is sent, with ``alert``, ``record``, ``wait`` and ``link``.
    :param resolve: False to send no message when the condition is left.
    :raises MigrationConfigurationError: for a wrong argument.
    :ivar key: short digest of the arguments: identifies the alert in the stored state of a wait.
    """

    when: str
    notifier: str
    after: float
    above: float | None
    notifier_kwargs: dict[str, Any]
    resolve: bool
    key: str = field(repr=False, compare=False)

    def __init__(
        self,
        when: str,
        notifier: str | type[Any],
        *,
        after: float | timedelta = 0,
        above: float | timedelta | None = None,
        notifier_kwargs: Mapping[str, Any] | None = None,
        resolve: bool = True,
    ) -> None:
        """Validate the arguments, and keep them as plain JSON."""
        if when not in CONDITIONS:
            _refuse(f"when must be one of {', '.join(CONDITIONS)}, not {when!r}")
        given = {
            "when": when,
            "notifier": _import_path(when, notifier),
            "after": _after(when, _seconds(after)),
            "above": _above(when, _seconds(above)),
            "notifier_kwargs": _plain(when, {} if notifier_kwargs is None else notifier_kwargs),
            "resolve": resolve,
        }
        if not isinstance(resolve, bool):
            _refuse_in(when, f"resolve must be True or False, not {resolve!r}")
        made_of = json.dumps(given, sort_keys=True).encode()
        key = hashlib.sha1(made_of, usedforsecurity=False).hexdigest()[:12]
        for name, value in {**given, "key": key}.items():
            object.__setattr__(self, name, value)

    def to_json(self) -> dict[str, Any]:
        """Return the arguments in plain JSON."""
        return {name: getattr(self, name) for name in _ARGUMENTS}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """
        Rebuild an alert from the output of :meth:`to_json`.

        :raises MigrationConfigurationError: for a condition that a later version has added.
        """
        return cls(**{name: value for name, value in data.items() if name in _ARGUMENTS})


_ARGUMENTS: Final = tuple(item.name for item in fields(MigrationAlert) if item.name != "key")


def alerts_to_json(alerts: Sequence[MigrationAlert]) -> list[dict[str, Any]]:
    """
    Return the ``alerts`` of a sensor or a watcher in plain JSON.

    :raises MigrationConfigurationError: for a value that is not a list of alerts, and for an alert that is
        given twice, whose messages could not be told apart.
    """
    if not isinstance(alerts, (list, tuple)):
        _refuse(
            f"alerts must be a list of MigrationAlert, not {_shown(alerts)}; with expand(), give the list to "
            "partial()",
            "",
        )
    for alert in alerts:
        if not isinstance(alert, MigrationAlert):
            _refuse(f"alerts must contain only MigrationAlert(…), not {_shown(alert)}", "")
    keys = [alert.key for alert in alerts]
    for alert in alerts:
        if keys.count(alert.key) > 1:
            _refuse(f"({alert.when!r}) is given twice in alerts: leave one out")
    return [alert.to_json() for alert in alerts]


def _import_path(when: str, given: object) -> str:
    if isinstance(given, type):
        path = f"{given.__module__}.{given.__qualname__}"
        # Airflow names the module of a DAG file so.
        if given.__module__.startswith(("unusual_prefix_", "__main__")) or "<locals>" in path:
            _refuse_in(
                when,
                f"notifier {given.__qualname__} is defined in the DAG file or in a function, from where the "
                "triggerer cannot import it: move it to a module of its own, such as a file in "
                "$AIRFLOW_HOME/plugins",
            )
        if not callable(getattr(given, "render_template_fields", None)):
            _refuse_in(when, f"notifier {path} is not derived from Airflow's BaseNotifier")
        return path
    if not (isinstance(given, str) and _PATH.fullmatch(given.strip())):
        _refuse_in(
            when,
            "notifier must be a class derived from BaseNotifier or its import path, such as "
            f"'airflow.providers.slack.notifications.slack.SlackNotifier', not {_shown(given)}. Its "
            "arguments are notifier_kwargs",
        )
    return given.strip()


def _after(when: str, given: Any) -> float:
    if not _is_seconds(given):
        _refuse_in(when, f"after must be a number of seconds, 0 or more, or a timedelta, not {given!r}")
    if when == STALLED and not given:
        _refuse_in(when, "after is missing: give the seconds without movement that count as a stall")
    return float(given)


def _above(when: str, given: Any) -> float | None:
    if when not in WITH_THRESHOLD:
        if given is not None:
            _refuse_in(when, f"above is only for {' and '.join(WITH_THRESHOLD)}: leave it out")
        return None
    if given is None:
        _refuse_in(when, "above is missing: give the threshold in seconds")
    if not _is_seconds(given):
        _refuse_in(when, f"above must be a number of seconds, 0 or more, or a timedelta, not {given!r}")
    return float(given)


def _plain(when: str, given: Any) -> dict[str, Any]:
    """Return the arguments of a notifier as plain JSON, without a secret."""
    if not (isinstance(given, Mapping) and all(isinstance(name, str) for name in given)):
        _refuse_in(when, "notifier_kwargs must be a mapping of the notifier's arguments")
    if "context" in given:
        _refuse_in(when, "notifier_kwargs must not contain context, which the alert sets")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(given), allow_nan=False))
    except (TypeError, ValueError) as problem:
        _refuse_in(when, f"notifier_kwargs must be plain JSON: {problem}")
    for name, value in _texts(plain):
        is_named_so = bool(value) and "{{" not in value and _SECRET_NAME.search(name)
        if is_named_so or _SECRET_VALUE.search(_TEMPLATE.sub("", value)):
            _refuse_in(
                when,
                f"notifier_kwargs contains a secret in {name!r}, which would be stored with the trigger: put "
                "it into a connection, and give the notifier the id of that connection, or a template such "
                "as {{ conn.chat.password }}",
            )
    return plain


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Return every text in a JSON value, with the name of the field that holds it."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, name)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, key)


# The sensors' module, which is above this one, has the same two: with a module that both share, each DAG file
# with a sensor would load one more.
def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _shown(value: object) -> str:
    """Return a value for a message; of one that may contain a secret only its type."""
    is_shown = value is None or (isinstance(value, str) and not _SECRET_VALUE.search(value))
    return repr(value) if is_shown else f"a value of type {type(value).__name__}"


def _refuse_in(when: str, problem: str) -> NoReturn:
    _refuse(f"({when!r}): {problem}")


def _refuse(problem: str, subject: str = "MigrationAlert ") -> NoReturn:
    from airflow_provider_migration.exceptions import MigrationConfigurationError

    raise MigrationConfigurationError(f"{subject}{problem}.")
