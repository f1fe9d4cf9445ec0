"""What the report says of stored objects: summed by DuckDB, priced by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from greendata.footprint.columns import (
    billed_bytes_sql,
    is_monitored_sql,
    rates_join_sql,
    rates_table,
)
from greendata.footprint.estimate import Footprint, total
from greendata.footprint.prices import PriceList, price_list
from greendata.jobs.footprint import (
    SOURCE_FILES,
    Group,
    assumptions_of,
    intensities_of,
    list_region,
    row_footprint,
    unknown_regions,
)
from greendata.jobs.results import fetch_one

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.report.document import (
        Breakdown,
        Dimension,
        Intensity,
        StoredGroup,
        StoredSection,
    )

STORED_COLUMNS = (
    "uri", "dataset", "region", "tier", "store", "storage_class", "format", "size_bytes",
    "is_latest", "is_delete_marker", "documents", "duplicate_documents", "redundant_bytes",
    "identical_to", "verified_copies",
)  # fmt: skip
"""Of the inventory view; each costs a part of reading it."""

DIMENSIONS: tuple[Dimension, ...] = ("dataset", "tier", "region", "format", "state")

_STATE = (
    "CASE WHEN i.format = 'upload' THEN 'incomplete uploads'"
    " WHEN i.is_delete_marker THEN 'delete markers'"
    " WHEN i.is_latest THEN 'current' ELSE 'earlier versions' END"
)
_SUMS = ", ".join(
    f"sum({name})::{kind} AS {name}"
    for name, kind in (
        ("objects", "BIGINT"),
        ("unsized_objects", "BIGINT"),
        ("size_bytes", "HUGEINT::VARCHAR"),
        ("billed_bytes", "HUGEINT::VARCHAR"),
        ("monitored_objects", "BIGINT"),
        ("redundant_objects", "BIGINT"),
        ("redundant_bytes", "HUGEINT::VARCHAR"),
        ("unique_documents", "BIGINT"),
    )
)
_BIG = ("size_bytes", "billed_bytes", "redundant_bytes")


def sum_stored(connection: DuckDBPyConnection, as_of: date) -> None:
    """Table ``report_stored``: the inventory summed by all that decides what it costs."""
    connection.register("report_rates", rates_table(as_of))
    join = rates_join_sql(provider="i.store", region="i.region", storage_class="i.storage_class")
    is_copy = "i.identical_to IS NOT NULL AND i.verified_copies > 0"
    connection.execute(
        "CREATE TEMP TABLE report_stored AS SELECT i.dataset, i.region, i.tier, i.store,"
        f" i.storage_class, i.format, {_STATE} AS state, count(i.size_bytes) AS objects,"
        " count(*) - count(i.size_bytes) AS unsized_objects,"
        " coalesce(sum(i.size_bytes), 0)::HUGEINT AS size_bytes,"
        f" coalesce(sum({billed_bytes_sql('i.size_bytes')}), 0)::HUGEINT AS billed_bytes,"
        f" count(*) FILTER ({is_monitored_sql('i.size_bytes')}) AS monitored_objects,"
        " count(*) FILTER (i.redundant_bytes > 0) AS redundant_objects,"
        " coalesce(sum(i.redundant_bytes), 0)::HUGEINT AS redundant_bytes,"
        " coalesce(sum(i.documents - i.duplicate_documents) FILTER (i.is_latest), 0)::BIGINT"
        "  AS unique_documents,"
        f" count(*) FILTER ({is_copy}) AS identical_objects,"
        f" coalesce(sum(i.size_bytes) FILTER ({is_copy}), 0)::HUGEINT AS identical_bytes"
        f" FROM inventory i LEFT JOIN report_rates r ON {join} GROUP BY ALL"
    )


def stored_section(connection: DuckDBPyConnection, as_of: date, top: int) -> StoredSection:
    """What ``sum_stored`` found, the ``top`` largest groups of each dimension by name."""
    from greendata.report.document import StoredSection

    prices = price_list(as_of)
    rows = _rows(connection, "'total'", 1)
    identical_objects, identical_bytes = fetch_one(
        connection,
        "SELECT coalesce(sum(identical_objects), 0)::BIGINT,"
        " coalesce(sum(identical_bytes), 0)::HUGEINT::VARCHAR FROM report_stored",
        [],
    )
    return StoredSection(
        total=_group("total", rows, prices),
        breakdowns=tuple(_breakdown(connection, by, prices, top) for by in DIMENSIONS),
        tiers=_tiers(connection, top),
        intensities=_intensities(connection, prices, top),
        identical_objects=identical_objects,
        identical_bytes=int(identical_bytes),
        redundant_footprint=_redundant_footprint(rows, prices),
    )


def places_of(connection: DuckDBPyConnection) -> list[dict[str, Any]]:
    """What decides which assumptions and sources the amounts have."""
    query = "SELECT DISTINCT store, region, tier FROM report_stored ORDER BY ALL"
    rows: list[dict[str, Any]] = connection.sql(query).to_arrow_table().to_pylist()
    return rows


def basis_of(
    rows: list[dict[str, Any]],
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Assumptions, sources and warnings of amounts at these places."""
    from greendata.footprint.tables import sources

    used = {(row["store"], row["region"] or list_region(row["store"])) for row in rows}
    return tuple(assumptions_of(rows)), sources(used, SOURCE_FILES), tuple(unknown_regions(rows))


def _rows(connection: DuckDBPyConnection, dimension: str, top: int) -> list[dict[str, Any]]:
    """Sums by group, store, region and class; groups beyond the ``top`` largest are one.

    ``place`` is 1 for the largest group, ``last_place`` that of the smallest one in a row.
    """
    found = connection.sql(
        f"WITH named AS (SELECT {dimension} AS name, * FROM report_stored),"
        " ranked AS (SELECT name, row_number() OVER"
        "  (ORDER BY sum(size_bytes) DESC, sum(objects) DESC, name NULLS LAST) AS place"
        "  FROM named GROUP BY name)"
        " SELECT least(r.place, $top + 1) AS place, max(r.place) AS last_place,"
        "  any_value(n.name) AS name, n.store, n.region, n.storage_class,"
        f" {_SUMS} FROM named n JOIN ranked r ON r.name IS NOT DISTINCT FROM n.name"
        " GROUP BY least(r.place, $top + 1), n.store, n.region, n.storage_class"
        " ORDER BY 1, n.store, n.region, n.storage_class",
        params={"top": top},
    )
    rows: list[dict[str, Any]] = found.to_arrow_table().to_pylist()
    for row in rows:
        row.update({name: int(row[name]) for name in _BIG})
    return rows


def _grouped(rows: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["place"]].append(row)
    return found


def _group(
    name: str | None, rows: list[dict[str, Any]], prices: PriceList, groups: int = 1
) -> StoredGroup:
    from greendata.report.document import StoredGroup

    return StoredGroup(
        name=name,
        footprint=total(row_footprint(row, prices) for row in rows),
        groups=groups,
        unsized_objects=sum(row["unsized_objects"] for row in rows),
        redundant_bytes=sum(row["redundant_bytes"] for row in rows),
    )


def _breakdown(
    connection: DuckDBPyConnection, by: Dimension, prices: PriceList, top: int
) -> Breakdown:
    from greendata.report.document import Breakdown

    grouped = _grouped(_rows(connection, by, top))
    left_out = grouped.pop(top + 1, [])
    last_place = max((row["last_place"] for row in left_out), default=top)
    return Breakdown(
        by=by,
        groups=tuple(_group(rows[0]["name"], rows, prices) for rows in grouped.values()),
        others=_group(None, left_out, prices, last_place - top) if left_out else None,
    )


def _tiers(
    connection: DuckDBPyConnection, top: int
) -> tuple[tuple[str | None, Mapping[str, int]], ...]:
    """Bytes by tier of the largest datasets."""
    rows = connection.execute(
        "SELECT dataset, tier, sum(size_bytes)::HUGEINT::VARCHAR FROM report_stored s"
        " SEMI JOIN (SELECT dataset FROM report_stored GROUP BY dataset"
        "  ORDER BY sum(size_bytes) DESC, sum(objects) DESC, dataset NULLS LAST LIMIT ?) largest"
        " ON largest.dataset IS NOT DISTINCT FROM s.dataset GROUP BY ALL ORDER BY ALL",
        [top],
    ).fetchall()
    found: dict[str | None, dict[str, int]] = defaultdict(dict)
    for dataset, tier, size_bytes in rows:
        found[dataset][tier] = int(size_bytes)
    return tuple(found.items())


def _intensities(
    connection: DuckDBPyConnection, prices: PriceList, top: int
) -> tuple[Intensity, ...]:
    from greendata.report.document import Intensity

    grouped = _grouped(_rows(connection, "dataset", top))
    grouped.pop(top + 1, None)
    groups, unique = [], {}
    for rows in grouped.values():
        name = rows[0]["name"]
        unique[name] = sum(row["unique_documents"] for row in rows)
        footprint = total(row_footprint(row, prices) for row in rows)
        groups.append(Group(name=name, footprint=footprint))
    return tuple(
        Intensity(dataset=entry.dataset, unit=entry.unit, gco2e=entry.gco2e, detail=entry.detail)
        for entry in intensities_of(groups, unique)
    )


def _redundant_footprint(rows: list[dict[str, Any]], prices: PriceList) -> Footprint:
    """What the redundant bytes cost where they are, by weight: no part of what objects cost."""
    found = total(
        row_footprint(
            row
            | {
                "objects": 1,
                "size_bytes": row["redundant_bytes"],
                "billed_bytes": row["redundant_bytes"],
                "monitored_objects": 0,
            },
            prices,
        )
        for row in rows
        if row["redundant_bytes"]
    )
    return replace(found, objects=sum(row["redundant_objects"] for row in rows), missing=())
