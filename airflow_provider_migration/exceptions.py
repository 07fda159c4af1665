"""
What can go wrong, as one tree.

::

    MigrationError
    ├── MigrationConfigurationError    *  an argument or a connection is wrong; no request was sent
    ├── MigrationConnectionNotFoundError  Airflow has no such connection, or cannot read it just now
    ├── MigrationApiError                 the service, or the way to it, did not answer as it should
    │   ├── MigrationAuthenticationError  *  the key, the password or the token is not accepted
    │   ├── MigrationPermissionError      *  the key is known but may not ask this
    │   ├── MigrationNotFoundError        *  the service does not know this id
    │   ├── MigrationRequestError         *  the service refuses the request as malformed
    │   ├── MigrationThrottledError       asked too often; may be asked again
    │   ├── MigrationServiceError         out of order or out of reach; may be asked again
    │   └── MigrationResponseError        the answer cannot be understood; may be asked again
    └── MigrationFailedError           *  the migration itself will not reach the target

Those with a star derive from ``AirflowFailException``: no retry can heal them, so Airflow spends
none, and ``soft_fail`` turns each into a skip in every mode. That base class is the reason why this
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

    :cvar is_transient: whether asking again may help.
    :ivar tolerated_after_success: whether a wait that has already had an answer treats this error as a failed
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
        """Add a sentence, once: polls that share a request are given the same error."""
        if hint not in self.hints:
            self.hints += (hint,)

    def __str__(self) -> str:
        last = (f"The connection is {self.connection}.",) if self.connection else ()
        return " ".join((super().__str__(), *self.hints, *last))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON from which :func:`error_from_json` makes the same error, on another machine."""
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
        """Return plain JSON from which :func:`error_from_json` makes the same error, on another machine."""
        return super().to_json() | ({"reason": self.reason} if self.reason else {})


class MigrationConnectionNotFoundError(MigrationError, ValueError):
    """
    There is no such connection, or Airflow cannot read it just now: it says the same of both.

    Not a :class:`MigrationConfigurationError`: a secrets backend that is away for a moment must not keep
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
    :ivar is_cut_short: whether the limits of one poll ended the call, so that the same question may still be
        worth asking for another poll. Stays within the process.
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
        """Return plain JSON from which :func:`error_from_json` makes the same error, on another machine."""
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
    Asked too often.

    :ivar quota_exhausted: whether a quota of a day or of an edition is used up, so that asking again within
        the same poll cannot help.
    """

    is_transient = True
    quota_exhausted: bool = False


class MigrationServiceError(MigrationApiError):
    """The service is out of order or cannot be reached."""

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
        """Return plain JSON from which :func:`error_from_json` makes the same error, on another machine."""
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
    Make the error again that :meth:`MigrationError.to_json` wrote down.

    What another version of this package wrote and this one does not know is left out.

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
