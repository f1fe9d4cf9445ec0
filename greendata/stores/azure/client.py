"""The service client of one account, and its errors in this program's words."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from greendata.errors import (
    ConfigError,
    DeniedError,
    GreendataError,
    IntegrityError,
    ObjectArchivedError,
    ObjectEncryptedError,
    ObjectHeldError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnreachableError,
    UnsupportedError,
)
from greendata.stores.remote import check_endpoint

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

USER_AGENT = "greendata"
"""Marks our own requests in the account's logs."""

_SDK_RETRIES = 1
_BACKOFF_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings:
    """How to reach one account.

    Credentials come from ``AZURE_STORAGE_CONNECTION_STRING``, else ``AZURE_STORAGE_KEY`` or
    ``AZURE_STORAGE_SAS_TOKEN``, else from azure-identity's default chain (managed identity, CLI …).
    """

    account: str
    endpoint_url: str | None = None
    anonymous: bool = False
    allow_http: bool = False
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    listing_attempts: int = 6
    max_connections: int = 64


class Client:
    """A service client that is made when it is first used; safe to share between threads."""

    def __init__(self, settings: AzureSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._made: BlobServiceClient | None = None

    @property
    def sdk(self) -> BlobServiceClient:
        """The service client."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    @property
    def store_id(self) -> str:
        """Account, and the host where it is not Azure's own."""
        host = urlsplit(str(self.sdk.url)).netloc
        own = f"az:{self.settings.account}"
        return own if host.endswith(".windows.net") else f"{own}@{host}"

    def _make(self) -> BlobServiceClient:
        from azure.storage.blob import BlobServiceClient, LinearRetry

        settings = self.settings
        options: dict[str, Any] = {
            "retry_policy": LinearRetry(
                backoff=_BACKOFF_SECONDS, retry_total=_SDK_RETRIES, random_jitter_range=0
            ),
            "connection_timeout": settings.connect_timeout_seconds,
            "read_timeout": settings.read_timeout_seconds,
            "user_agent": USER_AGENT,
            "max_single_get_size": 1 << 30,  # one request for one range
            "transport": _transport(settings),
        }
        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        try:
            if connection and not settings.anonymous and settings.endpoint_url is None:
                made = BlobServiceClient.from_connection_string(connection, **options)
            else:
                url = settings.endpoint_url or f"https://{settings.account}.blob.core.windows.net"
                made = BlobServiceClient(url, credential=self._credential(), **options)
        except ValueError as error:
            raise ConfigError(
                "Azure: the connection string or endpoint is malformed.",
                hint="Check AZURE_STORAGE_CONNECTION_STRING.",
            ) from error
        if made.account_name and connection and made.account_name != settings.account:
            raise ConfigError(
                f"az://…@{settings.account}: AZURE_STORAGE_CONNECTION_STRING is of the account"
                f" {made.account_name}.",
                hint="Name that account, or unset the variable.",
            )
        check_endpoint(str(made.url), allow_http=settings.allow_http)
        return made

    def _credential(self) -> Any:
        if self.settings.anonymous:
            return None
        key = os.environ.get("AZURE_STORAGE_KEY")
        if key:
            return {"account_name": self.settings.account, "account_key": key}
        token = os.environ.get("AZURE_STORAGE_SAS_TOKEN")
        if token:
            return token
        from azure.identity import DefaultAzureCredential

        return DefaultAzureCredential()


def _transport(settings: AzureSettings) -> Any:
    """The SDK's own with room for more connections at once than its ten."""
    import requests
    from azure.core.pipeline.transport import RequestsTransport

    session = requests.Session()
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=settings.max_connections)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return RequestsTransport(
        session=session,
        session_owner=True,
        connection_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.read_timeout_seconds,
    )


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn azure.core's exceptions into this program's."""
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        raise _translate(uri, error) from error


def _translate(uri: str, error: Any) -> GreendataError:
    from azure.core import exceptions

    if isinstance(error, exceptions.ClientAuthenticationError):
        return DeniedError(
            f"{uri}: Azure refuses the credentials.",
            hint="Check AZURE_STORAGE_CONNECTION_STRING, the key, the token or `az login`.",
        )
    status = getattr(error, "status_code", None)
    if status is None:
        return StoreUnreachableError(
            f"{uri}: Azure cannot be reached ({type(error).__name__}).",
            hint="Check the account's name, the endpoint and the network.",
            is_retryable=True,
        )
    code = getattr(error, "error_code", None)
    code = str(getattr(code, "value", code) or "")
    return _answer(uri, int(status), code)


def _answer(uri: str, status: int, code: str) -> GreendataError:
    detail = f"{uri}: Azure answered {code or status}."
    if code in _ENCRYPTED:
        return ObjectEncryptedError(
            detail, hint="Only who has its key can read or copy it; it is left alone."
        )
    if code in _ARCHIVED:
        return ObjectArchivedError(detail, hint="It must be restored before it can be read.")
    if code in _HELD or code.startswith("Lease"):
        return ObjectHeldError(detail, hint="A lease, hold, retention or its snapshots protect it.")
    if code in _CONDITIONS or status in (304, 412):
        return PreconditionFailedError(detail)
    if status == 404:
        hint = "Check the account's and the container's name." if "Container" in code else None
        return ObjectNotFoundError(detail, hint=hint or "Check the key, or scan again.")
    if status in (401, 403):
        return DeniedError(detail, hint="Check the role assignments on this container.")
    if code in ("Md5Mismatch", "Crc64Mismatch"):
        return IntegrityError(detail)
    if status == 501 or code in _UNSUPPORTED:
        return UnsupportedError(detail)
    return StoreUnreachableError(detail, hint="Run again later.", is_retryable=status in _RETRYABLE)


_ARCHIVED = frozenset(
    {
        "BlobArchived",
        "BlobBeingRehydrated",
        "CannotVerifyCopySource",
        "BlobTierInadequateForContentLength",
    }
)
_ENCRYPTED = frozenset(
    {"BlobUsesCustomerSpecifiedEncryption", "BlobDoesNotUseCustomerSpecifiedEncryption"}
)
_HELD = frozenset(
    {
        "BlobImmutableDueToPolicy",
        "BlobImmutableDueToLegalHold",
        "LeaseIdMissing",
        "LeaseIdMismatchWithBlobOperation",
        "SnapshotsPresent",
    }
)
_CONDITIONS = frozenset(
    {
        "ConditionNotMet",
        "BlobAlreadyExists",
        "TargetConditionNotMet",
        "SourceConditionNotMet",
        "UnmodifiedSinceConditionNotMet",
    }
)
_UNSUPPORTED = frozenset(
    {"FeatureVersionMismatch", "InvalidBlobTier", "UnsupportedHeader", "NotImplemented"}
)
_RETRYABLE = frozenset({409, 429, 500, 502, 503, 504})
