"""Policies and inventories made by hand, and what is decided of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from greendata.policy.cases import inventory_schema
from greendata.policy.document import PolicySet, read_policies
from greendata.policy.evaluate import CompiledPolicies, compile_policies
from greendata.policy.outcomes import Outcome, outcomes
from greendata.policy.verdicts import DatasetRules, Surroundings

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def policy(name: str, action: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """A policy as a mapping; without scope and condition it is for all."""
    found = {"name": name, "action": dict(action)} | values
    if "where" not in found and "scope" not in found:
        found["all"] = True
    return found


def document(*policies: Mapping[str, Any]) -> bytes:
    """A policy file: JSON is YAML."""
    return json.dumps({"version": 1, "policies": policies}).encode()


def policy_set(*policies: Mapping[str, Any]) -> PolicySet:
    return read_policies([("p.yaml", document(*policies))])


def made(uri: str = "s3://b/k", **values: Any) -> dict[str, Any]:
    """A current object, hot, of 1 MiB, of which nothing else is known."""
    known = {
        "uri": uri,
        "store": uri.partition("://")[0],
        "store_id": "s3:aws",
        "bucket": "b",
        "key": uri.split("/", 3)[3],
        "size_bytes": 2**20,
        "is_latest": True,
        "is_delete_marker": False,
        "tier": "hot",
        "verified_copies": 0.0,
    }
    return known | values


@contextmanager
def inventory(rows: Sequence[Mapping[str, Any]]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with these rows as the table ``inventory``."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=inventory_schema())
        connection.register("given", table)
        connection.execute(
            "CREATE TABLE inventory AS SELECT *, CASE WHEN recompress_ratio IS NOT NULL THEN MAP"
            " {'stream': recompress_ratio, 'archive': recompress_ratio} END AS recompress_ratios,"
            " tags AS known_tags FROM given"
        )
        yield connection


def compiled(
    policies: PolicySet, datasets: Mapping[str, DatasetRules] | None = None, **values: Any
) -> CompiledPolicies:
    around = Surroundings(as_of=NOW, datasets=datasets or {}, **values)
    return compile_policies(policies, around)


def decide(
    policies: PolicySet,
    *rows: Mapping[str, Any],
    datasets: Mapping[str, DatasetRules] | None = None,
    **values: Any,
) -> list[Outcome]:
    """Outcomes of the rows that are in scope, by URI and version."""
    with inventory(rows) as connection:
        return list(outcomes(connection, compiled(policies, datasets, **values)))


def told(found: Sequence[Outcome]) -> list[str]:
    """``policy+policy`` that decided, or the reason, by URI."""
    return [
        "+".join(sorted(entry.decisions)) if entry.stays is None else entry.stays.reason
        for entry in found
    ]
