"""Where relocations go, and what carbon may be claimed for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.catalog.queries import create_table
from greendata.footprint.carbon import class_carbon, placement_claim, regions
from greendata.footprint.columns import BOUNDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket or container that greendata.yaml declares in a region; ``uri`` ends with a slash."""

    provider: str
    region: str
    uri: str


_PLACES = pa.schema([(name, pa.string()) for name in ("provider", "region", "uri")])
_CLAIMS = pa.schema(
    [
        *((n, pa.string()) for n in ("provider", "storage_class", "source_region",
                                     "target_region")),
        *((f"kg_{bound}", pa.float64()) for bound in BOUNDS),
    ]
)  # fmt: skip


def create_targets(connection: DuckDBPyConnection, places: Sequence[Place]) -> None:
    """Table ``plan_targets``: ``number`` of a decided relocation, its ``uri`` or ``problem``."""
    rows = [{"provider": p.provider, "region": p.region, "uri": p.uri} for p in sorted(
        places, key=lambda p: (p.provider, p.region, p.uri))]  # fmt: skip
    create_table(connection, "plan_places", pa.Table.from_pylist(rows, schema=_PLACES))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_wanted AS SELECT d.number AS number, d.size_bytes,"
        " d.etag, x.uri || d.key AS uri FROM plan_acting d"
        " JOIN plan_policies p ON p.number = d.relocate_policy"
        " LEFT JOIN (SELECT provider, region, any_value(uri) AS uri FROM plan_places"
        " GROUP BY ALL HAVING count(*) = 1) x ON x.provider = d.store"
        " AND x.region = coalesce(p.region, d.training_region)"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE plan_targets AS SELECT w.number, w.uri,"
        " CASE WHEN w.uri IS NULL THEN 'no-place'"
        " WHEN count(*) OVER (PARTITION BY w.uri) > 1 THEN 'taken'"
        " WHEN i.uri IS NULL THEN NULL"
        " WHEN i.size_bytes = w.size_bytes AND i.etag = w.etag THEN 'replicated'"
        " ELSE 'taken' END AS problem FROM plan_wanted w LEFT JOIN ("
        " SELECT uri, any_value(size_bytes) AS size_bytes, any_value(etag) AS etag FROM inventory"
        " WHERE is_latest AND NOT is_delete_marker AND format IS DISTINCT FROM 'upload'"
        " AND uri IN (SELECT uri FROM plan_wanted) GROUP BY uri) i ON i.uri = w.uri"
    )


def create_claims(connection: DuckDBPyConnection) -> None:
    """Table ``plan_claims``: kgCO2e saved by a terabyte and month in another region.

    Only where the intensities of the two grids do not overlap, so that one is surely cleaner
    (carbon reference); the bounds are those of the same energy on both.
    """
    pairs = connection.execute(
        "SELECT DISTINCT d.store, d.region, coalesce(p.region, d.training_region)"
        " FROM plan_acting d JOIN plan_policies p ON p.number = d.relocate_policy"
        " WHERE d.region IS NOT NULL"
    ).fetchall()
    found = regions()
    rows = []
    for provider, before, after in sorted(pairs):
        source, target = found.get((provider, before)), found.get((provider, after))
        if source is None or target is None or placement_claim(source, target) is not None:
            continue
        for (owner, region, name), carbon in class_carbon().items():
            other = class_carbon().get((provider, after, name))
            if (owner, region) != (provider, before) or other is None:
                continue
            was, will = carbon.operational_kgco2e, other.operational_kgco2e
            if was is None or will is None:
                continue
            saved = was.minus_shared(will)
            rows.append(
                {
                    "provider": provider,
                    "storage_class": name,
                    "source_region": before,
                    "target_region": after,
                }
                | {f"kg_{bound}": getattr(saved, bound) for bound in BOUNDS}
            )
    create_table(connection, "plan_claims", pa.Table.from_pylist(rows, schema=_CLAIMS))
