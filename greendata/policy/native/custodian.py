"""Cloud Custodian policies: their lifecycle actions on S3 buckets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from greendata.policy.native.draft import Draft, Imported, ImportFailedError, slug, with_priorities
from greendata.policy.native.s3 import import_s3_rules

_BUCKETS = ("s3", "aws.s3")
_ACCOUNTS = ("azure.storage",)


def import_custodian(document: Mapping[str, Any], bucket: str | None) -> Imported:
    """``{"policies": [...]}``.

    Raises:
        ImportFailedError: no lifecycle action in it, or a rule that cannot be read.
    """
    drafts: list[Draft] = []
    left_out: list[str] = []
    policies = document.get("policies")
    for number, policy in enumerate(policies if isinstance(policies, list) else [], 1):
        if not isinstance(policy, Mapping):
            raise ImportFailedError(f"policy {number} has no keys and values")
        name = str(policy.get("name") or f"policy-{number}")
        found, lost = _policy(policy, name, bucket)
        drafts += found
        left_out += lost
    if not drafts:
        raise ImportFailedError(
            "no lifecycle action in it: " + (" ".join(left_out) or "no policies")
        )
    return Imported(
        kind="Cloud Custodian",
        drafts=with_priorities(drafts),
        left_out=tuple(dict.fromkeys(left_out)),
    )


def _policy(
    policy: Mapping[str, Any], name: str, bucket: str | None
) -> tuple[list[Draft], list[str]]:
    resource = policy.get("resource")
    if resource not in _BUCKETS:
        what = "has no lifecycle action in Custodian" if resource in _ACCOUNTS else "is not S3"
        return [], [f"policy {name}: resource {resource} {what}."]
    drafts: list[Draft] = []
    left_out: list[str] = []
    notes = [
        f"Custodian chooses the buckets by its {key}; here scope.prefixes or --bucket does."
        for key in ("filters", "mode")
        if policy.get(key)
    ]
    for action in policy.get("actions") or []:
        kind = action.get("type") if isinstance(action, Mapping) else action
        if kind != "configure-lifecycle":
            left_out.append(f"policy {name}: action {kind}, which is about the bucket itself.")
            continue
        try:
            imported = import_s3_rules({"Rules": action.get("rules")}, bucket)
        except ImportFailedError as error:
            raise ImportFailedError(f"policy {name}: {error}") from None
        left_out += imported.left_out
        drafts += [
            dataclasses.replace(
                draft, name=f"{slug(name)[:40]}-{draft.name}", comments=(*notes, *draft.comments)
            )
            for draft in imported.drafts
        ]
    if not drafts:
        left_out.append(f"policy {name}: it configures no lifecycle.")
    return drafts, left_out
