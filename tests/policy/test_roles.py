"""The least-privilege documents beside the example policies."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

ROLES = Path(__file__).parent.parent.parent / "policies" / "roles"
S3_ACTION = re.compile(r"s3:[A-Z][A-Za-z]+")
AZURE_ACTION = re.compile(r"Microsoft\.Storage/storageAccounts/[A-Za-z]+(/[A-Za-z]+)*")
OBJECT = "arn:aws:s3:::BUCKET/data/a"
OWN = "arn:aws:s3:::BUCKET/.greendata/quarantine/r/s/a"
STAGED = "arn:aws:s3:::BUCKET/.greendata/staging/s/0"
BUCKET = "arn:aws:s3:::BUCKET"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROLES / f"{name}.json").read_text(encoding="utf-8"))
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def is_allowed(role: str, action: str, resource: str, *, if_match: bool = True) -> bool:
    """As IAM decides: a statement must allow it, and none deny it."""
    effects = set()
    for statement in read(f"s3-{role}")["Statement"]:
        if action not in listed(statement["Action"]):
            continue
        patterns = listed(statement.get("Resource", statement.get("NotResource")))
        is_hit = any(fnmatchcase(resource, pattern) for pattern in patterns)
        if is_hit != ("Resource" in statement):
            continue
        if "Condition" in statement and if_match:
            continue
        effects.add(statement["Effect"])
    return effects == {"Allow"}


def test_each_document_is_well_formed() -> None:
    names = sorted(path.name for path in ROLES.iterdir())
    assert names == [f"{kind}-{role}.json" for kind in ("azure", "s3")
                     for role in ("apply", "plan", "purge")]  # fmt: skip
    for role in ("plan", "apply", "purge"):
        document = read(f"s3-{role}")
        assert document["Version"] == "2012-10-17"
        for statement in document["Statement"]:
            assert statement["Effect"] in ("Allow", "Deny")
            assert ("Resource" in statement) != ("NotResource" in statement)
            assert all(map(S3_ACTION.fullmatch, listed(statement["Action"])))
        azure = read(f"azure-{role}")
        assert azure["AssignableScopes"]
        for key in ("Actions", "NotActions", "DataActions", "NotDataActions"):
            assert all(map(AZURE_ACTION.fullmatch, azure[key]))
        assert not set(azure["DataActions"]) & set(azure["NotDataActions"])


@pytest.mark.parametrize("role", ["plan", "apply", "purge"])
def test_every_role_reads_and_none_changes_rules(role: str) -> None:
    for action in ("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging"):
        assert is_allowed(role, action, OBJECT)
    assert is_allowed(role, "s3:ListBucketVersions", BUCKET)
    for action in ("s3:PutLifecycleConfiguration", "s3:PutBucketVersioning", "s3:DeleteBucket"):
        assert not is_allowed(role, action, BUCKET)


def test_planning_only_reads() -> None:
    allowed = {a for s in read("s3-plan")["Statement"] for a in listed(s["Action"])}
    assert all(re.match(r"s3:(Get|List)", action) for action in allowed)
    assert all(action.endswith("read") for action in read("azure-plan")["DataActions"])


def test_applying_removes_no_version_and_deletes_only_conditionally() -> None:
    assert is_allowed("apply", "s3:PutObject", OBJECT)
    assert is_allowed("apply", "s3:DeleteObject", OBJECT)
    assert not is_allowed("apply", "s3:DeleteObject", OBJECT, if_match=False)
    assert is_allowed("apply", "s3:DeleteObject", OWN, if_match=False)
    for resource in (OBJECT, OWN):
        assert not is_allowed("apply", "s3:DeleteObjectVersion", resource)
    assert is_allowed("apply", "s3:DeleteObjectVersion", STAGED)  # never anybody's only copy
    actions = read("azure-apply")["DataActions"]
    assert not [action for action in actions if "deleteBlobVersion" in action]


def test_purging_removes_versions_and_writes_only_in_our_own_folder() -> None:
    assert is_allowed("purge", "s3:DeleteObjectVersion", OBJECT)
    assert is_allowed("purge", "s3:DeleteObject", OWN)
    for action in ("s3:DeleteObject", "s3:PutObject"):
        assert not is_allowed("purge", action, OBJECT)
    actions = read("azure-purge")["DataActions"]
    assert [action for action in actions if "deleteBlobVersion" in action]
