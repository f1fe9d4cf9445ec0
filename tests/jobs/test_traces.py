"""What runs did is known of the objects they did it to, and is not planned again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from greendata.cli.boundary import run
from greendata.stores.local import path_to_uri
from tests.cli.made_runs import NAMES, answer, made_folder

Capture = pytest.CaptureFixture[str]

POLICIES = """\
version: 1
policies:
  - name: label
    scope: {prefixes: ["B/all/"]}
    action: {tag: {owner: "team a", "cost: a/b": "x=1"}}
  - name: keep
    scope: {prefixes: ["B/held/"]}
    action: {hold: legal}
  - name: cool
    scope: {prefixes: ["B/all/cool/"]}
    guard: {max_payback_days: 36500}
    action: {tier: cold}
  - name: thaw
    scope: {prefixes: ["B/deep/"]}
    action: {restore: {days: 7}}
  - name: copies
    scope: {prefixes: ["B/copies/"]}
    action: {quarantine: {grace_days: 30}}
  - name: scratch
    scope: {prefixes: ["B/scratch/"]}
    action: {expire: {grace_days: 30}}
  - name: uploads
    scope: {prefixes: ["B/uploads/"]}
    action: {abort_uploads: {older_than_days: 1}}
"""
KINDS = {"tag", "hold", "tier", "restore", "quarantine", "expire", "abort_uploads"}


@pytest.fixture
def made(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that keeps versions, and policies of all kinds for it; its URI."""
    monkeypatch.chdir(tmp_path)
    name = "traces"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    bodies = {
        "all/a": b"a", "all/b": b"b", "all/cool/c": b"c" * 2**21, "held/d": b"d", "deep/e": b"e",
        "copies/f": b"same" * 99, "copies/g": b"same" * 99, "scratch/h": b"h",
    }  # fmt: skip
    for key, body in bodies.items():
        more = {"StorageClass": "GLACIER"} if key.startswith("deep/") else {}
        s3.put_object(Bucket=name, Key=key, Body=body, **more)
    s3.create_multipart_upload(Bucket=name, Key="uploads/i")
    (tmp_path / "p.yaml").write_text(POLICIES.replace("B/", f"s3://{name}/"))
    (tmp_path / "greendata.yaml").write_text(
        "limits: {max_percent: 100}\n"
        f"stores: [{{match: 's3://{name}/', exclusive_writer: true}}]\n"
        f"datasets: [{{name: d, prefixes: ['s3://{name}/'], region: us-east-1, readers: none}}]\n"
    )
    return f"s3://{name}/"


def listed(uri: str) -> None:
    assert run(["inventory", uri, "--verify-bytes"]) == 0


def planned(capsys: Capture, name: str) -> list[str]:
    later = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M:%S}"  # uploads are old then
    answer(capsys, "plan", "p.yaml", "-o", name, "--as-of", later)
    return actions(name)


def actions(name: str) -> list[str]:
    rows = pq.read_table(f"{name}/actions.parquet").to_pylist()
    return sorted(f"{row['kind']} {row['uri']}" for row in rows)


def decisions(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(f"{name}/decisions.parquet").to_pylist()
    return found


def test_after_a_plan_nothing_is_planned(made: str, capsys: Capture) -> None:
    listed(made)
    first = planned(capsys, "one")
    assert {line.partition(" ")[0] for line in first} == KINDS
    assert answer(capsys, "apply", "one", "--yes", "--allow-irreversible")["done"] == len(first)
    listed(made)
    assert planned(capsys, "two") == []


def test_the_survivor_of_what_waits_in_quarantine_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """``a`` stands for ``b`` and ``c``; when ``other`` becomes equal to it, it could go too."""
    folder = made_folder(tmp_path, monkeypatch)
    done = answer(capsys, "apply", "plan", "--yes")
    expiring = "version: 1\npolicies: [{name: old, all: true, action: {expire: {}}}]\n"
    (folder / "old.yaml").write_text(expiring)
    listed("data")
    answer(capsys, "plan", "old.yaml", "-o", "two")
    assert actions("two") == [f"expire {uri_of(folder, 'other.jsonl')}"]
    (stays,) = decisions("two")
    assert (stays["uri"], stays["reason"]) == (uri_of(folder, "a.jsonl"), "pinned")
    assert stays["because"].endswith(f"by run {done['run_id']}")
    answer(capsys, "undo", done["run_id"], "--yes")
    listed("data")
    answer(capsys, "plan", "old.yaml", "-o", "three")
    assert len(actions("three")) == len(NAMES)


def uri_of(folder: Path, name: str) -> str:
    return path_to_uri(str(folder / "data" / name))
