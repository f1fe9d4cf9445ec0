"""Plans of inventories and policies made by hand, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa

from greendata.jobs.plan import price_tables
from greendata.plan.build import BuiltPlan, PlanInputs, build_plan
from greendata.plan.contained import create_no_rows
from greendata.plan.places import Place
from greendata.policy.document import PolicySet
from greendata.policy.verdicts import DatasetRules, Surroundings
from tests.policy.made_policies import NOW, inventory, policy_set

PRICES = price_tables(NOW)
GIB = 2**30


def stored(key: str, **values: Any) -> dict[str, Any]:
    """A current object of 1 GiB in us-east-1's STANDARD, a year old."""
    known = {
        "uri": f"s3://b/{key}",
        "store": "s3",
        "store_id": "s3:aws",
        "bucket": "b",
        "key": key,
        "size_bytes": GIB,
        "storage_class": "STANDARD",
        "tier": "hot",
        "region": "us-east-1",
        "age_days": 365,
        "days_in_tier": 365,
        "modified_at": NOW - timedelta(days=365),
        "etag": f"etag-{key}",
        "is_latest": True,
        "is_delete_marker": False,
        "verified_copies": 0.0,
    }
    return known | values


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """``actions`` and ``decisions`` in their order."""

    built: BuiltPlan
    actions: list[dict[str, Any]]
    decisions: list[dict[str, Any]]

    def told(self) -> dict[str, str]:
        """By key: the kinds of its actions, or the reason why it stays."""
        found: dict[str, str] = {}
        for action in self.actions:
            key = short(action["uri"])
            found[key] = "+".join(filter(None, (found.get(key), action["kind"])))
        return found | {short(d["uri"]): d["reason"] for d in self.decisions}


def short(uri: str) -> str:
    return uri.removeprefix("s3://b/")


@contextmanager
def planned(
    policies: PolicySet,
    rows: Sequence[Mapping[str, Any]],
    *,
    contents: Mapping[str, str] | None = None,
    texts: Sequence[Mapping[str, Any]] = (),
    whole_rows: Mapping[str, Iterable[int]] | None = None,
    places: tuple[Place, ...] = (),
    datasets: Mapping[str, DatasetRules] | None = None,
    threads: int = 1,
    **values: Any,
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Planned]]:
    """``contents``: SHA-256 by URI of what was read; ``whole_rows``: digests by URI of what was;
    ``texts``: rows of ``plan_texts``."""
    with inventory(rows) as connection:
        connection.execute(f"SET threads = {threads}")
        add_proofs(connection, rows, contents or {}, texts)
        add_rows(connection, rows, whole_rows or {})
        inputs = PlanInputs(
            policies=policies,
            around=Surroundings(as_of=NOW, datasets=datasets or {}),
            prices=PRICES,
            snapshot=("refresh-1",),
            model_version="m",
            places=places,
            **values,
        )
        built = build_plan(connection, inputs)
        yield (
            connection,
            Planned(
                built=built,
                actions=connection.sql("FROM plan_actions").to_arrow_table().to_pylist(),
                decisions=connection.sql("FROM plan_decisions").to_arrow_table().to_pylist(),
            ),
        )


def add_proofs(
    connection: duckdb.DuckDBPyConnection,
    rows: Sequence[Mapping[str, Any]],
    contents: Mapping[str, str],
    texts: Sequence[Mapping[str, Any]],
) -> None:
    known = [
        {name: row[name] for name in ("store_id", "uri", "etag")} | {"sha256": contents[row["uri"]]}
        for row in rows
        if row["uri"] in contents
    ]
    text = pa.string()
    schema = pa.schema([(name, text) for name in ("store_id", "uri", "etag", "sha256")])
    connection.register("given_contents", pa.Table.from_pylist(known, schema=schema))
    connection.execute("CREATE TABLE plan_contents AS FROM given_contents")
    schema = pa.schema(
        [(n, text) for n in ("store_id", "uri", "etag", "survivor_uri", "survivor_etag")]
        + [("is_exact", pa.bool_()), ("jaccard", pa.float64())]
    )
    connection.register("given_texts", pa.Table.from_pylist(list(texts), schema=schema))
    connection.execute("CREATE TABLE plan_texts AS FROM given_texts")


def add_rows(
    connection: duckdb.DuckDBPyConnection,
    rows: Sequence[Mapping[str, Any]],
    known: Mapping[str, Iterable[int]],
) -> None:
    create_no_rows(connection)
    found = [
        (row["store_id"], row["uri"], row["etag"], 0, digest)
        for row in rows
        for digest in sorted(set(known.get(row["uri"], ())))
    ]
    if found:
        connection.executemany("INSERT INTO plan_rows VALUES ($1, $2, $3, $4, $5)", found)


def plan(policies: Sequence[Mapping[str, Any]], *rows: Mapping[str, Any], **values: Any) -> Planned:
    """The plan of these policies over these rows."""
    with planned(policy_set(*policies), rows, **values) as (_, found):
        return found
