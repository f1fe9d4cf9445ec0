"""Deleting many versions by one request.

Only by version id: such a version never changes, so that no precondition is needed. The current
object of a key is always deleted by itself, for the one request that compares its ETag does so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from greendata.errors import GreendataError, ObjectNotFoundError, StoreUnreachableError
from greendata.stores.s3.client import client_error, translated
from greendata.stores.uris import parse_uri

MOST_KEYS = 1000
"""Of one request."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_STATUSES = {"AccessDenied": 403, "NoSuchVersion": 404, "NoSuchKey": 404, "SlowDown": 503}

Named = tuple[str, str]
"""URI and version id."""


def can_be_listed(uri: str) -> bool:
    """Whether XML can name the key: one that it cannot would spoil the whole request."""
    return not _UNFIT.search(parse_uri(uri).key)


def delete_together(
    sdk: Any, place: Mapping[str, Any], versions: Sequence[Named]
) -> Iterator[tuple[Named, GreendataError]]:
    """Delete up to ``MOST_KEYS`` versions of a bucket; those that were not, and why."""
    listed = [{"Key": parse_uri(uri).key, "VersionId": version} for uri, version in versions]
    with translated(versions[0][0]):
        answer = sdk.delete_objects(**place, Delete={"Objects": listed})
    deleted = {(entry["Key"], entry.get("VersionId")) for entry in answer.get("Deleted", [])}
    failed = {(e["Key"], e.get("VersionId")): e for e in answer.get("Errors", [])}
    for uri, version in versions:
        key = parse_uri(uri).key
        told = failed.get((key, version))
        if told is None and (key, version) not in deleted:  # some servers name the key alone
            told = failed.get((key, None))
        if told is not None:
            status = {"HTTPStatusCode": _STATUSES.get(str(told.get("Code")), 500)}
            error = client_error(uri, {"Error": told, "ResponseMetadata": status})
            if not isinstance(error, ObjectNotFoundError):
                yield (uri, version), error
        elif (key, version) not in deleted:
            yield (
                (uri, version),
                StoreUnreachableError(
                    f"{uri}: S3 does not say whether version {version} was deleted.",
                    is_retryable=True,
                ),
            )
