"""
The exceptions of this package, as one tree.

::

    MigrationError
    ├── MigrationConfigurationError    *  an argument or a connection is wrong; no request was sent
    ├── MigrationConnectionNotFoundError  Airflow has no such connection, or cannot read it just now
    ├── MigrationApiError                 a call got no usable answer
    │   ├── MigrationAuthenticationError  *  the key, the password or the token is not accepted
    │   ├── MigrationPermissionError      *  the key lacks the permission for this call
    │   ├── MigrationNotFoundError        *  the service does not know this id
    │   ├── MigrationRequestError         *  the service refuses the request as malformed
    │   ├── MigrationThrottledError       the caller is throttled; transient
    │   ├── MigrationServiceError         the service is unavailable or unreachable; transient
    │   └── MigrationResponseError        the answer is invalid; transient
    └── MigrationFailedError           *  the migration itself will not reach the target

Those with a star derive from ``AirflowFailException``: a retry cannot help, so Airflow does not retry
the task, and ``soft_fail`` turns each into a skip in every mode. That base class is the reason why this
is the one module of the core that imports Airflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow.providers.common.compat.sdk import AirflowFailException

if TYPE_CHECKING:
    from airflow_provider_migration.progress import MigrationProgress


class MigrationError(Exception):
    """
    Base of all errors of this package.

    :cvar is_transient: true if a retry may help.
    :ivar tolerated_after_success: true if a wait that has already had an answer treats this error as a failed
        poll, although it is final at the first poll: a refusal that is not the service's own, a clock that
        differs, a certificate that does not verify.
    :ivar hints: sentences that follow the message: advice on its cause, and the answer to a second call.
    :ivar connection: the connection that was used, which is named last; empty where it does not matter.
    """

    is_transient: ClassVar[bool] = False
    tolerated_after_success: bool = False
    hints: tuple[str, ...] = ()
    connection: str = ""

    def add_hint(self, hint: str) -> None:
        """Add a sentence unless it is there already: polls that share a request share its error."""
        if hint not in self.hints:
            self.hints += (hint,)

    def __str__(self) -> str:
        last = (f"The connection is {self.connection}.",) if self.connection else ()
        return " ".join((super().__str__(), *self.hints, *last))

    def to_json(self) -> dict[str, Any]:
        """Return the error as plain JSON, for :func:`error_from_json` on another machine."""
        data: dict[str, Any] = {"type": type(self).__name__, "message": str(self)}
        return data | {name: True for name in _FLAGS if getattr(self, name, False)}


class MigrationConfigurationError(MigrationError, AirflowFailException, ValueError):
    """
    An argument or a connection is wrong. The message names it and says what to write instead.

    :ivar reason: ``tls`` for a certificate that does not verify, ``dns`` for a host of the region that does
        not resolve, else None.
    """

    def __init__(
        self, message: str = "", *, reason: str | None = None, tolerated_after_success: bool = False
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.tolerated_after_success = tolerated_after_success

    def to_json(self) -> dict[str, Any]:
        """Return the error as plain JSON, for :func:`error_from_json` on another machine."""
        return super().to_json() | ({"reason": self.reason} if self.reason else {})


class MigrationConnectionNotFoundError(MigrationError, ValueError):
    """
    There is no such connection, or Airflow cannot read it just now; Airflow's error is the same for both.

    Not a :class:`MigrationConfigurationError`: a secrets backend that is down for a moment must not keep
    Airflow from retrying the task.
    """

    tolerated_after_success = True


class MigrationApiError(MigrationError):
    """
    A call did not give a usable answer.

    :ivar service: ``dataworks``, ``dts``, ``oms`` or ``drs``.
    :ivar action: the vendor's name of the call.
    :ivar http_status: status of the answer, or None when there was none.
    :ivar code: the service's own error code, or None.
    :ivar request_id: the id that the vendor's support asks for, or None.
    :ivar retry_after: seconds that the server asks to wait, or None.
    :ivar reason: why no answer came: ``timeout``, ``refused``, ``dns``, ``tls``, ``proxy`` or ``cut_off``;
        None for other errors.
    :ivar is_cut_short: true if the limits of one poll ended the call, so that the same request may succeed
        for another poll. Not part of :meth:`to_json`.
    """

    is_cut_short: bool = False

    def __init__(
        self,
        message: str = "",
        *,
        service: str = "",
        action: str = "",
        http_status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.service = service
        self.action = action
        self.http_status = http_status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.reason = reason

    def to_json(self) -> dict[str, Any]:
        """Return the error as plain JSON, for :func:`error_from_json` on another machine."""
        return {**super().to_json(), **{name: getattr(self, name) for name in _API_FIELDS}}


class MigrationAuthenticationError(MigrationApiError, AirflowFailException):
    """The key, the password or the token is not accepted."""


class MigrationPermissionError(MigrationApiError, AirflowFailException):
    """The key is known but lacks the right."""


class MigrationNotFoundError(MigrationApiError, AirflowFailException):
    """The service does not know the id."""


class MigrationRequestError(MigrationApiError, AirflowFailException):
    """The service refuses the request as malformed."""


class MigrationThrottledError(MigrationApiError):
    """
    The service throttles the caller.

    :ivar quota_exhausted: true if a quota of a day or of an edition is used up, so that a retry within the
        same poll cannot help.
    """

    is_transient = True
    quota_exhausted: bool = False


class MigrationServiceError(MigrationApiError):
    """The service is unavailable or cannot be reached."""

    is_transient = True


class MigrationResponseError(MigrationApiError):
    """The answer is cut off, too large, too slow, a redirect or not what the service documents."""

    is_transient = True


class MigrationFailedError(MigrationError, AirflowFailException):
    """
    The migration has failed, or ended before reaching the target.

    :ivar progress: the last record.
    """

    def __init__(self, message: str = "", progress: MigrationProgress | None = None) -> None:
        super().__init__(message)
        self.progress = progress

    def to_json(self) -> dict[str, Any]:
        """Return the error as plain JSON, for :func:`error_from_json` on another machine."""
        progress = self.progress.model_dump(mode="json") if self.progress else None
        return {**super().to_json(), "progress": progress}


_ERRORS: Final[dict[str, type[MigrationError]]] = {
    error.__name__: error
    for error in (
        MigrationConfigurationError,
        MigrationConnectionNotFoundError,
        MigrationApiError,
        MigrationAuthenticationError,
        MigrationPermissionError,
        MigrationNotFoundError,
        MigrationRequestError,
        MigrationThrottledError,
        MigrationServiceError,
        MigrationResponseError,
        MigrationFailedError,
    )
}
_API_FIELDS: Final = ("service", "action", "http_status", "code", "request_id", "retry_after", "reason")
_FLAGS: Final = ("tolerated_after_success", "quota_exhausted")


def error_from_json(data: dict[str, Any], *, prefix: str = "") -> MigrationError:
    """
    Rebuild an error from the output of :meth:`MigrationError.to_json`.

    Unknown data from another version of this package is ignored.

    :param prefix: text to put before the message.
    """
    error_class = _ERRORS.get(data.get("type", ""), MigrationError)
    message = f"{prefix}{data.get('message', '')}"
    error: MigrationError
    if issubclass(error_class, MigrationApiError):
        error = error_class(message, **{name: data[name] for name in _API_FIELDS if name in data})
    elif issubclass(error_class, MigrationFailedError) and data.get("progress"):
        from airflow_provider_migration.progress import MigrationProgress

        error = error_class(message, MigrationProgress.model_validate(data["progress"]))
    else:
        error = error_class(message)
        if isinstance(error, MigrationConfigurationError) and data.get("reason"):
            error.reason = data["reason"]
    for name in _FLAGS:
        if data.get(name) and not getattr(error, name, False):
            setattr(error, name, True)
    return error
