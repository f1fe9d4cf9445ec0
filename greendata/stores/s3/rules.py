"""The rules that a bucket has of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greendata.stores.records import ContainerRules

_NONE_SET = frozenset(
    {
        "NoSuchLifecycleConfiguration",
        "ReplicationConfigurationNotFoundError",
        "ObjectLockConfigurationNotFoundError",
    }
)
_NOT_TOLD = frozenset({"AccessDenied", "AllAccessDisabled", "NotImplemented", "MethodNotAllowed"})


def read_rules(sdk: Any, bucket: dict[str, str]) -> ContainerRules:
    """Ask for each kind of rule; what the role may not see is named in ``unreadable``.

    Raises:
        botocore's ClientError: of the bucket itself.
    """
    unreadable: list[str] = []

    def ask(name: str, call: Callable[..., Any]) -> Any:
        from botocore.exceptions import ClientError

        try:
            return call(**bucket)
        except ClientError as error:
            code = error.response["Error"].get("Code")
            if code in _NONE_SET:
                return {}
            if code in _NOT_TOLD:
                unreadable.append(name)
                return None
            raise

    versioning = ask("versioning", sdk.get_bucket_versioning)
    lifecycle = ask("lifecycle", sdk.get_bucket_lifecycle_configuration)
    replication = ask("replication", sdk.get_bucket_replication)
    lock = ask("object lock", sdk.get_object_lock_configuration)
    location = ask("location", sdk.get_bucket_location)
    rules = (replication or {}).get("ReplicationConfiguration", {}).get("Rules", [])
    return ContainerRules(
        versioning=None if versioning is None else _versioning(versioning.get("Status")),
        lifecycle=None if lifecycle is None else tuple(lifecycle.get("Rules", ())),
        replication=None
        if replication is None
        else tuple(str(rule.get("ID", "")) for rule in rules),
        is_lockable=None if lock is None else bool(lock.get("ObjectLockConfiguration")),
        region=None if location is None else location.get("LocationConstraint") or "us-east-1",
        unreadable=tuple(unreadable),
    )


def _versioning(status: str | None) -> str:
    return {"Enabled": "on", "Suspended": "suspended"}.get(status or "", "off")
