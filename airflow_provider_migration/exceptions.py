"""
What can go wrong, as one tree.

::

    MigrationError
    ├── MigrationConfigurationError    *  an argument or a connection is wrong; no request was sent
    │   └── MigrationConnectionNotFoundError  *  Airflow has no such connection, or cannot read it just now
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

    :cvar passing: whether asking again may help.
    """

    passing: ClassVar[bool] = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON from which :func:`error_from_json` makes the same error, on another machine."""
        return {"type": type(self).__name__, "message": str(self)}


class MigrationConfigurationError(MigrationError, AirflowFailException, ValueError):
    """An argument or a connection is wrong. The message names it and says what to write instead."""


class MigrationConnectionNotFoundError(MigrationConfigurationError):
    """There is no such connection, or Airflow cannot read it just now: it says the same of both."""


class MigrationApiError(MigrationError):
    """
    A call did not give a usable answer.

    :ivar service: ``dataworks``, ``dts``, ``oms`` or ``drs``.
    :ivar action: the vendor's name of the call.
    :ivar http_status: status of the answer, or None when there was none.
    :ivar code: the service's own error code, or None.
    :ivar request_id: the id that the vendor's support asks for, or None.
    :ivar retry_after: seconds that the server asks to wait, or None.
    """

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
    ) -> None:
        super().__init__(message)
        self.service = service
        self.action = action
        self.http_status = http_status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after

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
    """Asked too often."""

    passing = True


class MigrationServiceError(MigrationApiError):
    """The service is out of order or cannot be reached."""

    passing = True


class MigrationResponseError(MigrationApiError):
    """The answer is cut off, too large, too slow, a redirect or not what the service documents."""

    passing = True


class MigrationFailedError(MigrationError, AirflowFailException):
    """
    The migration has failed, or ended short of the target.

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
_API_FIELDS: Final = ("service", "action", "http_status", "code", "request_id", "retry_after")


def error_from_json(data: dict[str, Any], *, prefix: str = "") -> MigrationError:
    """
    Make the error again that :meth:`MigrationError.to_json` wrote down.

    What another version of this package wrote and this one does not know is left out.

    :param prefix: text to put before the message.
    """
    error = _ERRORS.get(data.get("type", ""), MigrationError)
    message = f"{prefix}{data.get('message', '')}"
    if issubclass(error, MigrationApiError):
        return error(message, **{name: data[name] for name in _API_FIELDS if name in data})
    if issubclass(error, MigrationFailedError) and data.get("progress"):
        from airflow_provider_migration.progress import MigrationProgress

        return error(message, MigrationProgress.model_validate(data["progress"]))
    return error(message)
