"""The boto3 client, and its errors in this program's words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
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
from greendata.stores.s3.pages import read_pages

USER_AGENT = "greendata"
"""Marks our own requests, so that access logs can tell them from those of readers."""

_SDK_ATTEMPTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """How to reach S3; credentials come from boto3's own chain.

    ``endpoint_url`` None leaves the choice to boto3 (``AWS_ENDPOINT_URL`` works unaided).
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    path_style: bool = False
    anonymous: bool = False
    expected_bucket_owner: str | None = None
    allow_http: bool = False
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    listing_attempts: int = 6
    max_connections: int = 64


class Client:
    """A boto3 client that is made when it is first used; safe to share between threads."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._made: Any = None
        self._listing: Any = None

    @property
    def sdk(self) -> Any:
        """The boto3 client."""
        with self._lock:
            if self._made is None:
                self._made = self._make(_SDK_ATTEMPTS)
            return self._made

    @property
    def listing_sdk(self) -> Any:
        """A client for listings, whose pages the SDK asks for again by itself."""
        with self._lock:
            if self._listing is None:
                self._listing = self._make(self.settings.listing_attempts)
                read_pages(self._listing)
            return self._listing

    @cached_property
    def host(self) -> str:
        """Host of the endpoint, ``aws`` for Amazon's own."""
        parts = urlsplit(str(self.sdk.meta.endpoint_url))
        host = parts.netloc.rpartition("@")[2]
        return "aws" if (parts.hostname or "").endswith(".amazonaws.com") else host

    def _make(self, attempts: int) -> Any:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        settings = self.settings
        config = Config(
            signature_version=UNSIGNED if settings.anonymous else None,
            s3={"addressing_style": "path" if settings.path_style else "auto"},
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=settings.connect_timeout_seconds,
            read_timeout=settings.read_timeout_seconds,
            max_pool_connections=settings.max_connections,
            user_agent_extra=USER_AGENT,
        )
        try:
            self._session = session = boto3.Session(
                profile_name=settings.profile, region_name=settings.region
            )
            sdk = session.client(
                "s3",
                endpoint_url=settings.endpoint_url,
                region_name=session.region_name or "us-east-1",
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"S3: {error}", hint="Check AWS_PROFILE, the profile and the endpoint."
            ) from error
        check_endpoint(str(sdk.meta.endpoint_url), allow_http=settings.allow_http)
        return sdk

    def owner(self) -> dict[str, str]:
        """The expected owner of the bucket, as an argument of every request."""
        owner = self.settings.expected_bucket_owner
        return {"ExpectedBucketOwner": owner} if owner else {}


def head_object(sdk: Any, place: dict[str, Any]) -> Any:
    """The answer of HEAD. One that fails has no words, so that a GET is asked for them."""
    from botocore.exceptions import ClientError

    try:
        return sdk.head_object(**place)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 400:
            sdk.get_object(**place, Range="bytes=0-0")["Body"].close()
        raise


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn botocore's exceptions into this program's."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise client_error(uri, error.response) from error
    except BotoCoreError as error:
        raise _sdk_error(uri, error) from error


def client_error(uri: str, response: Any) -> GreendataError:
    """This program's error for an answer of S3, or for what it says of one key of many."""
    told = response.get("Error", {})
    code = str(told.get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    detail = f"{uri}: S3 answered {code or status}: {told.get('Message', '')}".rstrip(": ")
    if code in _CREDENTIAL_CODES:
        return DeniedError(detail, hint="Check the AWS credentials (AWS_PROFILE and the like).")
    if code == "NoSuchBucket":
        return ObjectNotFoundError(detail, hint="Check the bucket's name, region and endpoint.")
    if "server side encryption" in str(told.get("Message", "")).lower() and status == 400:
        return ObjectEncryptedError(
            detail, hint="Only who has its key can read or copy it (SSE-C); it is left alone."
        )
    if code == "InvalidObjectState":
        return ObjectArchivedError(detail, hint="It must be restored before it can be read.")
    if code == "PreconditionFailed" or status == 412:
        return PreconditionFailedError(detail)
    if code in ("NotImplemented", "MethodNotAllowed", "InvalidStorageClass") or status == 501:
        return UnsupportedError(detail)
    if code in ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"):
        return IntegrityError(detail)
    if status in (404, 410):
        return ObjectNotFoundError(detail, hint="Check the key, or scan again.")
    if status == 403:
        is_held = any(word in str(told.get("Message", "")).lower() for word in _HOLD_WORDS)
        if is_held:
            return ObjectHeldError(detail, hint="A hold or its retention protects it.")
        return DeniedError(detail, hint="Check the permissions of the role on this prefix.")
    return StoreUnreachableError(
        detail, hint="Run again later.", is_retryable=status in _RETRYABLE or status == 0
    )


_CREDENTIAL_CODES = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
)
_HOLD_WORDS = ("object lock", "legal hold", "retention", "worm", "protected")
_RETRYABLE = frozenset({409, 429, 500, 502, 503, 504})


def _sdk_error(uri: str, error: Any) -> GreendataError:
    from botocore import exceptions

    name = type(error).__name__
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return DeniedError(
            f"{uri}: no AWS credentials were found.",
            hint="Set AWS_PROFILE or the like, or anonymous: true for a public bucket.",
        )
    if isinstance(error, (exceptions.ParamValidationError, exceptions.ProfileNotFound)):
        return ConfigError(f"{uri}: {error}")
    if isinstance(error, exceptions.ChecksumError):
        return IntegrityError(f"{uri}: {error}")
    return StoreUnreachableError(
        f"{uri}: S3 cannot be reached ({name}).",
        hint="Check the endpoint, the network and the name.",
        is_retryable=True,
    )
