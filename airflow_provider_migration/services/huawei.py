"""Errors, hosts and the forms of refusals that the services of Huawei Cloud share."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from airflow_provider_migration.api_errors import api_error, error_by_code, error_by_status, own_code
from airflow_provider_migration.exceptions import (
    MigrationApiError,
    MigrationAuthenticationError,
    MigrationNotFoundError,
    MigrationPermissionError,
    MigrationRequestError,
    MigrationServiceError,
    MigrationThrottledError,
)
from airflow_provider_migration.sansio import Request, Response
from airflow_provider_migration.services.wire import WireModel, json_object

ERRORS: Final[tuple[tuple[str, type[MigrationApiError]], ...]] = (
    (r"APIG[W.]*\.?0301|APIG[W.]*\.?0307", MigrationAuthenticationError),
    (r"APIG[W.]*\.?0308", MigrationThrottledError),
    (r"DRS\.(M05003|M05004|M00289|10000010)$", MigrationNotFoundError),
    (r"DRS\.M00100$", MigrationAuthenticationError),
    (r"DRS\.M00(101|102|103|105|261)$", MigrationPermissionError),
    (r"DRS\.M01503$", MigrationThrottledError),
    (r"DRS\.(M00002|M00004|M01501|M01504|10000001)$", MigrationServiceError),
    (r"DRS\.M00(007|2\d\d|30\d)$", MigrationRequestError),
)
"""
Error codes; the first matching row counts, for other codes the HTTP status.

Sources: https://support.huaweicloud.com/intl/en-us/api-drs/drs_05_0004.html for DRS, and the error page of
the API gateway for ``APIG`` and ``APIGW``. DRS answers an unknown job with HTTP 400.
"""


class ErrorBody(WireModel):
    """A refusal as the API gateway writes it."""

    error_code: str | None = None
    error_msg: str | None = None
    error_message: str | None = None
    request_id: str | None = None

    @property
    def text(self) -> str | None:
        """The message."""
        return self.error_msg or self.error_message


class _Refusal(ErrorBody):
    """A refusal in each form: DRS v3 puts the code into the result of a job, whatever the HTTP status."""

    results: list[ErrorBody] | None = None

    def first(self) -> ErrorBody:
        """Return the first part with a code, else the first with a text."""
        parts = [self, *(self.results or ())]
        with_code = (part for part in parts if part.error_code)
        return next(with_code, None) or next((part for part in parts if part.text), self)


def api_object(request: Request[Any], response: Response) -> dict[str, Any]:
    """
    Return the response of a call as an object; some calls succeed with HTTP 202.

    :raises MigrationApiError: if the call was refused, also inside an HTTP 202.
    """
    data = json_object(request, response)
    if not error_by_status(response.status) and not ErrorBody.read(data).error_code:
        return data
    refusal = _Refusal.read(data)
    said = refusal.first()
    code = own_code(response, said.error_code)
    raise refused(request, response, code, said.text, refusal.request_id or said.request_id)


def refused(
    request: Request[Any],
    response: Response,
    code: str | None,
    text: str | None,
    request_id: str | None = None,
) -> MigrationApiError:
    """Create the error for a refusal by its code, else by the HTTP status."""
    error = error_by_code(ERRORS, code) or error_by_status(response.status) or MigrationServiceError
    request_id = request_id or response.headers.get("x-request-id")
    return api_error(error, request, response, text, code=code, request_id=request_id)


def _domain_of(region: str | None) -> str:
    return "myhuaweicloud.eu" if region == "eu-west-101" else "myhuaweicloud.com"


def host_of(product: str, region: str) -> str:
    """
    Return the host of a product in a region; Europe has its own domain.

    Source: https://developer.huaweicloud.com/endpoint.
    """
    return f"{product}.{region}.{_domain_of(region)}"


def iam_endpoint_of(region: str | None) -> str:
    """Return the host of IAM in a region; the global host without a region."""
    return host_of("iam", region) if region else "iam.myhuaweicloud.com"


def is_in_cloud_of(url: str, region: str | None) -> bool:
    """
    Tell whether an address is in the cloud whose IAM is :func:`iam_endpoint_of` a region.

    Passwords and keys for any other address must not be sent to that IAM. Europe's cloud has separate
    accounts, so the addresses of one cloud are not in the other.
    """
    host, domain = (urlsplit(url).hostname or "").removesuffix("."), _domain_of(region)
    return host == domain or host.endswith(f".{domain}")
