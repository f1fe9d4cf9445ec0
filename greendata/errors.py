"""Errors: one root, a class a meaning, the exit code on the class (design, section 7)."""

from __future__ import annotations

from typing import ClassVar


class GreendataError(Exception):
    """Root of every error this program raises on purpose.

    The message says what happened and where (URI); ``hint`` is one line on what to do.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(GreendataError, ValueError):
    """An argument or option makes no sense."""

    exit_code = 2


class ConfigError(GreendataError, ValueError):
    """``greendata.yaml`` or an environment setting is wrong."""

    exit_code = 10


class PolicyError(GreendataError, ValueError):
    """A policy file is wrong: each line of the message begins with ``file:line:column``."""

    exit_code = 11


class PlanError(GreendataError, ValueError):
    """A plan cannot be made, or is not what it was: the inventory is stale, a file was changed."""

    exit_code = 12


class PolicyCaseError(GreendataError):
    """A case beside a policy expects another decision than the policies make."""

    exit_code = 13


class StoreUnreachableError(GreendataError, ConnectionError):
    """A store does not answer, or a device fails below it.

    ``is_retryable``: the same request may succeed a little later.
    """

    exit_code = 20

    def __init__(
        self, message: str, *, hint: str | None = None, is_retryable: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.is_retryable = is_retryable


class ServiceError(GreendataError, ConnectionError):
    """A service that is no store (a signal, a webhook, mail) fails or answers with nonsense.

    ``is_retryable``: the same request may succeed a little later, after ``wait_seconds`` if it
    said so.
    """

    exit_code = 20

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        is_retryable: bool = False,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.is_retryable = is_retryable
        self.wait_seconds = wait_seconds


class DeniedError(GreendataError, PermissionError):
    """The store refuses the operation."""

    exit_code = 21


class ObjectNotFoundError(GreendataError, FileNotFoundError):
    """No object, folder or match at this URI."""

    exit_code = 22


class MissingFactError(GreendataError, LookupError):
    """The data files do not know a price, a region or a class; it is named and never zero."""

    exit_code = 22


class ObjectChangedError(GreendataError):
    """An object is not the one that was planned or listed: its ETag moved."""

    exit_code = 30


class PreconditionFailedError(ObjectChangedError):
    """A conditional request was refused: the object is there, is gone, or has another ETag."""


class ObjectArchivedError(GreendataError):
    """The object is in an archive tier, or on its way out of it: it cannot be read now."""

    exit_code = 30


class ObjectHeldError(DeniedError):
    """A hold, a retention time, an immutability policy or a lease forbids the change."""


class ObjectEncryptedError(DeniedError):
    """The object is encrypted with a key that only its owner has, and never gave to the store."""


class UnsupportedError(GreendataError):
    """The store cannot do this, or not safely."""

    exit_code = 33


class IntegrityError(GreendataError, ValueError):
    """Bytes are damaged or cut short, or do not decode."""

    exit_code = 31


class LimitExceededError(GreendataError):
    """A stated limit (memory, disk, expansion, record size) would be passed."""

    exit_code = 32


class LockedError(GreendataError):
    """Somebody else is at work on the same thing."""

    exit_code = 40


class LeaseLostError(LockedError):
    """This process may not change a store any more: its lease ended, or somebody took it over."""


class CatalogTooNewError(GreendataError):
    """The catalog was written by a newer program."""

    exit_code = 41


class ExtraMissingError(GreendataError, ImportError):
    """An optional dependency is not installed."""

    exit_code = 50


class UnreadableShardError(IntegrityError):
    """An object that should hold documents cannot be read as its format says.

    Scans turn it into a skipped object; it never stops the others.
    """


class CatalogError(GreendataError):
    """The catalog cannot be read or written."""

    exit_code = 20


class CommitConflictError(GreendataError):
    """Another process committed first; the caller rebases and tries again."""

    exit_code = 40
